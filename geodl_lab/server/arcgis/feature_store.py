"""Features from a GeoPackage: SQLite filters, sorts and pages from disk, shapely has the last word.

The R-tree finds candidates by their boxes. A feature whose box lies inside a rectangle that is
asked for is in; all others are compared exactly. So only features on the rim are read for it.
Where many may lie in an area, their ids are found first (`feature_places.find`).
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely

from geodl_lab.server.arcgis import feature_layer, feature_places
from geodl_lab.server.arcgis.feature_layer import Layer
from geodl_lab.server.arcgis.feature_places import BOX, CHUNK, compare, decode, is_box, to_wkb
from geodl_lab.server.arcgis.feature_query import Area, Order, Query
from geodl_lab.server.arcgis.web import ArcgisError
from geodl_lab.server.arcgis.where import Sql

SECONDS = 30.0
"""Longest time that a query may take."""

FEW = 20_000
"""Candidates up to which they are looked up one by one."""

_INSIDE = "(r.minx >= ? AND r.maxx <= ? AND r.miny >= ? AND r.maxy <= ?)"


@dataclass(frozen=True)
class Page:
    """Some features.

    Parameters
    ----------
    rows
        Values of the query's fields, in order.
    shapes
        Geometries (feature,) in the layer's CRS, None where there is none; None if not asked for.
    more
        Whether there are features after these.
    """

    rows: list[tuple[Any, ...]]
    shapes: np.ndarray | None
    more: bool


@dataclass(frozen=True)
class Store:
    """A layer that is open, and one query of it.

    Parameters
    ----------
    layer, query, connection
        What is asked of what.
    plain, filter
        The conditions but for the area, and all conditions.
    near
        What selects the ids of the features that lie as asked, where the R-tree can tell.
    """

    layer: Layer
    query: Query
    connection: sqlite3.Connection = field(repr=False)
    plain: Sql
    filter: Sql
    near: Sql | None

    def page(self) -> Page:
        """Return the features that are asked for, at most `Query.limit`."""
        query, layer = self.query, self.layer
        shape = query.geometry or query.centroid
        columns = [one.sql for one in query.fields] + ([f"t.{layer.shape}"] if shape else [])
        order = _order_by(query, [one.sql for one in query.fields], f"t.{layer.key}")
        rows = self._all(
            f"SELECT {'DISTINCT ' * query.distinct}{', '.join(columns)} {self._from}{order}"
            " LIMIT ? OFFSET ?",
            query.limit + 1,
            query.offset,
        )
        more = len(rows) > query.limit
        rows = rows[: query.limit]
        if not shape:
            return Page(rows, None, more)
        return Page([row[:-1] for row in rows], decode([row[-1] for row in rows]), more)

    def count(self) -> int:
        """Return how many features there are, of all pages."""
        query = self.query
        if query.distinct:
            fields = ", ".join(one.sql for one in query.fields)
            return self._all(f"SELECT count(*) FROM (SELECT DISTINCT {fields} {self._from})")[0][0]
        if not query.filtered:
            return self.layer.count
        if self.near is not None and _is_counted(self.query, self.plain):
            return self.connection.execute(*_counted(self.near)).fetchone()[0]
        return self._all(f"SELECT count(*) {self._from}")[0][0]

    def ids(self) -> list[int]:
        """Return the object ids; of all pages, unless a number of them is asked for."""
        query, key = self.query, f"t.{self.layer.key}"
        limit = -1 if query.count is None else query.count
        rows = self._all(
            f"SELECT {key} {self._from}{_order_by(query, [], key)} LIMIT ? OFFSET ?",
            limit,
            query.offset,
        )
        return [row[0] for row in rows]

    def bounds(self) -> tuple[float, float, float, float] | None:
        """Return left, bottom, right, top of all features that are asked for; None without any."""
        if not self.query.filtered:
            return self.layer.bounds
        shape = f"t.{self.layer.shape}"
        has_shape = _and(
            [*([self.filter] if self.filter.text else []), Sql(f"{shape} IS NOT NULL")]
        )
        cursor = self.connection.execute(
            f"SELECT {shape} FROM {self.layer.table} t WHERE {has_shape.text}", has_shape.values
        )
        found = []
        while rows := cursor.fetchmany(CHUNK):
            found.append(feature_places.total_bounds([row[0] for row in rows]))
        if not found or np.isnan(found).all():
            return None
        low, high = np.nanmin(found, axis=0)[:2], np.nanmax(found, axis=0)[2:]
        return (*low.tolist(), *high.tolist())

    def statistics(self) -> Page:
        """Return groups and statistics, one row a group."""
        query = self.query
        groups = [one.sql for one in query.groups]
        sums = [
            f'{_statistic(one.kind, one.field.sql)} AS "{one.name}"' for one in query.statistics
        ]
        by = f" GROUP BY {', '.join(groups)}" if groups else ""
        rows = self._all(
            f"SELECT {', '.join([*groups, *sums])} {self._from}{by}"
            f"{_order_by(query, groups, '')} LIMIT ? OFFSET ?",
            query.limit + 1,
            query.offset,
        )
        return Page(rows[: query.limit], None, len(rows) > query.limit)

    @property
    def _from(self) -> str:
        where = f" WHERE {self.filter.text}" if self.filter.text else ""
        return f"FROM {self.layer.table} t{where}"

    def _run(self, sql: str, *values: Any) -> sqlite3.Cursor:
        return self.connection.execute(sql, (*self.filter.values, *values))

    def _all(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._run(sql, *values).fetchall()


@contextlib.contextmanager
def open_store(layer: Layer, query: Query) -> Iterator[Store]:
    """Open a layer for one query.

    Raises
    ------
    ArcgisError
        If the query takes longer than `SECONDS`, or the file cannot be read.
    """
    end = time.monotonic() + SECONDS
    try:
        with feature_layer.connect(layer.path) as connection:
            _add_functions(connection, query.area)
            connection.set_progress_handler(lambda: time.monotonic() > end, 100_000)
            yield _prepare(connection, layer, query)
    except (sqlite3.Error, UnicodeEncodeError) as error:
        if time.monotonic() > end:
            raise ArcgisError(
                f"the query took more than {SECONDS:.0f} s; ask for a smaller area or fewer groups"
            ) from error
        raise ArcgisError(f"the query is not possible: {error}; ask for less at once") from error


def _prepare(connection: sqlite3.Connection, layer: Layer, query: Query) -> Store:
    """Return the store of a query, its conditions as SQL."""
    plain = [] if query.where is None else [query.where]
    if query.ids is not None:
        ids = json.dumps(query.ids)
        plain.append(Sql(f"t.{layer.key} IN (SELECT value FROM json_each(?))", (ids,)))
    near = _near(layer, query.area)
    place = [] if query.area is None else [_place(connection, layer, query, near, _and(plain))]
    return Store(layer, query, connection, _and(plain), _and([*plain, *place]), near)


def _place(
    connection: sqlite3.Connection, layer: Layer, query: Query, near: Sql | None, plain: Sql
) -> Sql:
    """Return the condition that a feature lies in the query's area."""
    assert query.area is not None
    if near is None:
        return _area(layer, query.area)
    few = not _are_many(connection, layer, near)
    if few or _is_counted(query, plain):
        return Sql(f"t.{layer.key} IN ({near.text})", near.values)
    if query.wants == "features" and query.offset < FEW and _is_by_id(layer, query):
        # The unary plus keeps SQLite from going through the R-tree first and sorting what it finds.
        return Sql(f"EXISTS ({near.text} AND r.id = +t.{layer.key})", near.values)
    ids = json.dumps(feature_places.find(connection, layer, query.area).tolist())
    connection.execute("CREATE TEMP TABLE found (id INTEGER PRIMARY KEY)")
    connection.execute("INSERT INTO found SELECT value FROM json_each(?)", (ids,))
    return Sql(f"t.{layer.key} IN (SELECT id FROM temp.found)")


def _is_by_id(layer: Layer, query: Query) -> bool:
    """Tell whether features come in the order of their ids, so that the first are soon found."""
    return not query.distinct and query.order[:1] in ((), (Order(f"t.{layer.key}", False),))


def _is_counted(query: Query, plain: Sql) -> bool:
    """Tell whether the R-tree alone can count: no other condition, and an area that is a box."""
    is_alone = query.wants == "count" and not plain.text and not query.distinct
    return is_alone and query.area is not None and is_box(query.area)


def _and(parts: Sequence[Sql]) -> Sql:
    text = " AND ".join(f"({part.text})" for part in parts)
    return Sql(text, tuple(value for part in parts for value in part.values))


def _are_many(connection: sqlite3.Connection, layer: Layer, near: Sql) -> bool:
    probe = f"SELECT count(*) FROM (SELECT 1 FROM {layer.index} r WHERE {BOX} LIMIT {FEW})"
    return connection.execute(probe, near.values[:4]).fetchone()[0] >= FEW


def _area(layer: Layer, area: Area) -> Sql:
    """Return the condition that a feature lies as asked, where the R-tree is not needed."""
    if shapely.is_empty(area.shape) or not layer.count:
        return Sql("0")
    shape = f"t.{layer.shape}"
    return Sql(f"{shape} IS NOT NULL" if _is_all(layer, area) else f"relates({shape})")


def _near(layer: Layer, area: Area | None) -> Sql | None:
    """Return what selects ids by the R-tree; its boxes are rounded outwards, so inside is inside.

    None where it is not there or would not help.
    """
    if area is None or not layer.index or shapely.is_empty(area.shape) or _is_all(layer, area):
        return None
    left, bottom, right, top = area.shape.bounds
    box = (left, right, bottom, top)
    exact = f"relates((SELECT g.{layer.shape} FROM {layer.table} g WHERE g.{layer.key} = r.id))"
    found = f"SELECT r.id FROM {layer.index} r WHERE {BOX} AND "
    if is_box(area):
        return Sql(f"{found}({_INSIDE} OR {exact})", (*box, *box))
    return Sql(found + exact, box)


def _is_all(layer: Layer, area: Area) -> bool:
    """Tell whether the whole layer is found."""
    if layer.bounds is None or not is_box(area):
        return False
    return bool(shapely.covers(shapely.box(*area.shape.bounds), shapely.box(*layer.bounds)))


def _counted(near: Sql) -> tuple[str, tuple[Any, ...]]:
    return f"SELECT count(*) FROM ({near.text})", near.values


def _add_functions(connection: sqlite3.Connection, area: Area | None) -> None:
    """Add what the SQL calls: SQLite's own UPPER and LOWER know ASCII only."""
    connection.create_function("upper", 1, _cased(str.upper), deterministic=True)
    connection.create_function("lower", 1, _cased(str.lower), deterministic=True)
    connection.create_aggregate("variance", 1, _Variance)  # type: ignore[arg-type]
    connection.create_aggregate("deviation", 1, _Deviation)  # type: ignore[arg-type]
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    if area is not None:
        connection.create_function("relates", 1, _relates(area), deterministic=True)


def _relates(area: Area) -> Callable[[bytes | None], bool]:
    """Return what tells of one geometry of the GeoPackage whether it lies as asked."""
    return lambda blob: blob is not None and bool(compare(area, shapely.from_wkb(to_wkb(blob))))


def _cased(change: Callable[[str], str]) -> Callable[[Any], Any]:
    return lambda text: change(text) if isinstance(text, str) else text


class _Variance:
    """The variance of a sample, in two passes: sums of squares would cancel.

    SQLite calls ``step`` for each value, which therefore is a list's own ``append``.
    """

    def __init__(self) -> None:
        self.values: list[float | None] = []
        self.step = self.values.append

    def finalize(self) -> float | None:
        """Return the variance; None of less than two values."""
        values = np.array([value for value in self.values if value is not None], np.float64)
        return float(values.var(ddof=1)) if len(values) > 1 else None


class _Deviation(_Variance):
    """The standard deviation of a sample."""

    def finalize(self) -> float | None:
        variance = super().finalize()
        return None if variance is None else variance**0.5


def _statistic(kind: str, sql: str) -> str:
    name = {"var": "variance", "stddev": "deviation"}.get(kind, kind)
    return f"{name}({sql})"


def _order_by(query: Query, default: Sequence[str], key: str) -> str:
    """Return the order: as asked, and then by object id, so that pages never overlap."""
    wanted = [f"{one.sql}{' DESC' * one.down}" for one in query.order]
    rest = list(default) if query.distinct or not key else [key]
    order = ", ".join([*wanted, *rest])
    return f" ORDER BY {order}" if order else ""
