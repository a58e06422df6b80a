"""The parameters of a feature query as one frozen value.

Source of the parameters: Esri, "Query (Feature Service/Layer)".
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyproj
import shapely

from geodl_lab.server.arcgis import esri_geometry
from geodl_lab.server.arcgis.feature_layer import Field, Layer
from geodl_lab.server.arcgis.web import ArcgisError, Parameters
from geodl_lab.server.arcgis.where import Sql, compile_where

PAGE, TILE_PAGE = 2000, 8000
"""Most features of an answer; the second for ``resultType=tile``, whose clients never page."""

FORMATS = ("json", "pjson", "geojson", "html")
STATISTICS = ("count", "sum", "min", "max", "avg", "stddev", "var")
METRES = {
    "esrisrunit_meter": 1.0,
    "esrisrunit_kilometer": 1000.0,
    "esrisrunit_foot": 0.3048,
    "esrisrunit_ussurveyfoot": 1200 / 3937,
    "esrisrunit_statutemile": 1609.344,
    "esrisrunit_nauticalmile": 1852.0,
}
WORLD = (-180.0, -90.0, 180.0, 90.0)

Relation = Literal["intersects", "boxes", "contains", "within", "touches", "crosses", "overlaps"]
RELATIONS: dict[str, Relation] = {
    "esrispatialrelintersects": "intersects",
    "esrispatialrelenvelopeintersects": "boxes",
    "esrispatialrelindexintersects": "boxes",
    "esrispatialrelcontains": "contains",
    "esrispatialrelwithin": "within",
    "esrispatialreltouches": "touches",
    "esrispatialrelcrosses": "crosses",
    "esrispatialreloverlaps": "overlaps",
}

Wants = Literal["features", "count", "ids", "extent", "statistics"]


@dataclass(frozen=True)
class Area:
    """Where features are looked for.

    Parameters
    ----------
    shape
        In the layer's CRS.
    relation
        What the shape does to a feature: ``contains`` finds features inside it, ``within``
        features round it; ``boxes`` compares envelopes only.
    """

    shape: shapely.Geometry
    relation: Relation


@dataclass(frozen=True, slots=True)
class Statistic:
    """One number of each group: what it is (of `STATISTICS`), of which field, and its name."""

    kind: str
    field: Field
    name: str


@dataclass(frozen=True, slots=True)
class Order:
    """A column or a statistic to sort by; ``sql`` is safe."""

    sql: str
    down: bool


@dataclass(frozen=True, slots=True)
class Grid:
    """Coordinates as whole numbers of steps.

    Parameters
    ----------
    step
        In units of the answer's CRS.
    x, y
        Where 0 is.
    down
        Whether y grows downwards.
    """

    step: float
    x: float
    y: float
    down: bool


@dataclass(frozen=True)
class Query:
    """What is asked of a layer.

    Parameters
    ----------
    where, ids, area
        Filters; None is none.
    wants
        What is answered.
    fields, geometry, centroid, distinct
        What of each feature.
    crs
        Of the answer's geometries; None is the layer's.
    order, groups, statistics
        How it is sorted and summed up.
    offset, count
        Which features; a count of None is as many as may be.
    page
        Most features of the answer.
    digits, tolerance, grid
        How coordinates are rounded, simplified (units of the answer's CRS) and quantized.
    format
        Of `FORMATS`.
    """

    where: Sql | None
    ids: tuple[int, ...] | None
    area: Area | None
    wants: Wants
    fields: tuple[Field, ...]
    geometry: bool
    centroid: bool
    distinct: bool
    crs: pyproj.CRS | None
    order: tuple[Order, ...]
    groups: tuple[Field, ...]
    statistics: tuple[Statistic, ...]
    offset: int
    count: int | None
    page: int
    digits: int | None
    tolerance: float
    grid: Grid | None
    format: str

    @property
    def limit(self) -> int:
        """Most features of the answer."""
        return self.page if self.count is None else min(self.count, self.page)

    @property
    def filtered(self) -> bool:
        """Whether not all features are asked for."""
        return not (self.where is None and self.ids is None and self.area is None)


def parse_query(given: Parameters, layer: Layer, *, format: str) -> Query:
    """Return the query of some parameters.

    Raises
    ------
    ArcgisError
        If a parameter is not usable; the message names it.
    """
    _refuse(given)
    crs = esri_geometry.parse_crs(given.text("outSR")) if given.text("outSR") else layer.crs
    crs = pyproj.CRS(4326) if format == "geojson" and layer.crs is not None else crs
    groups = _names(given.text("groupByFieldsForStatistics"), layer, "groupByFieldsForStatistics")
    statistics = _statistics(given.text("outStatistics"), layer)
    distinct = given.flag("returnDistinctValues")
    return Query(
        where=_where(given.text("where"), layer),
        ids=_ids(given.text("objectIds")),
        area=_area(given, layer),
        wants=_wants(given, bool(statistics)),
        fields=_names(given.text("outFields"), layer, "outFields") or layer.fields[:1],
        geometry=given.flag("returnGeometry", True) and not distinct,
        centroid=given.flag("returnCentroid"),
        distinct=distinct,
        crs=crs,
        order=_order(given.text("orderByFields"), layer, statistics),
        groups=groups,
        statistics=statistics,
        offset=_whole(given, "resultOffset") or 0,
        count=_whole(given, "resultRecordCount"),
        page=TILE_PAGE if given.text("resultType").lower() in ("tile", "standard") else PAGE,
        digits=_whole(given, "geometryPrecision"),
        tolerance=_number(given, "maxAllowableOffset"),
        grid=_grid(given.text("quantizationParameters"), layer, crs),
        format=format,
    )


def parse_format(given: Parameters, accept: str) -> str:
    """Return the format of an answer; without ``f`` a page for who accepts HTML, else JSON."""
    text = given.text("f").lower() or ("html" if "text/html" in accept else "json")
    if text not in FORMATS:
        raise ArcgisError(
            f"f is {esri_geometry.shorten(text)!r}; possible are {', '.join(FORMATS)}"
        )
    return text


def _refuse(given: Parameters) -> None:
    for name in ("having", "time", "gdbVersion", "historicMoment", "relationParam"):
        if given.text(name):
            raise ArcgisError(f"{name} is not supported here; leave it out")


def _where(text: str, layer: Layer) -> Sql | None:
    if not text or re.fullmatch(r"\(?\s*1\s*=\s*1\s*\)?", text):
        return None
    return compile_where(text, layer.columns)


def _ids(text: str) -> tuple[int, ...] | None:
    if not text:
        return None
    try:
        return tuple(int(part) for part in text.strip("[]").split(",") if part.strip())
    except ValueError:
        raise ArcgisError(
            f"objectIds is {esri_geometry.shorten(text)!r}; give whole numbers with commas between"
        ) from None


def _area(given: Parameters, layer: Layer) -> Area | None:
    text = given.text("geometry")
    if not text:
        return None
    name = given.text("spatialRel").lower()
    if name and name not in RELATIONS:
        raise ArcgisError(
            f"spatialRel is {esri_geometry.shorten(name)!r}; give esriSpatialRelIntersects, "
            "...EnvelopeIntersects, ...Contains, ...Within, ...Touches, ...Crosses or ...Overlaps"
        )
    crs = esri_geometry.parse_crs(given.text("inSR"), "inSR") if given.text("inSR") else layer.crs
    shape, crs = esri_geometry.parse_geometry(text, given.text("geometryType"), crs=crs)
    metres = _number(given, "distance") * _metres(given.text("units"))
    if metres:
        shape = esri_geometry.buffer(shape, crs, metres)
    near = layer.bounds or WORLD
    if layer.bounds is not None:
        shape = esri_geometry.bring(shape, crs, layer.crs, near=near)
    if not shapely.is_valid(shape):
        shape = shapely.make_valid(shape)
    return Area(shape, RELATIONS.get(name, "intersects"))


def _metres(text: str) -> float:
    try:
        return METRES[text.lower() or "esrisrunit_meter"]
    except KeyError:
        raise ArcgisError(
            f"units is {esri_geometry.shorten(text)!r}; give esriSRUnit_Meter, _Kilometer, _Foot, "
            "_StatuteMile or _NauticalMile"
        ) from None


def _wants(given: Parameters, statistics: bool) -> Wants:
    if given.flag("returnExtentOnly"):
        return "extent"
    if given.flag("returnCountOnly"):
        return "count"
    if given.flag("returnIdsOnly"):
        return "ids"
    return "statistics" if statistics else "features"


def _names(text: str, layer: Layer, parameter: str) -> tuple[Field, ...]:
    """Return the fields of a list of names, each once; ``*`` is all of them."""
    found: dict[str, Field] = {}
    for name in filter(None, (part.strip().strip('"') for part in text.split(","))):
        some = layer.fields if name == "*" else (find_field(name, layer, parameter),)
        found |= {one.name: one for one in some}
    return tuple(found.values())


def find_field(name: str, layer: Layer, parameter: str) -> Field:
    """Return a field by its name in any case; raises ArcgisError, naming what there is."""
    try:
        return layer.by_name[name.lower()]
    except KeyError:
        raise ArcgisError(
            f"{parameter} names the field {esri_geometry.shorten(name)!r}; there are "
            f"{', '.join(one.name for one in layer.fields)}"
        ) from None


def _statistics(text: str, layer: Layer) -> tuple[Statistic, ...]:
    if not text:
        return ()
    values = esri_geometry.parse_json(text, "outStatistics")
    if not isinstance(values, list) or not all(isinstance(one, Mapping) for one in values):
        raise ArcgisError("outStatistics must be a list of objects with statisticType, "
                          "onStatisticField and outStatisticFieldName")  # fmt: skip
    found = tuple(_statistic(one, layer) for one in values)
    names = [one.name.lower() for one in found]
    if len(set(names)) < len(names) or len(names) > 100:
        raise ArcgisError("outStatistics must have at most 100 statistics, each with its own name")
    return found


def _statistic(values: Mapping[str, Any], layer: Layer) -> Statistic:
    kind = str(values.get("statisticType", "")).lower()
    if kind not in STATISTICS:
        raise ArcgisError(
            f"statisticType is {esri_geometry.shorten(kind)!r}; give {', '.join(STATISTICS)}"
        )
    field = find_field(str(values.get("onStatisticField", "")), layer, "onStatisticField")
    if field.kind == "text" and kind not in ("count", "min", "max"):
        raise ArcgisError(f"{kind} is for numbers, {field.name} is text; count, min, max are not")
    name = str(values.get("outStatisticFieldName") or f"{kind}_{field.name}")
    if not re.fullmatch(r"[^\W\d]\w{0,99}", name):
        raise ArcgisError("outStatisticFieldName must be of letters, digits and _, a letter first")
    return Statistic(kind, field, name)


def _order(text: str, layer: Layer, statistics: tuple[Statistic, ...]) -> tuple[Order, ...]:
    found = []
    sums = {one.name.lower(): f'"{one.name}"' for one in statistics}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, down = _direction(part)
        if name.lower() in sums:
            found.append(Order(sums[name.lower()], down))
        else:
            found.append(Order(find_field(name, layer, "orderByFields").sql, down))
    return tuple(found[:20])


def _direction(part: str) -> tuple[str, bool]:
    match = re.fullmatch(r"(.+?)(?:\s+(asc|desc))?", part, re.IGNORECASE | re.DOTALL)
    name, word = match.groups() if match else (part, None)
    return name.strip().strip('"'), (word or "").lower() == "desc"


def _whole(given: Parameters, name: str) -> int | None:
    text = given.text(name)
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,12}(\.0*)?", text):
        raise ArcgisError(
            f"{name} is {esri_geometry.shorten(text)!r}; give a whole number, not negative"
        )
    return int(float(text))


def _number(given: Parameters, name: str) -> float:
    text = given.text(name) or "0"
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not (math.isfinite(value) and value >= 0):
        raise ArcgisError(f"{name} is {esri_geometry.shorten(text)!r}; give a number, not negative")
    return value


def _grid(text: str, layer: Layer, crs: pyproj.CRS | None) -> Grid | None:
    """Return the grid of ``quantizationParameters``; without an extent it is the layer's."""
    if not text:
        return None
    values = esri_geometry.parse_json(text, "quantizationParameters")
    try:
        step = float(values.get("tolerance") or 1.0)
        corners = values.get("extent")
        bounds = esri_geometry.transform_bounds(layer.bounds or WORLD, layer.crs, crs)
        if corners:
            shape, said = esri_geometry.parse_geometry(json.dumps(corners), crs=crs)
            bounds = esri_geometry.transform_bounds(shape.bounds, said, crs)
        down = values.get("originPosition", "upperLeft") != "lowerLeft"
    except (AttributeError, TypeError, ValueError):
        step, down, bounds = 0.0, True, WORLD
    if not (step > 0 and np.isfinite([step, *bounds]).all()):
        raise ArcgisError(
            "quantizationParameters must be an object with tolerance (a number above 0) and extent"
        )
    return Grid(step, bounds[0], bounds[3] if down else bounds[1], down)
