"""Places of a view's pixels in a raster: rows and columns, also rotated or on another map."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from pyproj import CRS

from geodl_lab.server.arcgis.image_places import moved
from geodl_lab.server.arcgis.image_sources import ImageSource

STEP = 16
"""Pixels between those places of a view that are transformed; others lie between them."""

TOLERANCE = 0.05
"""How wrong a place between two others may be, in pixels of the raster or of the view."""


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


def to_pixels(source: ImageSource, xy: np.ndarray) -> np.ndarray:
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


def places_of(
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
        at = to_pixels(source, xy)
        return at[: len(middles_y), 1, None], at[None, : len(middles_x), 0]
    at = _between(source, view, middles_y, middles_x)
    return at[..., 1], at[..., 0]


def _exact(source: ImageSource, view: View, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return (row, column, xy) of the raster at each row and column of a view."""
    x, y = np.broadcast_arrays(view.x(columns)[None, :], view.y(rows)[:, None])
    xy = np.stack([x, y], axis=-1).reshape(-1, 2)
    at = to_pixels(source, moved(xy, view.crs, source.grid.crs))
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
