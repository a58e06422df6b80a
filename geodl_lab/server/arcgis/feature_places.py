"""Which features of a GeoPackage lie in an area, and what they cover.

The R-tree's boxes tell of nearly all of them; only those on the rim of the area are read.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence

import numpy as np
import shapely

from geodl_lab.server.arcgis.feature_layer import Layer
from geodl_lab.server.arcgis.feature_query import Area

CHUNK = 20_000
"""Features that are looked at at a time."""

CELLS = 128
"""Squares along the longer side of an area, each of them in it, outside, or on its rim."""

BOX = "r.maxx >= ? AND r.minx <= ? AND r.maxy >= ? AND r.miny <= ?"
"""What an entry ``r`` of an R-tree meets: left, right, bottom, top."""

_HEADS = (8, 40, 56, 56, 72)
"""Bytes before the WKB of a GeoPackage geometry, by the kind of its envelope."""

Sieve = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Of boxes (feature, 4: left, bottom, right, top): which are in for sure, which may be."""


def decode(blobs: Sequence[bytes | None]) -> np.ndarray:
    """Return the geometries (feature,) of a GeoPackage's blobs; None where there is none."""
    wkb = np.empty(len(blobs), dtype=object)
    wkb[:] = [None if blob is None else to_wkb(blob) for blob in blobs]
    return np.asarray(shapely.from_wkb(wkb))


def to_wkb(blob: bytes) -> bytes:
    """Return the WKB of a GeoPackage's blob."""
    return blob[_HEADS[blob[3] >> 1 & 7] :]


def total_bounds(blobs: Sequence[bytes]) -> np.ndarray:
    """Return left, bottom, right, top of a GeoPackage's blobs; NaN where all are empty.

    Most blobs begin with their bounds (left, right, bottom, top), which saves the rest of them.
    """
    heads = [blob[8:40] for blob in blobs if blob[3] >> 1 & 7 and blob[3] & 1]
    found = np.frombuffer(b"".join(heads), "<f8").reshape(-1, 4)[:, [0, 2, 1, 3]]
    if rest := [blob for blob in blobs if not (blob[3] >> 1 & 7 and blob[3] & 1)]:
        found = np.concatenate([found, shapely.bounds(decode(rest))])
    low, high = np.fmin.reduce(found[:, :2]), np.fmax.reduce(found[:, 2:])
    return np.concatenate([low, high])


def compare(area: Area, shapes: np.ndarray) -> np.ndarray:
    """Return which geometries (feature,) lie as asked, bool (feature,)."""
    if area.relation == "boxes":
        return shapely.intersects(shapely.envelope(area.shape), shapely.envelope(shapes))
    shapely.prepare(area.shape)
    return getattr(shapely, area.relation)(area.shape, shapes)


def is_box(area: Area) -> bool:
    """Tell whether whatever lies within the shape's bounds is found."""
    whole = area.relation == "boxes" or area.shape.equals(shapely.box(*area.shape.bounds))
    return whole and area.relation in ("boxes", "intersects")


def find(connection: sqlite3.Connection, layer: Layer, area: Area) -> np.ndarray:
    """Return the object ids, in order, of the features of a layer with an R-tree that lie as asked.

    The R-tree's boxes are rounded outwards: what is in or outside by them is so.
    """
    left, bottom, right, top = area.shape.bounds
    cursor = connection.execute(
        f"SELECT r.id, r.minx, r.miny, r.maxx, r.maxy FROM {layer.index} r WHERE {BOX}",
        (left, right, bottom, top),
    )
    sieve = _by_bounds(area) if is_box(area) else _by_cells(area)
    found = [np.empty(0, np.int64)]
    while rows := cursor.fetchmany(CHUNK):
        boxes = np.array(rows, dtype=np.float64)
        ids = boxes[:, 0].astype(np.int64)
        inside, perhaps = sieve(boxes[:, 1:])
        found += [ids[inside], _exactly(connection, layer, area, ids[perhaps])]
    return np.sort(np.concatenate(found))


def _exactly(
    connection: sqlite3.Connection, layer: Layer, area: Area, ids: np.ndarray
) -> np.ndarray:
    """Return those of some object ids whose geometries lie as asked."""
    rows = connection.execute(
        f"SELECT {layer.key}, {layer.shape} FROM {layer.table}"
        f" WHERE {layer.key} IN (SELECT value FROM json_each(?))",
        (json.dumps(ids.tolist()),),
    ).fetchall()
    kept = compare(area, decode([row[1] for row in rows]))
    return np.array([row[0] for row in rows], np.int64)[kept]


def _by_bounds(area: Area) -> Sieve:
    left, bottom, right, top = area.shape.bounds

    def sieve(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x0, y0, x1, y1 = boxes.T
        inside = (x0 >= left) & (y0 >= bottom) & (x1 <= right) & (y1 <= top)
        return inside, ~inside

    return sieve


def _by_cells(area: Area) -> Sieve:
    """Return a sieve that looks up which squares of a grid over the area a box meets."""
    left, bottom, right, top = area.shape.bounds
    step = max(right - left, top - bottom) / CELLS or 1.0
    within, touched = (_summed(cells) for cells in _cells(area.shape, left, bottom, step))
    is_found = area.relation in ("intersects", "contains")  # by what lies in its midst

    def sieve(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        places = (boxes - [left, bottom, left, bottom]) / step + 1
        cells = np.clip(places, 0, CELLS + 1).astype(np.intp)
        x0, y0, x1, y1 = np.add(cells, [0, 0, 1, 1]).T
        inside = _sum(within, x0, y0, x1, y1) == (x1 - x0) * (y1 - y0)
        return inside & is_found, ~inside & (_sum(touched, x0, y0, x1, y1) > 0)

    return sieve


def _cells(
    shape: shapely.Geometry, left: float, bottom: float, step: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return which squares (y, x) lie in the midst of a shape, and which meet it; one more around.

    They overlap by a millionth, so that rounding puts no box into the wrong one.
    """
    x, y = np.meshgrid(*(2 * [np.arange(-1, CELLS + 1) * step]))
    more = step * 1e-6
    squares = shapely.box(
        left + x - more, bottom + y - more, left + x + step + more, bottom + y + step + more
    )
    shapely.prepare(shape)
    return shapely.contains_properly(shape, squares), shapely.intersects(shape, squares)


def _summed(cells: np.ndarray) -> np.ndarray:
    """Return how many cells are true below and left of each corner."""
    return np.pad(cells.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))


def _sum(
    summed: np.ndarray, x0: np.ndarray, y0: np.ndarray, x1: np.ndarray, y1: np.ndarray
) -> np.ndarray:
    return summed[y1, x1] - summed[y0, x1] - summed[y1, x0] + summed[y0, x0]
