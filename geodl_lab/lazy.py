"""The lazy path: a dense result as a dask array whose chunks are whole cores of the grid.

A task reads what the windows of one output chunk see and computes that chunk. Which windows run
where is all that dask decides; what they contain is fixed by the grid.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import dask.array
import numpy as np
from dask.delayed import delayed

from geodl_lab import settings
from geodl_lab.grid import Window, cut, hull
from geodl_lab.heads import Head
from geodl_lab.inference import Source, assemble
from geodl_lab.planning import Plan
from geodl_lab.raster import RasterSource, check_limits


@dataclass(frozen=True)
class Part:
    """Pixels of a part of a raster, already in memory.

    Parameters
    ----------
    stored
        Values (band, y, x).
    origin
        Where they lie in the raster.
    shape_yx, nodata
        Of the whole raster.
    """

    stored: np.ndarray
    origin: Window
    shape_yx: tuple[int, int]
    nodata: float | None

    def read(self, window: Window) -> np.ndarray:
        """Return the values (band, y, x) of a window inside the part."""
        return self.stored[:, *window.relative_to(self.origin).slices_yx]


def lazy_dense(planned: Plan, source: RasterSource, head: Head, area: Window) -> dask.array.Array:
    """Build the result of a dense model as a dask array (channel, y, x); nothing is computed."""
    pixels = source.raster.array.data[list(source.bands)]
    shared = delayed(
        (planned, head, source.shape_yx, source.nodata, source.limits), pure=True, traverse=False
    )
    compute = delayed(_compute_chunk, pure=True)

    def block(chunk: Window) -> dask.array.Array:
        seen = _seen(planned, chunk)
        values = compute(shared, pixels[:, *seen.slices_yx], seen, chunk)
        return dask.array.from_delayed(values, (head.channels, *chunk.shape_yx), dtype=head.dtype)

    return dask.array.block([[block(chunk) for chunk in row] for row in _chunks(planned, area)])


def loaded(planned: Plan, source: RasterSource, area: Window) -> Iterator[tuple[Window, Source]]:
    """Yield parts of ``area``, row by row, each with pixels that its windows can read from.

    A dask-backed raster is computed part by part, because computing it window by window would read
    its chunks again and again; any other raster is one part.
    """
    if not source.raster.lazy:
        yield area, source
        return
    pixels = source.raster.array.data[list(source.bands)]
    for chunk in itertools.chain.from_iterable(_chunks(planned, area)):
        seen = _seen(planned, chunk)
        stored = np.asarray(pixels[:, *seen.slices_yx].compute())
        check_limits(stored, source.nodata, source.limits)
        yield chunk, Part(stored, seen, source.shape_yx, source.nodata)


def _chunks(planned: Plan, area: Window) -> list[list[Window]]:
    """Cut an area at core edges into rows of chunks."""
    rows = cut(planned.grid.rows, area.y, area.bottom, settings.CHUNK)
    columns = cut(planned.grid.columns, area.x, area.right, settings.CHUNK)
    return [
        [
            Window(top, left, bottom - top, right - left)
            for left, right in itertools.pairwise(columns)
        ]
        for top, bottom in itertools.pairwise(rows)
    ]


def _seen(planned: Plan, chunk: Window) -> Window:
    """Return the pixels of the raster that the windows of a chunk see."""
    windows = [tile.window for tile in planned.grid.tiles(chunk)]
    return hull(windows).intersect(planned.grid.whole)


def _compute_chunk(
    shared: tuple[Plan, Head, tuple[int, int], float | None, tuple[float, float] | None],
    stored: np.ndarray,
    seen: Window,
    chunk: Window,
) -> np.ndarray:
    """Compute the values (channel, y, x) of one chunk from the pixels its windows see."""
    planned, head, shape_yx, nodata, limits = shared
    check_limits(stored, nodata, limits)
    return assemble(planned, Part(np.asarray(stored), seen, shape_yx, nodata), chunk, head)
