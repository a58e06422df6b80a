"""Values at places: identify and getSamples."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from pyproj import CRS
from shapely.geometry.base import BaseGeometry

from geodl_lab.checks import number_of
from geodl_lab.server.arcgis.esri_geometry import parse_geometry
from geodl_lab.server.arcgis.image_places import LARGEST, crs_json, parse_crs
from geodl_lab.server.arcgis.image_reads import Pixels, read_points
from geodl_lab.server.arcgis.image_sources import ImageSource
from geodl_lab.server.arcgis.web import ArcgisError, Parameters

NODATA = "NoData"
SAMPLES = 100
"""Samples of a line or an area where the request gives no number."""

MOST = 10_000
"""Samples of one request."""


def identify(source: ImageSource, given: Parameters) -> dict[str, Any]:
    """Return the value at a point, or at the middle of another geometry.

    Beside ArcGIS's own keys stands ``results`` as of a map service: QGIS 3.22 shows nothing else.

    Raises
    ------
    ArcgisError
        If the geometry cannot be read.
    """
    shape, crs = parse_shape(given, source)
    middle = shape.centroid
    xy = np.array([[middle.x, middle.y]])
    value = _texts(read_points(source, xy, crs))[0]
    location = {"x": middle.x, "y": middle.y, "spatialReference": crs_json(crs)}
    return {
        "objectId": 0, "name": "Pixel", "value": ", ".join(value), "location": location,
        "properties": {"Values": [" ".join(value)]}, "catalogItems": None,
        "catalogItemVisibilities": [], "results": [_result(source, value, location)],
    }  # fmt: skip


def samples(source: ImageSource, given: Parameters) -> dict[str, Any]:
    """Return the values at points, along lines or in an area.

    Raises
    ------
    ArcgisError
        If the geometry cannot be read, or asks for too many.
    """
    shape, crs = parse_shape(given, source)
    xy = _places(shape, _count(given), _distance(given))
    if len(xy) > MOST:
        raise ArcgisError(f"that would be {len(xy)} samples; possible are {MOST}")
    values = _texts(read_points(source, xy, crs))
    reference = crs_json(crs)
    return {
        "samples": [
            {
                "location": {"x": x, "y": y, "spatialReference": reference},
                "locationId": index, "value": " ".join(value), "rasterId": 0,
                "resolution": source.pixel_size[0],
            }
            for index, ((x, y), value) in enumerate(zip(xy.tolist(), values, strict=True))
        ]
    }  # fmt: skip


def parse_shape(given: Parameters, source: ImageSource) -> tuple[BaseGeometry, CRS | None]:
    """Return the geometry of a request and its spatial reference, the raster's if it names none.

    Raises
    ------
    ArcgisError
        If there is none, it cannot be read, or it lies nowhere.
    """
    text = given.text("geometry")
    if not text:
        raise ArcgisError("geometry is missing; give x,y or the JSON of a geometry")
    crs = parse_crs(given.text("sr") or given.text("inSR"), "sr") or source.grid.crs
    shape, found = parse_geometry(text, given.text("geometryType"), crs=crs)
    if max(map(abs, shape.bounds)) > LARGEST:
        raise ArcgisError(f"geometry is {text[:80]!r}; coordinates to {LARGEST:g} are possible")
    return shape, parse_crs(found, "geometry") if found is not crs else crs


def _texts(pixels: Pixels) -> list[list[str]]:
    """Return the bands' values as text, for each point."""
    return [
        [
            str(value) if valid else NODATA
            for value, valid in zip(pixels.values[:, 0, i], pixels.valid[:, 0, i], strict=True)
        ]
        for i in range(pixels.values.shape[2])
    ]


def _result(source: ImageSource, value: list[str], location: dict[str, Any]) -> dict[str, Any]:
    name = next((each.name for each in source.classes if [str(each.value)] == value), "")
    shown = {"Class": name} if name else {}
    return {
        "layerId": 0, "layerName": source.title, "displayFieldName": "Pixel Value",
        "value": name or ", ".join(value),
        "attributes": {**shown, "Pixel Value": ", ".join(value)},
        "geometryType": "esriGeometryPoint", "geometry": location,
    }  # fmt: skip


def _count(given: Parameters) -> int | None:
    text = given.text("sampleCount")
    if not text:
        return None
    number = number_of(text)
    if number is None or not 1 <= number <= MOST:
        raise ArcgisError(f"sampleCount is {text[:40]!r}; possible are 1 to {MOST}")
    return int(number)


def _distance(given: Parameters) -> float | None:
    text = given.text("sampleDistance")
    if not text:
        return None
    number = number_of(text)
    if number is None or number <= 0:
        raise ArcgisError(f"sampleDistance is {text[:40]!r}; give a number above 0")
    return number


def _places(shape: BaseGeometry, count: int | None, distance: float | None) -> np.ndarray:
    """Return points (point, xy): those given, along a line, or on a lattice in an area."""
    if shape.geom_type in ("Point", "MultiPoint"):
        return shapely.get_coordinates(shape)
    if shape.geom_type.endswith("LineString"):
        return _along(shape, count, distance)
    return _inside(shape, count, distance)


def _along(line: BaseGeometry, count: int | None, distance: float | None) -> np.ndarray:
    if distance is not None and count is None:
        count = 1 + int(min(line.length / distance, MOST))
    count = count or SAMPLES
    step = distance or line.length / max(1, count - 1)
    parts = [part for part in shapely.get_parts(line) if part.length]
    if not parts:
        return shapely.get_coordinates(line)[:1]
    ends = np.cumsum([part.length for part in parts])
    at = np.minimum(np.arange(count) * step, ends[-1])
    which = np.minimum(np.searchsorted(ends, at), len(parts) - 1)
    starts = ends - [part.length for part in parts]
    points = [
        shapely.line_interpolate_point(parts[i], a - starts[i])
        for i, a in zip(which, at, strict=True)
    ]
    return shapely.get_coordinates(points)


def _inside(area: BaseGeometry, count: int | None, distance: float | None) -> np.ndarray:
    left, bottom, right, top = area.bounds
    step = distance or max((area.area / (count or SAMPLES)) ** 0.5, 1e-12)
    sides = ((right - left) / step, (top - bottom) / step)
    across, down = (max(1, round(min(side, MOST**2))) for side in sides)
    if across * down > 4 * MOST:
        raise ArcgisError(f"that would be more than {MOST} samples; give a larger sampleDistance")
    x = left + (np.arange(across) + 0.5) * (right - left) / across
    y = top - (np.arange(down) + 0.5) * (top - bottom) / down
    x, y = (axis.ravel() for axis in np.meshgrid(x, y))
    inside = shapely.intersects_xy(area, x, y)
    xy = np.stack([x[inside], y[inside]], axis=1)
    return xy if len(xy) else shapely.get_coordinates(area.representative_point())
