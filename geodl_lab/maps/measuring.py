"""Distances and areas on the ellipsoid (Karney's geodesics, by PROJ), not on the map's plane."""

from __future__ import annotations

import numpy as np
import pyproj

GEODESIC = pyproj.Geod(ellps="WGS84")


def measured(points: list[tuple[float, float]], *, plane: bool) -> str:
    """Say how long a line is and, from three points, which area it surrounds.

    Parameters
    ----------
    points
        Longitude and latitude in degrees; on the plane of a photo pixels.
    plane
        True on the plane of a photo.
    """
    x, y = np.array(points, dtype=float).reshape(-1, 2).T
    length, area = _on_plane(x, y) if plane else _on_earth(x, y)
    unit = pixels if plane else meters
    square = square_pixels if plane else square_meters
    if len(points) < 3:
        return f"Distance: {unit(length)}"
    return f"Distance: {unit(length)} · Area: {square(area)}"


def _on_earth(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    area = GEODESIC.polygon_area_perimeter(x, y)[0] if len(x) > 2 else 0.0
    return float(GEODESIC.line_length(x, y)), abs(float(area))


def _on_plane(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    area = float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
    return float(np.hypot(np.diff(x), np.diff(y)).sum()), abs(area)


def meters(length: float) -> str:
    """Return a length in m or km."""
    return f"{length / 1000:,.3f} km" if length >= 10_000 else f"{length:,.1f} m"


def square_meters(area: float) -> str:
    """Return an area in m², ha or km²."""
    if area >= 10_000_000:
        return f"{area / 1e6:,.2f} km²"
    return f"{area / 1e4:,.2f} ha" if area >= 10_000 else f"{area:,.1f} m²"


def pixels(length: float) -> str:
    """Return a length in pixels."""
    return f"{length:,.1f} px"


def square_pixels(area: float) -> str:
    """Return an area in pixels."""
    return f"{area:,.0f} px²"
