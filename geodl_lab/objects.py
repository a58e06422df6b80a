"""Objects of a raster: a DataArray in, a GeoDataFrame in its CRS out, each object once."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import geopandas
import numpy as np
import xarray as xr

from geodl_lab.detections import TOUCH, Detections, concatenate
from geodl_lab.finders import Finder, in_order, make_finder
from geodl_lab.grid import Window, hull
from geodl_lab.heads import LogitHead
from geodl_lab.inference import BoxWork, DenseWork, Work, chunk_lattice, run_chunks
from geodl_lab.lazy import compute_chunks
from geodl_lab.options import (
    Passes,
    Progress,
    check_threshold,
    counting_on,
    make_options,
)
from geodl_lab.package import ModelPackage
from geodl_lab.packages import open_model
from geodl_lab.packages.functions import with_arguments
from geodl_lab.packages.functions_network import FunctionNetwork
from geodl_lab.pixels import dense_work, eager_values, require_task
from geodl_lab.raster import area_edges
from geodl_lab.runs import Run, prepare, provenance
from geodl_lab.runtime import Model
from geodl_lab.vectors import to_frame

Summary = dict[str, np.ndarray]
"""What a chunk leaves behind, as plain arrays; see `finders`."""


class Store(Protocol):
    """Keeps the summaries of chunks that are finished."""

    def holds(self, chunk: Window) -> bool:
        """Tell whether a chunk is finished."""
        ...

    def load(self, chunk: Window) -> Summary:
        """Return the summary of a finished chunk."""
        ...

    def save(self, chunk: Window, summary: Summary) -> None:
        """Keep the summary of a chunk."""
        ...


def detect(
    data: xr.DataArray | xr.Dataset,
    model: str | Path | Model,
    *,
    threshold: float | None = None,
    **options: Any,
) -> geopandas.GeoDataFrame:
    """Find the objects that a model was made for.

    Parameters
    ----------
    data
        Raster (band, y, x), or a Dataset of bands; stored values. Windows are read one by one; of
        a dask-backed raster chunks are computed on dask's scheduler or cluster.
    model
        Name of an installed model, a path, or an opened model. One whose package says how whole
        images are brought to its size sees all of the raster, or of the ``area``, at once.
    threshold
        Least score 0..1 of any class; None takes the model's own.
    options
        Fields of `geodl_lab.Options`; of an ``area`` the objects whose middle lies there.

    Returns
    -------
    geopandas.GeoDataFrame
        One row an object, from top to bottom: ``geometry`` in the raster's CRS (a point for point
        models, which also have ``xmin``, ``ymin``, ``xmax``, ``ymax`` in CRS units; the outline
        of a mask, a rotated box, or the box), ``label``, ``label_id`` (class value), ``score``
        0..1. ``attrs`` say how it was made.

    Raises
    ------
    GeodlError
        If raster, bands, model or an option is not usable; the message says what to do.
    """
    model = with_threshold(open_model(model), threshold)
    run = prepare(data, model, make_options(options))
    attrs = provenance(run)
    return frame_of(concatenate(find(run)), run, attrs)


@dataclass(frozen=True)
class Todo:
    """What is still to be looked at.

    Parameters
    ----------
    area
        All that must be looked at, as far as is known: pixels of the run's grid.
    chunks
        Those of its chunks that are not finished; empty when all is known.
    windows
        Forwards of all its chunks.
    """

    area: Window
    chunks: tuple[Window, ...]
    windows: int


def find(run: Run, store: Store | None = None, *, side: int | None = None) -> Iterator[Detections]:
    """Find the objects whose middle lies in the run's area, in pixels of its grid.

    Parameters
    ----------
    run
        A detector's.
    store
        Keeps what is finished; None keeps it no longer than needed.
    side
        Of chunks, as in `inference.chunk_lattice`.

    Yields
    ------
    Detections
        Batches, from top to bottom over all batches.
    """
    if run.area == run.planned.grid.whole:
        yield from _merged(run, _summaries(run, store, side))
        return
    store = _Memory() if store is None else store
    passes = Passes(run.options.progress)
    while (todo := explore(run, store, side=side)).chunks:
        look(run, store, todo, progress=passes.report, cancelled=run.options.cancelled)
        passes.again()
    passes.finish()
    yield from found_in(run, store, side=side)


def find_with_logits(run: Run) -> tuple[Detections, np.ndarray | None]:
    """Find the objects of a whole raster, and the logits they are made of, by the same forwards.

    Returns
    -------
    tuple
        The objects as of `find`; and (class, y, x), float32, or None where the model answers
        objects, or sees the raster at another size.
    """
    package, whole = run.model.package, run.area
    assert package.decoder is not None
    if package.decoder.answers_objects or run.fitted is not None:
        return concatenate(list(find(run))), None
    finder, logits = _finder(run), eager_values(run, _dense(run))
    blocks = iter([(whole, finder.summarise(whole, logits))])
    found = concatenate(list(in_order(finder.merger(whole), blocks)))
    return found, logits[: len(package.classes)]


def explore(run: Run, store: Store, *, side: int | None = None) -> Todo:
    """Say what has to be looked at for the objects of the run's area; parameters as in `find`.

    Of a part of the raster objects are found as if all of it had been looked at: where an object
    that may have its middle in the part goes on beyond what was looked at, more is looked at.
    (One that surrounds all that was looked at, as a ring does, is not seen.) So ask again when
    what is answered is finished.
    """
    grid, package = run.planned.grid, run.model.package
    if run.area == grid.whole:
        return _todo(run, store, run.area, side)
    assert package.decoder is not None
    peaks = package.decoder.name == "heatmap"
    margin = package.decoder.radius if peaks else max(package.shape_yx)
    fed = _grown(run.area, margin, grid.whole)
    while not (todo := _todo(run, store, fed, side)).chunks and not peaks:
        if not any(_may_matter(found, run, fed) for found in _fed_with(run, store, fed, side)):
            break
        margin *= 2
        fed = _grown(fed, margin, grid.whole)
    return todo


def look(
    run: Run,
    store: Store,
    todo: Todo,
    *,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> None:
    """Run the model on chunks and keep what they leave behind."""
    left = sum(map(run.planned.grid.windows, todo.chunks))
    progress = counting_on(progress, todo.windows - left, todo.windows)
    for chunk, summary in _computed(run, todo.chunks, progress, cancelled):
        store.save(chunk, summary)


def found_in(run: Run, store: Store, *, side: int | None = None) -> Iterator[Detections]:
    """Yield the objects of a run of which everything has been looked at, as `find`."""
    fed = explore(run, store, side=side).area
    yield from _merged(run, _stored(run, store, fed, side), fed)


def frame_of(found: Detections, run: Run, attrs: Mapping[str, Any]) -> geopandas.GeoDataFrame:
    """Turn the objects of the run's area into rows in the raster's CRS, with ``attrs``."""
    inside = found.within(*area_edges(run.grid, run.options.area))
    return to_frame(inside, run.grid, run.model.package, attrs)


def with_threshold(model: Model, threshold: float | None) -> Model:
    """Return a detector with another least score.

    Raises
    ------
    ModelError, OptionError
        If the model does not detect, or the threshold is outside 0..1.
    """
    require_task(model.package, "detect")
    if threshold is None:
        return model
    check_threshold(threshold)
    if isinstance(model.network, FunctionNetwork):  # it drops what it is not sure of itself
        return with_arguments(model, {"threshold": threshold})
    assert model.package.decoder is not None
    decoder = dataclasses.replace(model.package.decoder, threshold=threshold, thresholds=())
    return dataclasses.replace(model, package=dataclasses.replace(model.package, decoder=decoder))


def _on_image(found: Detections, content: Window, package: ModelPackage) -> Detections:
    """Cut off what reaches out of the image; points stay where they are, or go."""
    assert package.decoder is not None
    return found.inside(content) if package.decoder.points else found.clipped(content)


class _Memory(dict[Window, Summary]):
    """Keeps summaries in memory."""

    holds = dict.__contains__
    load = dict.__getitem__
    save = dict.__setitem__


def _merged(
    run: Run, blocks: Iterator[tuple[Window, Summary]], fed: Window | None = None
) -> Iterator[Detections]:
    """Make objects of the chunks of ``fed``, or of the run's area; only those of the area."""
    found = in_order(_finder(run).merger(fed or run.area), blocks)
    if run.fitted is not None:
        content = run.fitted.placed.content
        yield _on_image(concatenate(list(found)), content, run.model.package)
    elif run.area == run.planned.grid.whole:
        yield from found
    else:
        yield from (batch.inside(run.area) for batch in found)


def _todo(run: Run, store: Store, area: Window, side: int | None) -> Todo:
    chunks = _chunks(run, area, side)
    missing = tuple(chunk for chunk in chunks if not store.holds(chunk))
    return Todo(area, missing, sum(map(run.planned.grid.windows, chunks)))


def _chunks(run: Run, area: Window, side: int | None) -> list[Window]:
    return [chunk for row in chunk_lattice(run.planned.grid, area, side) for chunk in row]


def _stored(
    run: Run, store: Store, area: Window, side: int | None
) -> Iterator[tuple[Window, Summary]]:
    return ((chunk, store.load(chunk)) for chunk in _chunks(run, area, side))


def _fed_with(run: Run, store: Store, fed: Window, side: int | None) -> Iterator[Detections]:
    """Yield the objects of all that was looked at."""
    return in_order(_finder(run).merger(fed), _stored(run, store, fed, side))


def _may_matter(found: Detections, run: Run, fed: Window) -> bool:
    """Tell whether an object that is cut off may, in full, have its middle in the run's area."""
    grid, decoder = run.planned.grid, run.model.package.decoder
    assert decoder is not None
    whole = grid.whole
    explored = hull([tile.window for tile in grid.tiles(fed)]) if decoder.answers_objects else fed
    boxes = found.cut_by(explored, whole).boxes
    least, most = boxes.copy(), boxes.copy()
    near = TOUCH  # a cut box does not hit the edge exactly
    if explored.x > 0:
        least[boxes[:, 0] < explored.x + near, 0] = whole.x
    if explored.y > 0:
        least[boxes[:, 1] < explored.y + near, 1] = whole.y
    if explored.right < whole.right:
        most[boxes[:, 2] > explored.right - near, 2] = whole.right
    if explored.bottom < whole.bottom:
        most[boxes[:, 3] > explored.bottom - near, 3] = whole.bottom
    x0, y0 = (least[:, :2] + boxes[:, 2:]).T / 2  # least and greatest middle
    x1, y1 = (boxes[:, :2] + most[:, 2:]).T / 2
    area = run.area
    return bool(((x0 < area.right) & (x1 >= area.x) & (y0 < area.bottom) & (y1 >= area.y)).any())


def _summaries(run: Run, store: Store | None, side: int | None) -> Iterator[tuple[Window, Summary]]:
    """Yield the chunks of the run's area with what they leave behind, computed where need be."""
    kept = _Memory() if store is None else store
    todo = _todo(run, kept, run.area, side)
    left = sum(map(run.planned.grid.windows, todo.chunks))
    progress = counting_on(run.options.progress, todo.windows - left, todo.windows)
    computed = _computed(run, todo.chunks, progress, run.options.cancelled)
    wanted = set(todo.chunks)
    for chunk in _chunks(run, run.area, side):
        if chunk not in wanted:
            yield chunk, kept.load(chunk)
            continue
        _, summary = next(computed)
        if store is not None:
            store.save(chunk, summary)
        yield chunk, summary


def _computed(
    run: Run,
    chunks: Sequence[Window],
    progress: Progress | None,
    cancelled: Callable[[], bool] | None,
) -> Iterator[tuple[Window, Summary]]:
    """Run the model on chunks and pack what it found."""
    finder, work = _finder(run), _work(run)
    limits: dict[str, Any] = {"progress": progress, "cancelled": cancelled}
    if run.lazy:
        rows = [list(row) for _, row in itertools.groupby(chunks, key=lambda chunk: chunk.y)]
        yield from compute_chunks(
            run.planned, run.source, work, rows, summarise=finder.summarise, **limits
        )
    else:
        for chunk, seen in run_chunks(run.planned, run.source, chunks, work, **limits):
            yield chunk, finder.summarise(chunk, seen)


def _finder(run: Run) -> Finder:
    grid = run.planned.grid
    return make_finder(run.model.package, grid.whole, grid)


def _work(run: Run) -> Work:
    package = run.model.package
    assert package.decoder is not None
    return BoxWork(package) if package.decoder.answers_objects else _dense(run)


def _dense(run: Run) -> DenseWork:
    package = run.model.package
    return dense_work(run, LogitHead(len(package.classes), _channels(package)))


def _channels(package: ModelPackage) -> int:
    assert package.decoder is not None
    return len(package.classes) + (2 if package.decoder.sized else 0)


def _grown(area: Window, margin: int, whole: Window) -> Window:
    grown = Window(
        area.y - margin, area.x - margin, area.height + 2 * margin, area.width + 2 * margin
    )
    return grown.intersect(whole)
