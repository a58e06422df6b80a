"""What a raster holds at one place of the map, read from the raster itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from geodl_lab.errors import CancelledError
from geodl_lab.maps.layers import RasterLayer
from geodl_lab.maps.painter import Painter
from geodl_lab.maps.places import crs_text, from_map
from geodl_lab.outputs import classes_of
from geodl_lab.raster import Raster, as_raster

Rows = list[tuple[str, str]]
"""What is said: names and values as people read them."""

PATIENCE_S = 30.0
"""Longest wait for the window of a model that holds a place."""

MOST_BANDS = 24
"""Bands that are listed."""


def pixel_at(layer: RasterLayer, place: tuple[float, float]) -> tuple[int, int] | None:
    """Return row and column of the pixel at a place of the map; None outside of the raster."""
    found = layer.view.frame.pixel_at(*place)
    if found is None:
        return None
    row, column = map(math.floor, found)
    height, width = layer.view.frame.shape_yx
    return (row, column) if 0 <= row < height and 0 <= column < width else None


def describe(layer: RasterLayer, place: tuple[float, float], painter: Painter) -> Rows:
    """Return what a layer holds at a place; of a model's answer from the painter's blocks.

    Raises
    ------
    GeodlError
        If it cannot be read or computed.
    """
    pixel = pixel_at(layer, place)
    if pixel is None:
        return [("value", "outside of this raster")]
    raster = as_raster(layer.data)
    if layer.view.blocks.costly:
        values = _computed(layer, place, painter)
    else:
        values = np.asarray(raster.array[:, pixel[0], pixel[1]].values)
    if values is None:
        return [("value", "still being computed; click again")]
    return [*_named(raster, values), ("pixel", f"row {pixel[0]}, column {pixel[1]}")]


def _computed(
    layer: RasterLayer, place: tuple[float, float], painter: Painter
) -> np.ndarray | None:
    """Return the values (channel,) of one pixel; None if they take too long."""
    coming = painter.values_at(*place).get(layer.id)
    try:
        return None if coming is None else coming.result(PATIENCE_S)
    except (TimeoutError, CancelledError):
        return None


def _named(raster: Raster, values: np.ndarray) -> Rows:
    if raster.nodata is not None and _is_nodata(values, raster.nodata):
        return [("value", "no data")]
    classes = {label.value: label.name for label in classes_of(raster.array.attrs)}
    if classes and len(values) == 1:
        return [("class", classes.get(int(values[0]), "none")), ("value", str(values[0]))]
    names = _band_names(raster)
    rows = [(name, str(value)) for name, value in zip(names, values, strict=True)]
    more = [("…", f"{len(rows) - MOST_BANDS} more")] if len(rows) > MOST_BANDS else []
    return rows[:MOST_BANDS] + more


def _is_nodata(values: np.ndarray, nodata: float) -> bool:
    return bool(np.isnan(values).all() if math.isnan(nodata) else (values == nodata).all())


def _band_names(raster: Raster) -> list[str]:
    """Return the names of bands: of a result those of its classes."""
    array = raster.array
    dim = array.dims[0]
    if dim in array.coords and array.coords[dim].dtype.kind in "UO":
        return [str(name) for name in array.coords[dim].values]
    names = raster.band_names
    if len(names) == 1:
        return [names[0] or ("value" if array.name is None else str(array.name))]
    return [name or f"band {n}" for n, name in enumerate(names, 1)]


def coordinates(place: tuple[float, float], crss: list[Any], *, up: bool = False) -> Rows:
    """Return a place in the CRS of every raster, each once, and in degrees.

    ``up`` is as in `geodl_lab.maps.places.to_map`.
    """
    rows: Rows = []
    for crs in {None if crs is None else crs_text(crs): crs for crs in crss}.values():
        x, y = from_map(np.array([place]), crs, up=up)[0].tolist()
        if crs is None:
            return [("x, y" if up else "x, y (pixels)", f"{x:.2f}, {y:.2f}")]
        digits = 7 if crs.is_geographic else 2
        rows.append((f"x, y ({_short(crs)})", f"{x:.{digits}f}, {y:.{digits}f}"))
    longitude, latitude = place
    return [*rows, ("longitude, latitude", f"{longitude:.6f}°, {latitude:.6f}°")]


def _short(crs: Any) -> str:
    authority = crs.to_authority()
    return ":".join(authority) if authority else "own CRS"
