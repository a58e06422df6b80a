"""Chips: one small image for each feature of a raster, side by side as a source for the engine.

Chip ``i`` is the window at column ``i * width`` of a raster that exists nowhere; so the engine
batches, reports and cancels chips as it does windows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import rasterio.features
import shapely
from affine import Affine

from geodl_lab.cells import FINEST
from geodl_lab.errors import OptionError
from geodl_lab.fits import Fitted, Size, place
from geodl_lab.grid import Window
from geodl_lab.inference import Source
from geodl_lab.inputs import Fit, InputSpec
from geodl_lab.nodata import reflect_fill, valid_pixels


@dataclass(frozen=True)
class Chips:
    """Chips of features; a source without nodata, which is filled by reflection.

    Parameters
    ----------
    source
        Pixels of the raster.
    windows
        Pixels of each feature; where ``fixed`` they may reach over the raster's rim.
    size_yx
        Height and width of every chip in pixels.
    inputs
        What the model wants.
    fixed
        Whether the chip of each feature is its window, or its window resized.
    outlines
        In pixels of the raster, of features beyond whose outline pixels become 0; or None.
    """

    source: Source
    windows: tuple[Window, ...]
    size_yx: Size
    inputs: InputSpec
    fixed: tuple[bool, ...]
    outlines: tuple[shapely.Geometry, ...] | None = None

    @property
    def shape_yx(self) -> Size:
        """Height and width in pixels of all chips side by side."""
        return self.size_yx[0], self.size_yx[1] * len(self.windows)

    @property
    def nodata(self) -> None:
        """No value means no data."""
        return

    @property
    def bands(self) -> tuple[int, ...]:
        """Which bands of the raster these are, from 0."""
        return self.source.bands

    @property
    def readers(self) -> int:
        """Threads that may call `read` at one time."""
        return self.source.readers

    def read(self, window: Window) -> np.ndarray:
        """Return the values (band, y, x) of the chip at a window; NaN if it holds no data."""
        index = window.x // self.size_yx[1]
        seen = self.windows[index]
        chip = self._cut(seen) if self.fixed[index] else self._resized(seen)
        outline = None if self.outlines is None else self.outlines[index]
        if outline is None or outline.area == 0:  # a point or a line has no outside
            return chip
        return np.where(self._outside(outline, index), chip.dtype.type(0), chip)

    def _cut(self, seen: Window) -> np.ndarray:
        """Return the pixels of a window, mirrored over the raster's rim."""
        inside = seen.intersect(Window(0, 0, *self.source.shape_yx))
        stored = self.source.read(inside)
        chip = np.zeros((len(stored), *seen.shape_yx), stored.dtype)
        valid = np.zeros(seen.shape_yx, dtype=bool)
        place_yx = inside.relative_to(seen).slices_yx
        chip[:, *place_yx] = stored
        valid[place_yx] = valid_pixels(stored, self.source.nodata)
        if not valid.any():
            return np.full(chip.shape, np.nan, np.float32)
        return chip if valid.all() else reflect_fill(chip, valid)

    def _resized(self, seen: Window) -> np.ndarray:
        placed = place(seen.shape_yx, Fit("squash", *self.size_yx))
        return Fitted(self.source, seen, placed, self.inputs).image

    def _outside(self, outline: shapely.Geometry, index: int) -> np.ndarray:
        """Tell which pixels of a chip (y, x) have their middle outside an outline."""
        seen = self.windows[index]
        y, x = (n / m for n, m in zip(seen.shape_yx, self.size_yx, strict=True))
        transform = Affine(x, 0, seen.x, 0, y, seen.y)
        inside = rasterio.features.rasterize([outline], self.size_yx, transform=transform)
        return inside == 0


def cut_chips(
    shapes: np.ndarray, source: Source, size_yx: Size, *, inputs: InputSpec, fixed: bool
) -> Chips:
    """Lay a chip over each feature.

    Parameters
    ----------
    shapes
        Geometries in pixels of the raster, shape (feature,); none missing or empty.
    source
        Pixels of the raster.
    size_yx
        Height and width of every chip in pixels.
    inputs
        What the model wants.
    fixed
        True cuts chips of that size round the middles of the features' bounds; False takes the
        bounds, widened to whole pixels, and resizes them. A point has no bounds and is cut out.

    Raises
    ------
    OptionError
        If a feature lies outside the raster; the message says how many do.
    """
    x0, y0, x1, y1 = shapely.bounds(shapes).T
    cut = [fixed or (a == c and b == d) for a, b, c, d in zip(x0, y0, x1, y1, strict=True)]
    whole = Window(0, 0, *source.shape_yx)
    touched = [_touched(*edges) for edges in zip(x0, y0, x1, y1, strict=True)]
    centred = [_centred(y, x, size_yx) for y, x in zip((y0 + y1) / 2, (x0 + x1) / 2, strict=True)]
    windows = [
        around if alone else _grown(bounds.intersect(whole), size_yx, whole)
        for around, bounds, alone in zip(centred, touched, cut, strict=True)
    ]
    pairs = zip(touched, windows, strict=True)
    outside = sum(not (a.intersect(whole) and b.intersect(whole)) for a, b in pairs)
    if outside:
        raise OptionError(
            f"{outside} of {len(shapes)} features lie outside the raster, which has "
            f"{whole.height} x {whole.width} pixels; leave them out, or check their CRS"
        )
    return Chips(source, tuple(windows), size_yx, inputs, tuple(cut))


def _touched(x0: float, y0: float, x1: float, y1: float) -> Window:
    """Return the pixels that bounds touch, at least one."""
    left, top = math.floor(x0), math.floor(y0)
    right, bottom = max(math.ceil(x1), left + 1), max(math.ceil(y1), top + 1)
    return Window(top, left, bottom - top, right - left)


def _centred(y: float, x: float, size_yx: Size) -> Window:
    height, width = size_yx
    return Window(math.floor(y - height / 2 + 0.5), math.floor(x - width / 2 + 0.5), *size_yx)


def _grown(window: Window, size_yx: Size, whole: Window) -> Window:
    """Return a window inside the raster with the least pixels that can be resized to a size."""
    if not window:
        return window
    (y, height), (x, width) = (
        _side(*side)
        for side in zip((window.y, window.x), window.shape_yx, size_yx, whole.shape_yx, strict=True)
    )
    return Window(y, x, height, width)


def _side(start: int, length: int, size: int, pixels: int) -> tuple[int, int]:
    side = min(max(length, math.ceil(FINEST * size)), pixels)
    return min(max(start - (side - length) // 2, 0), pixels - side), side
