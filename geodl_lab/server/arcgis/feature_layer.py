"""What a layer is: its columns as fields, its geometry, its CRS, read from a GeoPackage.

Source of the tables: OGC 12-128r18, "GeoPackage Encoding Standard".
"""

from __future__ import annotations

import contextlib
import functools
import re
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyproj
import pyproj.exceptions

from geodl_lab.server.arcgis.where import Column, Kind

OBJECT_ID = "OBJECTID"

OURS = {
    "label": ("Class", 't."label"'),
    "label_id": ("Classvalue", 't."label_id"'),
    "score": ("Confidence", 'round(t."score" * 100.0, 4)'),
}
"""Names that ArcGIS users know for our columns, and their SQL; Confidence is in percent, 0..100."""

EMPTY = """
CREATE TABLE features ("fid" INTEGER PRIMARY KEY, "geom" BLOB, "label" TEXT(255),
                       "label_id" MEDIUMINT, "score" FLOAT);
CREATE TABLE gpkg_contents (table_name, data_type, min_x, min_y, max_x, max_y, srs_id);
CREATE TABLE gpkg_geometry_columns (table_name, column_name, geometry_type_name, srs_id);
CREATE TABLE gpkg_spatial_ref_sys (srs_id, organization, organization_coordsys_id, definition);
INSERT INTO gpkg_contents VALUES ('features', 'features', NULL, NULL, NULL, NULL, 4326);
INSERT INTO gpkg_geometry_columns VALUES ('features', 'geom', 'POLYGON', 4326);
INSERT INTO gpkg_spatial_ref_sys VALUES (4326, 'EPSG', 4326, '');
"""
"""A GeoPackage of nothing: what a service has that no job has filled yet."""

TYPES = (
    (r"TEXT|CHAR|VARCHAR", "esriFieldTypeString"),
    (r"BOOLEAN|TINYINT|SMALLINT", "esriFieldTypeSmallInteger"),
    (r"MEDIUMINT", "esriFieldTypeInteger"),
    # 64 bits are exact to 2**53; GDAL 3.6 takes esriFieldTypeSingle for text.
    (r"INT|INTEGER|DOUBLE|REAL|NUMERIC|FLOAT", "esriFieldTypeDouble"),
    (r"DATE|DATETIME", "esriFieldTypeDate"),
)
"""Esri's type for a GeoPackage's declared one; what is not here, such as BLOB, is not served."""

GEOMETRY_TYPES = {
    "POINT": "esriGeometryPoint",
    "MULTIPOINT": "esriGeometryMultipoint",
    "LINESTRING": "esriGeometryPolyline",
    "MULTILINESTRING": "esriGeometryPolyline",
}
"""Esri's type of a GeoPackage's geometry column; all else is polygons."""


@dataclass(frozen=True, slots=True)
class Field:
    """A column as clients see it.

    Parameters
    ----------
    name
        As it is called in queries and answers.
    type
        Esri's: ``esriFieldTypeOID``, ``...String``, ``...Integer`` and so on.
    sql
        What it is in the table ``t``; dates as milliseconds since 1970.
    length
        Most characters of a text, else 0.
    """

    name: str
    type: str
    sql: str
    length: int = 0

    @property
    def kind(self) -> Kind:
        """Of what kind its values are."""
        return "text" if self.type == "esriFieldTypeString" else "number"


@dataclass(frozen=True)
class Layer:
    """A table of features.

    Parameters
    ----------
    path
        The GeoPackage; None is an empty layer.
    table, key, shape
        SQL names, quoted: the table, its integer key, its geometry column.
    index
        Quoted name of its R-tree, or "".
    geometry_type
        Esri's.
    crs
        Of the geometries, or None.
    bounds
        Left, bottom, right, top in CRS units; None without features.
    count
        Number of features.
    fields
        In order; the first is the object id.
    """

    path: Path | None
    table: str
    key: str
    shape: str
    index: str
    geometry_type: str
    crs: pyproj.CRS | None
    bounds: tuple[float, float, float, float] | None
    count: int
    fields: tuple[Field, ...]
    by_name: Mapping[str, Field] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {one.name.lower(): one for one in self.fields})

    @property
    def columns(self) -> dict[str, Column]:
        """What a where clause may name."""
        return {name: Column(one.name, one.sql, one.kind) for name, one in self.by_name.items()}

    @property
    def class_field(self) -> str:
        """Name of the field that holds the class's name, or ""."""
        ours = OURS["label"][1]
        return next((one.name for one in self.fields if one.sql == ours), "")


@contextlib.contextmanager
def connect(path: Path | None) -> Iterator[sqlite3.Connection]:
    """Open a GeoPackage for reading only; None opens one without features.

    Published files never change, so no lock is taken and nothing is written beside them.
    """
    if path is None:
        connection = sqlite3.connect(":memory:", check_same_thread=False)
        connection.executescript(EMPTY)
    else:
        uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
    with contextlib.closing(connection):
        yield connection


@functools.lru_cache(maxsize=256)
def read_layer(path: Path | None, version: int = 0) -> Layer:
    """Return the layer of a GeoPackage: its first table of features.

    Parameters
    ----------
    path
        A GeoPackage of ours; None is an empty one.
    version
        Of the service; what was read is kept for it.

    Raises
    ------
    sqlite3.Error
        If it cannot be read.
    """
    with connect(path) as connection:
        table, shape, kind, srs, *bounds = connection.execute(
            "SELECT c.table_name, g.column_name, g.geometry_type_name, g.srs_id,"
            " c.min_x, c.min_y, c.max_x, c.max_y FROM gpkg_contents c"
            " JOIN gpkg_geometry_columns g USING (table_name) WHERE c.data_type = 'features'"
        ).fetchone()
        columns = connection.execute(f"PRAGMA table_info({quote(table)})").fetchall()
        key = quote(next(name for _, name, _, _, _, pk in columns if pk))
        (count,) = connection.execute(f"SELECT count(*) FROM {quote(table)}").fetchone()
        return Layer(
            path=path,
            table=quote(table),
            key=key,
            shape=quote(shape),
            index=_index(connection, table, shape),
            geometry_type=GEOMETRY_TYPES.get(kind.upper(), "esriGeometryPolygon"),
            crs=_crs(connection, srs),
            bounds=None
            if not count
            else _bounds(connection, bounds, _index(connection, table, shape)),
            count=count,
            fields=_fields(key, [(c[1], c[2]) for c in columns if not c[5] and c[1] != shape]),
        )


def quote(name: str) -> str:
    """Return a name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def _index(connection: sqlite3.Connection, table: str, shape: str) -> str:
    name = f"rtree_{table}_{shape}"
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    return quote(name) if found else ""


def _bounds(
    connection: sqlite3.Connection, said: list[float | None], index: str
) -> tuple[float, float, float, float] | None:
    """Return what the table of contents says, or else the R-tree."""
    if None in said and index:
        said = list(
            connection.execute(
                f"SELECT min(minx), min(miny), max(maxx), max(maxy) FROM {index}"
            ).fetchone()
        )
    left, bottom, right, top = said
    if left is None or bottom is None or right is None or top is None:
        return None
    return left, bottom, right, top


def _crs(connection: sqlite3.Connection, srs: int) -> pyproj.CRS | None:
    """Return the CRS of an id; -1 and 0 are the standard's words for none."""
    row = connection.execute(
        "SELECT organization, organization_coordsys_id, definition FROM gpkg_spatial_ref_sys"
        " WHERE srs_id = ?",
        (srs,),
    ).fetchone()
    if row is None or srs in (-1, 0):
        return None
    for text in (f"{row[0]}:{row[1]}", row[2]):
        try:
            crs = pyproj.CRS.from_user_input(text)
            return None if crs.is_engineering else crs  # GDAL's word for none
        except pyproj.exceptions.CRSError:
            continue
    return None


def _fields(key: str, columns: list[tuple[str, str]]) -> tuple[Field, ...]:
    """Return the fields of columns (name, declared type); what others brought keeps its name."""
    taken = {OBJECT_ID.lower()}
    names: dict[str, str] = {}
    # The label itself may stand in a field that the client named (classLabelField).
    ours = {"label_id", "score"} <= {name for name, _ in columns}
    for name, _ in sorted(columns, key=lambda column: ours and column[0] in OURS):
        wanted = OURS[name][0] if ours and name in OURS else name
        names[name] = _free(wanted, taken)
        taken.add(names[name].lower())
    fields = [Field(OBJECT_ID, "esriFieldTypeOID", f"t.{key}")]
    for name, declared in columns:
        kind, length = _type(declared)
        if kind:
            sql = OURS[name][1] if ours and name in OURS else f"t.{quote(name)}"
            fields.append(Field(names[name], kind, _column_sql(sql, kind), length))
    return tuple(fields)


def _free(name: str, taken: set[str]) -> str:
    """Return a name, with a number where it is taken in any case."""
    tries = (name, *(f"{name}_{number}" for number in range(1, len(taken) + 2)))
    return next(one for one in tries if one.lower() not in taken)


def _type(declared: str) -> tuple[str, int]:
    """Return Esri's type of a declared one, and the length of a text; "" where it has none."""
    match = re.match(r"\s*(\w+)\s*(?:\((\d+)\))?", declared)
    word, length = (match.group(1).upper(), match.group(2)) if match else ("", None)
    for pattern, kind in TYPES:
        if re.fullmatch(pattern, word):
            return kind, int(length or 4000) if kind == "esriFieldTypeString" else 0
    return "", 0


def _column_sql(sql: str, kind: str) -> str:
    if kind == "esriFieldTypeDate":
        return f"CAST(round((julianday({sql}) - 2440587.5) * 86400000.0) AS INTEGER)"
    return sql
