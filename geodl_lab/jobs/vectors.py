"""Vector files from requests, uploads and stores are checked as `rasters` checks rasters."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from geodl_lab.errors import AccessError, first_line
from geodl_lab.jobs.rasters import TEXTS, read_head

SQLITE, PARQUET = b"SQLite format 3\0", b"PAR1"
ENDINGS = {SQLITE: ".gpkg", PARQUET: ".parquet", b"{": ".geojson"}
"""How files begin, and the ending by which they are read."""

MOST_JSON = 2**28
"""Bytes of a GeoJSON file, which is read whole."""


def ending_of(path: Path) -> str:
    """Return the ending that a vector file should have by its first bytes, "" for others."""
    head = read_head(path).removeprefix(b"\xef\xbb\xbf").lstrip()
    return next((ending for begin, ending in ENDINGS.items() if head.startswith(begin)), "")


def check_vector(path: Path) -> Path:
    """Return a file that is a GeoPackage, GeoParquet or GeoJSON and names no other file.

    Raises
    ------
    AccessError
        If it is none, is damaged, or has tables that are made of other files.
    """
    ending = ending_of(path)
    if not ending or path.suffix.lower() not in (ending, {".geojson": ".json"}.get(ending)):
        raise AccessError(
            f"{path.name!r} is no GeoPackage (.gpkg), GeoParquet (.parquet) or GeoJSON (.geojson) "
            "by its name and its first bytes; convert it to one, for example with ogr2ogr"
        )
    check = {".gpkg": _check_geopackage, ".geojson": _check_json, ".parquet": _check_parquet}
    check[ending](path)
    return path


def _check_geopackage(path: Path) -> None:
    """Look for virtual tables, which may be made of any file."""
    place = f"file:{quote(str(path))}?mode=ro&immutable=1"
    query = "SELECT name, sql FROM sqlite_master WHERE sql LIKE '%virtual%'"
    try:
        with closing(sqlite3.connect(place, uri=True)) as database:
            tables = database.execute(query).fetchall()
    except sqlite3.Error as error:
        raise _damaged(path, error) from error
    for name, sql in tables:
        words = " ".join(str(sql).lower().split())
        if words.startswith("create virtual table") and " using rtree" not in words:
            raise AccessError(
                f"{path.name!r} has the virtual table {str(name)[:80]!r}, which may be made of "
                "another file; copy the features into a new GeoPackage"
            )


def _check_json(path: Path) -> None:
    if path.stat().st_size > MOST_JSON:
        raise AccessError(
            f"{path.name!r} has {path.stat().st_size} bytes of GeoJSON; at most {MOST_JSON} are "
            "read: convert it to a GeoPackage"
        )
    if text := TEXTS.search(read_head(path)):
        raise AccessError(f"{path.name!r} holds {text[0].decode()!r}, by which GDAL reads others")
    try:
        kind = json.loads(path.read_bytes()).get("type")
    except (ValueError, RecursionError, AttributeError) as error:
        raise _damaged(path, error) from error
    if kind not in ("FeatureCollection", "Feature"):
        raise AccessError(f"{path.name!r} is JSON, but no FeatureCollection; give GeoJSON")


def _check_parquet(path: Path) -> None:
    with path.open("rb") as file:
        file.seek(-4, 2)
        if file.read() != PARQUET:
            raise _damaged(path, ValueError("its end is missing"))


def _damaged(path: Path, error: Exception) -> AccessError:
    return AccessError(f"{path.name!r} is damaged ({first_line(error)[:200]}); get it again")
