"""Objects in pixels as rows with a geometry in the raster's CRS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import geopandas
import numpy as np
import pandas
import rasterio.features
import shapely
from affine import Affine

from geodl_lab.detections import Detections
from geodl_lab.masks import Masks, ragged
from geodl_lab.package import ModelPackage
from geodl_lab.raster import Raster
from geodl_lab.vector_files import GEOMETRY

CANVAS = 2**22
"""Pixels that are turned into outlines together: bounds the memory, whatever the objects' size."""


def to_frame(
    found: Detections, raster: Raster, package: ModelPackage, attrs: Mapping[str, Any]
) -> geopandas.GeoDataFrame:
    """Turn objects into rows.

    Parameters
    ----------
    found
        In pixels of the raster.
    raster
        Its transform and CRS.
    package
        Names of the classes, and whether the objects are points.
    attrs
        How the objects were made; become the frame's ``attrs``, with `GEOMETRY` for masks.

    Returns
    -------
    geopandas.GeoDataFrame
        ``label``, ``label_id``, ``score``, ``geometry`` in the raster's CRS: the mask's outline,
        the rotated box, the box, or a point; points also have ``xmin``, ``ymin``, ``xmax``,
        ``ymax`` in CRS units.
    """
    names = {label.value: label.name for label in package.classes}
    columns: dict[str, Any] = {
        "label": pandas.array([names[v] for v in found.label_ids.tolist()], dtype="str"),
        "label_id": found.label_ids,
        "score": found.scores,
    }
    if package.decoder is not None and package.decoder.points:
        corners = _georeferenced(_upright(found.boxes), raster.transform)
        low, high = corners.min(axis=1), corners.max(axis=1)
        columns |= dict(zip(("xmin", "ymin", "xmax", "ymax"), (*low.T, *high.T), strict=True))
        geometry = shapely.points(corners.mean(axis=1))
    else:
        geometry = _shapes(found, raster.transform)
    frame = geopandas.GeoDataFrame(columns, geometry=geometry, crs=vector_crs(raster))
    frame.attrs = dict(attrs)
    if package.decoder is not None and package.decoder.name == "masks":
        frame.attrs[GEOMETRY] = "MultiPolygon"  # an outline may be of several parts
    return frame


def outlines(masks: Masks) -> np.ndarray:
    """Return the outline of each mask in pixels: polygons or multipolygons, shape (object,).

    Pixels that meet only at a corner are two parts. Objects are drawn one below the other on a
    small canvas and traced together; a large one is traced in pieces.
    """
    pieces, owners = _pieces(masks)
    traced = [_traced(pieces, batch) for batch in _batches(pieces)]
    shapes = np.concatenate([np.zeros(0, dtype=object), *(shapes for shapes, _ in traced)])
    parts = np.concatenate([np.zeros(0, dtype=np.int64), *(index for _, index in traced)])
    parts = owners[parts]
    order = np.argsort(parts, kind="stable")
    shapes, parts = shapes[order], parts[order]
    first = np.searchsorted(parts, np.arange(len(masks)))
    whole = np.bincount(parts, minlength=len(masks)) == 1
    result = shapely.multipolygons(shapes, indices=parts) if len(masks) else shapes
    result[whole] = shapes[first[whole]]
    cut = np.bincount(owners, minlength=len(masks)) > 1
    result[cut] = [shapely.union_all(shapely.get_parts(shape)) for shape in result[cut]]
    return result


def _shapes(found: Detections, transform: Affine) -> np.ndarray:
    if found.masks is not None:
        return shapely.transform(outlines(found.masks), lambda xy: _georeferenced(xy, transform))
    corners = _upright(found.boxes) if found.corners is None else found.corners
    return shapely.polygons(_georeferenced(corners, transform))


def _pieces(masks: Masks, side: int = 1024) -> tuple[Masks, np.ndarray]:
    """Cut masks at multiples of ``side`` pixels; return the pieces and the object of each."""
    y, start, stop = masks.runs.T.astype(np.int64)
    counts = (stop - 1) // side - start // side + 1  # tiles that a run crosses
    run = np.repeat(np.arange(len(y)), counts)
    tile = ragged(start // side, counts)
    runs = np.stack(
        [y[run], np.maximum(start[run], tile * side), np.minimum(stop[run], (tile + 1) * side)],
        axis=1,
    )
    keys = np.stack([masks.owners[run], y[run] // side, tile])
    order = np.lexsort((runs[:, 1], runs[:, 0], *keys[::-1]))
    runs, keys = runs[order].astype(np.int32), keys[:, order]
    fresh = np.ones(len(order), dtype=bool)
    fresh[1:] = (keys[:, 1:] != keys[:, :-1]).any(axis=0)
    first = np.flatnonzero(fresh)
    return Masks(runs, np.append(first, len(order))), keys[0, first]


def _batches(pieces: Masks) -> Iterator[np.ndarray]:
    """Yield indices of pieces, of like width, that fit on one canvas below each other."""
    left, top, right, bottom = pieces.boxes.T.astype(np.int64)
    order = np.argsort(right - left, kind="stable")
    start = 0
    while start < len(order):
        heights = np.cumsum((bottom - top)[order[start:]])
        area = heights * (right - left)[order[start:]]
        count = max(1, int(np.searchsorted(area, CANVAS, side="right")))
        yield order[start : start + count]
        start += count


def _traced(pieces: Masks, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return polygons in raster pixels and the piece of each."""
    chosen = pieces.select(batch)
    left, top, right, bottom = chosen.boxes.T.astype(np.int64)
    heights = bottom - top
    rows = np.cumsum(heights) - heights  # where each begins on the canvas
    canvas = np.zeros((int(heights.sum()), int((right - left).max())), dtype=np.int32)
    y, start, stop = chosen.runs.T.astype(np.int64)
    owners, counts = chosen.owners, stop - start
    y, start = y - top[owners] + rows[owners], start - left[owners]
    canvas.ravel()[ragged(y * canvas.shape[1] + start, counts)] = np.repeat(owners + 1, counts)
    found = list(rasterio.features.shapes(canvas, mask=canvas > 0))
    index = np.array([int(value) - 1 for _, value in found], dtype=np.int64)
    shapes = np.array([_polygon(shape["coordinates"]) for shape, _ in found], dtype=object)
    points, owner = shapely.get_coordinates(shapes, return_index=True)
    points += np.stack([left, top - rows], axis=1)[index[owner]]
    return shapely.set_coordinates(shapes, points), batch[index]


def _polygon(rings: list[list[tuple[float, float]]]) -> shapely.Polygon:
    return shapely.Polygon(rings[0], rings[1:])


def _upright(boxes: np.ndarray) -> np.ndarray:
    """Return the corners (object, 4, 2) of boxes, ring order."""
    x0, y0, x1, y1 = boxes.T
    return np.stack([[x0, x1, x1, x0], [y0, y0, y1, y1]], axis=-1).transpose(1, 0, 2)


def _georeferenced(points: np.ndarray, transform: Affine) -> np.ndarray:
    """Return points (..., 2) as x, y in CRS units instead of pixels."""
    x, y, t = points[..., 0], points[..., 1], transform
    return np.stack([t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f], axis=-1)


def vector_crs(raster: Raster) -> str | None:
    """Return the CRS by its authority's name where it has one, so that it compares equal to it."""
    if raster.crs is None:
        return None
    authority = raster.crs.to_authority()
    return ":".join(authority) if authority else raster.crs.to_wkt()
