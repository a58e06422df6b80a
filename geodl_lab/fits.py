"""How a whole image is brought to the size that a net takes, and where its pixels then lie.

The image is scaled by the engine's own antialiasing resampler (see `cells`), read part by part, so
that a large raster costs no memory. Scaled sides are rounded to whole pixels; what is cut off or
filled is shared by both sides, the odd pixel last.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from affine import Affine

from geodl_lab.cells import FINEST, CellAxis, Cells
from geodl_lab.errors import RasterError
from geodl_lab.grid import Window
from geodl_lab.inference import Source
from geodl_lab.inputs import Fit, InputSpec
from geodl_lab.nodata import reflect_fill, valid_pixels
from geodl_lab.resample import Resampled

Size = tuple[int, int]
"""Height and width in pixels."""


@dataclass(frozen=True, slots=True)
class Placement:
    """An image in the frame of what a net sees.

    Parameters
    ----------
    image_yx
        Size of the image.
    scaled_yx
        Its size in pixels of the net.
    shape_yx
        Size of what the net sees.
    """

    image_yx: Size
    scaled_yx: Size
    shape_yx: Size

    def __post_init__(self) -> None:
        pairs = zip(self.image_yx, self.scaled_yx, strict=True)
        if any(pixels < FINEST * scaled for pixels, scaled in pairs):
            (height, width), (h, w) = self.image_yx, self.scaled_yx
            raise RasterError(
                f"an image of {height} x {width} pixels is too small to be brought to {h} x {w}; "
                f"give one of at least {math.ceil(FINEST * h)} x {math.ceil(FINEST * w)}"
            )

    @property
    def corner_yx(self) -> Size:
        """Where the scaled image begins, in pixels of the net; negative where it is cut off."""
        (height, width), (scaled_y, scaled_x) = self.shape_yx, self.scaled_yx
        return (height - scaled_y) // 2, (width - scaled_x) // 2

    @property
    def content(self) -> Window:
        """The pixels of the net that show the image."""
        return Window(*self.corner_yx, *self.scaled_yx).intersect(Window(0, 0, *self.shape_yx))

    @property
    def cells(self) -> Cells:
        """The scaled image as cells over the image's pixels."""
        sides = zip(self.image_yx, self.scaled_yx, strict=True)
        rows, columns = (CellAxis(pixels, pixels / scaled) for pixels, scaled in sides)
        return Cells(rows, columns, self.transform, None)

    @property
    def transform(self) -> Affine:
        """Pixel corners of the net to those of the image."""
        y, x = (n / m for n, m in zip(self.image_yx, self.scaled_yx, strict=True))
        top, left = self.corner_yx
        return Affine(x, 0, -left * x, 0, y, -top * y)


def place(image_yx: Size, fit: Fit | None) -> Placement:
    """Say where an image lies in what a net sees; None takes its pixels as they are.

    Raises
    ------
    RasterError
        If the image is smaller than a hundredth of what it would become.
    """
    if fit is None:
        return Placement(image_yx, image_yx, image_yx)
    size = fit.height, fit.width
    if fit.kind == "squash":
        return Placement(image_yx, size, size)
    if fit.kind == "network":
        scaled = _scaled(image_yx, max(size) / max(image_yx))
        return Placement(image_yx, scaled, scaled)
    factors = [n / m for n, m in zip(size, image_yx, strict=True)]
    factor = max(factors) if fit.kind == "crop" else min(factors)
    return Placement(image_yx, _scaled(image_yx, factor), size)


def _scaled(image_yx: Size, factor: float) -> Size:
    height, width = (max(1, int(side * factor + 0.5)) for side in image_yx)
    return height, width


@dataclass(frozen=True)
class Excerpt:
    """A window of another source as a source of its own.

    Parameters
    ----------
    source
        Where the pixels are.
    window
        Which of them.
    """

    source: Source
    window: Window

    @property
    def shape_yx(self) -> Size:
        """Height and width in pixels."""
        return self.window.shape_yx

    @property
    def nodata(self) -> float | None:
        """The stored value that means no data, or None."""
        return self.source.nodata

    @property
    def bands(self) -> tuple[int, ...]:
        """Which bands of the raster these are, from 0."""
        return self.source.bands

    @property
    def readers(self) -> int:
        """Threads that may call `read` at one time."""
        return self.source.readers

    def read(self, window: Window) -> np.ndarray:
        """Return stored values (band, y, x) of a window of the excerpt."""
        y, x = self.window.y + window.y, self.window.x + window.x
        return self.source.read(Window(y, x, *window.shape_yx))


@dataclass(frozen=True)
class Fitted:
    """An image as a net sees it; a source without nodata, which is filled by reflection.

    Parameters
    ----------
    source
        Pixels of the raster.
    window
        The image: which of them.
    placed
        Where it lies in what the net sees.
    inputs
        What the net wants; its pixel type says what white is.
    """

    source: Source
    window: Window
    placed: Placement
    inputs: InputSpec

    @property
    def shape_yx(self) -> Size:
        """Height and width of what the net sees."""
        return self.placed.shape_yx

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
        """Threads that may call `read` at one time; the first makes the image for all."""
        return 1

    def read(self, window: Window) -> np.ndarray:
        """Return values (band, y, x) of a window of what the net sees."""
        return self.image[:, *window.slices_yx]

    @functools.cached_property
    def image(self) -> np.ndarray:
        """All that the net sees, (band, y, x) in the stored dtype; NaN if there is no data."""
        seen, (top, left) = self.placed.content, self.placed.corner_yx
        scaled = Resampled(Excerpt(self.source, self.window), self.placed.cells)
        stored = scaled.read(Window(seen.y - top, seen.x - left, *seen.shape_yx))
        valid = valid_pixels(stored, self.source.nodata)
        if not valid.any():
            return np.full((len(stored), *self.shape_yx), np.nan, np.float32)
        stored = stored if valid.all() else reflect_fill(stored, valid)
        height, width = self.shape_yx
        rim = (seen.y, height - seen.bottom), (seen.x, width - seen.right)
        return np.pad(stored, ((0, 0), *rim), constant_values=white(stored.dtype, self.inputs))


def white(stored: np.dtype, inputs: InputSpec) -> float:
    """Return the stored value of white: the largest integer of the model's pixel type, or 1."""
    dtype = np.dtype(inputs.dtype) if inputs.dtype is not None else stored
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0
