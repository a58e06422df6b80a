"""Features from a FeatureServer elsewhere as a GeoPackage, in the service's own CRS.

All ids are asked first and then the features by their ids, so what is added or removed meanwhile
shifts no page (https://developers.arcgis.com/rest/services-reference/enterprise/query-feature-service-layer/).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import shapely

from geodl_lab.addresses import checked_url, shown
from geodl_lab.errors import AccessError, first_line
from geodl_lab.fetch import Fetcher
from geodl_lab.jobs.remote import SERVICE, ask, below, crs_of, plain
from geodl_lab.staging import staged
from geodl_lab.vector_files import GEOMETRY, object_writer

KINDS = {
    "esriGeometryPoint": "Point", "esriGeometryMultipoint": "MultiPoint",
    "esriGeometryPolyline": "MultiLineString", "esriGeometryPolygon": "MultiPolygon",
}  # fmt: skip
"""Esri's geometry types and those of the layer that is written."""

COLUMNS = {
    "esriFieldTypeOID": "Int64", "esriFieldTypeInteger": "Int64",
    "esriFieldTypeBigInteger": "Int64",
    "esriFieldTypeSmallInteger": "Int64", "esriFieldTypeDouble": "Float64",
    "esriFieldTypeSingle": "Float64", "esriFieldTypeDate": "datetime64[ms, UTC]",
}  # fmt: skip
"""Esri's field types and dtypes; all others are text."""

PAGE, MOST = 500, 1_000_000
"""Features that are asked for at a time, and that are fetched at most."""


def download_features(url: str, path: Path, fetcher: Fetcher) -> Path:
    """Fetch a layer, the first one where the address names none.

    Raises
    ------
    AccessError
        If it cannot be asked, has no geometry, is too large, or answers what does not fit.
    """
    url = _layer(url, fetcher)
    about = ask(fetcher, url, {})
    ids = _ids(url, fetcher)
    size = max(1, min(PAGE, int(about.get("maxRecordCount") or PAGE)))
    try:
        template = _frame(about, [], url)
        with (
            staged(path, overwrite=True) as rough,
            object_writer(rough, template, attrs=template.attrs) as writer,
        ):
            for features in _pages(url, ids, size, fetcher):
                writer.write(_frame(about, features, url))
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        if isinstance(error, AccessError):
            raise
        raise AccessError(
            f"{shown(checked_url(url))} answered features that cannot be read "
            f"({first_line(error)[:200]}); give another layer, or a file in a store"
        ) from error
    return path


def _layer(url: str, fetcher: Fetcher) -> str:
    """Return the address of one layer."""
    url = plain(url)
    found = SERVICE.fullmatch(checked_url(url).path)
    if found is None or found["layer"] is not None:
        return url
    layers = ask(fetcher, url, {}).get("layers")
    first = layers[0].get("id") if isinstance(layers, list) and layers else None
    if not isinstance(first, int):
        raise AccessError(f"{shown(checked_url(url))} has no layers; give the address of a layer")
    return below(url, str(first))


def _ids(url: str, fetcher: Fetcher) -> list[int]:
    """Return the ids of all features, sorted."""
    answer = ask(fetcher, below(url, "query"), {"where": "1=1", "returnIdsOnly": "true"}, post=True)
    ids = answer.get("objectIds") or []
    if not all(isinstance(one, int) for one in ids):
        raise AccessError(f"{shown(checked_url(url))} answered ids that are no whole numbers")
    if len(ids) > MOST:
        raise AccessError(
            f"{shown(checked_url(url))} has {len(ids)} features; at most {MOST} are fetched: give "
            "a smaller layer, or a file in a store of the server"
        )
    return sorted(set(ids))


def _pages(url: str, ids: list[int], size: int, fetcher: Fetcher) -> Iterator[list[dict[str, Any]]]:
    """Yield features, a page at a time; what a page lacks was removed, or cut off by the server."""
    common = {"outFields": "*", "returnGeometry": "true"}
    for start in range(0, len(ids), size):
        page = ",".join(map(str, ids[start : start + size]))
        answer = ask(fetcher, below(url, "query"), {"objectIds": page, **common}, post=True)
        if answer.get("exceededTransferLimit"):
            raise AccessError(
                f"{shown(checked_url(url))} answers fewer features than its maxRecordCount; "
                "give another layer, or a file in a store"
            )
        yield answer["features"]


def _frame(
    about: Mapping[str, Any], features: list[dict[str, Any]], url: str
) -> geopandas.GeoDataFrame:
    """Return features as a frame with a column for each field."""
    kind = about.get("geometryType")
    if kind not in KINDS:
        raise AccessError(
            f"{shown(checked_url(url))} has the geometry type {str(kind)[:40]!r}; possible are "
            f"{', '.join(KINDS)}"
        )
    extent = about.get("extent") or {}
    crs = crs_of(extent.get("spatialReference") or about.get("sourceSpatialReference"), url)
    shapes = np.array([_shape(one.get("geometry"), KINDS[kind]) for one in features], dtype=object)
    columns = {
        field["name"]: _column([one["attributes"].get(field["name"]) for one in features], field)
        for field in about["fields"]
        if field["name"].lower() not in ("fid", "geom", "geometry")
        and field.get("type") != "esriFieldTypeGeometry"
    }
    geometry = geopandas.GeoSeries(shapes, crs=crs)
    frame = geopandas.GeoDataFrame(columns, geometry=geometry)
    frame.attrs = {GEOMETRY: KINDS[kind]}
    return frame


def _column(values: list[Any], field: Mapping[str, Any]) -> pandas.Series:
    dtype = COLUMNS.get(str(field.get("type")))
    if dtype is None:
        return pandas.Series([None if one is None else str(one) for one in values], dtype=object)
    if dtype.startswith("datetime"):
        return pandas.to_datetime(pandas.Series(values, dtype="Int64"), unit="ms", utc=True)
    return pandas.Series(values, dtype=dtype)


def _shape(given: Any, kind: str) -> shapely.Geometry | None:
    """Return the geometry of Esri's JSON, None where there is none."""
    if not given:
        return None
    if kind == "Point":
        missing = given.get("x") in (None, "NaN")
        return None if missing else shapely.Point(given["x"], given["y"])
    if kind == "MultiPoint":
        return shapely.MultiPoint([point[:2] for point in given["points"]])
    if kind == "MultiLineString":
        return shapely.MultiLineString([[p[:2] for p in part] for part in given["paths"]])
    return _polygons([[point[:2] for point in ring] for ring in given["rings"]])


def _polygons(rings: list[list[list[float]]]) -> shapely.Geometry | None:
    """Return what lies in an odd number of rings; Esri does not say which hole is whose."""
    lines = shapely.MultiLineString([ring for ring in rings if len(ring) >= 4])
    parts = shapely.get_parts(shapely.build_area(shapely.union_all([lines])))
    return shapely.MultiPolygon(list(parts)) if len(parts) else None
