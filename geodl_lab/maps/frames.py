"""Where the points of a map's tiles lie in a raster.

Tiles are Leaflet's, 256 x 256 points, ``z``/``x``/``y`` counted from the north-west corner.

- A raster with a CRS is on the web map: EPSG:3857, as in the Web Map Tile Service's
  ``GoogleMapsCompatible`` tile matrix set (OGC 07-057r7, annex E.4).
- A photo, or a raster without a CRS, is on Leaflet's plane ``CRS.Simple``, one unit a screen point
  at zoom 0: longitude is x, that is the column of a photo, and latitude is minus its row. Where a
  raster without CRS has a transform, x and y are those of the transform, north up if it is.
"""

from __future__ import annotations

import functools
import math
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
from affine import Affine

from geodl_lab.grid import Window

TILE = 256
"""Points of a tile's side."""

RADIUS = 6378137.0
"""Of the sphere of EPSG:3857, in metres."""

WORLD = 2 * math.pi * RADIUS
"""Circumference of that sphere, in metres: the width of zoom 0."""

TOLERANCE = 0.02
"""How far a point that is interpolated may lie from where it is, in pixels of raster and screen."""

_TRANSFORMERS = threading.local()  # pyproj's are for one thread each


@dataclass(frozen=True, eq=False)
class Spots:
    """The pixel under each point of a tile.

    Parameters
    ----------
    rows, columns
        Of the nearest pixel (256, 256), int; -1 outside the raster.
    step
        Raster pixels from one point to the next.
    """

    rows: np.ndarray
    columns: np.ndarray
    step: float

    @functools.cached_property
    def inside(self) -> np.ndarray:
        """Where the raster lies (256, 256), bool."""
        return self.rows >= 0

    @functools.cached_property
    def area(self) -> Window:
        """The smallest window of the raster that holds all pixels; empty where there are none."""
        rows, columns = self.rows[self.inside], self.columns[self.inside]
        if not rows.size:
            return Window(0, 0, 0, 0)
        y, x = int(rows.min()), int(columns.min())
        return Window(y, x, int(rows.max()) - y + 1, int(columns.max()) - x + 1)


@dataclass(frozen=True, eq=False)
class Frame:
    """Where a raster lies on a map.

    Parameters
    ----------
    crs
        A `pyproj` or rasterio CRS, or None.
    transform
        Pixel corners to CRS units.
    shape_yx
        Height and width in pixels.
    """

    crs: Any
    transform: Affine
    shape_yx: tuple[int, int]

    @functools.cached_property
    def plane(self) -> bool:
        """Tell whether the raster is on ``CRS.Simple``: it has no CRS, or one with no place."""
        if self.crs is None:
            return True
        try:
            self._transformer()
        except pyproj.exceptions.ProjError:  # engineering, local
            return True
        return False

    def spots(self, z: int, x: int, y: int) -> Spots:
        """Return the nearest pixel of each point of a tile; never raises."""
        if not self._may_meet(z, x, y):
            nowhere = np.full((TILE, TILE), -1)
            return Spots(nowhere, nowhere, 1.0)
        columns, rows, step = self._points(z, x, y)
        height, width = self.shape_yx
        with np.errstate(invalid="ignore"):
            inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        rows, columns = (
            np.where(inside, np.floor(v), -1).astype(np.int64) for v in (rows, columns)
        )
        return Spots(rows, columns, step)

    def pixel_at(self, longitude: float, latitude: float) -> tuple[float, float] | None:
        """Return row and column (first corner of the first pixel is 0, 0), or None if nowhere.

        Parameters
        ----------
        longitude, latitude
            Degrees (WGS 84), or x and y of the plane.
        """
        if self.plane:
            columns, rows = self._on_plane(np.float64(longitude), np.float64(-latitude))
        else:
            x, y = mercator(longitude, latitude)
            columns, rows = self._projected((np.array([x]), np.array([y])), 10.0)
        row, column = float(np.squeeze(rows)), float(np.squeeze(columns))
        return (row, column) if math.isfinite(row) and math.isfinite(column) else None

    def places(self, rows: Any, columns: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return longitude and latitude (x and y of the plane) of pixel corners; NaN if nowhere."""
        x, y = _applied(self.transform, np.asarray(columns, float), np.asarray(rows, float))
        if self.plane:
            return x, y if self.up else -y
        x, y = self._transformer().transform(x, y, direction="INVERSE")
        longitude = np.degrees(x / RADIUS)
        latitude = np.degrees(2 * np.arctan(np.exp(y / RADIUS)) - math.pi / 2)
        gone = ~(np.isfinite(longitude) & np.isfinite(latitude))
        return np.where(gone, np.nan, longitude), np.where(gone, np.nan, latitude)

    @functools.cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in degrees (left, bottom, right, top of the plane).

        East is more than 180, or west less than -180, where the raster crosses the antimeridian.
        The whole world where the raster has no place on it.
        """
        height, width = self.shape_yx
        rows, columns = (np.linspace(0, size, 33) for size in (height, width))
        x, y = self.places(*np.meshgrid(rows, columns))
        if not self.plane:
            middle = self.places(height / 2, width / 2)[0]
            x = x - 360 * np.round((x - middle) / 360)
        known = np.isfinite(x) & np.isfinite(y)
        if not known.any():
            return -180.0, -85.0, 180.0, 85.0
        x, y = x[known], y[known]
        return float(x.min()), float(y.min()), float(x.max()), float(y.max())

    @property
    def native_zoom(self) -> int:
        """The zoom whose points are nearest to the raster's pixels in size."""
        height, width = self.shape_yx
        row, column = height / 2, width / 2
        x, y = self.places([row, row, row + 1], [column, column + 1, column])
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            return 0
        if self.plane:
            size, unit = math.sqrt(abs(self.transform.determinant)), 1.0
        else:
            flat = np.array([mercator(float(a), float(b)) for a, b in zip(x, y, strict=True)])
            across, down = flat[1] - flat[0], flat[2] - flat[0]
            size = math.sqrt(abs(across[0] * down[1] - across[1] * down[0]))
            unit = WORLD / TILE
        return round(math.log2(unit / size)) if size > 0 else 0

    @property
    def up(self) -> bool:
        """Tell whether y grows against the rows, as on maps; in a photo it grows with them."""
        return self.transform.determinant < 0

    @functools.cached_property
    def _definition(self) -> str:
        return self.crs.to_wkt()

    @functools.cached_property
    def _period(self) -> float:
        """Distance in x after which the world comes again; 0 where it does not."""
        crs = pyproj.CRS.from_wkt(self._definition)
        if crs.is_geographic and crs.axis_info and crs.axis_info[0].unit_name == "degree":
            return 360.0
        return WORLD if crs.to_epsg() == 3857 else 0.0

    def _may_meet(self, z: int, x: int, y: int) -> bool:
        """Tell whether a tile may hold a point of the raster; True where that is not sure."""
        if self.plane:
            return True
        west, south, east, north = self.bounds
        aside, above = (east - west) / 16, (north - south) / 16
        across, down = _web_points(z, x, y, np.array([0, TILE]))
        left, right = np.degrees(across[0] / RADIUS)
        top, bottom = np.degrees(2 * np.arctan(np.exp(down[:, 0] / RADIUS)) - math.pi / 2)
        turns = (
            left + turn < east + aside and right + turn > west - aside for turn in (-360, 0, 360)
        )
        return any(turns) and bottom < north + above and top > south - above

    def _transformer(self) -> pyproj.Transformer:
        """Return this thread's transformer from the web map to the raster's CRS."""
        known = _TRANSFORMERS.__dict__
        if self._definition not in known:
            crs = pyproj.CRS.from_wkt(self._definition)
            known[self._definition] = pyproj.Transformer.from_crs(3857, crs, always_xy=True)
        return known[self._definition]

    def _points(self, z: int, x: int, y: int) -> tuple[np.ndarray, np.ndarray, float]:
        """Return column and row (256, 256), float, of a tile's points, and the step."""
        if self.plane:
            across, down = ((i * TILE + np.arange(TILE) + 0.5) / 2.0**z for i in (x, y))
            columns, rows = self._on_plane(across[None, :], down[:, None])
            columns, rows = np.broadcast_arrays(columns, rows)
            return columns, rows, _step(columns, rows)
        for cells in (16, 64):
            found = self._interpolated(z, x, y, cells)
            if found is not None:
                return found
        points = _web_points(z, x, y, np.arange(TILE) + 0.5)
        columns, rows = self._projected(points, WORLD / TILE / 2.0**z)
        return columns, rows, _step(columns, rows)

    def _on_plane(self, x: Any, down: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return column and row of points of the plane, ``down`` counted from the top."""
        return _applied(~self.transform, x, -down if self.up else down)

    def _interpolated(
        self, z: int, x: int, y: int, cells: int
    ) -> tuple[np.ndarray, np.ndarray, float] | None:
        """Return what `_points` does, exact at corners of cells only; None if that is too far off.

        How far is measured by leaving every other corner out: half as many are four times as far
        off. The middles alone would not tell, because errors along x and y cancel there.
        """
        corners, unit = np.arange(cells + 1) * TILE / cells, WORLD / TILE / 2.0**z
        at = self._projected(_web_points(z, x, y, corners), unit)
        if not (np.isfinite(at[0]).all() and np.isfinite(at[1]).all()):
            return None
        half = max(float(np.abs(_between(v[::2, ::2], corners) - v).max()) for v in at)
        error = half / 4
        columns, rows = (_between(v, np.arange(TILE) + 0.5) for v in at)
        step = _step(columns, rows)
        return (columns, rows, step) if error <= TOLERANCE * min(1, step) else None

    def _projected(
        self, points: tuple[np.ndarray, np.ndarray], tolerance: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return column and row of points of the web map; NaN where the CRS does not hold.

        Beyond its domain a projection may answer any number: a point counts if it comes back to
        where it was, within ``tolerance`` metres.
        """
        transformer, (x, y) = self._transformer(), points
        there = transformer.transform(x, y)
        back = transformer.transform(*there, direction="INVERSE")
        with np.errstate(invalid="ignore", over="ignore"):
            away = (back[0] - x + WORLD / 2) % WORLD - WORLD / 2
            lost = ~((np.abs(away) <= tolerance) & (np.abs(back[1] - y) <= tolerance))
            x, y = (np.where(lost, np.nan, values) for values in there)
            if self._period:
                height, width = self.shape_yx
                middle, _ = self.transform * (width / 2, height / 2)
                x = x - np.round((x - middle) / self._period) * self._period
            return _applied(~self.transform, x, y)


def mercator(longitude: float, latitude: float) -> tuple[float, float]:
    """Return x and y in EPSG:3857 of degrees; latitudes beyond 89.9 are taken for that."""
    latitude = min(max(latitude, -89.9), 89.9)
    y = math.log(math.tan(math.pi / 4 + math.radians(latitude) / 2))
    return RADIUS * math.radians(longitude), RADIUS * y


def _web_points(z: int, x: int, y: int, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y (n, n) in EPSG:3857 of places in a tile, in points from its corner."""
    unit = WORLD / TILE / 2.0**z
    across, down = np.meshgrid(x * TILE + points, y * TILE + points)
    return across * unit - WORLD / 2, WORLD / 2 - down * unit


def _applied(transform: Affine, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return a transform's answer for arrays, which affine's type hints do not know."""
    a, b, c, d, e, f = transform[:6]
    return a * x + b * y + c, d * x + e * y + f


def _between(corners: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Interpolate values at corners of a tile's cells (n, n) at places along both sides.

    Without matrix products: the threads of a BLAS would wait for those of a model.
    """
    place = points * (len(corners) - 1) / TILE
    first = np.minimum(place.astype(int), len(corners) - 2)
    share = place - first
    down = corners[first] + share[:, None] * (corners[first + 1] - corners[first])
    return down[:, first] + share * (down[:, first + 1] - down[:, first])


def _step(columns: np.ndarray, rows: np.ndarray) -> float:
    """Return the pixels from one point of a tile to the next, in the direction where it is more."""
    with np.errstate(invalid="ignore"):
        across = np.hypot(np.diff(columns[::16], axis=1), np.diff(rows[::16], axis=1))
        down = np.hypot(np.diff(columns[:, ::16], axis=0), np.diff(rows[:, ::16], axis=0))
    known = [v[np.isfinite(v)] for v in (across, down)]
    return max((float(np.median(v)) for v in known if v.size), default=1.0)
