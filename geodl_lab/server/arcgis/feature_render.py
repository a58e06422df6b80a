"""Features and layers as Esri JSON and GeoJSON.

Sources: Esri, "Query (Feature Service/Layer)", "Layer (Feature Service)"; RFC 7946.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import shapely

from geodl_lab.server.arcgis import esri_geometry, words
from geodl_lab.server.arcgis.feature_layer import OBJECT_ID, Field, Layer
from geodl_lab.server.arcgis.feature_query import PAGE, TILE_PAGE, Grid, Query
from geodl_lab.server.arcgis.feature_store import Page

GREY = [130, 130, 130]

ADVANCED = {
    "supportsPagination": True,
    "supportsOrderBy": True,
    "supportsStatistics": True,
    "supportsDistinct": True,
    "supportsReturningQueryExtent": True,
    "supportsReturningGeometryCentroid": True,
    "supportsQueryWithDistance": True,
    "supportsQueryWithResultType": True,
    "supportsPaginationOnAggregatedQueries": True,
    "supportsCountDistinct": False,
    "supportsHavingClause": False,
    "supportsSqlExpression": False,
    "supportsQueryWithDatumTransformation": False,
    "useStandardizedQueries": True,
}


def esri_features(page: Page, layer: Layer, query: Query) -> dict[str, Any]:
    """Return a page as an Esri feature set."""
    grid = query.grid
    head: dict[str, Any] = {
        "objectIdFieldName": OBJECT_ID,
        "uniqueIdField": {"name": OBJECT_ID, "isSystemMaintained": True},
        "globalIdFieldName": "",
        "geometryType": layer.geometry_type,
        "spatialReference": esri_geometry.spatial_reference(query.crs),
        "hasZ": False,
        "hasM": False,
        "fields": [field_json(one) for one in query.fields],
    }
    if grid is not None:
        head["transform"] = {
            "originPosition": "upperLeft" if grid.down else "lowerLeft",
            "scale": [grid.step, grid.step],
            "translate": [grid.x, grid.y],
        }
    features: list[dict[str, Any]] = [
        {"attributes": attributes} for attributes in _attributes(page, query.fields)
    ]
    if page.shapes is not None:
        _add_shapes(features, _placed(page.shapes, layer, query), query)
    return head | {"features": features, "exceededTransferLimit": page.more}


def geojson_features(page: Page, layer: Layer, query: Query) -> dict[str, Any]:
    """Return a page as RFC 7946: degrees, outer rings counter-clockwise.

    Whether there is more stands at the top (arcgis.com) and in ``properties`` (older servers).
    """
    shapes: Sequence[Any] = [None] * len(page.rows)
    if page.shapes is not None and query.geometry:
        placed = shapely.orient_polygons(_placed(page.shapes, layer, query))
        shapes = [json.loads(text) if text else None for text in shapely.to_geojson(placed)]
    features = [
        {"type": "Feature", "id": values.get(OBJECT_ID), "geometry": shape, "properties": values}
        for values, shape in zip(_attributes(page, query.fields), shapes, strict=True)
    ]
    more = {"exceededTransferLimit": page.more}
    return {"type": "FeatureCollection", "features": features, "properties": more, **more}


def statistics_json(page: Page, query: Query) -> dict[str, Any]:
    """Return groups and statistics as an Esri feature set without geometries."""
    fields = [
        *query.groups,
        *(
            Field(s.name, s.field.type if s.kind in ("min", "max") else "esriFieldTypeDouble", "",
                  s.field.length if s.kind in ("min", "max") else 0)
            for s in query.statistics
        ),
    ]  # fmt: skip
    return {
        "displayFieldName": "",
        "fields": [field_json(one) for one in fields],
        "features": [{"attributes": one} for one in _attributes(page, fields)],
        "exceededTransferLimit": page.more,
    }


def extent_json(
    bounds: tuple[float, float, float, float] | None, layer: Layer, query: Query, count: int
) -> dict[str, Any]:
    """Return the extent of features in the query's CRS, with their number."""
    if bounds is None:
        empty = dict.fromkeys(("xmin", "ymin", "xmax", "ymax"), "NaN")
        reference = {"spatialReference": esri_geometry.spatial_reference(query.crs)}
        return {"count": count, "extent": empty | reference}
    placed = esri_geometry.transform_bounds(bounds, layer.crs, query.crs)
    return {"count": count, "extent": esri_geometry.extent(placed, query.crs)}


def field_json(field: Field) -> dict[str, Any]:
    """Return a field of a layer."""
    values = {
        "name": field.name,
        "type": field.type,
        "alias": "Confidence (percent)" if field.name == "Confidence" else field.name,
        "sqlType": "sqlTypeOther",
        "nullable": field.type != "esriFieldTypeOID",
        "editable": False,
        "domain": None,
        "defaultValue": None,
    }
    return values | ({"length": field.length} if field.length else {})


def layer_json(layer: Layer, name: str, info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description of a layer.

    Parameters
    ----------
    layer
        What it is.
    name
        Of the service.
    info
        Of the service: its ``classes`` (value, name, color) are drawn in their colours.
    """
    return {
        "currentVersion": words.VERSION,
        "id": 0,
        "name": name,
        "type": "Feature Layer",
        "description": "",
        "copyrightText": "",
        "displayField": layer.class_field or OBJECT_ID,
        "geometryType": layer.geometry_type,
        "objectIdField": OBJECT_ID,
        "uniqueIdField": {"name": OBJECT_ID, "isSystemMaintained": True},
        "globalIdField": "",
        "typeIdField": "",
        "types": [],
        "templates": [],
        "relationships": [],
        "indexes": [],
        "fields": [field_json(one) for one in layer.fields],
        "extent": layer_extent(layer),
        "sourceSpatialReference": esri_geometry.spatial_reference(layer.crs),
        "drawingInfo": {"renderer": renderer(layer, info), "transparency": 0},
        "defaultVisibility": True,
        "minScale": 0,
        "maxScale": 0,
        "hasZ": False,
        "hasM": False,
        "hasAttachments": False,
        "isDataVersioned": False,
        "advancedQueryCapabilities": ADVANCED,
        "supportsAdvancedQueries": True,
        "supportsStatistics": True,
        "supportsCoordinatesQuantization": True,
        **limits(),
    }


def service_json(layer: Layer, name: str) -> dict[str, Any]:
    """Return the description of a feature service of one layer."""
    return {
        "currentVersion": words.VERSION,
        "serviceDescription": name,
        "description": "",
        "copyrightText": "",
        "hasVersionedData": False,
        "hasStaticData": True,
        "allowGeometryUpdates": False,
        "syncEnabled": False,
        "units": "",
        "spatialReference": esri_geometry.spatial_reference(layer.crs),
        "initialExtent": layer_extent(layer),
        "fullExtent": layer_extent(layer),
        "layers": [
            {
                "id": 0,
                "name": name,
                "parentLayerId": -1,
                "defaultVisibility": True,
                "subLayerIds": None,
                "minScale": 0,
                "maxScale": 0,
                "type": "Feature Layer",
                "geometryType": layer.geometry_type,
            }
        ],
        "tables": [],
        **limits(),
    }


def limits() -> dict[str, Any]:
    """Return what service and layer say alike of what may be asked."""
    return {
        "capabilities": "Query",
        "supportedQueryFormats": "JSON, geoJSON",
        "maxRecordCount": PAGE,
        "standardMaxRecordCount": TILE_PAGE,
        "tileMaxRecordCount": TILE_PAGE,
        "maxRecordCountFactor": 1,
    }


def layer_extent(layer: Layer) -> dict[str, Any]:
    """Return the extent of a layer; of an empty one, where a map may begin."""
    return esri_geometry.extent(layer.bounds or (-180.0, -90.0, 180.0, 90.0), layer.crs)


def renderer(layer: Layer, info: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a layer is drawn: outlines in the colours of the classes."""
    classes = info.get("classes") or ()
    if not (layer.class_field and classes):
        return {"type": "simple", "symbol": _symbol(layer, GREY), "label": "", "description": ""}
    return {
        "type": "uniqueValue",
        "field1": layer.class_field,
        "field2": None,
        "field3": None,
        "fieldDelimiter": ",",
        "defaultSymbol": _symbol(layer, GREY),
        "defaultLabel": "other",
        "uniqueValueInfos": [
            {
                "value": str(one["name"]),
                "label": str(one["name"]),
                "description": "",
                "symbol": _symbol(layer, _colour(one.get("color"))),
            }
            for one in classes
        ],
    }


def _attributes(page: Page, fields: Sequence[Field]) -> list[dict[str, Any]]:
    names = [one.name for one in fields]
    return [dict(zip(names, map(_finite, row), strict=True)) for row in page.rows]


def _finite(value: Any) -> Any:
    """Return a value that JSON can hold."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _placed(shapes: np.ndarray, layer: Layer, query: Query) -> np.ndarray:
    """Return geometries as the answer has them: CRS, detail, decimals."""
    shapes = esri_geometry.transform(shapes, layer.crs, query.crs)
    if query.tolerance:
        shapes = shapely.simplify(shapes, query.tolerance)
    if query.digits is not None and query.grid is None:
        digits = min(query.digits, 15)
        shapes = shapely.transform(shapes, lambda xy: xy.round(digits))
    return shapes


def _add_shapes(features: list[dict[str, Any]], shapes: np.ndarray, query: Query) -> None:
    """Add geometries and middles to features."""
    if query.geometry:
        written = esri_geometry.encode(shapes, _writer(query.grid, shapes))
        for one, shape in zip(features, written, strict=True):
            one["geometry"] = shape
    if query.centroid:
        middles = shapely.centroid(shapes)
        written = esri_geometry.encode(middles, _writer(query.grid, middles))
        for one, shape in zip(features, written, strict=True):
            one["centroid"] = shape


def _writer(grid: Grid | None, shapes: np.ndarray) -> Callable[[np.ndarray], Any]:
    """Return what writes points (point, 2): as they are, or in steps from one to the next."""
    if grid is None:
        return lambda points: points.tolist()
    kinds = shapely.get_dimensions(shapes)
    least = {1: 2, 2: 4}.get(int(kinds.max(initial=-1)), 0)
    turn = np.array([1.0, -1.0 if grid.down else 1.0])

    def write(points: np.ndarray) -> list[list[int]] | None:
        steps = np.rint((points - [grid.x, grid.y]) / grid.step * turn).astype(np.int64)
        return _moves(steps, least) if least else steps.tolist()

    return write


def _moves(steps: np.ndarray, least: int) -> list[list[int]] | None:
    """Return the first point and the way to each next; None if fewer than ``least`` differ."""
    moves = np.diff(steps, axis=0, prepend=np.zeros((1, 2), dtype=np.int64))
    kept = np.flatnonzero(moves[1:].any(axis=1)) + 1
    return moves[[0, *kept]].tolist() if len(kept) + 1 >= least else None


def _symbol(layer: Layer, colour: list[int]) -> dict[str, Any]:
    line = {"type": "esriSLS", "style": "esriSLSSolid", "color": [*colour, 255], "width": 1.5}
    if layer.geometry_type == "esriGeometryPolyline":
        return line
    if layer.geometry_type == "esriGeometryPolygon":
        fill = {"type": "esriSFS", "style": "esriSFSNull", "color": [*colour, 0]}
        return {**fill, "outline": line}
    return {
        "type": "esriSMS",
        "style": "esriSMSCircle",
        "color": [*colour, 255],
        "size": 6,
        "angle": 0,
        "xoffset": 0,
        "yoffset": 0,
        "outline": {**line, "color": [255, 255, 255, 255], "width": 0.75},
    }


def _colour(colour: Any) -> list[int]:
    """Return red, green, blue 0..255 of ``#rrggbb`` or of three numbers."""
    if isinstance(colour, str) and len(colour) == 7:
        return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    if isinstance(colour, Sequence) and not isinstance(colour, str) and len(colour) >= 3:
        return [int(part) for part in colour[:3]]
    return GREY
