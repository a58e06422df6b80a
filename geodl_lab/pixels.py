"""Pixels to classes or probabilities: a DataArray in, a DataArray on the same grid out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from geodl_lab._version import __version__
from geodl_lab.bands import Bands
from geodl_lab.errors import ModelError, OptionError
from geodl_lab.grid import Window
from geodl_lab.heads import ClassHead, Head, ProbabilityHead
from geodl_lab.inference import Progress, assemble
from geodl_lab.lazy import lazy_dense
from geodl_lab.package import NODATA, ModelPackage
from geodl_lab.packages import open_model
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

# What described the input's values and would be wrong of the result's.
VALUE_ATTRS = {
    "long_name", "standard_name", "units", "scale_factor", "add_offset", "_FillValue",
    "missing_value", "valid_min", "valid_max", "valid_range", "flag_values", "flag_meanings",
    "flag_colors", "flag_masks",
}  # fmt: skip


def classify(
    data: xr.DataArray | xr.Dataset,
    model: str | Path | Model,
    *,
    area: Any = None,
    bands: Bands | None = None,
    threshold: float | None = None,
    device: str = "auto",
    precision: str = "auto",
    seam_tolerance: float | None = None,
    progress: Progress | None = None,
) -> xr.DataArray:
    """Give every pixel the class that a model scores highest.

    Parameters
    ----------
    data
        Raster (band, y, x), or a Dataset of bands; stored values, dask-backed or not.
    model
        Name of an installed model, a path, or an opened model.
    area
        (left, bottom, right, top) in CRS units to compute only those pixels; they are the same
        bits as those of the whole raster.
    bands
        Which raster band is which, as in ``{"nir": 4}`` (from 1); needed only if names do not say.
    threshold
        Least probability 0..1; pixels below it are nodata. None keeps every pixel's best class.
    device, precision
        ``auto``, ``cpu``, ``cuda:N``; ``auto``, ``fp32``, ``bf16``, ``fp16``.
    seam_tolerance
        Largest error of a score at seams for which a smaller halo, and so less work, is taken.
        None is exact wherever the model's receptive field is finite.
    progress
        Called with windows done, windows in all, stage, seconds left (not for dask input).

    Returns
    -------
    xarray.DataArray
        (y, x), uint8, 255 is nodata; ``flag_values``, ``flag_meanings`` and ``flag_colors`` name
        the classes. Dask-backed, with nothing computed, where ``data`` is.

    Raises
    ------
    GeodlError
        If raster, bands, model or an option is not usable; the message says what to do.
    """
    model = open_model(model)
    head = class_head(model.package, threshold)
    raster, planned, source, window = prepare_dense(
        data, model, area=area, bands=bands, device=device, precision=precision,
        seam_tolerance=seam_tolerance,
    )  # fmt: skip
    values = _values(raster, planned, source, head, window, progress)[0]
    result = on_grid(values, raster, window, name="class", nodata=NODATA)
    return result.assign_attrs({**class_attrs(model.package), **provenance(planned)})


def probabilities(
    data: xr.DataArray | xr.Dataset,
    model: str | Path | Model,
    *,
    area: Any = None,
    bands: Bands | None = None,
    device: str = "auto",
    precision: str = "auto",
    seam_tolerance: float | None = None,
    progress: Progress | None = None,
) -> xr.DataArray:
    """Give every pixel the probability of each class; parameters as in `classify`.

    Returns
    -------
    xarray.DataArray
        (class, y, x), float32 from 0 to 1, NaN is nodata; the coordinate ``class`` holds names.

    Raises
    ------
    GeodlError
        If raster, bands, model or an option is not usable; the message says what to do.
    """
    model = open_model(model)
    require_task(model.package, "classify")
    head = ProbabilityHead(len(model.package.classes))
    raster, planned, source, window = prepare_dense(
        data, model, area=area, bands=bands, device=device, precision=precision,
        seam_tolerance=seam_tolerance,
    )  # fmt: skip
    values = _values(raster, planned, source, head, window, progress)
    result = on_grid(values, raster, window, name="probability", nodata=np.nan)
    names = [label.name for label in model.package.classes]
    return result.assign_coords({"class": names}).assign_attrs(provenance(planned))


def class_head(package: ModelPackage, threshold: float | None) -> ClassHead:
    """Return the head that gives class values.

    Raises
    ------
    ModelError, OptionError
        If the model does not classify, or the threshold is outside 0..1.
    """
    require_task(package, "classify")
    if threshold is not None and not 0 <= threshold <= 1:
        raise OptionError(f"threshold {threshold} is not a probability; give 0 to 1")
    return ClassHead(tuple(label.value for label in package.classes), threshold)


def require_task(package: ModelPackage, task: str) -> None:
    """Refuse a model made for something else.

    Raises
    ------
    ModelError
        If the model's task is not ``task``.
    """
    if package.task != task:
        raise ModelError(
            f"model {package.name!r} is made to {package.task}, not to {task}; call "
            f"da.dl.{package.task}({package.name!r}) or take another model"
        )


def prepare_dense(
    data: xr.DataArray | xr.Dataset,
    model: Model,
    *,
    area: Any = None,
    bands: Bands | None = None,
    device: str = "auto",
    precision: str = "auto",
    seam_tolerance: float | None = None,
) -> tuple[Raster, Plan, RasterSource, Window]:
    """Check everything that can be checked before pixels are read.

    Raises
    ------
    GeodlError
        If raster, bands, area, device or precision is not usable.
    """
    raster = as_raster(data)
    source = make_source(raster, model.package.inputs, bands)
    window = area_window(raster, area)
    planned = plan(
        model, raster.shape_yx, device=device, precision=precision, seam_tolerance=seam_tolerance
    )
    say_if_unreferenced(raster)
    say_if_other_cell_size(raster, model.package.inputs)
    return raster, planned, source, window


def on_grid(
    values: Any, raster: Raster, window: Window, *, name: str, nodata: float
) -> xr.DataArray:
    """Wrap values (y, x) or (class, y, x) as a DataArray on the pixels ``window`` of a raster.

    CRS, coordinates and the input's attributes survive, except those that described its values.
    """
    band, y, x = raster.array.dims
    rows, columns = window.slices_yx
    of_bands = [key for key, coord in raster.array.coords.items() if band in coord.dims]
    frame = raster.array.drop_vars(of_bands).isel({band: 0, y: rows, x: columns})
    dims = (y, x) if values.ndim == 2 else ("class", y, x)
    attrs = {
        key: value
        for key, value in raster.array.attrs.items()
        if key not in VALUE_ATTRS and not key.startswith("STATISTICS_")
    }
    result = xr.DataArray(values, dims=dims, coords=frame.coords, attrs=attrs, name=name)
    result = result.rio.set_spatial_dims(x_dim=x, y_dim=y, inplace=False)
    if raster.crs is not None:
        transform = raster.transform * raster.transform.translation(window.x, window.y)
        result = result.rio.write_crs(raster.crs).rio.write_transform(transform)
    return result.rio.write_nodata(nodata)


def class_attrs(package: ModelPackage) -> dict[str, Any]:
    """Return CF flag attributes: values (uint8), names without blanks, colours."""
    return {
        "flag_values": package.class_values,
        "flag_meanings": " ".join("_".join(c.name.split()) for c in package.classes),
        "flag_colors": " ".join(c.color for c in package.classes),
    }


def provenance(planned: Plan) -> dict[str, str]:
    """Return what it takes to make a result again, as text attributes."""
    package = planned.model.package
    inputs = package.inputs
    recipe = {
        "bands": list(inputs.bands) or inputs.count,
        "scale": inputs.scale,
        "mean": inputs.mean,
        "std": inputs.std,
        "cell_size": inputs.cell_size,
        **planned.recipe.as_dict(),
    }
    return {
        "geodl_model": package.name,
        "geodl_model_version": package.version,
        "geodl_model_sha256": package.sha256,
        "geodl_recipe": json.dumps(recipe),
        "geodl_version": __version__,
    }


def _values(
    raster: Raster,
    planned: Plan,
    source: RasterSource,
    head: Head,
    window: Window,
    progress: Progress | None,
) -> Any:
    """Return values (channel, y, x): a dask array for lazy input, else computed now."""
    if raster.lazy:
        return lazy_dense(planned, source, head, window)
    return assemble(planned, source, window, head, progress=progress)
