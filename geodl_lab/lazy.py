"""The lazy path: results as dask graphs whose tasks each compute the block of one chunk.

A task reads what the windows of its chunk see and runs the engine on that. Which windows run
where is all that dask decides; what they contain is fixed by the grid. The model and the rest of
what all tasks share is one key of the graph.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import dask.array
import dask.base
import numpy as np
from dask.delayed import Delayed, delayed

from geodl_lab.devices import one_run
from geodl_lab.errors import CancelledError
from geodl_lab.grid import Window, hull
from geodl_lab.inference import DenseWork, Source, Work, chunk_lattice, run_chunk
from geodl_lab.options import Progress
from geodl_lab.planning import Plan
from geodl_lab.resample import Resampled
from geodl_lab.sources import Part, RasterSource, check_limits

Summarise = Callable[[Window, Any], Any]
"""Makes what a task gives back of a chunk's block."""


def lazy_dense(planned: Plan, source: Source, work: DenseWork, area: Window) -> dask.array.Array:
    """Build the result of a dense model as a dask array (channel, y, x); nothing is computed."""
    task = _task(planned, source, work, None)
    head = work.head

    def block(chunk: Window) -> dask.array.Array:
        shape = (head.channels, *chunk.shape_yx)
        return dask.array.from_delayed(task(chunk), shape, dtype=head.dtype)

    lattice = chunk_lattice(planned.grid, area)
    return dask.array.block([[block(chunk) for chunk in row] for row in lattice])


def compute_chunks(
    planned: Plan,
    source: Source,
    work: Work,
    rows: list[list[Window]],
    *,
    summarise: Summarise | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[tuple[Window, Any]]:
    """Compute chunks of a dask-backed raster, a row at a time, each row in parallel.

    Parameters are those of `geodl_lab.inference.run_chunks`; ``cancelled`` is asked, and
    ``progress`` told, after each row.

    Yields
    ------
    tuple of Window and block
        In order; what ``summarise`` makes of the block, in the task, where it is given.
    """
    task = _task(planned, source, work, summarise)
    done, begun = 0, time.monotonic()
    total = sum(planned.grid.windows(chunk) for row in rows for chunk in row)
    for row in rows:
        if cancelled is not None and cancelled():
            raise CancelledError("the run was cancelled")
        computed = dask.base.compute(*map(task, row))
        done += sum(map(planned.grid.windows, row))
        if progress is not None:
            progress(done, total, "windows", (time.monotonic() - begun) / done * (total - done))
        yield from zip(row, computed, strict=True)


def _task(
    planned: Plan, source: Source, work: Work, summarise: Summarise | None
) -> Callable[[Window], Delayed]:
    """Return a function that makes the task of one chunk."""
    stored, cells = (
        (source.source, source.cells) if isinstance(source, Resampled) else (source, None)
    )
    assert isinstance(stored, RasterSource)
    pixels = stored.raster.array.data[list(stored.bands)]
    about = stored.shape_yx, stored.nodata, stored.limits
    shared = delayed((planned, work, summarise, cells, *about), pure=True, traverse=False)
    compute = delayed(_compute_chunk, pure=True)

    def task(chunk: Window) -> Delayed:
        seen = _seen(planned, chunk)
        if cells is not None:
            seen = cells.source_window(seen)
        return compute(shared, pixels[:, *seen.slices_yx], seen, chunk)

    return task


def _seen(planned: Plan, chunk: Window) -> Window:
    """Return the pixels of the grid that the windows of a chunk see."""
    grid = planned.grid
    rows, columns = (
        axis.indices(first, last)
        for axis, first, last in (
            (grid.rows, chunk.y, chunk.bottom),
            (grid.columns, chunk.x, chunk.right),
        )
    )
    corners = [grid.tile(rows[end], columns[end]).window for end in (0, -1)]
    return hull(corners).intersect(grid.whole)


def _compute_chunk(shared: tuple[Any, ...], stored: np.ndarray, seen: Window, chunk: Window) -> Any:
    """Compute one chunk from the pixels that its windows see."""
    planned, work, summarise, cells, shape_yx, nodata, limits = shared
    check_limits(stored, nodata, limits)
    part: Source = Part(np.asarray(stored), seen, shape_yx, nodata)
    part = part if cells is None else Resampled(part, cells)
    with one_run(planned.recipe.device):
        block = run_chunk(planned, part, chunk, work, at_once=_threads_of_worker())
    return block if summarise is None else summarise(chunk, block)


def _threads_of_worker() -> int | None:
    """Return the threads of the dask worker that runs this task; None outside of one."""
    if "distributed" not in sys.modules:
        return None
    from distributed import get_worker  # noqa: PLC0415  an extra; only where a cluster runs

    try:
        return get_worker().state.nthreads
    except ValueError:
        return None
