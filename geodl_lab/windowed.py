"""A lazy result, window by window: what a dask array leaves aside, whose tasks are whole chunks.

A map wants the one window that is in view, not the hundreds of its chunk. How the windows of a
lazy result are computed is kept here beside its graph for as long as that lives; the array itself
carries nothing, so it pickles and travels as before. The values are those of the graph: the same
engine with the same plan computes both.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from geodl_lab.devices import one_run, workers
from geodl_lab.grid import Window
from geodl_lab.inference import DenseWork, Source, run_chunk
from geodl_lab.planning import Plan

_KNOWN: dict[int, Windowed] = {}


@dataclass(frozen=True, eq=False)
class Windowed:
    """How the windows of a lazy result are computed.

    Parameters
    ----------
    planned, source, work
        Of the run.
    rows, columns
        The row (column) of the plan's grid that each row (column) of the result shows, (y,) and
        (x,), int, ascending; several show the same one where an answer was snapped to finer pixels.
    """

    planned: Plan
    source: Source
    work: DenseWork
    rows: np.ndarray
    columns: np.ndarray

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Height and width of the result in pixels."""
        return len(self.rows), len(self.columns)

    @property
    def at_once(self) -> int:
        """Forwards that the recipe lets run at one time."""
        return workers(self.planned.recipe.device, self.planned.recipe.threads)

    def blocks(self, area: Window) -> list[Window]:
        """Return the pixels of each window's core that hold a pixel of an area of the result."""
        area = area.intersect(Window(0, 0, *self.shape_yx))
        if not area:
            return []
        grid = self.planned.grid
        down = [grid.rows.core(i) for i in _met(grid.rows, self.rows[area.slices_yx[0]])]
        across = [grid.columns.core(i) for i in _met(grid.columns, self.columns[area.slices_yx[1]])]
        tops, lefts = _shown(self.rows, down), _shown(self.columns, across)
        return [Window(y, x, height, width) for y, height in tops for x, width in lefts]

    def compute(self, block: Window, cancelled: Callable[[], bool]) -> np.ndarray:
        """Return the values (channel, y, x) of one of the blocks: one forward.

        Raises
        ------
        CancelledError
            If ``cancelled`` says so before the forward.
        GeodlError
            If the pixels cannot be read, or the model fails on them.
        """
        rows, columns = self.rows[block.slices_yx[0]], self.columns[block.slices_yx[1]]
        top, left = int(rows[0]), int(columns[0])
        cells = Window(top, left, int(rows[-1]) - top + 1, int(columns[-1]) - left + 1)
        with one_run(self.planned.recipe.device):
            values = run_chunk(
                self.planned, self.source, cells, self.work, cancelled=cancelled, at_once=1
            )
        return values[:, (rows - top)[:, None], columns - left]


def keep_windowed(result: xr.DataArray, windowed: Windowed) -> None:
    """Keep how the windows of a lazy result are computed, as long as its graph lives."""
    layer = _layer(result)
    if layer is not None:
        _KNOWN[id(layer)] = windowed
        weakref.finalize(layer, _KNOWN.pop, id(layer), None)


def windowed_of(data: xr.DataArray) -> Windowed | None:
    """Return how the windows of a result are computed; None of anything else.

    Copies, other attributes and other names keep it; whatever makes other values loses it.
    """
    layer = _layer(data)
    return None if layer is None else _KNOWN.get(id(layer))


def _layer(data: xr.DataArray) -> Any:
    """Return the part of a dask graph that makes an array; None of an array that has no graph."""
    array = data.variable._data  # .data would load what is in a file
    layers = getattr(getattr(array, "dask", None), "layers", {})
    return layers.get(getattr(array, "name", None))


def _met(axis: Any, cells: np.ndarray) -> range:
    """Return the windows along an axis that own some cells (ascending)."""
    return axis.indices(int(cells[0]), int(cells[-1]) + 1)


def _shown(cells: np.ndarray, cores: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return first pixel and length of each core that any pixel shows."""
    ends = [np.searchsorted(cells, core) for core in cores]
    return [(int(first), int(last - first)) for first, last in ends if last > first]
