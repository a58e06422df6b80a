"""Windows and recipe of a run, fixed from the model and the raster's size alone.

Nothing here knows of chunks, areas, workers or free memory, so the same raster and model always
get the same windows, and with them the same bits.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from dataclasses import dataclass
from typing import Any

from geodl_lab import settings
from geodl_lab.devices import resolve_device
from geodl_lab.errors import OptionError
from geodl_lab.grid import Axis, Grid
from geodl_lab.package import Field, ModelPackage
from geodl_lab.runtime import Model, Session, choose_precision, open_session

LOGGER = logging.getLogger("geodl_lab")


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
    tta, compile
        Whether scores are the mean over turns and mirrors, and whether the net was compiled.
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
    tta: bool = False
    compile: bool = False

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
            self.model,
            device=recipe.device,
            precision=recipe.precision,
            threads=recipe.threads,
            layout=recipe.layout,
            compiled=recipe.compile,
            tta=recipe.tta,
        )


def plan(  # noqa: PLR0913  the options of a run that decide its bits
    model: Model,
    shape_yx: tuple[int, int],
    *,
    device: str = "auto",
    precision: str = "auto",
    seam_tolerance: float | None = None,
    padding: int | None = None,
    batch_size: int | None = None,
    tta: bool = False,
    compile: bool = False,
) -> Plan:
    """Fix windows and recipe for a raster of ``shape_yx`` pixels; options as in `Options`.

    Raises
    ------
    OptionError
        If the device, precision, tolerance or augmentation is not possible here.
    """
    package = model.package
    if tta:
        _check_turns(package)
    if compile and hasattr(model.network, "placed"):
        raise OptionError(
            f"model {package.name!r} has its own runtime, which torch cannot compile; leave "
            "compile out"
        )
    field = package.field if seam_tolerance is None else tolerated(package, seam_tolerance)
    if padding is not None:
        field = _padded(package, seam_tolerance, padding)
    windows_yx, halo = choose_window(dataclasses.replace(package, field=field))
    axes = zip(shape_yx, windows_yx, package.shape_yx, strict=True)
    grid = Grid(*(_axis(package, size, window, halo, least) for size, window, least in axes))
    device = resolve_device(device)
    threads, batch = _share(package.field, grid, device)
    batch = batch if device == "cpu" or batch_size is None else batch_size
    recipe = Recipe(
        window_yx=grid.window_yx,
        halo=halo,
        stride=package.field.stride,
        exact=package.field.finite and halo >= package.field.halo,
        seam_tolerance=seam_tolerance,
        recompute=round(grid.recompute, 3),
        batch=batch,
        layout=package.layout,
        precision=choose_precision(model.network, precision, device),
        device=device,
        threads=threads,
        tta=tta,
        compile=compile,
    )
    return Plan(model, grid, recipe)


def _check_turns(package: ModelPackage) -> None:
    """Refuse a model whose answers to a turned window cannot be turned back and averaged."""
    decoder = package.decoder
    if package.task == "recognize":
        why = "labels of whole images"
    elif decoder is not None and decoder.answers_objects:
        why = "boxes, whose scores cannot be averaged over turns"
    elif decoder is not None and decoder.sized:
        why = "heights and widths, which a quarter turn would swap"
    elif package.answers == "values":
        why = "class values, which have no mean"
    else:
        return
    raise OptionError(f"model {package.name!r} answers {why}; leave tta out")


def choose_window(package: ModelPackage) -> tuple[tuple[int, int], int]:
    """Return height and width of a window and the halo, in pixels, whatever the raster.

    A finite net takes the smallest window that costs at most `settings.NEAR_BEST` times as much
    as the cheapest that `settings.MEMORY_BUDGET` holds; any other keeps the window and padding of
    its package.
    """
    if not package.field.finite:
        return package.shape_yx, package.field.halo
    (height, halo), (width, other) = (_finite_window(package, side) for side in package.shape_yx)
    return (height, width), min(halo, other)


def _finite_window(package: ModelPackage, side: int) -> tuple[int, int]:
    """Return window and halo in one direction, where the package asks for ``side`` or more."""
    field = package.field
    stride, halo = field.stride, field.halo
    least = max(-(-side // stride) * stride, 2 * stride)
    if package.fixed_window:
        return least, _capped(package, least)
    least = max(least, 2 * halo + stride)
    largest = int((settings.MEMORY_BUDGET / field.memory) ** 0.5) // stride * stride
    costs = {window: _cost(field, window) for window in range(least, largest + 1, stride)}
    enough = settings.NEAR_BEST * min(costs.values(), default=0)
    return next((window for window, cost in costs.items() if cost <= enough), least), halo


def _cost(field: Field, window: int) -> float:
    """Return pixels computed per pixel kept, and more where forwards cannot run side by side."""
    alone = 2 * field.memory * window**2 > settings.MEMORY_BUDGET
    overlap = (window / (window - 2 * field.halo)) ** 2
    return overlap * (settings.ALONE if alone else 1)


def tolerated(package: ModelPackage, seam_tolerance: float) -> Field:
    """Return the field with the smallest halo whose seam error stays below a tolerance.

    Raises
    ------
    OptionError
        If the model has no seam errors to choose by.
    """
    field = package.field
    if not field.seams:
        raise OptionError(
            f"model {package.name!r} has no measured seam errors (its receptive field is not "
            "finite), so no halo can promise a tolerance; leave seam_tolerance out"
        )
    enough = [k for k, error in enumerate(field.seams) if error <= seam_tolerance]
    strides = enough[0] if enough else len(field.seams) - 1
    return dataclasses.replace(field, halo=max(strides * field.stride, field.crop))


def _padded(package: ModelPackage, seam_tolerance: float | None, padding: int) -> Field:
    """Return the field with the caller's halo.

    Raises
    ------
    OptionError
        If the windows have no room for it, or a tolerance asks for another.
    """
    field = package.field
    if seam_tolerance is not None:
        raise OptionError("padding and seam_tolerance both choose the halo; give one of them")
    halo = -(-padding // field.stride) * field.stride
    side = min(package.shape_yx)
    roomy = field.finite and not package.fixed_window  # its windows grow with the halo
    if not field.crop <= halo or (2 * halo >= side and not roomy):
        raise OptionError(
            f"padding {padding} is not possible with model {package.name!r}; give {field.crop} to "
            f"{(side - 1) // 2} pixels"
        )
    return dataclasses.replace(field, halo=halo)


def _axis(package: ModelPackage, size: int, window: int, halo: int, least: int) -> Axis:
    field = package.field
    boxes = package.decoder is not None and package.decoder.answers_objects
    # Boxes: over the rim a detector would see mirror images, so its windows stay inside too.
    clamped = boxes or (field.finite and field.crop == 0)
    fixed = package.fixed_window or boxes or not clamped
    axis = Axis(size, window, halo, field.stride, clamped=clamped, fixed=fixed)
    return axis if fixed else _balanced(axis, least)


def _balanced(axis: Axis, least: int) -> Axis:
    """Return the axis with as many windows, but no larger than they need to be.

    A raster a little larger than one window would else be computed almost twice.
    """
    count, stride = axis.count, axis.stride
    needed = (axis.padded + 2 * axis.halo * (count - 1)) / count
    window = max(math.ceil(needed / stride) * stride, -(-least // stride) * stride)
    return dataclasses.replace(axis, window=min(window, axis.window)) if count > 1 else axis


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
