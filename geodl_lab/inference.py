"""The engine: windows of a raster through a model, finished core blocks out, in plan order.

Life of a run: `plan` fixes the grid and the recipe from the model and the raster's size alone;
`run` reads a window, fills what has no data, queues the forward on the session's threads, and
yields each core block as soon as it and those before it are done. Reading goes on while the model
computes. The lazy path calls `run` for one output chunk, the streaming path for a whole file.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from geodl_lab import settings
from geodl_lab.decode import Head, read_boxes
from geodl_lab.detections import Detections
from geodl_lab.errors import CancelledError, GeodlError, OptionError, RunError, first_line
from geodl_lab.grid import Axis, Grid, Tile, Window
from geodl_lab.nodata import reflect_fill, valid_pixels
from geodl_lab.package import Field, InputSpec, ModelPackage
from geodl_lab.runtime import Model, Session, open_session, resolve_device, resolve_precision

LOGGER = logging.getLogger("geodl_lab")

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


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the bits of a result, apart from model and raster.

    Parameters
    ----------
    window_yx, halo, stride
        Pixels the model sees, context on each side of a core, and the net's stride.
    exact
        Whether the halo holds all that a core depends on.
    seam_tolerance
        Largest error of a score that was allowed at seams, or None.
    recompute
        Pixels computed per pixel of the raster.
    batch, layout, precision, device, threads
        Windows a forward, memory layout, number type, device and intra-op threads.
    """

    window_yx: tuple[int, int]
    halo: int
    stride: int
    exact: bool
    seam_tolerance: float | None
    recompute: float
    batch: int
    layout: str
    precision: str
    device: str
    threads: int

    def as_dict(self) -> dict[str, Any]:
        """Return the recipe as plain values for JSON."""
        return {**dataclasses.asdict(self), "window_yx": list(self.window_yx)}


@dataclass(frozen=True)
class Plan:
    """A model, the grid of its windows on one raster, and the recipe."""

    model: Model
    grid: Grid
    recipe: Recipe

    def session(self) -> Session:
        """Return the session that the recipe asks for."""
        recipe = self.recipe
        return open_session(
            self.model, device=recipe.device, precision=recipe.precision, threads=recipe.threads
        )


def plan(
    model: Model,
    shape_yx: tuple[int, int],
    *,
    device: str = "auto",
    precision: str = "auto",
    seam_tolerance: float | None = None,
) -> Plan:
    """Fix windows and recipe for a raster of ``shape_yx`` pixels.

    Raises
    ------
    OptionError
        If the device, precision or tolerance is not possible here.
    """
    package = model.package
    if seam_tolerance is not None:
        package = dataclasses.replace(package, field=tolerated(package, seam_tolerance))
    window, halo = choose_window(package)
    package = model.package
    grid = Grid(*(_axis(package, size, window, halo) for size in shape_yx))
    device = resolve_device(device)
    threads, batch = _share(package.field, grid, device)
    recipe = Recipe(
        window_yx=grid.window_yx,
        halo=halo,
        stride=package.field.stride,
        exact=package.field.finite and halo >= package.field.halo,
        seam_tolerance=seam_tolerance,
        recompute=round(grid.recompute, 3),
        batch=batch,
        layout="nchw",
        precision=resolve_precision(precision, device),
        device=device,
        threads=threads,
    )
    return Plan(model, grid, recipe)


def choose_window(package: ModelPackage) -> tuple[int, int]:
    """Return window and halo in pixels for a model, whatever the raster.

    A finite net takes the smallest window at which the overlap costs less than
    `settings.RECOMPUTE_GOAL`, or the largest that `settings.MEMORY_BUDGET` holds; any other keeps
    the window and padding of its package.
    """
    field = package.field
    if not field.finite:
        return package.window, field.halo
    stride, halo = field.stride, field.halo
    least = max(-(-package.window // stride) * stride, 2 * stride)
    if package.fixed_window:
        return least, _capped(package, least)
    window = max(least, 2 * halo + stride)
    while (
        not _worth(window, halo) and field.memory * (window + stride) ** 2 <= settings.MEMORY_BUDGET
    ):
        window += stride
    return window, halo


def tolerated(package: ModelPackage, seam_tolerance: float) -> Field:
    """Return the field with the smallest halo whose seam error stays below a tolerance.

    Raises
    ------
    OptionError
        If the tolerance is not positive, or the model has no seam errors to choose by.
    """
    field = package.field
    if not seam_tolerance > 0:
        raise OptionError(f"seam_tolerance {seam_tolerance} is not possible; give a score above 0")
    if not field.seams:
        raise OptionError(
            f"model {package.name!r} has no measured seam errors (its receptive field is not "
            "finite), so no halo can promise a tolerance; leave seam_tolerance out"
        )
    enough = [k for k, error in enumerate(field.seams) if error <= seam_tolerance]
    strides = enough[0] if enough else len(field.seams) - 1
    return dataclasses.replace(field, halo=max(strides * field.stride, field.crop))


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
        return read_boxes(answer[index], self.package, tile.window)


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


def _axis(package: ModelPackage, size: int, window: int, halo: int) -> Axis:
    field = package.field
    boxes = package.decoder is not None and package.decoder.name == "boxes"
    # Boxes: over the rim a detector would see mirror images, so its windows stay inside too.
    clamped = boxes or (field.finite and field.crop == 0)
    fixed = package.fixed_window or boxes or not clamped
    return Axis(size, window, halo, field.stride, clamped=clamped, fixed=fixed)


def _worth(window: int, halo: int) -> bool:
    return (window / (window - 2 * halo)) ** 2 <= settings.RECOMPUTE_GOAL


def _capped(package: ModelPackage, window: int) -> int:
    """Return the halo that a fixed window has room for, and say so if it is less than needed."""
    stride, halo = package.field.stride, package.field.halo
    room = window // 4 // stride * stride
    if halo > room:
        LOGGER.warning(
            "model %r sees %d px beyond a core, but its window is fixed at %d px: the halo is "
            "%d px and seams are not exact",
            package.name, halo, window, room,
        )  # fmt: skip
    return min(halo, room)


def _share(field: Field, grid: Grid, device: str) -> tuple[int, int]:
    """Return intra-op threads of a forward and windows a forward."""
    height, width = grid.window_yx
    fit = max(1, int(settings.MEMORY_BUDGET // (field.memory * height * width)))
    if device != "cpu":
        return 1, min(16, fit)
    parallel = min(settings.cores(), fit, grid.count)
    return max(1, settings.cores() // parallel), 1


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
