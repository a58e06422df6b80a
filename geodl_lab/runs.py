"""A run: one model on one raster with its options, checked before any pixel is read."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from geodl_lab._version import __version__
from geodl_lab.cells import Cells, model_grid
from geodl_lab.errors import OptionError
from geodl_lab.grid import Window
from geodl_lab.inference import Source
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
    """

    raster: Raster
    grid: Raster
    planned: Plan
    source: Source
    area: Window
    options: Options
    cells: Cells | None = None

    @property
    def model(self) -> Model:
        """The model."""
        return self.planned.model

    @property
    def lazy(self) -> bool:
        """Tell whether the result is to be a dask array."""
        return self.raster.lazy

    @property
    def snapped(self) -> Window | None:
        """Pixels of the input that the answer is snapped back to; None keeps it on ``grid``."""
        return area_window(self.raster, self.options.area) if self.options.snap else None

    def limits(self) -> dict[str, Any]:
        """Return the callbacks of the engine."""
        return {"progress": self.options.progress, "cancelled": self.options.cancelled}


def prepare(data: xr.DataArray | xr.Dataset, model: Model, options: Options) -> Run:
    """Check everything that can be checked before pixels are read.

    Raises
    ------
    GeodlError
        If raster, bands, area, device or another option is not usable.
    """
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
    planned = plan(
        model,
        grid.shape_yx,
        device=options.device,
        precision=options.precision,
        seam_tolerance=options.seam_tolerance,
        padding=options.padding,
        batch_size=options.batch_size,
        tta=options.tta,
        compile=options.compile,
    )
    say_if_unreferenced(raster)
    say_if_other_cell_size(grid, model.package.inputs)
    return Run(raster, grid, planned, source, _area(raster, grid, cells, options), options, cells)


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
    if run.cells is not None:
        made["resampled_to"] = list(run.cells.factor_yx)  # input pixels a cell, down and across
        made["grid"] = "input" if run.options.snap else "model"
    return made


def from_file(run: Run, path: str | Path) -> Run:
    """Return the run with its pixels read straight from the file, in several threads."""

    def opened(source: Source) -> Source:
        if isinstance(source, Resampled):
            return dataclasses.replace(source, source=opened(source.source))
        assert isinstance(source, RasterSource)
        return FileSource(path, source)

    return dataclasses.replace(run, source=opened(run.source))
