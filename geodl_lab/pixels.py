"""Pixels to classes, probabilities, their entropy, or continuous values, on the same grid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from geodl_lab.cells import snap_indices
from geodl_lab.dates import stack_dates
from geodl_lab.errors import ModelError, OptionError
from geodl_lab.grid import Window
from geodl_lab.heads import (
    ClassHead,
    ClassValueHead,
    EntropyHead,
    Head,
    ProbabilityHead,
    ValueHead,
)
from geodl_lab.inference import DenseWork, chunk_lattice, run_chunks
from geodl_lab.lazy import lazy_dense
from geodl_lab.options import check_threshold, make_options
from geodl_lab.package import LabelClass, ModelPackage
from geodl_lab.packages import open_model
from geodl_lab.raster import Raster
from geodl_lab.resample import snap_back
from geodl_lab.runs import Run, prepare, provenance
from geodl_lab.runtime import Model
from geodl_lab.windowed import Windowed, keep_windowed

# What described the input's values and would be wrong of the result's.
VALUE_ATTRS = {
    "long_name", "standard_name", "units", "scale_factor", "add_offset", "_FillValue",
    "missing_value", "valid_min", "valid_max", "valid_range", "flag_values", "flag_meanings",
    "flag_colors", "flag_masks",
}  # fmt: skip


@dataclass(frozen=True)
class Product:
    """What is made of a dense model's scores.

    Parameters
    ----------
    name
        Of the result.
    head
        Reduces scores on the device.
    channels
        Names along ``dim``; empty for a result (y, x).
    dim
        Name of the first dimension where there are channels.
    classes
        For palette and legend; empty for continuous values.
    attrs
        Attributes of the result.
    """

    name: str
    head: Head
    channels: tuple[str, ...] = ()
    dim: str = "class"
    classes: tuple[LabelClass, ...] = ()
    attrs: Mapping[str, Any] = field(default_factory=dict)


def classify(
    data: xr.DataArray | xr.Dataset,
    model: str | Path | Model,
    *,
    threshold: float | None = None,
    **options: Any,
) -> xr.DataArray:
    """Give every pixel the class that a model scores highest.

    Parameters
    ----------
    data
        Raster (band, y, x), or a Dataset of bands; stored values, dask-backed or not.
    model
        Name of an installed model, a path, or an opened model.
    threshold
        Least probability 0..1; pixels below it are nodata. None keeps every pixel's best class.
    options
        Fields of `geodl_lab.Options`: ``area``, ``bands``, ``cell_size``, ``snap``, ``device``,
        ``precision``, ``seam_tolerance``, ``seam_error``, ``tta``, ``compile``, ``progress``,
        ``cancelled``.

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
    return _compute(data, model, class_product(model.package, threshold), options)


def probabilities(
    data: xr.DataArray | xr.Dataset, model: str | Path | Model, **options: Any
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
    return _compute(data, model, probability_product(model.package), options)


def entropy(
    data: xr.DataArray | xr.Dataset, model: str | Path | Model, **options: Any
) -> xr.DataArray:
    """Say how unsure a model is of every pixel's class; parameters as in `classify`.

    Returns
    -------
    xarray.DataArray
        (y, x), float32: Shannon entropy ``-sum(p ln p)`` of the class probabilities in nat, from 0
        to ln(number of classes); NaN is nodata.

    Raises
    ------
    GeodlError
        If raster, bands, model or an option is not usable; the message says what to do.
    """
    model = open_model(model)
    return _compute(data, model, entropy_product(model.package), options)


def regress(
    data: xr.DataArray | xr.Dataset, model: str | Path | Model, **options: Any
) -> xr.DataArray:
    """Give every pixel the continuous values that a model answers; parameters as in `classify`.

    Returns
    -------
    xarray.DataArray
        (y, x) where the model answers one quantity, else (value, y, x) with their names; float32,
        NaN is nodata.

    Raises
    ------
    GeodlError
        If raster, bands, model or an option is not usable; the message says what to do.
    """
    model = open_model(model)
    return _compute(data, model, value_product(model.package), options)


def change(
    before: xr.DataArray | xr.Dataset,
    after: xr.DataArray | xr.Dataset,
    model: str | Path | Model,
    *,
    threshold: float | None = None,
    **options: Any,
) -> xr.DataArray:
    """Give every pixel the class of its change between two dates.

    Parameters
    ----------
    before, after
        Rasters of the same pixels; see `geodl_lab.stack_dates`.
    model
        A classifier whose bands are named ``before_<band>`` and ``after_<band>``, or are those of
        ``before`` and then those of ``after`` in order.
    threshold, options
        As in `classify`.

    Returns
    -------
    xarray.DataArray
        As of `classify`.

    Raises
    ------
    GeodlError
        If the rasters do not lie on each other, or as in `classify`.
    """
    return classify(stack_dates(before, after), model, threshold=threshold, **options)


def class_product(package: ModelPackage, threshold: float | None) -> Product:
    """Return the product of class values.

    Raises
    ------
    ModelError, OptionError
        If the model does not classify, or the threshold is outside 0..1.
    """
    require_task(package, "classify")
    if threshold is not None:
        check_threshold(threshold)
        _require_scores(package, "threshold")
    values = tuple(label.value for label in package.classes)
    head: Head = ClassHead(values, threshold)
    if package.answers == "values":
        head = ClassValueHead(values)
    return Product("class", head, classes=package.classes, attrs=class_attrs(package))


def probability_product(package: ModelPackage) -> Product:
    """Return the product of probabilities, one channel a class.

    Raises
    ------
    ModelError
        If the model does not classify.
    """
    require_task(package, "classify")
    _require_scores(package, "probabilities")
    names = tuple(label.name for label in package.classes)
    range_ = {"valid_min": 0.0, "valid_max": 1.0}
    return Product("probability", ProbabilityHead(len(names)), names, attrs=range_)


def entropy_product(package: ModelPackage) -> Product:
    """Return the product of entropies.

    Raises
    ------
    ModelError
        If the model does not classify.
    """
    require_task(package, "classify")
    _require_scores(package, "entropy")
    count = len(package.classes)
    attrs = {"units": "nat", "valid_min": 0.0, "valid_max": math.log(count)}
    return Product("entropy", EntropyHead(count), attrs=attrs)


def value_product(package: ModelPackage) -> Product:
    """Return the product of a regression's values.

    Raises
    ------
    ModelError
        If the model does not regress.
    """
    require_task(package, "regress")
    names = tuple(label.name for label in package.classes)
    if len(names) == 1:
        return Product(names[0], ValueHead(1))
    return Product("value", ValueHead(len(names)), names, dim="value")


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


def _require_scores(package: ModelPackage, what: str) -> None:
    if package.answers != "scores":
        raise ModelError(
            f"{what} is not possible with model {package.name!r}: it answers class values and no "
            "scores; call da.dl.classify without threshold"
        )


def on_grid(
    values: Any, raster: Raster, window: Window, *, name: str, nodata: float, dim: str = "class"
) -> xr.DataArray:
    """Wrap values (y, x) or (dim, y, x) as a DataArray on the pixels ``window`` of a raster.

    CRS, coordinates and the input's attributes survive, except those that described its values.
    """
    band, y, x = raster.array.dims
    rows, columns = window.slices_yx
    of_bands = [key for key, coord in raster.array.coords.items() if band in coord.dims]
    frame = raster.array.drop_vars(of_bands).isel({band: 0, y: rows, x: columns})
    dims = (y, x) if values.ndim == 2 else (dim, y, x)
    attrs = {
        key: value
        for key, value in raster.array.attrs.items()
        if key not in VALUE_ATTRS and not key.startswith("STATISTICS_")
    }
    result = xr.DataArray(values, dims=dims, coords=frame.coords, attrs=attrs, name=name)
    result = result.rio.set_spatial_dims(x_dim=x, y_dim=y, inplace=False)
    transform = raster.transform * raster.transform.translation(window.x, window.y)
    if raster.crs is not None:
        result = result.rio.write_crs(raster.crs)
    if raster.crs is not None or not raster.transform.is_identity:
        result = result.rio.write_transform(transform)
    return result.rio.write_nodata(nodata)


def class_attrs(package: ModelPackage) -> dict[str, Any]:
    """Return CF flag attributes: values (uint8), names without blanks, colours."""
    return {
        "flag_values": package.class_values,
        "flag_meanings": " ".join("_".join(c.name.split()) for c in package.classes),
        "flag_colors": " ".join(c.color for c in package.classes),
    }


def dense_work(run: Run, head: Head) -> DenseWork:
    """Return what the engine does with a dense model's answers."""
    return DenseWork(head, run.model.package.field.crop)


def _compute(
    data: xr.DataArray | xr.Dataset, model: Model, product: Product, options: Mapping[str, Any]
) -> xr.DataArray:
    """Make a product of a raster: lazily where the raster is dask-backed, else now."""
    run = prepare(data, model, make_options(options))
    work = dense_work(run, product.head)
    if run.lazy and run.options.seam_error:
        raise OptionError(
            "seam_error=True has to run the model now, and a dask-backed raster is computed later; "
            "measure it on a part that is in memory, as in da.isel(...).compute()"
        )
    if run.lazy:
        values: Any = lazy_dense(run.planned, run.source, work, run.area)
    else:
        values = eager_values(run, work)
    values = values if product.channels else values[0]
    result = on_grid(
        values, run.grid, run.area, name=product.name, nodata=product.head.fill, dim=product.dim
    )
    if run.snapped is not None and run.cells is not None:
        result = snap_back(result, run.raster, run.cells, run.snapped)
    if product.channels:
        result = result.assign_coords({product.dim: list(product.channels)})
    result = result.assign_attrs({**product.attrs, **provenance(run)})
    if run.lazy:
        keep_windowed(result, _windowed(run, work, result))
    return result


def _windowed(run: Run, work: DenseWork, result: xr.DataArray) -> Windowed:
    """Return how a lazy run's result is computed window by window."""
    if run.snapped is None or run.cells is None:
        rows, columns = (np.arange(side.start, side.stop) for side in run.area.slices_yx)
    else:
        down, across = run.snapped.slices_yx
        of_rows, of_columns = snap_indices(run.cells)
        rows, columns = of_rows[down], of_columns[across]
    assert result.chunks is not None
    channels = np.arange(work.head.channels)
    heights, widths = result.chunks[-2:]
    return Windowed(
        run.planned, run.source, work, rows, columns, channels, chunks=(heights, widths)
    )


def eager_values(run: Run, work: DenseWork) -> np.ndarray:
    """Return the values (channel, y, x) of the run's area, computed now."""
    head, area = work.head, run.area
    values = np.empty((head.channels, *area.shape_yx), dtype=head.dtype)
    chunks = [chunk for row in chunk_lattice(run.planned.grid, area) for chunk in row]
    for chunk, block in run_chunks(run.planned, run.source, chunks, work, **run.limits()):
        values[:, *chunk.relative_to(area).slices_yx] = block
    return values
