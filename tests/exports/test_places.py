"""Where chips lie, counted by hand."""

import numpy as np
import pytest
import shapely

from geodl_lab.errors import OptionError
from geodl_lab.exports.places import Place, in_rows, round_features
from geodl_lab.grid import Window


def test_rows_cover_the_frame_and_stay_inside():
    places = in_rows((70, 100), (32, 32), (32, 40), (0.0,))
    seen = np.zeros((70, 100), int)
    for index in range(len(places)):
        seen[places[index].window.slices_yx] += 1
        assert places[index].window.bottom <= 70
        assert places[index].window.right <= 100
    assert len(places) == 9
    assert not seen[:, 32:40].any()  # the stride is larger than the chip
    assert seen[:, :32].all()
    assert seen[-1, -1]


def test_a_small_frame_has_one_chip():
    places = in_rows((5, 7), (32, 32), (8, 8), (0.0, 90.0))
    assert [places[i] for i in range(len(places))] == [
        Place(Window(0, 0, 32, 32)), Place(Window(0, 0, 32, 32), 90.0),
    ]  # fmt: skip


def test_features_have_a_chip_each():
    shapes = [shapely.box(10.2, 3, 14, 6.5), shapely.Point(20, 30), shapely.box(500, 500, 501, 501)]
    fixed = round_features(shapes, (8, 8), (0.0,), fixed=True, shape_yx=(40, 40))
    assert fixed[0].window == Window(1, 8, 8, 8)
    assert (fixed[1].window, fixed[1].feature) == (Window(26, 16, 8, 8), 1)
    cut = round_features(shapes, (8, 8), (0.0,), fixed=False, shape_yx=(40, 40))
    assert cut[0].window == Window(3, 10, 4, 4)
    assert cut[1].window == fixed[1].window
    assert cut[2].shape_yx == (1, 1)


def test_the_outline_turns_round_the_middle():
    place = Place(Window(10, 20, 4, 4), 45.0)
    assert np.allclose(place.outline.area, 16)
    assert np.allclose(place.outline.centroid.coords[0], (22, 12))
    assert np.allclose(place.outline.bounds, (22 - 8**0.5, 12 - 8**0.5, 22 + 8**0.5, 12 + 8**0.5))


def test_too_much_is_refused():
    with pytest.raises(OptionError, match="larger tiles"):
        in_rows((10**5, 10**5), (8, 8), (1, 1), (0.0,))
    with pytest.raises(OptionError, match="20000 x 1 pixels"):
        tall = [shapely.box(0, 0, 1, 20_000)]
        round_features(tall, (8, 8), (0.0,), fixed=False, shape_yx=(30_000, 5))
