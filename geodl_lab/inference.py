"""The engine: windows of a raster through a model, one finished block for every chunk.

Life of a window: a reader thread reads it and fills what has no data; a thread of the session
runs the forward and reduces the answer on the device; the caller's thread gathers the results of
a chunk into its block. The three overlap, in plan order, over the chunks' borders. `planning` has
fixed what a window holds; a chunk only decides when it runs. The lazy path asks for one chunk a
task, the streaming path for all chunks of a file, a resumed run for those that are missing.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from geodl_lab import settings
from geodl_lab.boxes import read_boxes
from geodl_lab.detections import Detections
from geodl_lab.devices import is_out_of_memory
from geodl_lab.errors import CancelledError, GeodlError, RunError, first_line
from geodl_lab.grid import Grid, Tile, Window, cut
from geodl_lab.heads import Head
from geodl_lab.nodata import reflect_fill, valid_pixels
from geodl_lab.options import Progress
from geodl_lab.package import ModelPackage
from geodl_lab.planning import Plan
from geodl_lab.runtime import Session
from geodl_lab.threaded import in_order


class Source(Protocol):
    """Pixels of the bands that a model wants, in its order."""

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Height and width of the raster in pixels."""
        ...

    @property
    def nodata(self) -> float | None:
        """The stored value that means no data, or None."""
        ...

    @property
    def bands(self) -> tuple[int, ...]:
        """Which bands of the raster these are, from 0."""
        ...

    @property
    def readers(self) -> int:
        """Threads that may call `read` at one time."""
        ...

    def read(self, window: Window) -> np.ndarray:
        """Return stored values (band, y, x) of a window inside the raster."""
        ...


@dataclass(frozen=True)
class Seen:
    """What the model's answer to one window was reduced to, and where its core holds data."""

    result: Any
    valid: np.ndarray


class Work(Protocol):
    """What is made of a model's answers."""

    def finish(self, answer: Any, index: int, tile: Tile) -> Any:
        """Reduce image ``index`` of a batch's answer; called on the model's thread."""
        ...

    def gather(self, chunk: Window, seen: Iterator[tuple[Tile, Seen | None]]) -> Any:
        """Make a chunk's block of its windows; None for one whose core holds no data."""
        ...


@dataclass(frozen=True)
class DenseWork:
    """Pixels: scores reduced by a head, nodata where the raster has none."""

    head: Head
    crop: int

    def finish(self, answer: Any, index: int, tile: Tile) -> np.ndarray:
        """Return the core's values (channel, y, x); only they leave the device."""
        rows, columns = tile.core.relative_to(tile.window).slices_yx
        rows = slice(rows.start - self.crop, rows.stop - self.crop)
        columns = slice(columns.start - self.crop, columns.stop - self.crop)
        part = answer[index : index + 1, :, rows, columns]
        return self.head(part)[0].cpu().numpy()

    def gather(self, chunk: Window, seen: Iterator[tuple[Tile, Seen | None]]) -> np.ndarray:
        """Return the chunk's values (channel, y, x)."""
        head = self.head
        block = np.full((head.channels, *chunk.shape_yx), head.fill, dtype=head.dtype)
        for tile, one in seen:
            if one is not None:
                part = tile.core.intersect(chunk)
                inner = part.relative_to(tile.core).slices_yx
                target = block[:, *part.relative_to(chunk).slices_yx]
                np.copyto(target, one.result[:, *inner], where=one.valid[inner])
        return block


@dataclass(frozen=True)
class BoxWork:
    """Objects of a detector that answers with boxes: what every window saw, in raster pixels."""

    package: ModelPackage

    def finish(self, answer: Any, index: int, tile: Tile) -> Detections:
        """Return the objects of one window."""
        return read_boxes(answer, index, self.package, tile.window)

    def gather(
        self, chunk: Window, seen: Iterator[tuple[Tile, Seen | None]]
    ) -> list[tuple[Tile, Detections]]:
        """Return the windows that hold data, with their objects."""
        return [(tile, one.result) for tile, one in seen if one is not None]


def run_chunks(
    planned: Plan,
    source: Source,
    chunks: Sequence[Window],
    work: Work,
    *,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    at_once: int | None = None,
) -> Iterator[tuple[Window, Any]]:
    """Run the model on every window that owns a pixel of some chunks.

    Parameters
    ----------
    planned
        Grid and recipe.
    source
        Pixels.
    chunks
        Pixels of the raster that are wanted; inner edges are edges of cores.
    work
        What is made of the answers.
    progress
        Called after each window.
    cancelled
        Asked before each forward.
    at_once
        Most forwards under way; None is as many as the recipe's threads leave room for.

    Yields
    ------
    tuple of Window and block
        Every chunk, in the order given.

    Raises
    ------
    RunError
        If the model fails on a window; the message names it.
    CancelledError
        If ``cancelled`` says so.
    """
    session = planned.session()
    step = _Step(planned, session, source, work, cancelled or (lambda: False))
    tiles = itertools.chain.from_iterable(planned.grid.tiles(chunk) for chunk in chunks)
    depth = session.workers if at_once is None else at_once - 1
    total = sum(planned.grid.windows(chunk) for chunk in chunks)
    with ThreadPoolExecutor(source.readers, "geodl-read") as readers:
        groups = _groups(tiles, planned.recipe.batch)
        ready = in_order(lambda tiles: readers.submit(step.read, tiles), groups, source.readers + 1)
        done = in_order(step.start, ready, depth)
        results = _reported(itertools.chain.from_iterable(done), progress, total)
        try:
            for chunk in chunks:
                yield (
                    chunk,
                    work.gather(chunk, itertools.islice(results, planned.grid.windows(chunk))),
                )
        finally:
            done.close()
            ready.close()


def run_chunk(planned: Plan, source: Source, chunk: Window, work: Work, **options: Any) -> Any:
    """Return the block of one chunk; parameters as in `run_chunks`."""
    ((_, block),) = run_chunks(planned, source, [chunk], work, **options)
    return block


def chunk_lattice(grid: Grid, area: Window, side: int | None = None) -> list[list[Window]]:
    """Cut an area at core edges into rows of chunks; where they lie does not depend on the area.

    Parameters
    ----------
    grid
        Windows of the raster.
    area
        Pixels of the raster.
    side
        Pixels that a chunk's side is near, whole cores; None is `settings.CHUNK`.
    """
    rows = cut(grid.rows, area.y, area.bottom, side or settings.CHUNK)
    columns = cut(grid.columns, area.x, area.right, side or settings.CHUNK)
    return [
        [
            Window(top, left, bottom - top, right - left)
            for left, right in itertools.pairwise(columns)
        ]
        for top, bottom in itertools.pairwise(rows)
    ]


def prepare(source: Source, tile: Tile) -> tuple[np.ndarray, np.ndarray]:
    """Read a window and make it whole.

    Returns
    -------
    tuple of numpy.ndarray
        Stored values (band, y, x) of the window with nodata and rim filled by reflection, and
        where the core holds data (y, x), bool.
    """
    window, core = tile.window, tile.core
    inside = window.intersect(Window(0, 0, *source.shape_yx))
    stored = source.read(inside)
    valid = valid_pixels(stored, source.nodata)
    owned = valid[core.relative_to(inside).slices_yx]
    if not owned.any():
        return stored, owned
    if not valid.all():
        stored = reflect_fill(stored, valid)
    rim = (
        (inside.y - window.y, window.bottom - inside.bottom),
        (inside.x - window.x, window.right - inside.right),
    )
    if any(itertools.chain(*rim)):
        stored = np.pad(stored, ((0, 0), *rim), mode="reflect")
    return stored, owned


@dataclass(frozen=True)
class _Group:
    """Windows of one forward: their pixels (None where the core holds no data) and valid masks."""

    tiles: tuple[Tile, ...]
    images: tuple[np.ndarray | None, ...]
    valid: tuple[np.ndarray, ...]

    @property
    def batch(self) -> list[np.ndarray]:
        return [image for image in self.images if image is not None]

    @property
    def busy(self) -> list[Tile]:
        pairs = zip(self.tiles, self.images, strict=True)
        return [tile for tile, image in pairs if image is not None]


@dataclass(frozen=True)
class _Step:
    """The stages of a run."""

    planned: Plan
    session: Session
    source: Source
    work: Work
    cancelled: Callable[[], bool]

    def read(self, tiles: tuple[Tile, ...]) -> _Group:
        """Read and prepare windows."""
        prepared = [prepare(self.source, tile) for tile in tiles]
        images = tuple(image if valid.any() else None for image, valid in prepared)
        return _Group(tiles, images, tuple(valid for _, valid in prepared))

    def start(self, group: _Group) -> Future[list[tuple[Tile, Seen | None]]]:
        """Queue the forward of a group; windows without data cost nothing."""
        if group.batch:
            return self.session.submit(self._forward, group)
        self._stop_if_cancelled()
        nothing: Future[list[tuple[Tile, Seen | None]]] = Future()
        nothing.set_result([(tile, None) for tile in group.tiles])
        return nothing

    def _forward(self, group: _Group) -> list[tuple[Tile, Seen | None]]:
        self._stop_if_cancelled()
        try:
            answers = iter(self._answers(group))
        except GeodlError:
            raise
        except Exception as error:  # a model is anybody's code: whatever it raises gets a place
            raise RunError(self._failure(group.busy, error)) from error
        return [
            (tile, None if image is None else Seen(next(answers), valid))
            for tile, image, valid in zip(group.tiles, group.images, group.valid, strict=True)
        ]

    def _answers(self, group: _Group) -> list[Any]:
        """Return what each window with data was reduced to; once more alone if memory ran out."""
        turns = self.session.turns()
        with turns.together():
            try:
                return self._compute(group)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
        with turns.alone():
            return self._compute(group)

    def _compute(self, group: _Group) -> list[Any]:
        images = group.batch
        images += [images[-1]] * (self.planned.recipe.batch - len(images))  # one shape for all
        stored = images[0][None] if len(images) == 1 else np.stack(images)
        answer = self.session.forward(stored, self.planned.model.package.inputs)
        return [self.work.finish(answer, i, tile) for i, tile in enumerate(group.busy)]

    def _stop_if_cancelled(self) -> None:
        if self.cancelled():
            raise CancelledError("the run was cancelled")

    def _failure(self, tiles: list[Tile], error: Exception) -> str:
        window = tiles[0].window
        what = (
            f"model {self.planned.model.name!r} failed on the window at row {window.y}, column "
            f"{window.x} ({window.height} x {window.width} px)"
        )
        if not is_out_of_memory(error):
            return f"{what}: {first_line(error)}"
        return (
            f"{what}: the device {self.planned.recipe.device!r} has too little memory for it, even "
            f"alone ({first_line(error)}); make the model again with a smaller window=, or take "
            "another device"
        )


def _groups(tiles: Iterator[Tile], size: int) -> Iterator[tuple[Tile, ...]]:
    while group := tuple(itertools.islice(tiles, size)):
        yield group


def _reported(
    results: Iterator[tuple[Tile, Seen | None]], progress: Progress | None, total: int
) -> Iterator[tuple[Tile, Seen | None]]:
    """Pass results through and tell ``progress`` of each."""
    begun = time.monotonic()
    for done, result in enumerate(results, 1):
        if progress is not None:
            left = (time.monotonic() - begun) / done * (total - done)
            progress(done, total, "windows", left)
        yield result
