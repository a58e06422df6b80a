"""A run: one model on one raster with its options, checked before any pixel is read."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr
from affine import Affine

from geodl_lab._version import __version__
from geodl_lab.cells import Cells, model_grid
from geodl_lab.errors import ModelError, OptionError
from geodl_lab.fits import Fitted, place
from geodl_lab.grid import Window
from geodl_lab.inference import Source
from geodl_lab.inputs import Fit
from geodl_lab.options import Options
from geodl_lab.planning import Plan, plan
from geodl_lab.raster import (
    Raster,
    area_window,
    as_raster,
    say_if_other_cell_size,
    say_if_unreferenced,
)
from geodl_lab.resample import Resampled, blank_raster
from geodl_lab.runtime import Closed, Model
from geodl_lab.seams import measure_seams
from geodl_lab.sources import FileSource, RasterSource, make_source


@dataclass(frozen=True)
class Run:
    """Everything that a run needs.

    Parameters
    ----------
    raster
        The input.
    grid
        What answers lie on: the input, or a raster without values at the model's cell size.
    planned
        Model, windows and recipe.
    source
        Pixels in the model's order of bands, on ``grid``.
    area
        Pixels of ``grid`` that are wanted.
    options
        As they were given.
    cells
        How cells of ``grid`` lie over the input's pixels, or None where they are the same.
    fitted
        Of runs that see a whole image at once: the image at the net's size, which is ``grid``.
    """

    raster: Raster
    grid: Raster
    planned: Plan
    source: Source
    area: Window
    options: Options
    cells: Cells | None = None
    fitted: Fitted | None = None

    @property
    def model(self) -> Model:
        """The model."""
        return self.planned.model

    @property
    def lazy(self) -> bool:
        """Tell whether the result is to be a dask array."""
        return self.raster.lazy and self.fitted is None

    @property
    def snapped(self) -> Window | None:
        """Pixels of the input that the answer is snapped back to; None keeps it on ``grid``."""
        return area_window(self.raster, self.options.area) if self.options.snap else None

    def limits(self) -> dict[str, Any]:
        """Return the callbacks of the engine."""
        return {"progress": self.options.progress, "cancelled": self.options.cancelled}


@dataclass(frozen=True)
class Framed:
    """The grid of what a net sees of an image.

    Parameters
    ----------
    shape_yx
        Height and width in pixels.
    transform
        Pixel corners to CRS units.
    """

    shape_yx: tuple[int, int]
    transform: Affine


def prepare(data: xr.DataArray | xr.Dataset, model: Model, options: Options) -> Run:
    """Check everything that can be checked before pixels are read, and fix the windows.

    A detector whose package says how whole images are brought to its size gets one window.

    Raises
    ------
    GeodlError
        If raster, bands, area, device or another option is not usable.
    """
    run, fit = check(data, model, options), model.package.inputs.fit
    if fit is None:
        return run
    if model.package.task != "detect":
        raise ModelError(
            f"model {model.name!r} sees whole images brought to {fit.height} x {fit.width} pixels, "
            "and its answers would not lie on the raster's pixels; take a model without a fit"
        )
    return one_image(run, fit)


def one_image(run: Run, fit: Fit | None) -> Run:
    """Return the run whose area is one image, brought to the net's size and seen at once.

    Raises
    ------
    OptionError, RasterError
        If an option is for windows alone, or the image is not of a possible size.
    """
    refuse_window_options(run.options)
    placed, package = place(run.area.shape_yx, fit), run.model.package
    fitted = Fitted(run.source, run.area, placed, package.inputs)
    if package.fixed_window and placed.shape_yx != package.shape_yx:
        (height, width), (h, w) = placed.shape_yx, package.shape_yx
        raise OptionError(
            f"the image is {height} x {width} pixels and model {package.name!r} takes only {h} x "
            f"{w}; resize it first, give features= to label each of them, or make the model with "
            "fit='squash' (of a STAC item: with a resize_type)"
        )
    origin = run.grid.transform * Affine.translation(run.area.x, run.area.y)
    grid = blank_raster(run.grid, Framed(placed.shape_yx, origin * placed.transform))
    planned = plan_for(run, placed.shape_yx, placed.shape_yx)
    whole = Window(0, 0, *placed.shape_yx)
    return dataclasses.replace(
        run, grid=grid, planned=planned, source=fitted, area=whole, fitted=fitted
    )


def plan_for(run: Run, window_yx: tuple[int, int], shape_yx: tuple[int, int]) -> Plan:
    """Return the plan of windows side by side, without halos, on a grid of ``shape_yx`` pixels.

    Dense nets with a finite field keep windows of their own, which give the same bits.
    """
    model = run.model
    package, field = model.package, model.package.field
    if package.task == "recognize" or not field.finite:
        height, width = window_yx
        field = dataclasses.replace(field, finite=False, stride=1, halo=0, crop=0)
        package = dataclasses.replace(package, window=height, width=width, field=field)
        model = dataclasses.replace(model, package=package)
    planned = _plan(model, shape_yx, run.options)
    recipe = dataclasses.replace(planned.recipe, exact=planned.recipe.exact or not field.finite)
    return dataclasses.replace(planned, recipe=recipe)


def refuse_window_options(options: Options) -> None:
    """Refuse options that say something of windows and their seams.

    Raises
    ------
    OptionError
        If one is given.
    """
    usual = Options()
    names = ("snap", "seam_tolerance", "seam_error", "padding", "tta")
    given = [name for name in names if getattr(options, name) != getattr(usual, name)]
    if given:
        raise OptionError(
            f"{' and '.join(given)} would be ignored: the model sees a whole image at once, "
            "without windows or seams; leave it out"
        )


def check(data: xr.DataArray | xr.Dataset, model: Model, options: Options) -> Run:
    """Check and plan as `prepare`, in windows whatever the model's fit; errors as there."""
    if isinstance(model.network, Closed):
        raise model.network.reason
    raster = as_raster(data)
    source: Source = make_source(raster, model.package.inputs, options.bands)
    cells, grid = None, raster
    if options.seam_error and _answers_objects(model):
        raise OptionError(
            f"model {model.name!r} answers boxes, so there are no scores to compare at seams; "
            "leave seam_error out"
        )
    if options.seam_error and model.package.answers == "values":
        raise OptionError(
            f"model {model.name!r} answers class values, so there are no scores to compare at "
            "seams; leave seam_error out"
        )
    if options.snap and model.package.task == "detect":
        raise OptionError("snap=True is for pixels; objects have no grid to be snapped to")
    if options.cell_size is not None:
        cells = model_grid(raster, _cell_size(raster, model, options.cell_size))
        source, grid = Resampled(source, cells), blank_raster(raster, cells)
    planned = _plan(model, grid.shape_yx, options)
    if model.package.task != "recognize":  # labels have no coordinates
        say_if_unreferenced(raster)
    if model.package.inputs.fit is None:
        say_if_other_cell_size(grid, model.package.inputs)
    return Run(raster, grid, planned, source, _area(raster, grid, cells, options), options, cells)


def _plan(model: Model, shape_yx: tuple[int, int], options: Options) -> Plan:
    return plan(
        model,
        shape_yx,
        device=options.device,
        precision=options.precision,
        seam_tolerance=options.seam_tolerance,
        padding=options.padding,
        batch_size=options.batch_size,
        tta=options.tta,
        compile=options.compile,
    )


def _answers_objects(model: Model) -> bool:
    decoder = model.package.decoder
    return decoder is not None and decoder.answers_objects


def _area(raster: Raster, grid: Raster, cells: Cells | None, options: Options) -> Window:
    """Return the pixels of the grid that are wanted."""
    if cells is None or not options.snap:
        return area_window(grid, options.area)
    return cells.cell_window(area_window(raster, options.area))


def _cell_size(raster: Raster, model: Model, cell_size: float | str) -> float:
    """Return the cell size in CRS units; the model's own is in metres."""
    if cell_size != "model":
        return float(cell_size)
    meters = model.package.inputs.cell_size
    if meters is None or raster.crs is None or not raster.crs.is_projected:
        lacks = "the model does not say it" if meters is None else "the raster's CRS has no metres"
        raise OptionError(f"cell_size='model' is not possible: {lacks}; give a number in CRS units")
    return meters / raster.crs.linear_units_factor[1]


def provenance(run: Run) -> dict[str, str]:
    """Return what it takes to make a result again, as text attributes."""
    package = run.model.package
    attrs = {
        "geodl_model": package.name,
        "geodl_model_version": package.version,
        "geodl_model_sha256": package.sha256,
        "geodl_recipe": json.dumps(recipe(run)),
        "geodl_version": __version__,
    }
    if run.options.seam_error:
        attrs["geodl_seam_error"] = json.dumps(measure_seams(run.planned, run.source).as_dict())
    return attrs


def recipe(run: Run) -> dict[str, Any]:
    """Return everything beside model and input that decides the bits of a result."""
    inputs = run.model.package.inputs
    scaling = {key: getattr(inputs, key) for key in ("scale", "mean", "std", "cell_size")}
    cuts = {key: getattr(inputs, key) for key in ("low", "high") if getattr(inputs, key)}
    scaling |= {key: [v if math.isfinite(v) else None for v in row] for key, row in cuts.items()}
    bands = list(inputs.bands) or inputs.count
    made = {
        "bands": bands,
        "raster_bands": [band + 1 for band in run.source.bands],  # from 1, as GDAL counts
        **scaling,
        **run.planned.recipe.as_dict(),
    }
    if run.fitted is not None:
        fit = run.model.package.inputs.fit
        image = run.fitted.window
        made["fit"] = None if fit is None else fit.kind
        made["image"] = [image.y, image.x, image.height, image.width]
    if run.cells is not None:
        made["resampled_to"] = list(run.cells.factor_yx)  # input pixels a cell, down and across
        made["grid"] = "input" if run.options.snap else "model"
    return made


def from_file(
    run: Run,
    path: str | Path,
    opener: Callable[[str | Path, RasterSource], Source] = FileSource,
) -> Run:
    """Return the run with its pixels read straight from the file, in several threads."""

    def opened(source: Source) -> Source:
        if isinstance(source, Resampled):
            return dataclasses.replace(source, source=opened(source.source))
        if isinstance(source, Fitted):
            return dataclasses.replace(source, source=opened(source.source))
        assert isinstance(source, RasterSource)
        return opener(path, source)

    return dataclasses.replace(run, source=opened(run.source))
