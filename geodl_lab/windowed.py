"""A lazy result, window by window: what a dask array leaves aside, whose tasks are whole chunks.

A map wants the one window that is in view, not the hundreds of its chunk. How the windows of a
lazy result are computed is kept here beside its graph for as long as that lives; the array itself
carries nothing, so it pickles and travels as before. Slices of a result are followed through the
graph. The values are those of the graph: the same engine with the same plan computes both.
"""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from geodl_lab.grid import Axis, Window

if TYPE_CHECKING:
    from geodl_lab.inference import DenseWork, Source
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
    channels
        The channels of the answer that the result holds.
    chunks
        Heights and widths of the result's dask chunks, in pixels.
    """

    planned: Plan
    source: Source
    work: DenseWork
    rows: np.ndarray
    columns: np.ndarray
    channels: np.ndarray
    chunks: tuple[tuple[int, ...], tuple[int, ...]]

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Height and width of the result in pixels."""
        return len(self.rows), len(self.columns)

    @property
    def at_once(self) -> int:
        """Forwards that the recipe lets run at one time."""
        from geodl_lab.devices import workers  # noqa: PLC0415  loads torch

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
        from geodl_lab.devices import one_run  # noqa: PLC0415  loads torch
        from geodl_lab.inference import run_chunk  # noqa: PLC0415

        rows, columns = self.rows[block.slices_yx[0]], self.columns[block.slices_yx[1]]
        top, left = int(rows[0]), int(columns[0])
        cells = Window(top, left, int(rows[-1]) - top + 1, int(columns[-1]) - left + 1)
        with one_run(self.planned.recipe.device):
            values = run_chunk(
                self.planned, self.source, cells, self.work, cancelled=cancelled, at_once=1
            )
        return values[self.channels][:, (rows - top)[:, None], columns - left]


def keep_windowed(result: xr.DataArray, windowed: Windowed) -> None:
    """Keep how the windows of a lazy result are computed, as long as its graph lives."""
    name, graph = _graph(result)
    if graph is not None and (layer := graph.layers.get(name)) is not None:
        _KNOWN[id(layer)] = windowed
        weakref.finalize(layer, _KNOWN.pop, id(layer), None)


def windowed_of(data: xr.DataArray) -> Windowed | None:
    """Return how the windows of a result are computed; None of anything else.

    Copies, slices, single channels, other attributes and other names keep it; whatever makes other
    values loses it.
    """
    name, graph = _graph(data)
    windowed = None if graph is None else _followed(graph, name)
    ascending = windowed is not None and all(
        len(cells) and (np.diff(cells) >= 0).all() for cells in (windowed.rows, windowed.columns)
    )
    return windowed if ascending else None


def needs_model(data: xr.DataArray) -> bool:
    """Tell whether computing an array runs a model, whatever is made of its answer."""
    _, graph = _graph(data)
    return graph is not None and any(id(layer) in _KNOWN for layer in graph.layers.values())


def _graph(data: xr.DataArray) -> tuple[str, Any]:
    """Return the name of a dask array and its graph; None of an array that has none."""
    array = data.variable._data  # .data would load what is in a file
    graph = getattr(array, "dask", None)
    return str(getattr(array, "name", "")), graph if hasattr(graph, "layers") else None


def _followed(graph: Any, name: str) -> Windowed | None:
    """Return how an array of a graph is computed, through the slices that make it."""
    layer = graph.layers.get(name)
    if layer is None or id(layer) in _KNOWN:
        return _KNOWN.get(id(layer))
    parents = graph.dependencies.get(name, ())
    if not name.startswith("getitem-") or len(parents) != 1:
        return None
    parent = _followed(graph, next(iter(parents)))
    return None if parent is None else _sliced(parent, layer)


def _sliced(parent: Windowed, layer: Any) -> Windowed | None:
    """Return how slices of a result are computed; None if the layer does anything else."""
    rows, columns = (
        np.split(cells, np.cumsum(sizes)[:-1])
        for cells, sizes in zip((parent.rows, parent.columns), parent.chunks, strict=True)
    )
    down, across, channels = {}, {}, parent.channels
    for (_, *place), task in layer.items():
        picked = _picked(task)
        if picked is None:
            return None
        (*_, i, j), (*first, y, x) = picked
        down[place[-2]], across[place[-1]] = rows[i][y], columns[j][x]
        channels = np.atleast_1d(parent.channels[first[0]]) if first else parent.channels
    parts = [[cells[i] for i in sorted(cells)] for cells in (down, across)]
    heights, widths = (tuple(map(len, part)) for part in parts)
    return dataclasses.replace(
        parent, rows=np.concatenate(parts[0]), columns=np.concatenate(parts[1]),
        channels=channels, chunks=(heights, widths),
    )  # fmt: skip


def _picked(task: Any) -> tuple[tuple[int, ...], tuple[Any, ...]] | None:
    """Return the place of the block that a task of dask slices, and the slices; else None."""
    if hasattr(task, "target"):  # the block as it is
        _, *place = task.target
        return tuple(place), (slice(None),) * len(place)
    if getattr(getattr(task, "func", None), "__name__", "") != "getitem" or len(task.args) != 2:
        return None
    (_, *place), index = getattr(task.args[0], "key", (None,)), task.args[1]
    fine = isinstance(index, tuple) and len(index) == len(place) and len(place) > 1
    slices = fine and all(isinstance(one, slice) for one in index[-2:])
    return (tuple(place), index) if slices else None


def _met(axis: Axis, cells: np.ndarray) -> range:
    """Return the windows along an axis that own some cells (ascending)."""
    return axis.indices(int(cells[0]), int(cells[-1]) + 1)


def _shown(cells: np.ndarray, cores: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return first pixel and length of each core that any pixel shows."""
    ends = [np.searchsorted(cells, core) for core in cores]
    return [(int(first), int(last - first)) for first, last in ends if last > first]
