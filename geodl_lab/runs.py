"""A run: one model on one raster with its options, checked before any pixel is read."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

import xarray as xr

from geodl_lab._version import __version__
from geodl_lab.grid import Window
from geodl_lab.inference import Source
from geodl_lab.options import Options
from geodl_lab.planning import Plan, plan
from geodl_lab.raster import (
    Raster,
    RasterSource,
    area_window,
    as_raster,
    make_source,
    say_if_other_cell_size,
    say_if_unreferenced,
)
from geodl_lab.runtime import Model
from geodl_lab.seams import measure_seams


@dataclass(frozen=True)
class Run:
    """Everything that a run needs.

    Parameters
    ----------
    raster
        The input.
    planned
        Model, windows and recipe.
    source
        Pixels in the model's order of bands.
    area
        Pixels that are wanted.
    options
        As they were given.
    """

    raster: Raster
    planned: Plan
    source: Source
    area: Window
    options: Options

    @property
    def model(self) -> Model:
        """The model."""
        return self.planned.model

    @property
    def lazy(self) -> bool:
        """Tell whether the result is to be a dask array."""
        return self.raster.lazy and isinstance(self.source, RasterSource)

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
    raster = as_raster(data)
    source = make_source(raster, model.package.inputs, options.bands)
    area = area_window(raster, options.area)
    planned = plan(
        model,
        raster.shape_yx,
        device=options.device,
        precision=options.precision,
        seam_tolerance=options.seam_tolerance,
        tta=options.tta,
        compile=options.compile,
    )
    say_if_unreferenced(raster)
    say_if_other_cell_size(raster, model.package.inputs)
    return Run(raster, planned, source, area, options)


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
    bands = list(inputs.bands) or inputs.count
    return {"bands": bands, **scaling, **run.planned.recipe.as_dict()}


def with_source(run: Run, source: Source) -> Run:
    """Return the run with its pixels read from elsewhere."""
    return dataclasses.replace(run, source=source)
