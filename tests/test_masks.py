import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodl_lab.grid import Window
from geodl_lab.masks import Masks, from_crops, join, ragged


def crops(seed, count=6):
    """Random crops, none empty: top, left and pixels."""
    generator = np.random.default_rng(seed)
    for _ in range(count):
        pixels = generator.random(generator.integers(1, 9, 2)) < 0.5
        pixels[0, 0] = True
        yield int(generator.integers(0, 20)), int(generator.integers(0, 20)), pixels


def drawn(masks, index):
    """One object on a canvas of 40 x 40."""
    canvas = np.zeros((40, 40), dtype=bool)
    for y, start, stop in masks.select(np.array([index])).runs:
        assert not canvas[y, start:stop].any()
        canvas[y, start:stop] = True
    return canvas


def painted(top, left, pixels):
    canvas = np.zeros((40, 40), dtype=bool)
    canvas[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return canvas


@given(st.integers(0, 1000))
def test_crops_come_back(seed):
    given_crops = list(crops(seed))
    masks = from_crops(given_crops)
    assert len(masks) == 6 and masks.runs.dtype == np.int32
    for index, crop in enumerate(given_crops):
        canvas = painted(*crop)
        assert (drawn(masks, index) == canvas).all()
        assert masks.areas[index] == canvas.sum()
        y, x = np.nonzero(canvas)
        assert masks.boxes[index].tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]
        window, pixels = masks.crop(index)
        assert (painted(window.y, window.x, pixels) == canvas).all()


@given(st.integers(0, 1000))
def test_union_clip_and_selection_are_those_of_arrays(seed):
    masks = from_crops(list(crops(seed)))
    groups = np.array([0, 1, 0, 2, 1, 0])
    united = masks.united(groups, 3)
    clipped = masks.clipped(Window(5, 7, 12, 9))
    inside = painted(5, 7, np.ones((12, 9), dtype=bool))
    for number in range(3):
        parts = [drawn(masks, i) for i in np.flatnonzero(groups == number)]
        assert (drawn(united, number) == np.any(parts, axis=0)).all()
    for index in range(6):
        assert (drawn(clipped, index) == drawn(masks, index) & inside).all()
    mixed = join([masks.select(np.array([4, 1])), from_crops([]), masks.select(groups == 2)])
    assert [m.tolist() for m in map(mixed.keys.__getitem__, range(3))] == [
        masks.keys[i].tolist() for i in (4, 1, 3)
    ]


def test_a_union_leaves_no_touching_runs():
    halves = from_crops([(0, 0, np.ones((2, 3), dtype=bool)), (0, 3, np.ones((2, 3), dtype=bool))])
    assert halves.united(np.zeros(2, dtype=int), 1).runs.tolist() == [[0, 0, 6], [1, 0, 6]]


def test_arrays_are_plain_and_come_back():
    masks = from_crops(list(crops(3)))
    again = Masks.from_arrays(masks.to_arrays())
    assert np.array_equal(again.runs, masks.runs) and np.array_equal(again.offsets, masks.offsets)
    assert {a.dtype.kind for a in masks.to_arrays().values()} == {"i"}


def test_a_long_diagonal_takes_bytes_a_row_and_not_its_crop():
    runs = np.array([[i, i, i + 3] for i in range(100_000)], dtype=np.int32)
    masks = Masks(runs, np.array([0, len(runs)]))
    united = join([masks, masks.moved(1, 0)]).united(np.zeros(2, dtype=int), 1)
    assert united.runs.nbytes < 2e6 and united.areas.tolist() == [400_000]


def test_nothing_is_no_error():
    none = from_crops([])
    assert len(none) == 0 and none.boxes.shape == (0, 4) and none.keys.shape == (0,)
    assert len(none.clipped(Window(0, 0, 5, 5))) == 0 == len(none.united(np.zeros(0, int), 0))


def test_ragged_counts_on_from_each_start():
    assert ragged(np.array([5, 0, 9]), np.array([2, 0, 3])).tolist() == [5, 6, 9, 10, 11]


def test_runs_and_offsets_must_belong_together():
    with pytest.raises(ValueError, match="do not end at 2"):
        Masks(np.zeros((3, 3), dtype=np.int32), np.array([0, 2]))
