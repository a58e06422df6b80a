"""Blocks are made from their own windows, when asked and not before."""

import dask.array
import numpy as np

from geodl_lab.grid import Window
from geodl_lab.lazy_blocks import lazy_blocks

VALUES = np.arange(2 * 9 * 7, dtype=np.int16).reshape(2, 9, 7)
WINDOWS = [[Window(y, x, 3, width) for x, width in ((0, 4), (4, 3))] for y in (0, 3, 6)]


def grown(window):
    bigger = Window(window.y - 1, window.x - 1, window.height + 2, window.width + 2)
    return bigger.intersect(Window(0, 0, 9, 7))


def crop(pixels, seen, window):
    assert isinstance(pixels, np.ndarray) and pixels.shape[1:] == seen.shape_yx
    return pixels[:, *window.relative_to(seen).slices_yx] * 2


def test_blocks_fit_together():
    made = lazy_blocks(dask.array.from_array(VALUES, chunks=(1, 4, 5)), WINDOWS, grown, crop)
    assert made.dtype == np.int16 and made.chunks == ((2,), (3, 3, 3), (4, 3))
    assert np.array_equal(made.compute(scheduler="synchronous"), VALUES * 2)


def test_nothing_is_computed_before_it_is_asked_for():
    asked = []

    def remember(pixels, seen, window):
        asked.append(window)
        return crop(pixels, seen, window)

    made = lazy_blocks(dask.array.from_array(VALUES), WINDOWS, grown, remember)
    assert asked == []
    made[:, 7:, 5:].compute(scheduler="synchronous")
    assert asked == [WINDOWS[2][1]]
