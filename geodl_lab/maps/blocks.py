"""Pixels of a raster in pieces: windows of a model, chunks of dask, tiles of arrays and files."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from geodl_lab.errors import CancelledError
from geodl_lab.grid import Window
from geodl_lab.raster import Raster
from geodl_lab.windowed import Windowed

TILE = 512
"""Side in pixels of the blocks of an array or file."""

LEAST = 256
"""Chunks of dask with a shorter side are read together with their neighbours."""

AT_ONCE = 2**22
"""Pixels that are read at one time to make an overview."""


@dataclass(frozen=True, eq=False)
class ArrayBlocks:
    """Blocks of an array, a file or a dask array.

    Parameters
    ----------
    raster
        Where the pixels are.
    costly
        Whether a model runs for each block: dask chunks of a result.
    """

    raster: Raster
    costly: bool = False
    at_once: int = 2

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.raster.shape_yx

    @property
    def channels(self) -> int:
        """Number of channels of a block."""
        return len(self.raster.array)

    def blocks(self, area: Window) -> list[Window]:
        """Return the blocks that hold a pixel of an area, row by row."""
        area = area.intersect(Window(0, 0, *self.shape_yx))
        rows, columns = self._edges
        down = _spans(rows, area.y, area.bottom)
        across = _spans(columns, area.x, area.right)
        return [Window(t, x, b - t, r - x) for t, b in down for x, r in across]

    def compute(self, block: Window, cancelled: Callable[[], bool]) -> np.ndarray:
        """Return the values (channel, y, x) of a block, or of any other window of the raster."""
        return np.asarray(self.raster.array[:, *block.slices_yx].values)

    @cached_property
    def _edges(self) -> tuple[list[int], list[int]]:
        """Rows and columns where blocks begin and end."""
        chunks = self.raster.array.chunks
        if chunks is None:
            height, width = self.shape_yx
            return [*range(0, height, TILE), height], [*range(0, width, TILE), width]
        return _joined(chunks[1]), _joined(chunks[2])


@dataclass(frozen=True, eq=False)
class ModelBlocks:
    """Blocks of a lazy result: the core of one window of the model each.

    Parameters
    ----------
    windowed
        How they are computed.
    """

    windowed: Windowed
    costly: bool = True

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.windowed.shape_yx

    @property
    def channels(self) -> int:
        """Number of channels of a block."""
        return len(self.windowed.channels)

    @property
    def at_once(self) -> int:
        """Blocks that are best computed at one time."""
        return self.windowed.at_once

    def blocks(self, area: Window) -> list[Window]:
        """Return the blocks that hold a pixel of an area, row by row."""
        return self.windowed.blocks(area)

    def compute(self, block: Window, cancelled: Callable[[], bool]) -> np.ndarray:
        """Return the values (channel, y, x) of one block; errors as in `Windowed.compute`."""
        return self.windowed.compute(block, cancelled)


@dataclass(frozen=True, eq=False)
class Overview:
    """A raster made smaller, in blocks that are made when they are looked at.

    Parameters
    ----------
    of
        The raster; its ``compute`` takes any window.
    factor
        Pixels of the raster a pixel of the overview, down and across.
    nodata
        The stored value that means no data, or None.
    average
        True takes means of pixels with data; False the pixel in the middle, as for classes.
    """

    of: ArrayBlocks
    factor: int
    nodata: float | None
    average: bool
    costly: bool = False
    at_once: int = 1

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Height and width in pixels of the overview."""
        height, width = self.of.shape_yx
        return -(-height // self.factor), -(-width // self.factor)

    @property
    def channels(self) -> int:
        """Number of channels of a block."""
        return self.of.channels

    def blocks(self, area: Window) -> list[Window]:
        """Return the blocks, of 256 pixels a side, that hold a pixel of an area."""
        whole = Window(0, 0, *self.shape_yx)
        area = area.intersect(whole)
        rows, columns = (
            range(first // LEAST * LEAST, last, LEAST)
            for first, last in ((area.y, area.bottom), (area.x, area.right))
        )
        return [Window(y, x, LEAST, LEAST).intersect(whole) for y in rows for x in columns]

    def compute(self, block: Window, cancelled: Callable[[], bool]) -> np.ndarray:
        """Return the values (channel, y, x) of one block.

        Raises
        ------
        CancelledError
            If ``cancelled`` says so between two strips.
        """
        factor = self.factor
        height = max(1, AT_ONCE // (block.width * factor * factor))
        strips = []
        for top in range(block.y, block.bottom, height):
            if cancelled():
                raise CancelledError("the overview was cancelled")
            rows = min(height, block.bottom - top)
            seen = Window(top * factor, block.x * factor, rows * factor, block.width * factor)
            seen = seen.intersect(Window(0, 0, *self.of.shape_yx))
            strips.append(self._reduced(self.of.compute(seen, cancelled)))
        return np.concatenate(strips, axis=1)

    def _reduced(self, values: np.ndarray) -> np.ndarray:
        if self.average and values.dtype.kind != "b":
            return averaged(values, self.factor, self.nodata)
        rows, columns = (_middles(size, self.factor) for size in values.shape[1:])
        return values[:, rows[:, None], columns]


def averaged(values: np.ndarray, factor: int, nodata: float | None) -> np.ndarray:
    """Return means of pixels with data over squares of ``factor`` pixels.

    Parameters
    ----------
    values
        Stored values (channel, y, x).
    factor
        Pixels of a square's side; squares at the end may be smaller.
    nodata
        The stored value that means no data where all channels have it, or None.

    Returns
    -------
    numpy.ndarray
        (channel, y, x), dtype as stored; nodata (NaN of floats without it) where a square has none.
    """
    valid = np.isfinite(values) if values.dtype.kind == "f" else np.ones(values.shape, bool)
    if nodata is not None and not np.isnan(nodata):
        valid &= (values != nodata).any(axis=0)
    count = _sums(valid, factor)
    total = _sums(np.where(valid, values, values.dtype.type(0)), factor)
    mean = total / np.maximum(count, 1)
    mean = mean if values.dtype.kind == "f" else np.rint(mean)
    fill = np.nan if nodata is None else nodata
    result = mean.astype(values.dtype)
    if not count.all():
        result[count == 0] = fill
    return result


def _sums(values: np.ndarray, factor: int) -> np.ndarray:
    rows, columns = (np.arange(0, size, factor) for size in values.shape[1:])
    down = np.add.reduceat(values, rows, axis=1, dtype=np.float64)
    return np.add.reduceat(down, columns, axis=2)


def _middles(size: int, factor: int) -> np.ndarray:
    """Return the pixel in the middle of each square, the last where a square is cut off."""
    return np.minimum(np.arange(0, size, factor) + factor // 2, size - 1)


def _joined(sizes: Sequence[int]) -> list[int]:
    """Return edges of chunks, small ones joined."""
    edges = [0]
    for end in itertools.accumulate(sizes):
        if end - edges[-1] >= LEAST:
            edges.append(end)
    total = sum(sizes)
    return edges if edges[-1] == total else [*edges, total]


def _spans(edges: list[int], start: int, stop: int) -> list[tuple[int, int]]:
    """Return first and one past last of the blocks that hold any of ``start`` to ``stop``."""
    if stop <= start:
        return []
    first, last = bisect.bisect_right(edges, start) - 1, bisect.bisect_left(edges, stop)
    return list(itertools.pairwise(edges[first : last + 1]))
