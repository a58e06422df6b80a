import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from geodl_lab.decoders import Decoder
from geodl_lab.detections import concatenate
from geodl_lab.errors import ModelError
from geodl_lab.finders import in_order
from geodl_lab.grid import Window
from geodl_lab.peaks import PeakFinder

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


@given(seed=st.integers(0, 1000), window=st.integers(2, 60), radius=st.integers(1, 5))
def test_peaks_do_not_depend_on_the_blocks(seed, window, radius):
    decoder = Decoder("heatmap", threshold=0.6, radius=radius, box_size=4)
    scores = score_map(seed)
    scores = np.round(scores, 1)  # makes equal neighbours, where order could matter
    assert same(
        fed(PeakFinder(decoder, VALUES), scores, window),
        fed(PeakFinder(decoder, VALUES), scores, 999),
    )


def test_peaks_are_maxima_of_their_square():
    scores = score_map(3)
    decoder = Decoder("heatmap", threshold=0.5, radius=3, box_size=10)
    found = fed(PeakFinder(decoder, VALUES), scores, 20)
    highest = ndimage.maximum_filter(scores, (1, 7, 7), mode="constant", cval=-np.inf)
    k, y, x = np.nonzero((scores == highest) & (scores > 0))
    assert len(found) == len(k) > 5
    expected = sorted(zip(x + 0.5, y + 0.5, np.array(VALUES)[k], strict=True))
    assert sorted(zip(*found.centres.T, found.label_ids, strict=True)) == expected
    assert (found.boxes[:, 2] - found.boxes[:, 0] == 10).all()


def test_of_equal_peaks_the_first_counts():
    scores = np.full((2, 9, 9), -5, dtype=np.float32)
    scores[0, 3, 3:6] = 2
    found = fed(PeakFinder(Decoder("heatmap", radius=2, box_size=1), VALUES), scores, 4)
    assert found.centres.tolist() == [[3.5, 3.5]]


def test_sizes_are_read_at_the_peak():
    scores = np.full((4, 20, 20), -5, dtype=np.float32)
    scores[0, 7, 9] = 3
    scores[2:, 7, 9] = np.log(2), np.log(4)
    decoder = Decoder("heatmap", radius=2, size_unit=2.0)
    found = fed(PeakFinder(decoder, VALUES), scores, 6)
    assert np.allclose(found.boxes, [[9.5 - 4, 7.5 - 2, 9.5 + 4, 7.5 + 2]])


def test_an_equal_pixel_that_is_no_peak_itself_still_comes_first():
    scores = np.full((1, 9, 30), -5, dtype=np.float32)
    scores[0, 4, 8:14] = 3, 2, -5, 2, -5, 2  # the 2 at 9 loses to 3, and takes the one at 11
    for window in (1, 4, 10, 99):
        found = fed(PeakFinder(Decoder("heatmap", radius=2, box_size=1), (1,)), scores, window)
        assert found.centres.tolist() == [[8.5, 4.5]]


def test_what_is_no_number_is_no_peak():
    scores = np.full((1, 9, 9), np.nan, dtype=np.float32)
    scores[0, 2, 2] = 1
    found = fed(PeakFinder(Decoder("heatmap", radius=2, box_size=1), (1,)), scores, 5)
    assert found.centres.tolist() == [[2.5, 2.5]]


def test_peaks_far_from_the_rim_are_not_held_back():
    finder = PeakFinder(Decoder("heatmap", radius=2, box_size=3), (1,))
    scores = np.full((1, 50, 50), -5, dtype=np.float32)
    scores[0, 10, 10] = scores[0, 10, 49] = scores[0, 49, 10] = 5
    merger = finder.merger(Window(0, 0, 100, 100))
    chunk = Window(0, 0, 50, 50)
    assert len(merger.feed(chunk, finder.summarise(chunk, scores))) == 1


def test_a_size_that_is_no_number_is_refused():
    scores = np.full((3, 9, 9), -5, dtype=np.float32)
    scores[1:] = np.nan
    finder = PeakFinder(Decoder("heatmap", radius=2), (1,))
    assert len(fed(finder, scores, 9)) == 0  # nobody asks for a size
    scores[0, 4, 4] = 3
    with pytest.raises(ModelError, match="answers a NaN size at a peak"):
        fed(finder, scores, 9)
