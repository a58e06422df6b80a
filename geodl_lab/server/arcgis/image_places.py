"""Where a request looks: boxes and points, and how they come to another spatial reference."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from geodl_lab.checks import number_of
from geodl_lab.server.arcgis import esri_geometry
from geodl_lab.server.arcgis.web import ArcgisError

WEB_MERCATOR = esri_geometry.parse_crs("3857")
WORLD = 40_075_016.685578488
"""The world's width in web mercator, metres."""

LARGEST = 1e15
"""Coordinates beyond this are nowhere."""

PIXELS = {"wkt": 'LOCAL_CS["Pixels",UNIT["Pixel",1.0]]'}
"""Spatial reference of a raster that lies nowhere, such as a photo.

Its units are pixels, x to the right and y upwards, so that its rows have negative y, as QGIS has
it. There is no wkid for that; clients that insist on one put it somewhere on their map.
"""


def parse_crs(given: Any, name: str) -> CRS | None:
    """Return a spatial reference of places on a map; None where none is given.

    Raises
    ------
    ArcgisError
        If it is unknown, or is one of heights or of places in space.
    """
    if not given or (isinstance(given, str) and not given.strip()):
        return None
    crs = given if isinstance(given, CRS) else esri_geometry.parse_crs(given, name)
    if not (crs.is_projected or crs.is_geographic):
        raise ArcgisError(f"{name} is {crs.name!r}, which is no map; give a wkid such as 3857")
    return crs


@functools.lru_cache(256)
def crs_json(crs: CRS | None) -> dict[str, Any]:
    """Return a spatial reference as ArcGIS writes it; of a raster without a place `PIXELS`."""
    return PIXELS if crs is None else esri_geometry.spatial_reference(crs)


def parse_box(text: str, name: str = "bbox") -> tuple[tuple[float, ...], CRS | None]:
    """Return left, bottom, right, top, sorted, and the spatial reference if the box names one.

    Raises
    ------
    ArcgisError
        If it is no box, or not finite.
    """
    given = esri_geometry.parse_json(text, name) if text.startswith("{") else text.split(",")
    crs = parse_crs(given.get("spatialReference"), name) if isinstance(given, Mapping) else None
    if isinstance(given, Mapping):
        given = [given.get(key) for key in ("xmin", "ymin", "xmax", "ymax")]
    numbers = [number_of(value) for value in given]
    if len(numbers) != 4 or any(value is None or abs(value) > LARGEST for value in numbers):
        raise ArcgisError(f"{name} is {text[:80]!r}; give xmin,ymin,xmax,ymax")
    left, bottom, right, top = (float(value) for value in numbers if value is not None)
    return (min(left, right), min(bottom, top), max(left, right), max(bottom, top)), crs


def moved(xy: np.ndarray, source: CRS | None, target: CRS | None) -> np.ndarray:
    """Return points (point, xy) in another spatial reference; what cannot be there is infinite.

    Raises
    ------
    ArcgisError
        If one of them is of pixels and the other of places, or there is no way.
    """
    if source is target or source == target:
        return xy
    if source is None or target is None:
        raise ArcgisError("this raster has no place on earth; ask in its own pixels, without an SR")
    try:
        x, y = _transformer(source, target).transform(xy[:, 0], xy[:, 1])
    except ProjError:
        raise ArcgisError(f"there is no way from {source.name} to {target.name}") from None
    return np.stack([x, y], axis=1)


def moved_box(box: Sequence[float], source: CRS | None, target: CRS | None) -> tuple[float, ...]:
    """Return the box around a box in another spatial reference.

    Raises
    ------
    ArcgisError
        As `moved`, or if it has no such place.
    """
    if source is target or source == target:
        return tuple(box)
    left, bottom, right, top = box
    steps = np.linspace(0, 1, 33)
    x, y = (axis.ravel() for axis in np.meshgrid(left + (right - left) * steps,
                                                 bottom + (top - bottom) * steps))  # fmt: skip
    places = moved(np.stack([x, y], axis=1), source, target)
    places = places[np.isfinite(places).all(axis=1)]
    if not len(places):
        raise ArcgisError("bbox has no place in imageSR; ask for another box or spatial reference")
    return tuple(map(float, (*places.min(axis=0), *places.max(axis=0))))


def box_json(box: Sequence[float], crs: CRS | None) -> dict[str, Any]:
    """Return a box as an ArcGIS extent."""
    names = ("xmin", "ymin", "xmax", "ymax")
    return {**dict(zip(names, map(float, box), strict=True)), "spatialReference": crs_json(crs)}


def is_flat(box: Sequence[float], shape_yx: tuple[int, int]) -> bool:
    """Tell whether a box has no area, or pixels too small to be told apart."""
    left, bottom, right, top = box
    finest = 4 * math.ulp(max(map(abs, box)))
    return (right - left) / shape_yx[1] <= finest or (top - bottom) / shape_yx[0] <= finest


@functools.lru_cache(256)
def _transformer(source: CRS, target: CRS) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)
