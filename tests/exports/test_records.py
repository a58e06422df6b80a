"""Records of chips and statistics of bands."""

import numpy as np

from geodl_lab.exports.records import Chip, Found, add_stats, band_stats, chips_from, chips_json


def test_records_come_back():
    stats = band_stats(np.ones((2, 3, 3)), np.ones((3, 3), bool))
    empty = band_stats(np.ones((1, 3, 3)), np.zeros((3, 3), bool))
    chips = [
        Chip(3, (2, 3, 3), {"images": ["3.tif"]}, 7, (Found(7, (0, 1, 2, 3), 4.5),), {7: 2}, stats),
        Chip(4, (2, 3, 3), {}, stats2=empty),
    ]
    assert chips_from(chips_json(chips)) == chips


def test_statistics_of_parts_are_those_of_the_whole():
    rng = np.random.default_rng(1)
    parts = [rng.normal(1e6, 3, (2, 5, 7)) for _ in range(4)]
    valid = [rng.random((5, 7)) > 0.3 for _ in range(3)] + [np.zeros((5, 7), bool)]
    total = add_stats([band_stats(part, where) for part, where in zip(parts, valid, strict=True)])
    for band in range(2):
        values = np.concatenate([p[band][w] for p, w in zip(parts, valid, strict=True)])
        got = total[band]
        assert (got.count, got.min, got.max) == (len(values), values.min(), values.max())
        assert np.allclose([got.mean, got.std], [values.mean(), values.std()], rtol=1e-9)
