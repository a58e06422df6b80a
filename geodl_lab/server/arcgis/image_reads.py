"""Pixels of a view: each pixel of the answer takes that of the raster which lies at its middle.

One way for all rasters (rotated, south-up, in degrees, over the antimeridian), and the same for
pictures and for points, so that a picture shows what `identify` says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from pyproj import CRS
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geodl_lab.server.arcgis.image_files import POOL
from geodl_lab.server.arcgis.image_places import moved, moved_box
from geodl_lab.server.arcgis.image_sources import Grid, ImageSource
from geodl_lab.server.arcgis.image_views import View, places_of, to_pixels

BLOCK = 512
"""Side in pixels of what is computed at a time."""

MOST = 2**24
"""Pixels of a band that are read at a time; more are read coarser."""


@dataclass(frozen=True)
class Pixels:
    """What was read.

    Parameters
    ----------
    values
        (band, y, x) in the raster's pixel type; anything where not valid.
    valid
        Bool (band, y, x): False is no data, or outside the raster.
    """

    values: np.ndarray
    valid: np.ndarray

    @property
    def shown(self) -> np.ndarray:
        """Bool (y, x): where any band has data."""
        return np.asarray(self.valid.any(axis=0))


def read_view(
    source: ImageSource, view: View, bands: tuple[int, ...], *, smooth: bool = False
) -> Pixels:
    """Read the pixels of a view.

    Parameters
    ----------
    source
        The raster.
    view
        Where, and how many pixels.
    bands
        Zero-based.
    smooth
        Mix the four nearest pixels; never of classes.

    Raises
    ------
    RasterError
        If the file cannot be read.
    ArcgisError
        If the raster has no place on the map of the view.
    """
    values = np.zeros((len(bands), *view.shape_yx), source.grid.dtype)
    pixels = Pixels(values, np.zeros(values.shape, bool))
    if source.file is None:
        return pixels
    gather = _gather_mixed if smooth and not source.classes else _gather_nearest
    with POOL.use(source.file) as dataset:
        for rows, columns in _blocks(view.shape_yx):
            at = places_of(source, view, rows, columns)
            seen = _seen(dataset, source.grid, bands, at)
            if seen is not None:
                part = gather(seen, at)
                pixels.values[:, rows, columns] = part.values
                pixels.valid[:, rows, columns] = part.valid
    return pixels


def read_points(source: ImageSource, xy: np.ndarray, crs: CRS | None) -> Pixels:
    """Read the pixels at points (point, xy) of all bands: values (band, 1, point)."""
    bands = tuple(range(len(source.grid.numbers)))
    values = np.zeros((len(bands), 1, len(xy)), source.grid.dtype)
    pixels = Pixels(values, np.zeros(values.shape, bool))
    if source.file is None:
        return pixels
    columns, rows = to_pixels(source, moved(xy, crs, source.grid.crs)).T
    with POOL.use(source.file) as dataset:
        for index in range(len(xy)):
            at = (rows[index : index + 1, None], columns[index : index + 1, None])
            seen = _seen(dataset, source.grid, bands, at)
            if seen is not None:
                part = _gather_nearest(seen, at)
                pixels.values[:, :, index], pixels.valid[:, :, index] = (
                    part.values[:, :, 0],
                    part.valid[:, :, 0],
                )
    return pixels


def read_samples(source: ImageSource, band: int, *, count: int, side: int) -> Pixels:
    """Read ``count`` x ``count`` squares that lie evenly over a raster, none coarser.

    Returns values (1, count * side, count * side).
    """
    values = np.zeros((1, count * side, count * side), source.grid.dtype)
    pixels = Pixels(values, np.zeros(values.shape, bool))
    if source.file is None:
        return pixels
    height, width = (min(side, size) for size in source.grid.shape_yx)
    tops, lefts = (
        np.linspace(0, max(0, size - side), count).astype(int) for size in source.grid.shape_yx
    )
    with POOL.use(source.file) as dataset:
        for row, column in np.ndindex(count, count):
            window = Window(int(lefts[column]), int(tops[row]), width, height)
            part = _read(dataset, source.grid, (band,), window, (height, width))
            y, x = row * side, column * side
            pixels.values[:, y : y + height, x : x + width] = part.values
            pixels.valid[:, y : y + height, x : x + width] = part.valid
    return pixels


def is_slow(source: ImageSource, view: View) -> bool:
    """Tell whether GDAL reads far more pixels for a view than it shows.

    So it is with a large raster without overviews, seen coarsely.
    """
    height, width = source.grid.shape_yx
    if source.grid.has_overviews or height * width <= MOST:
        return False
    left, bottom, right, top = moved_box(view.box, view.crs, source.grid.crs)
    across, down = source.pixel_size
    return min(height, (top - bottom) / down) * min(width, (right - left) / across) > MOST


def _blocks(shape_yx: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    height, width = shape_yx
    for top in range(0, height, BLOCK):
        for left in range(0, width, BLOCK):
            yield slice(top, min(top + BLOCK, height)), slice(left, min(left + BLOCK, width))


@dataclass(frozen=True)
class _Seen:
    """A window of the raster, perhaps coarser: pixels, and where its first row and column lie."""

    pixels: Pixels
    origin_yx: tuple[int, int]
    coarser_yx: tuple[float, float]
    shape_yx: tuple[int, int]


def _seen(
    dataset: DatasetReader, grid: Grid, bands: tuple[int, ...], at: tuple[np.ndarray, np.ndarray]
) -> _Seen | None:
    """Read the window that places lie in, about as fine as they lie; None if they lie outside."""
    spans = [_span(places, size) for places, size in zip(at, grid.shape_yx, strict=True)]
    if any(last < first for first, last in spans):
        return None
    factor = _coarser(at)
    (top, bottom), (left, right) = spans
    while (bottom - top + 1) * (right - left + 1) / factor**2 > MOST:
        factor *= 2
    top, left = max(0, top - 1) // factor * factor, max(0, left - 1) // factor * factor
    height = min(grid.shape_yx[0], -(-(bottom + 2) // factor) * factor) - top
    width = min(grid.shape_yx[1], -(-(right + 2) // factor) * factor) - left
    out = (-(-height // factor), -(-width // factor))
    pixels = _read(dataset, grid, bands, Window(left, top, width, height), out)
    return _Seen(pixels, (top, left), (height / out[0], width / out[1]), grid.shape_yx)


def _span(places: np.ndarray, size: int) -> tuple[int, int]:
    """Return the first and last pixel of a side that places lie in."""
    inside = places[(places >= 0) & (places < size)]
    return (int(inside.min()), int(inside.max())) if inside.size else (0, -1)


def _coarser(at: tuple[np.ndarray, np.ndarray]) -> int:
    """Return how much coarser than the raster neighbouring places lie: a power of two."""
    steps = [_step(at, axis) for axis in (0, 1)]
    finest = min((step for step in steps if step is not None), default=1.0)
    return 2 ** int(math.log2(max(finest, 1.0) * 1.001))


def _step(at: tuple[np.ndarray, np.ndarray], axis: int) -> float | None:
    """Return how far the places lie apart along an axis, mostly; from a few of them."""
    total = np.zeros(())
    for places in at:
        if places.shape[axis] > 1:
            few = tuple(slice(None, None, max(1, (size - 1) // 16)) for size in places.shape)
            with np.errstate(invalid="ignore"):
                total = np.hypot(total, np.diff(places, axis=axis)[few])
    total = total[np.isfinite(total)]
    return float(np.median(total)) if total.size and total.any() else None


def _read(
    dataset: DatasetReader, grid: Grid, bands: tuple[int, ...], window: Window, out: tuple[int, int]
) -> Pixels:
    numbers = [grid.numbers[band] for band in bands]
    values = dataset.read(numbers, window=window, out_shape=(len(numbers), *out))
    valid = np.ones(values.shape, bool)
    if grid.nodata is not None and not np.isnan(grid.nodata):
        valid &= values != grid.nodata
    if values.dtype.kind == "f":
        valid &= ~np.isnan(values)
    if grid.masked:
        valid &= dataset.read_masks(numbers[0], window=window, out_shape=out) > 0
    return Pixels(values, valid)


def _gather_nearest(seen: _Seen, at: tuple[np.ndarray, np.ndarray]) -> Pixels:
    """Take the pixel that each place lies in."""
    (rows, fine_rows), (columns, fine_columns) = (_indices(seen, at[axis], axis) for axis in (0, 1))
    values = seen.pixels.values[:, rows, columns]
    return Pixels(values, seen.pixels.valid[:, rows, columns] & (fine_rows & fine_columns))


def _indices(seen: _Seen, places: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the row (or column) of the window for each place, and whether it is in the raster."""
    inside = (places >= 0) & (places < seen.shape_yx[axis])
    own = (np.where(inside, places, 0) - seen.origin_yx[axis]) / seen.coarser_yx[axis]
    last = seen.pixels.values.shape[1 + axis] - 1
    return np.clip(own, 0, last).astype(np.intp), inside


def _gather_mixed(seen: _Seen, at: tuple[np.ndarray, np.ndarray]) -> Pixels:
    """Mix the four pixels around each place; those without data do not count."""
    nearest = _gather_nearest(seen, at)
    total = np.zeros(nearest.values.shape)
    weights = np.zeros(nearest.values.shape)
    for (rows, down), (columns, across) in _corners(seen, at):
        valid = seen.pixels.valid[:, rows, columns]
        weight = valid * (down * across)
        total += np.where(valid, seen.pixels.values[:, rows, columns], 0) * weight
        weights += weight
    mixed = np.divide(total, weights, out=np.zeros_like(total), where=weights > 0)
    if nearest.values.dtype.kind != "f":
        mixed = np.rint(mixed)
    return Pixels(mixed.astype(nearest.values.dtype), nearest.valid & (weights > 0))


def _corners(
    seen: _Seen, at: tuple[np.ndarray, np.ndarray]
) -> Iterator[tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]]:
    sides = []
    for axis in (0, 1):
        last = seen.pixels.values.shape[1 + axis] - 1
        own = (np.nan_to_num(at[axis], posinf=0, neginf=0) - seen.origin_yx[axis]) / (
            seen.coarser_yx[axis]
        ) - 0.5
        own = np.clip(own, 0, last)
        first = np.floor(own).astype(np.intp)
        share = own - first
        sides.append(((first, 1 - share), (np.minimum(first + 1, last), share)))
    for down in sides[0]:
        for across in sides[1]:
            yield down, across
