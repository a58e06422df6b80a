"""The engine: windows of a raster through a model, finished core blocks out, in plan order.

`planning.plan` has fixed the grid and the recipe; `run` reads a window, fills what has no data,
queues the forward on the session's threads, and yields each core block as soon as it and those
before it are done. Reading goes on while the model computes. The lazy path calls `run` for one
output chunk, the streaming path for a whole file.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from geodl_lab import settings
from geodl_lab.boxes import read_boxes
from geodl_lab.detections import Detections
from geodl_lab.errors import CancelledError, GeodlError, RunError, first_line
from geodl_lab.grid import Tile, Window
from geodl_lab.heads import Head
from geodl_lab.nodata import reflect_fill, valid_pixels
from geodl_lab.package import InputSpec, ModelPackage
from geodl_lab.planning import Plan
from geodl_lab.runtime import Session

Progress = Callable[[int, int, str, float], None]
"""Called with windows done, windows in all, the stage's name and seconds left."""


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

    def read(self, window: Window) -> np.ndarray:
        """Return stored values (band, y, x) of a window inside the raster."""
        ...


def run(
    planned: Plan,
    source: Source,
    area: Window,
    finish: Callable[[Any, int, Tile], Any],
    *,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[Tile, Any]]:
    """Run the model on every window that owns a pixel of ``area``.

    Parameters
    ----------
    planned
        Grid and recipe.
    source
        Pixels; read only from the calling thread.
    area
        Pixels of the raster that are wanted.
    finish
        Turns a batch's answer, an index in it and its tile into a result, on the model's thread.
    progress
        Called after each window.
    cancelled
        Asked before each forward.

    Yields
    ------
    tuple of Tile and result
        In plan order; the result is None for a window whose core holds no data.

    Raises
    ------
    RunError
        If the model fails on a window; the message names it.
    CancelledError
        If ``cancelled`` says so.
    """
    session, inputs = planned.session(), planned.model.package.inputs
    tiles = list(planned.grid.tiles(area))
    report = _reporter(progress, len(tiles))
    ahead = max(2, settings.cores() // planned.recipe.threads + 1)
    queue: deque[_Batch] = deque()
    try:
        for group in _groups(tiles, planned.recipe.batch):
            if cancelled():
                raise CancelledError("the run was cancelled")
            queue.append(_start(planned, session, source, group, inputs, finish))
            while len(queue) > ahead:
                yield from report(queue.popleft().results())
        while queue:
            yield from report(queue.popleft().results())
    finally:
        for batch in queue:
            batch.cancel()


def blocks(
    planned: Plan, source: Source, area: Window, head: Head, **options: Any
) -> Iterator[tuple[Window, np.ndarray]]:
    """Run a dense model; yield each core with its values, nodata where the raster has none.

    Yields
    ------
    tuple of Window and numpy.ndarray
        The core in pixels of the raster, and values (channel, y, x) of the head's dtype.
    """
    finish = DenseFinish(head, planned.model.package.field.crop)
    for tile, result in run(planned, source, area, finish, **options):
        yield tile.core, _filled(head, tile.core, result)


def objects(
    planned: Plan, source: Source, area: Window, **options: Any
) -> Iterator[tuple[Tile, Detections]]:
    """Run a detector that answers with boxes; yield what each window saw, in raster pixels."""
    finish = BoxFinish(planned.model.package)
    for tile, result in run(planned, source, area, finish, **options):
        if result is not None:
            yield tile, result[0]


def assemble(planned: Plan, source: Source, area: Window, head: Head, **options: Any) -> np.ndarray:
    """Run a dense model and return the pixels of ``area``, shape (channel, y, x)."""
    result = np.full((head.channels, *area.shape_yx), head.fill, dtype=head.dtype)
    for core, block in blocks(planned, source, area, head, **options):
        part = core.intersect(area)
        rows, columns = part.relative_to(area).slices_yx
        result[:, rows, columns] = block[:, *part.relative_to(core).slices_yx]
    return result


@dataclass(frozen=True)
class DenseFinish:
    """Reduce scores by a head on the device and bring only the core back."""

    head: Head
    crop: int

    def __call__(self, answer: Any, index: int, tile: Tile) -> np.ndarray:
        """Return the core's values (channel, y, x)."""
        rows, columns = tile.core.relative_to(tile.window).slices_yx
        rows = slice(rows.start - self.crop, rows.stop - self.crop)
        columns = slice(columns.start - self.crop, columns.stop - self.crop)
        part = answer[index : index + 1, :, rows, columns]
        return self.head(part)[0].cpu().numpy()


@dataclass(frozen=True)
class BoxFinish:
    """Read one image's boxes, in pixels of the raster."""

    package: ModelPackage

    def __call__(self, answer: Any, index: int, tile: Tile) -> Detections:
        """Return the objects of one window."""
        return read_boxes(answer, index, self.package, tile.window)


@dataclass(frozen=True)
class _Batch:
    """A forward under way: its tiles, where their cores hold data, and the answer to come."""

    tiles: list[Tile]
    valid: list[np.ndarray]
    answers: Future[list[Any]] | None

    def results(self) -> Iterator[tuple[Tile, Any]]:
        answers = iter(self.answers.result() if self.answers else ())
        for tile, valid in zip(self.tiles, self.valid, strict=True):
            yield tile, (next(answers), valid) if valid.any() else None

    def cancel(self) -> None:
        if self.answers is not None:
            self.answers.cancel()


def _start(
    planned: Plan,
    session: Session,
    source: Source,
    tiles: list[Tile],
    inputs: InputSpec,
    finish: Callable[[Any, int, Tile], Any],
) -> _Batch:
    """Read and prepare some windows and queue their forward; windows without data cost nothing."""
    prepared = [prepare(source, tile) for tile in tiles]
    valid = [valid for _, valid in prepared]
    images = [image for image, valid in prepared if valid.any()]
    busy = [tile for tile, (_, valid) in zip(tiles, prepared, strict=True) if valid.any()]
    if not images:
        return _Batch(tiles, valid, None)
    images += [images[-1]] * (planned.recipe.batch - len(images))  # one shape for every forward

    def work() -> list[Any]:
        try:
            answer = session.forward(np.stack(images), inputs)
            return [finish(answer, index, tile) for index, tile in enumerate(busy)]
        except GeodlError:
            raise
        except Exception as error:  # a model is anybody's code: whatever it raises gets a place
            raise RunError(_failure(planned, busy, error)) from error

    return _Batch(tiles, valid, session.submit(work))


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
    return np.pad(stored, ((0, 0), *rim), mode="reflect"), owned


def _groups(tiles: list[Tile], size: int) -> Iterator[list[Tile]]:
    return (tiles[start : start + size] for start in range(0, len(tiles), size))


def _filled(head: Head, core: Window, result: tuple[np.ndarray, np.ndarray] | None) -> np.ndarray:
    """Put nodata where the raster has none."""
    if result is None:
        return np.full((head.channels, *core.shape_yx), head.fill, dtype=head.dtype)
    block, valid = result
    return block if valid.all() else np.where(valid, block, head.dtype.type(head.fill))


def _failure(planned: Plan, tiles: list[Tile], error: Exception) -> str:
    window = tiles[0].window
    return (
        f"model {planned.model.name!r} failed on the window at row {window.y}, column {window.x} "
        f"({window.height} x {window.width} px): {first_line(error)}"
    )


def _reporter(
    progress: Progress | None, total: int
) -> Callable[[Iterator[tuple[Tile, Any]]], Iterator[tuple[Tile, Any]]]:
    """Return a pass-through that tells ``progress`` of each window."""
    counter, begun = itertools.count(1), time.monotonic()

    def report(results: Iterator[tuple[Tile, Any]]) -> Iterator[tuple[Tile, Any]]:
        for result in results:
            done = next(counter)
            if progress is not None:
                left = (time.monotonic() - begun) / done * (total - done)
                progress(done, total, "windows", left)
            yield result

    return report
