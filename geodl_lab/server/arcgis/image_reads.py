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
from geodl_lab.server.arcgis.image_places import moved
from geodl_lab.server.arcgis.image_sources import Grid, ImageSource

BLOCK = 512
"""Side in pixels of what is computed at a time."""

STEP = 16
"""Pixels between those places of a view that are transformed; others lie between them."""

TOLERANCE = 0.05
"""How wrong a place between two others may be, in pixels of the raster or of the view."""

MOST = 2**24
"""Pixels of a band that are read at a time; more are read coarser."""


@dataclass(frozen=True)
class View:
    """A part of a map as pixels, north up.

    Parameters
    ----------
    box
        Left, bottom, right, top in units of the CRS.
    crs
        None for pixels of a raster that lies nowhere.
    shape_yx
        Height and width in pixels.
    """

    box: tuple[float, ...]
    crs: CRS | None
    shape_yx: tuple[int, int]

    @property
    def cell_xy(self) -> tuple[float, float]:
        """Width and height of a pixel."""
        left, bottom, right, top = self.box
        return (right - left) / self.shape_yx[1], (top - bottom) / self.shape_yx[0]

    def x(self, columns: np.ndarray) -> np.ndarray:
        """Return the x of columns; those of pixels' middles end on .5."""
        return self.box[0] + columns * self.cell_xy[0]

    def y(self, rows: np.ndarray) -> np.ndarray:
        """Return the y of rows."""
        return self.box[3] - rows * self.cell_xy[1]


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
            at = _places(source, view, rows, columns)
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
    columns, rows = _to_pixels(source, moved(xy, crs, source.grid.crs)).T
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


def _blocks(shape_yx: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    height, width = shape_yx
    for top in range(0, height, BLOCK):
        for left in range(0, width, BLOCK):
            yield slice(top, min(top + BLOCK, height)), slice(left, min(left + BLOCK, width))


def _to_pixels(source: ImageSource, xy: np.ndarray) -> np.ndarray:
    """Return places (..., xy) of the raster's CRS as its (..., column and row), middles on .5."""
    inverse = ~source.grid.transform
    x, y = _wrapped(source, xy[..., 0]), xy[..., 1]
    with np.errstate(invalid="ignore", over="ignore"):  # 0 * infinity
        columns = inverse.a * x + inverse.b * y + inverse.c
        rows = inverse.d * x + inverse.e * y + inverse.f
    return np.stack([columns, rows], axis=-1)


def _wrapped(source: ImageSource, x: np.ndarray) -> np.ndarray:
    """Return x within half a turn of the raster's middle: 190 degrees are -170."""
    turn = source.grid.turn
    if not turn:
        return x
    left, _, right, _ = source.box
    start = (left + right - turn) / 2
    inside = (x >= start) & (x <= start + turn)
    with np.errstate(invalid="ignore"):
        return np.where(inside, x, start + (x - start) % turn)


def _places(
    source: ImageSource, view: View, rows: slice, columns: slice
) -> tuple[np.ndarray, np.ndarray]:
    """Return the raster's rows and columns at the middles of a block: arrays (y, x).

    Without another CRS and rotation they are (y, 1) and (1, x).
    """
    middles_y = np.arange(rows.start, rows.stop) + 0.5
    middles_x = np.arange(columns.start, columns.stop) + 0.5
    grid = source.grid
    if view.crs == grid.crs and grid.transform.is_rectilinear and grid.transform.b == 0:
        count = max(len(middles_x), len(middles_y))
        xy = np.full((count, 2), (view.box[0], view.box[3]), float)
        xy[: len(middles_x), 0] = view.x(middles_x)
        xy[: len(middles_y), 1] = view.y(middles_y)
        at = _to_pixels(source, xy)
        return at[: len(middles_y), 1, None], at[None, : len(middles_x), 0]
    at = _between(source, view, middles_y, middles_x)
    return at[..., 1], at[..., 0]


def _exact(source: ImageSource, view: View, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return (row, column, xy) of the raster at each row and column of a view."""
    x, y = np.broadcast_arrays(view.x(columns)[None, :], view.y(rows)[:, None])
    xy = np.stack([x, y], axis=-1).reshape(-1, 2)
    at = _to_pixels(source, moved(xy, view.crs, source.grid.crs))
    return at.reshape(len(rows), len(columns), 2)


def _between(source: ImageSource, view: View, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """As `_exact`, from few places as long as that is good enough."""
    knots_y, knots_x = _knots(rows), _knots(columns)
    knots = _exact(source, view, knots_y, knots_x)
    middle_y, middle_x = (knots_y[:-1] + knots_y[1:]) / 2, (knots_x[:-1] + knots_x[1:]) / 2
    checked = _exact(source, view, middle_y, middle_x)
    with np.errstate(invalid="ignore"):
        wrong = np.abs(_mixed(knots_y, middle_y, knots, knots_x, middle_x) - checked).max()
        pixel = np.abs(np.diff(knots, axis=1)).max() / STEP
    if np.isfinite(wrong) and wrong <= TOLERANCE * max(1.0, pixel):
        return _mixed(knots_y, rows, knots, knots_x, columns)
    return _exact(source, view, rows, columns)


def _knots(at: np.ndarray) -> np.ndarray:
    count = max(2, math.ceil((at[-1] - at[0]) / STEP) + 1)
    return np.linspace(at[0], at[-1] + (len(at) == 1), count)


def _mixed(
    knots_y: np.ndarray,
    rows: np.ndarray,
    knots: np.ndarray,
    knots_x: np.ndarray,
    columns: np.ndarray,
) -> np.ndarray:
    """Return what lies between knots (row, column, xy), linearly in both directions."""
    (above, low), (left, right) = _shares(knots_y, rows), _shares(knots_x, columns)
    low, right = low[:, None, None], right[None, :, None]
    down = knots[above] * (1 - low) + knots[above + 1] * low
    return np.asarray(down[:, left] * (1 - right) + down[:, left + 1] * right)


def _shares(knots: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the knot before each place, and the share of the knot behind it."""
    step = (at - knots[0]) / (knots[1] - knots[0])
    before = np.clip(step.astype(np.intp), 0, len(knots) - 2)
    return before, step - before


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
