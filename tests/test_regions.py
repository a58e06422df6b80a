import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from geodl_lab.decoders import Decoder
from geodl_lab.detections import concatenate
from geodl_lab.finders import in_order
from geodl_lab.grid import Window
from geodl_lab.regions import RegionFinder

VALUES = (1, 2)


def score_map(seed, shape=(2, 43, 57), smooth=1.5):
    noise = np.random.default_rng(seed).normal(size=shape)
    field = ndimage.gaussian_filter(noise, (0, smooth, smooth))
    return (field / field.std() * 3).astype(np.float32)


def fed(finder, scores, window):
    """Feed a score map in chunks of ``window`` pixels, somewhere in a raster."""
    height, width = scores.shape[1:]
    area = Window(300, 500, height, width)
    blocks = []
    for y in range(0, height, window):
        for x in range(0, width, window):
            part = scores[:, y : y + window, x : x + window]
            chunk = Window(area.y + y, area.x + x, *part.shape[1:])
            blocks.append((chunk, finder.summarise(chunk, part)))
    found = concatenate(in_order(finder.merger(area), blocks))
    assert np.array_equal(found.boxes, found.sorted().boxes)
    return found.moved(-area.x, -area.y)


def same(one, other):
    return (
        np.array_equal(one.boxes, other.boxes)
        and np.array_equal(one.label_ids, other.label_ids)
        and np.array_equal(one.scores, other.scores)
    )


@given(seed=st.integers(0, 1000), window=st.integers(2, 60))
def test_regions_do_not_depend_on_the_blocks(seed, window):
    decoder = Decoder("regions", threshold=0.6)
    scores = score_map(seed)
    assert same(
        fed(RegionFinder(decoder, VALUES), scores, window),
        fed(RegionFinder(decoder, VALUES), scores, 999),
    )


def test_regions_are_those_of_scipy():
    scores = score_map(5)
    found = fed(RegionFinder(Decoder("regions", threshold=0.7), VALUES), scores, 13)
    limit = np.log(0.7 / 0.3)
    expected = []
    for value, plane in zip(VALUES, scores, strict=True):
        labels, _ = ndimage.label(plane > limit, np.ones((3, 3)))
        for index, (rows, columns) in enumerate(ndimage.find_objects(labels), 1):
            score = 1 / (1 + np.exp(-plane[labels == index].max().astype(float)))
            box = (columns.start, rows.start, columns.stop, rows.stop)
            expected.append((*map(float, box), value, score))
    rows = zip(*found.boxes.T, found.label_ids, found.scores, strict=True)
    assert np.allclose(sorted(rows), sorted(expected))


def test_regions_meet_over_the_corner_of_four_chunks():
    for flip in (slice(None), slice(None, None, -1)):
        scores = np.full((1, 20, 20), -5, dtype=np.float32)
        scores[0, range(5, 15), range(5, 15)] = 5
        found = fed(RegionFinder(Decoder("regions"), (1,)), scores[:, flip], 10)
        assert found.boxes.tolist() == [[5, 5, 15, 15]]


def test_regions_away_from_the_rim_are_not_held_back():
    finder = RegionFinder(Decoder("regions"), (1,))
    scores = np.full((1, 50, 50), -5, dtype=np.float32)
    scores[0, 10, 10] = scores[0, 10, 49] = scores[0, 49, 10] = 5
    merger = finder.merger(Window(0, 0, 100, 100))
    chunk = Window(0, 0, 50, 50)
    assert len(merger.feed(chunk, finder.summarise(chunk, scores))) == 1
    none = np.full((1, 50, 50), -5, dtype=np.float32)
    beside = Window(0, 50, 50, 50)
    settled = merger.feed(beside, finder.summarise(beside, none))
    assert settled.boxes.tolist() == [[49, 10, 50, 11]]
