"""Where things lie on a map: raster CRS, degrees or the plane of a photo, and pixels of a screen.

Leaflet counts in (longitude, latitude); on the plane of a photo these are x and -y in pixels, as
Leaflet's y goes up and rows go down. Where y of the plane goes up too (``up``: a raster without a
CRS that has a transform) they are x and y.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyproj
import shapely

from geodl_lab.errors import OptionError, first_line
from geodl_lab.maps.tiles import Screen

DEGREES = "EPSG:4326"
MOST_LATITUDE = 85.0511  # where the square map of the web ends
TILE = 256

Bounds = tuple[float, float, float, float]
"""West, south, east, north as Leaflet counts."""


@dataclass(frozen=True)
class Place:
    """A part of the map on a screen.

    Parameters
    ----------
    middle
        Longitude and latitude as Leaflet counts.
    zoom
        Leaflet's.
    size
        Width and height in pixels of the screen.
    plane
        True on the plane of a photo.
    """

    middle: tuple[float, float]
    zoom: float
    size: tuple[int, int]
    plane: bool = False

    @property
    def corner(self) -> tuple[float, float]:
        """Left and top in pixels of the whole map at this zoom."""
        x, y = to_pixels(np.array([self.middle]), self.zoom, plane=self.plane)[0]
        return float(x) - self.size[0] / 2, float(y) - self.size[1] / 2

    @property
    def bounds(self) -> Bounds:
        """What is seen."""
        x, y = self.corner
        corners = np.array([[x, y + self.size[1]], [x + self.size[0], y]])
        (west, south), (east, north) = from_pixels(corners, self.zoom, plane=self.plane).tolist()
        return west, south, east, north

    @property
    def screen(self) -> Screen:
        """The same in points of the whole map; Leaflet puts the corner on a whole one."""
        left, top = (math.floor(side + 0.5) for side in self.corner)
        return Screen(self.zoom, left, top, left + self.size[0], top + self.size[1])

    def on_screen(self, points: np.ndarray) -> np.ndarray:
        """Return x and y (down) in pixels of the screen of points (n, 2) as Leaflet counts."""
        return to_pixels(points, self.zoom, plane=self.plane) - self.corner


def to_pixels(points: np.ndarray, zoom: float, *, plane: bool) -> np.ndarray:
    """Return x and y (down) in pixels of the whole map of points (n, 2) as Leaflet counts."""
    x, y = np.asarray(points, dtype=float).T
    if plane:
        return np.stack([x, -y], axis=1) * 2.0**zoom
    sine = np.sin(np.radians(np.clip(y, -MOST_LATITUDE, MOST_LATITUDE)))
    down = 0.5 - np.log((1 + sine) / (1 - sine)) / (4 * math.pi)
    return np.stack([x / 360 + 0.5, down], axis=1) * TILE * 2.0**zoom


def from_pixels(pixels: np.ndarray, zoom: float, *, plane: bool) -> np.ndarray:
    """Return points (n, 2) as Leaflet counts of x and y (down) in pixels of the whole map."""
    if plane:
        return np.asarray(pixels, dtype=float) / 2.0**zoom * (1, -1)
    x, y = np.asarray(pixels, dtype=float).T / (TILE * 2.0**zoom)
    latitude = np.degrees(np.arctan(np.sinh(math.pi * (1 - 2 * y))))
    return np.stack([(x - 0.5) * 360, latitude], axis=1)


@lru_cache(maxsize=64)
def transformer(source: str, target: str) -> pyproj.Transformer:
    """Return what turns x, y of one CRS into those of another."""
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def crs_text(crs: Any) -> str:
    """Return a CRS in words that pyproj reads.

    Raises
    ------
    OptionError
        If it is none.
    """
    try:
        wkt = crs.to_wkt() if hasattr(crs, "to_wkt") else pyproj.CRS.from_user_input(crs).to_wkt()
    except pyproj.exceptions.CRSError as error:
        raise OptionError(
            f"{crs!r} is no coordinate reference system; give one as 'EPSG:26911' or da.rio.crs "
            f"({first_line(error)})"
        ) from error
    return str(wkt)


def to_map(points: np.ndarray, crs: Any, *, up: bool = False) -> np.ndarray:
    """Return points (n, 2) of a CRS, or of the plane where it is None, as Leaflet counts."""
    if crs is None:
        return np.asarray(points, dtype=float) * (1, 1 if up else -1)
    return np.stack(transformer(crs_text(crs), DEGREES).transform(*np.transpose(points)), axis=1)


def from_map(points: np.ndarray, crs: Any, *, up: bool = False) -> np.ndarray:
    """Return points (n, 2) as Leaflet counts in a CRS, or on the plane where it is None."""
    if crs is None:
        return np.asarray(points, dtype=float) * (1, 1 if up else -1)
    return np.stack(transformer(DEGREES, crs_text(crs)).transform(*np.transpose(points)), axis=1)


def bounds_of(points: np.ndarray) -> Bounds:
    """Return the bounds of the finite ones of some points (n, 2)."""
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return 0.0, 0.0, 0.0, 0.0
    (west, south), (east, north) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return west, south, east, north


def fitting(bounds: Bounds, size: tuple[int, int], *, plane: bool) -> Place:
    """Return the place that shows bounds, as near as whole zoom levels come."""
    west, south, east, north = bounds
    corners = to_pixels(np.array([[west, north], [east, south]]), 0, plane=plane)
    across, down = np.maximum(np.ptp(corners, axis=0), 1e-9).tolist()
    zoom = math.floor(math.log2(min(size[0] / across, size[1] / down)))
    middle = from_pixels(corners.mean(axis=0)[None], 0, plane=plane)[0].tolist()
    return Place((middle[0], middle[1]), min(zoom, 22), size, plane)


def geometry_to(geometry: shapely.Geometry, crs: Any, *, up: bool = False) -> shapely.Geometry:
    """Return a geometry as Leaflet counts in a CRS, or on the plane where it is None."""
    return shapely.transform(geometry, lambda points: from_map(points, crs, up=up))


def geometry_from(geometry: shapely.Geometry, crs: Any, *, up: bool = False) -> shapely.Geometry:
    """Return a geometry of a CRS, or of the plane where it is None, as Leaflet counts."""
    return shapely.transform(geometry, lambda points: to_map(points, crs, up=up))
