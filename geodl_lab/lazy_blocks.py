"""A dask array made block by block from windows of another."""

from __future__ import annotations

from collections.abc import Callable

import dask.array
import numpy as np
from dask.delayed import delayed

from geodl_lab.grid import Window

Compute = Callable[[np.ndarray, Window, Window], np.ndarray]
"""Called with pixels (band, y, x), the window they fill, the block's window; gives the block."""


def lazy_blocks(
    pixels: dask.array.Array,
    windows: list[list[Window]],
    source_window: Callable[[Window], Window],
    compute: Compute,
) -> dask.array.Array:
    """Build a dask array of the same bands and dtype; nothing is computed.

    Parameters
    ----------
    pixels
        Values (band, y, x).
    windows
        Blocks of the result, rows of blocks that fit together.
    source_window
        Tells which pixels a block is made from.
    compute
        Makes a block.
    """
    make = delayed(compute, pure=True, traverse=False)

    def block(window: Window) -> dask.array.Array:
        seen = source_window(window)
        values = make(pixels[:, *seen.slices_yx], seen, window)
        shape = (pixels.shape[0], *window.shape_yx)
        return dask.array.from_delayed(values, shape, dtype=pixels.dtype)

    return dask.array.block([[block(window) for window in row] for row in windows])
