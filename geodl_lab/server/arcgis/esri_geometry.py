"""Esri's geometries and spatial references, as text or JSON, to shapely and pyproj and back.

Source of the forms: Esri, "Geometry objects" of the ArcGIS REST API. Outer rings run clockwise,
holes counter-clockwise, and which hole is whose is not said.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyproj
import pyproj.exceptions
import shapely

from geodl_lab.server.arcgis.web import ArcgisError

WEB_MERCATOR = 3857
ESRI_WEB_MERCATOR = 102100
"""How Esri's clients call EPSG:3857."""

KINDS = {
    "Point": "esriGeometryPoint",
    "MultiPoint": "esriGeometryMultipoint",
    "LineString": "esriGeometryPolyline",
    "MultiLineString": "esriGeometryPolyline",
    "Polygon": "esriGeometryPolygon",
    "MultiPolygon": "esriGeometryPolygon",
}
"""Esri's name of a geometry type."""

_CRS = re.compile(
    r"\d{1,7}|(EPSG|ESRI|OGC):\w{1,9}"
    r"|https?://www\.opengis\.net/def/crs/[\w/.]{1,40}|urn:ogc:def:crs:[\w:.]{1,40}"
    r"|[A-Z]+\[[^+]{1,8000}",  # WKT; no PROJ string, which could name files
    re.IGNORECASE | re.DOTALL,
)
_BARE_KEY = re.compile(r"([{,]\s*)([A-Za-z_]\w*)(\s*:)")
_MARGIN = 0.01


def parse_json(text: str, name: str) -> Any:
    """Return JSON, of which the keys may stand without quotes (QGIS 3.22 sends them so).

    Raises
    ------
    ArcgisError
        If it is no JSON; ``name`` is the parameter's.
    """
    for candidate in (text, _BARE_KEY.sub(r'\1"\2"\3', text)):
        try:
            return json.loads(candidate, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            continue
    raise ArcgisError(f"{name} is no JSON: {shorten(text)!r}")


def parse_crs(text: str | int | Mapping[str, Any], name: str = "outSR") -> pyproj.CRS:
    """Return a CRS from a wkid, Esri's JSON, ``EPSG:n``, an OGC URI or WKT.

    Raises
    ------
    ArcgisError
        If there is no such CRS; ``name`` is the parameter's.
    """
    if isinstance(text, str) and text.lstrip().startswith("{"):
        text = parse_json(text, name)
    if isinstance(text, Mapping):
        text = next((text[key] for key in ("latestWkid", "wkid", "wkt") if text.get(key)), "")
    return _crs(str(text).strip(), name)


def spatial_reference(crs: pyproj.CRS | None) -> dict[str, Any]:
    """Return Esri's JSON of a CRS: its number where it has one, else WKT; {} for None."""
    if crs is None:
        return {}
    known = crs.to_authority(min_confidence=100)
    if known is None or not known[1].isdigit() or known[0] not in ("EPSG", "ESRI"):
        if crs.equals(_crs("4326", ""), ignore_axis_order=True):
            return {"wkid": 4326, "latestWkid": 4326}  # OGC:CRS84 has no number of its own
        return {"wkt": crs.to_wkt("WKT1_ESRI")}
    latest = int(known[1])
    return {
        "wkid": ESRI_WEB_MERCATOR if latest == WEB_MERCATOR else latest,
        "latestWkid": latest,
    }


def extent(bounds: Sequence[float], crs: pyproj.CRS | None) -> dict[str, Any]:
    """Return Esri's envelope of bounds (left, bottom, right, top) in units of their CRS."""
    corners = dict(zip(("xmin", "ymin", "xmax", "ymax"), map(float, bounds), strict=True))
    return {**corners, "spatialReference": spatial_reference(crs)}


def parse_geometry(
    text: str, kind: str = "", *, crs: pyproj.CRS | None = None, name: str = "geometry"
) -> tuple[shapely.Geometry, pyproj.CRS | None]:
    """Return a geometry and its CRS.

    Parameters
    ----------
    text
        Esri's JSON of a point, multipoint, polyline, polygon or envelope, or ``x,y`` or
        ``x,y,X,Y``. Corners of an envelope may be in any order.
    kind
        Esri's name of its type; what the geometry itself says goes first.
    crs
        Of a geometry that does not say it.
    name
        The parameter's, for messages.

    Raises
    ------
    ArcgisError
        If it is none of these, not finite, or empty.
    """
    if not text.lstrip().startswith(("{", "[")):
        values: Any = _from_numbers(text, kind, name)
    else:
        values = parse_json(text, name)
    if not isinstance(values, Mapping):
        raise ArcgisError(f"{name} is {shorten(text)!r}; give a JSON object, x,y or x,y,X,Y")
    if values.get("spatialReference"):
        crs = parse_crs(values["spatialReference"], name)
    return _shape(values, name), crs


def encode(shapes: np.ndarray, write: Callable[[np.ndarray], Any]) -> list[dict[str, Any] | None]:
    """Return Esri's JSON of geometries (feature,).

    Parameters
    ----------
    shapes
        Of one kind, None where there is none.
    write
        Makes what stands for points (point, 2) of one ring, path or multipoint; None leaves it out.
    """
    types = shapely.get_type_id(shapes)
    if np.isin(types, (-1, 0)).all():
        return [_point(one, write) for one in shapes]
    if np.isin(types, (3, 6)).any():
        turned = shapely.orient_polygons(shapes, exterior_cw=True)
        parts, owner = shapely.get_parts(turned, return_index=True)
        parts, part = shapely.get_rings(parts, return_index=True)
        owners = owner[part]
        key = "rings"
    else:
        parts, owners = shapely.get_parts(shapes, return_index=True)
        key = "points" if np.isin(types, (0, 4)).any() else "paths"
    if key == "points":
        return [_multipoint(one, write) for one in shapes]
    lists: list[list[Any]] = [[] for _ in shapes]
    points, index = shapely.get_coordinates(parts, return_index=True)
    for owner, ring in zip(owners, np.split(points, _starts(index, len(parts))), strict=True):
        written = write(ring)
        if written is not None:
            lists[owner].append(written)
    return [None if t < 0 else {key: found} for t, found in zip(types, lists, strict=True)]


def transform(
    shapes: Any, source: pyproj.CRS | None, target: pyproj.CRS | None, *, name: str = "outSR"
) -> Any:
    """Return geometries, one or an array, in another CRS.

    Raises
    ------
    ArcgisError
        If one of the two is not known.
    """
    if source is None or target is None:
        if source is target:
            return shapes
        raise ArcgisError(
            f"these data have no coordinate reference system; ask again without {name}"
        )
    if source.equals(target, ignore_axis_order=True):
        return shapes
    change = _transformer(source, target)
    return shapely.transform(shapes, lambda xy: np.column_stack(change.transform(*xy.T)))


def transform_bounds(
    bounds: Sequence[float], source: pyproj.CRS | None, target: pyproj.CRS | None
) -> tuple[float, ...]:
    """Return bounds (left, bottom, right, top) in another CRS; their edges are followed."""
    if source is None or target is None or source.equals(target, ignore_axis_order=True):
        return tuple(bounds)
    left, bottom, right, top = bounds
    return _transformer(source, target).transform_bounds(left, bottom, right, top, densify_pts=21)


def bring(
    shape: shapely.Geometry,
    source: pyproj.CRS | None,
    target: pyproj.CRS | None,
    *,
    near: Sequence[float],
) -> shapely.Geometry:
    """Return what of a geometry lies near some bounds, in their CRS.

    A whole world in web mercator has no place in a UTM zone, but what of it concerns a layer has.

    Parameters
    ----------
    shape, source
        A geometry and its CRS.
    target, near
        A CRS, and bounds (left, bottom, right, top) in it.
    """
    if source is None or target is None or source.equals(target, ignore_axis_order=True):
        return shape
    window = np.array(transform_bounds(near, target, source))
    if np.isfinite(window).all():
        pad = _MARGIN * max(window[2] - window[0], window[3] - window[1]) or 1e-3
        shape = _clip(shape, (window + np.array([-pad, -pad, pad, pad])).tolist())
    shape = transform(shape, source, target, name="inSR")
    if not np.isfinite(shapely.get_coordinates(shape)).all():
        raise ArcgisError("the geometry has no place in the layer's coordinate reference system")
    return shape


def buffer(shape: shapely.Geometry, crs: pyproj.CRS | None, metres: float) -> shapely.Geometry:
    """Return all that is within a distance of a geometry, measured on a plane at its middle."""
    if crs is None:
        raise ArcgisError("these data have no coordinate reference system; leave out distance")
    middle = transform(shape.centroid, crs, _crs("4326", ""))
    if not (np.isfinite(middle.x) and abs(middle.y) <= 90):
        raise ArcgisError("geometry has no place on earth, so that there is no distance to it")
    plane = pyproj.CRS.from_dict({"proj": "aeqd", "lon_0": middle.x, "lat_0": middle.y})
    return transform(shapely.buffer(transform(shape, crs, plane), metres), plane, crs)


def shorten(text: str) -> str:
    """Return text that is short enough for a message."""
    return text if len(text) <= 60 else f"{text[:57]}..."


def _from_numbers(text: str, kind: str, name: str) -> dict[str, Any]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 2:
        return dict(zip(("x", "y"), numbers, strict=True))
    if len(numbers) == 4:
        return dict(zip(("xmin", "ymin", "xmax", "ymax"), numbers, strict=True))
    raise ArcgisError(f"{name} is {shorten(text)!r}; give {kind or 'it'} as JSON, x,y or x,y,X,Y")


def _shape(values: Mapping[str, Any], name: str) -> shapely.Geometry:
    """Return the geometry of Esri's JSON."""
    try:
        shape = _build(values)
    except (ValueError, TypeError, KeyError, IndexError, shapely.GEOSException) as error:
        raise ArcgisError(f"{name} has coordinates that make no geometry: {error}") from error
    if shape is None:
        raise ArcgisError(
            f"{name} has the keys {', '.join(map(str, values)) or 'none'}; possible are x and y, "
            "points, paths, rings, or xmin, ymin, xmax and ymax"
        )
    points = shapely.get_coordinates(shape)
    if not len(points) or not np.isfinite(points).all():
        raise ArcgisError(f"{name} is empty or not finite; give at least one point in numbers")
    return shape


def _build(values: Mapping[str, Any]) -> shapely.Geometry | None:
    if "x" in values and "y" in values:
        return shapely.Point(float(values["x"]), float(values["y"]))
    if "xmin" in values:
        xs = sorted((float(values["xmin"]), float(values["xmax"])))
        ys = sorted((float(values["ymin"]), float(values["ymax"])))
        return _box((xs[0], ys[0], xs[1], ys[1]))
    if "points" in values:
        return shapely.MultiPoint([point[:2] for point in values["points"]])
    if "paths" in values:
        return shapely.MultiLineString([[p[:2] for p in path] for path in values["paths"]])
    if "rings" in values:
        return _polygons([[p[:2] for p in ring] for ring in values["rings"] if ring])
    return None


def _box(bounds: tuple[float, float, float, float]) -> shapely.Geometry:
    """Return a box; a box without an area is a line or a point, as a click sends it."""
    left, bottom, right, top = bounds
    if left < right and bottom < top:
        return shapely.box(left, bottom, right, top)
    if (left, bottom) == (right, top):
        return shapely.Point(left, bottom)
    return shapely.LineString([(left, bottom), (right, top)])


def _polygons(rings: list[Any]) -> shapely.Geometry:
    """Return rings as polygons: what lies in an odd number of rings is inside."""
    areas = [shapely.make_valid(shapely.Polygon(ring)) for ring in rings]
    return functools.reduce(shapely.symmetric_difference, areas, shapely.Polygon())


def _clip(shape: shapely.Geometry, bounds: Sequence[float]) -> shapely.Geometry:
    """Return a geometry within bounds, its edges cut so that they can bend."""
    window = shapely.box(*bounds)
    clipped = shape if shapely.contains(window, shape) else shapely.intersection(shape, window)
    size = max(bounds[2] - bounds[0], bounds[3] - bounds[1])
    return shapely.segmentize(clipped, size / 32)


def _point(one: shapely.Point | None, write: Callable[[np.ndarray], Any]) -> dict[str, Any] | None:
    if one is None or one.is_empty:
        return None
    ((x, y),) = write(shapely.get_coordinates(one))
    return {"x": x, "y": y}


def _multipoint(
    one: shapely.Geometry | None, write: Callable[[np.ndarray], Any]
) -> dict[str, Any] | None:
    return None if one is None else {"points": write(shapely.get_coordinates(one))}


def _starts(index: np.ndarray, count: int) -> np.ndarray:
    """Return where the second and later of ``count`` parts begin in a sorted index."""
    return np.searchsorted(index, np.arange(1, count))


@functools.lru_cache(maxsize=256)
def _crs(text: str, name: str) -> pyproj.CRS:
    if text in ("102100", "102113", "900913"):
        text = f"EPSG:{WEB_MERCATOR}"
    forms = (f"EPSG:{text}", f"ESRI:{text}") if text.isdigit() else (text,)
    for form in forms if _CRS.fullmatch(text) else ():
        try:
            return pyproj.CRS.from_user_input(form)
        except pyproj.exceptions.CRSError:
            continue
    raise ArcgisError(
        f"{name} is {shorten(text)!r}, which is no coordinate reference system; give a wkid such "
        "as 4326, EPSG:n or WKT"
    )


@functools.lru_cache(maxsize=64)
def _transformer(source: pyproj.CRS, target: pyproj.CRS) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")
