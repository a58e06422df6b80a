"""Rasters as layers: what is shown of them, and a model's answer that is computed in view only."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from geodl_lab.errors import ModelError
from geodl_lab.maps.layers import RasterLayer
from geodl_lab.maps.places import MOST_LATITUDE, Bounds
from geodl_lab.maps.views import View, view_of
from geodl_lab.raster import Raster, as_raster
from geodl_lab.styles import Classes, Unstretched, style_of

if TYPE_CHECKING:
    from geodl_lab.runtime import Model

CHUNK = 2048
"""Side in pixels of the chunks of a raster that was not lazy."""

READING = "its values are being read to choose its colours"

BEYOND = "it lies nearer to a pole than this map reaches (85 degrees); call .dl.plot() to see it"

ROWS_AT_ONCE = 2**22
"""Pixels whose classes are looked up at one time: bounds the memory."""


def raster_layer(
    data: xr.DataArray | xr.Dataset,
    key: str,
    name: str,
    *,
    bands: Sequence[int] | None = None,
    stretch: tuple[float, float] | None = None,
    **looks: Any,
) -> RasterLayer:
    """Return a raster as a layer.

    Parameters
    ----------
    data
        Raster (band, y, x) or (y, x), or a Dataset of bands.
    key, name
        Of the layer.
    bands, stretch
        As in `geodl_lab.styles.style_of`.
    looks
        ``visible``, ``opacity``.

    Raises
    ------
    GeodlError
        If it cannot be shown.
    """
    raster = as_raster(data)
    names = choices_of(data)
    if names and bands is None:
        bands = [1]
    view = view_of(data, name=name, bands=bands, stretch=stretch)
    choice = names[bands[0] - 1] if names and bands is not None and len(bands) == 1 else ""
    present = present_in(raster) if isinstance(view.style, Classes) else None
    if isinstance(view.style, Unstretched) and not view.blocks.costly:
        looks = {"hint": READING, **looks}
    if not view.frame.plane and beyond(view.frame.bounds):
        looks = {"hint": BEYOND, **looks}
    return RasterLayer(
        id=key, name=name, bounds=view.frame.bounds, data=raster.array, view=view,
        choices=names, choice=choice, present=present, **looks,
    )  # fmt: skip


def beyond(bounds: Bounds) -> bool:
    """Tell whether something lies where the square map of the web does not reach."""
    return bounds[1] > MOST_LATITUDE or bounds[3] < -MOST_LATITUDE


def present_in(raster: Raster) -> frozenset[int] | None:
    """Return the class values that occur in a raster in memory; None of any other."""
    if not isinstance(raster.array.variable._data, np.ndarray):
        return None
    rows = max(1, ROWS_AT_ONCE // raster.shape_yx[1])
    found: set[int] = set()
    for y in range(0, raster.shape_yx[0], rows):
        values = np.unique(raster.array.values[:, y : y + rows])
        found.update(values[np.isfinite(values)].astype(int).tolist())
    return frozenset(found)


def restyled(layer: RasterLayer, bands: Sequence[int]) -> View:
    """Return the view of a layer with other bands shown; its blocks stay, and what is computed."""
    style = style_of(layer.data, bands=bands)
    return dataclasses.replace(layer.view, style=style)


def choices_of(data: xr.DataArray | xr.Dataset) -> tuple[str, ...]:
    """Return the names of a result's classes, of which one is shown; empty of other rasters."""
    if not isinstance(data, xr.DataArray) or "geodl_model" not in data.attrs:
        return ()
    array = as_raster(data).array
    dim = array.dims[0]
    if len(array) == 1 or dim not in array.coords or array.coords[dim].dtype.kind not in "UO":
        return ()
    return tuple(str(name) for name in array.coords[dim].values)


def answer(data: xr.DataArray | xr.Dataset, model: Model, **options: Any) -> xr.DataArray:
    """Return a model's answer to a raster lazily, whether the raster is lazy or not.

    Raises
    ------
    GeodlError
        If the model answers no pixels, or raster, bands or an option is not usable.
    """
    from geodl_lab.pixels import classify, regress  # noqa: PLC0415  loads torch

    makes = {"classify": classify, "regress": regress}.get(model.package.task)
    if makes is None:
        raise ModelError(
            f"model {model.name!r} is made to {model.package.task}, which gives no pixels or "
            "objects to show; call da.dl.recognize(model)"
        )
    raster = as_raster(data)
    lazy = data if raster.lazy else data.chunk({dim: CHUNK for dim in raster.array.dims[1:]})
    return makes(lazy, model, **options)


def named(data: Any, fallback: str) -> str:
    """Return what a raster calls itself, or where it came from."""
    source = data.encoding.get("source") if hasattr(data, "encoding") else None
    if isinstance(source, str):
        return Path(Path(source).name.partition("?")[0]).stem  # of an address, without its query
    name = getattr(data, "name", None)
    return str(name) if isinstance(name, str) and name else fallback
