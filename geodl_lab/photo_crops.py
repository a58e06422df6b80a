"""The part of a photo that a model looks at: a rectangle, a polygon, without its background."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from affine import Affine

from geodl_lab.errors import OptionError
from geodl_lab.grid import Window

WHITE = 255

UNIFORM = 10
"""Levels by which a uniform background may differ from the corners, as JPEG makes it do."""


@dataclass(frozen=True)
class Part:
    """A part of a photo.

    Parameters
    ----------
    window
        Where it lies.
    pixels
        (band, y, x); white where ``inside`` is False.
    inside
        Which pixels count (y, x), bool; None is all.
    """

    window: Window
    pixels: xr.DataArray
    inside: np.ndarray | None = None


def crop(
    photo: xr.DataArray,
    *,
    area: Sequence[float] | None = None,
    polygon: Sequence[Sequence[float]] | None = None,
    crop_background: bool = False,
) -> Part:
    """Cut out a part of a photo (band, y, x); parameters and errors as of `answer_photo`."""
    part = Part(Window(0, 0, *photo.shape[1:]), photo)
    if area is not None:
        window = _touched(area, part.window, "area")
        part = Part(window, photo[:, *window.slices_yx])
    if polygon is not None:
        part = _inside(photo, polygon, part.window)
    return _without_background(part) if crop_background else part


def _touched(edges: Sequence[float], whole: Window, what: str) -> Window:
    """Return the pixels of ``whole`` that a rectangle touches."""
    try:
        # Rounded, so that an edge on a pixel's edge does not take in the next pixel.
        x0, y0, x1, y1 = (round(float(edge), 6) for edge in edges)
        x, y, right, bottom = math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1)
    except (TypeError, ValueError, OverflowError):
        x0 = y0 = x1 = y1 = x = y = right = bottom = 0
    x, right = max(x, whole.x), min(right, whole.right)
    y, bottom = max(y, whole.y), min(bottom, whole.bottom)
    if x0 < x1 and y0 < y1 and x < right and y < bottom:
        return Window(y, x, bottom - y, right - x)
    raise OptionError(
        f"the {what} {tuple(edges)} is no part of the {whole.width} x {whole.height} pixels from "
        f"({whole.x}, {whole.y}); give left, top, right, bottom that touch them, left < right and "
        "top < bottom"
    )


def _inside(photo: xr.DataArray, polygon: Sequence[Sequence[float]], whole: Window) -> Part:
    """Return the bounds of a polygon, white where a pixel's middle is outside."""
    from rasterio.features import geometry_mask  # noqa: PLC0415  (slow)

    try:
        points = np.array([(float(x), float(y)) for x, y in polygon]).reshape(-1, 2)
    except (TypeError, ValueError) as error:
        raise OptionError("a corner of the polygon is no pair of numbers x, y") from error
    if len(points) < 3 or not np.isfinite(points).all():
        raise OptionError(f"the polygon has {len(points)} corners; give 3 or more, finite numbers")
    bounds = (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())
    window = _touched(bounds, whole, "polygon's rectangle")
    ring = [*map(tuple, points.tolist()), tuple(points[0].tolist())]
    shape, at = {"type": "Polygon", "coordinates": [ring]}, Affine.translation(window.x, window.y)
    inside: np.ndarray = geometry_mask([shape], window.shape_yx, at, invert=True)
    if not inside.any():
        raise OptionError("the polygon holds the middle of no pixel; give a larger one")
    pixels = photo[:, *window.slices_yx]
    return Part(window, pixels.copy(data=np.where(inside, pixels.values, WHITE)), inside)


def _without_background(part: Part) -> Part:
    """Cut off the rows and columns at the edges that have the colour of all four corners."""
    found = _content(part.pixels.values)
    window = Window(part.window.y + found.y, part.window.x + found.x, *found.shape_yx)
    inside = None if part.inside is None else part.inside[*found.slices_yx]
    return Part(window, part.pixels[:, *found.slices_yx], inside)


def _content(pixels: np.ndarray) -> Window:
    """Return where an image (band, y, x) shows something; all of it if there is no background."""
    height, width = pixels.shape[1:]
    corners = pixels[:, [0, 0, -1, -1], [0, -1, 0, -1]].astype(int)  # (band, corner)
    levels = corners.max(axis=1) - UNIFORM, corners.min(axis=1) + UNIFORM
    top = _background(pixels.transpose(1, 0, 2), levels)
    if top == height:
        return Window(0, 0, height, width)
    bottom = height - _background(pixels[:, ::-1].transpose(1, 0, 2), levels)
    rows = pixels[:, top:bottom]
    left = _background(rows.transpose(2, 0, 1), levels)
    right = width - _background(rows[:, :, ::-1].transpose(2, 0, 1), levels)
    return Window(top, left, bottom - top, right - left)


def _background(lines: np.ndarray, levels: tuple[np.ndarray, np.ndarray]) -> int:
    """Count the first lines (line, band, place) whose values are all within some levels (band,)."""
    low, high = levels
    for number, line in enumerate(lines):
        if (line.min(axis=1) < low).any() or (line.max(axis=1) > high).any():
            return number
    return len(lines)
