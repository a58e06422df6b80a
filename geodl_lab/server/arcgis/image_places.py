"""Where a request looks: spatial references, boxes and points, as clients write them.

Clients are lenient and so is this: keys without quotes (QGIS 3.22 sends ``{x: 1, y: 2}``), bare
``x,y``, spatial references as a number, JSON, an OGC URI or ``EPSG:N``.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import shapely
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from geodl_lab.checks import number_of
from geodl_lab.server.arcgis.web import ArcgisError

WORLD = 40_075_016.685578488
"""The world's width in web mercator, metres."""

ESRI_WEB_MERCATOR = (102100, 102113, 900913)
LARGEST = 1e15
"""Coordinates beyond this are nowhere."""

POINTS = "esriGeometryPoint"
KINDS = (POINTS, "esriGeometryMultipoint", "esriGeometryPolyline", "esriGeometryPolygon",
         "esriGeometryEnvelope")  # fmt: skip
LONGEST = 1_000_000
"""Characters of a geometry."""


def read_json(text: str, name: str) -> Any:
    """Return a parameter that is JSON, perhaps with keys that nobody has quoted.

    Raises
    ------
    ArcgisError
        If it is no JSON.
    """
    quoted = re.sub(r"([{,]\s*)([A-Za-z_]\w*)\s*:", r'\1"\2":', text)
    for candidate in (text, quoted):
        try:
            return json.loads(candidate)
        except (ValueError, RecursionError):
            continue
    raise ArcgisError(f"{name} is not JSON: {text[:80]!r}")


def parse_crs(text: str, name: str) -> CRS | None:
    """Return a spatial reference; None where none is given.

    Raises
    ------
    ArcgisError
        If it is unknown, or is none of places on a map.
    """
    text = text.strip()
    if not text:
        return None
    return crs_of(read_json(text, name) if text.startswith("{") else text, name)


def crs_of(given: Any, name: str) -> CRS | None:
    """Return the spatial reference of a JSON value: an object, a number or a text."""
    if isinstance(given, Mapping):
        given = next((given[key] for key in ("latestWkid", "wkid", "wkt") if given.get(key)), None)
    if given is None:
        return None
    try:
        return _crs(str(given).strip())
    except ProjError:
        raise ArcgisError(
            f"{name} {str(given)[:80]!r} is no spatial reference that is known here; "
            "give a wkid such as 3857"
        ) from None


@functools.lru_cache(256)
def _crs(text: str) -> CRS:
    digits = re.fullmatch(r"(?:.*[/:])?(\d{1,9})", text)
    if digits and not text.lower().startswith("esri:"):
        wkid = int(digits[1])
        return _by_wkid(3857 if wkid in ESRI_WEB_MERCATOR else wkid)
    if text.upper().endswith("CRS84"):
        return _by_wkid(4326)
    return _on_a_map(CRS.from_user_input(text))


@functools.lru_cache(256)
def _by_wkid(wkid: int) -> CRS:
    try:
        return _on_a_map(CRS.from_epsg(wkid))
    except ProjError:
        return _on_a_map(CRS.from_authority("ESRI", wkid))


def _on_a_map(crs: CRS) -> CRS:
    """Refuse heights, times and places in space: no transformation to a map is known for them."""
    if not (crs.is_projected or crs.is_geographic):
        raise ProjError("no map")
    return crs


WEB_MERCATOR = _by_wkid(3857)


@functools.lru_cache(256)
def crs_json(crs: CRS | None) -> dict[str, Any]:
    """Return a spatial reference as ArcGIS writes it; of a raster without a place, pixels.

    A raster that lies nowhere has pixels as units, x to the right and y upwards, so its rows have
    negative y. Its spatial reference says so as a local system, which has no wkid.
    """
    if crs is None:
        return {"wkt": 'LOCAL_CS["Pixels",UNIT["Pixel",1.0]]'}
    authority = crs.to_authority(min_confidence=70)
    if authority is None or not authority[1].isdigit():
        return {"wkt": crs.to_wkt("WKT1_ESRI")}
    wkid = int(authority[1])
    return {"wkid": 102100 if wkid == 3857 else wkid, "latestWkid": wkid}


@functools.lru_cache(256)
def transformer(source: CRS, target: CRS) -> Transformer:
    """Return what brings x, y of one spatial reference to another.

    Raises
    ------
    ArcgisError
        If there is no way.
    """
    try:
        return Transformer.from_crs(source, target, always_xy=True)
    except ProjError:
        raise ArcgisError(f"there is no way from {source.name} to {target.name}") from None


def parse_box(text: str, name: str = "bbox") -> tuple[tuple[float, ...], CRS | None]:
    """Return left, bottom, right, top, sorted, and the spatial reference if the box names one.

    Raises
    ------
    ArcgisError
        If it is no box, or not finite.
    """
    given = read_json(text, name) if text.startswith("{") else text.split(",")
    crs = crs_of(given.get("spatialReference"), name) if isinstance(given, dict) else None
    if isinstance(given, dict):
        given = [given.get(key) for key in ("xmin", "ymin", "xmax", "ymax")]
    numbers = [number_of(value) for value in given]
    if len(numbers) != 4 or any(value is None or abs(value) > LARGEST for value in numbers):
        raise ArcgisError(f"{name} is {text[:80]!r}; give xmin,ymin,xmax,ymax")
    left, bottom, right, top = (float(value) for value in numbers if value is not None)
    return (min(left, right), min(bottom, top), max(left, right), max(bottom, top)), crs


def parse_shape(text: str, kind: str, crs: CRS | None) -> tuple[Any, CRS | None]:
    """Return a geometry of a request as a shape, and its spatial reference.

    Parameters
    ----------
    text
        ``x,y``, ``xmin,ymin,xmax,ymax`` or the JSON of a point, multipoint, polyline, polygon or
        envelope.
    kind
        The geometryType of the request; JSON says by itself what it is.
    crs
        Where the geometry names none.

    Raises
    ------
    ArcgisError
        If it is no geometry.
    """
    if len(text) > LONGEST:
        raise ArcgisError(f"geometry has {len(text)} characters; possible are {LONGEST}")
    if not text.startswith("{"):
        if text.count(",") == 3:
            return shapely.box(*parse_box(text, "geometry")[0]), crs
        return shapely.Point(_pairs([text.split(",")])[0]), crs
    given = read_json(text, "geometry")
    if not isinstance(given, dict):
        raise ArcgisError("geometry is no JSON object")
    return _shape(given, kind), crs_of(given.get("spatialReference"), "geometry") or crs


def _shape(given: Mapping[str, Any], kind: str) -> Any:
    try:
        if "x" in given:
            return shapely.Point(_pairs([[given["x"], given.get("y")]])[0])
        if "xmin" in given:
            return shapely.box(*parse_box(json.dumps(dict(given)), "geometry")[0])
        if "points" in given:
            return shapely.MultiPoint(_pairs(given["points"]))
        if "paths" in given:
            return shapely.MultiLineString([_pairs(path) for path in given["paths"]])
        if "rings" in given:
            rings = [shapely.Polygon(_pairs(ring)) for ring in given["rings"]]
            return functools.reduce(shapely.symmetric_difference, map(shapely.make_valid, rings))
    except (TypeError, ValueError, shapely.errors.ShapelyError):
        raise ArcgisError(
            f"geometry is no {kind.removeprefix('esriGeometry') or 'shape'}"
        ) from None
    raise ArcgisError(
        f"geometry has the keys {sorted(given)[:8]}; it is none of {', '.join(KINDS)}"
    )


def _pairs(given: Any) -> np.ndarray:
    """Return finite (point, xy)."""
    pairs = [tuple(number_of(value) for value in point[:2]) for point in given]
    for pair in pairs:
        if len(pair) != 2 or any(value is None or abs(value) > LARGEST for value in pair):
            raise ArcgisError("geometry has a coordinate that is no number; give x,y")
    if not pairs:
        raise ArcgisError("geometry has no coordinates; give x,y")
    return np.array(pairs, dtype=float)


def moved(xy: np.ndarray, source: CRS | None, target: CRS | None) -> np.ndarray:
    """Return points (point, xy) in another spatial reference; what cannot be there is infinite.

    Raises
    ------
    ArcgisError
        If one of them is of pixels and the other of places.
    """
    if source == target:
        return xy
    if source is None or target is None:
        raise ArcgisError("this raster has no place on earth; ask in its own pixels, without an SR")
    x, y = transformer(source, target).transform(xy[:, 0], xy[:, 1])
    return np.stack([x, y], axis=1)


def moved_box(box: tuple[float, ...], source: CRS | None, target: CRS | None) -> tuple[float, ...]:
    """Return the box around a box in another spatial reference.

    Raises
    ------
    ArcgisError
        As `moved`, or if it has no such place.
    """
    if source == target:
        return box
    left, bottom, right, top = box
    steps = np.linspace(0, 1, 33)
    x, y = left + (right - left) * steps, bottom + (top - bottom) * steps
    ones = np.ones_like(steps)
    outline = np.concatenate(
        [np.stack(edge, axis=1) for edge in ((x, bottom * ones), (x, top * ones),
                                             (left * ones, y), (right * ones, y))]
    )  # fmt: skip
    places = moved(outline, source, target)
    places = places[np.isfinite(places).all(axis=1)]
    if not len(places) or (np.ptp(places, axis=0) <= 0).any():
        raise ArcgisError("bbox has no place in imageSR; ask for another box or spatial reference")
    return tuple(map(float, (*places.min(axis=0), *places.max(axis=0))))


def box_json(box: tuple[float, ...], crs: CRS | None) -> dict[str, Any]:
    """Return a box as an ArcGIS extent."""
    names = ("xmin", "ymin", "xmax", "ymax")
    return {**dict(zip(names, box, strict=True)), "spatialReference": crs_json(crs)}


def is_flat(box: tuple[float, ...], shape_yx: tuple[int, int]) -> bool:
    """Tell whether a box has no area, or pixels too small to be told apart."""
    left, bottom, right, top = box
    finest = 4 * math.ulp(max(map(abs, box)))
    return (right - left) / shape_yx[1] <= finest or (top - bottom) / shape_yx[0] <= finest
