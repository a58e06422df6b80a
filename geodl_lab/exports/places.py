"""Where chips lie: in rows over a frame, or one round each feature; each at several angles.

Chips in rows begin in the frame's first pixel. The last of a row, and the last row, are moved
inwards to the frame's edge, so every chip is full of the raster's pixels; only a frame that is
smaller than a chip is padded, at the right and at the bottom. Chips round features lie where the
features are and are padded where they reach over the edge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from affine import Affine

from geodl_lab.errors import OptionError
from geodl_lab.exports.options import LARGEST_SIDE, Size
from geodl_lab.grid import Window

MOST = 20_000_000
"""Places that an export may have to look at."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one chip lies in its frame.

    Parameters
    ----------
    window
        In pixels of the frame, before it is turned; it may reach over the edge.
    angle
        Degrees that it is turned round its middle, so that the picture turns counter-clockwise.
    feature
        Index of the feature that it is cut round; -1 of a chip in a row.
    """

    window: Window
    angle: float = 0.0
    feature: int = -1

    @property
    def shape_yx(self) -> Size:
        """Height and width in pixels."""
        return self.window.shape_yx

    @property
    def to_frame(self) -> Affine:
        """Turns pixel corners of the chip into pixel corners of the frame."""
        window = self.window
        shift = Affine.translation(window.x, window.y)
        if not self.angle:
            return shift
        return shift * Affine.rotation(self.angle, (window.width / 2, window.height / 2))

    @property
    def outline(self) -> shapely.Polygon:
        """The chip's edge in pixels of the frame."""
        height, width = self.shape_yx
        corners = ((0, 0), (width, 0), (width, height), (0, height))
        return shapely.Polygon([self.to_frame * corner for corner in corners])


@dataclass(frozen=True)
class Places:
    """All places of a frame, counted place by place and then angle by angle.

    Parameters
    ----------
    windows
        Windows round features, or None.
    starts_y, starts_x
        First rows and columns of chips in rows.
    tile_yx
        Their size.
    angles
        As in `ExportOptions`.
    """

    angles: tuple[float, ...]
    tile_yx: Size
    starts_y: tuple[int, ...] = ()
    starts_x: tuple[int, ...] = ()
    windows: tuple[Window, ...] | None = None

    def __len__(self) -> int:
        """Return how many there are."""
        spots = (
            len(self.starts_y) * len(self.starts_x) if self.windows is None else len(self.windows)
        )
        return spots * len(self.angles)

    def __getitem__(self, index: int) -> Place:
        """Return one of them."""
        spot, turn = divmod(index, len(self.angles))
        if self.windows is not None:
            return Place(self.windows[spot], self.angles[turn], spot)
        row, column = divmod(spot, len(self.starts_x))
        window = Window(self.starts_y[row], self.starts_x[column], *self.tile_yx)
        return Place(window, self.angles[turn])


def in_rows(shape_yx: Size, tile_yx: Size, stride_yx: Size, angles: tuple[float, ...]) -> Places:
    """Return chips over all of a frame.

    Raises
    ------
    OptionError
        If they are too many.
    """
    counts = [
        1 + max(0, -(-(size - tile) // stride))
        for size, tile, stride in zip(shape_yx, tile_yx, stride_yx, strict=True)
    ]
    check_count(math.prod(counts) * len(angles))
    rows, columns = (
        tuple(max(0, min(index * stride, size - tile)) for index in range(count))
        for count, size, tile, stride in zip(counts, shape_yx, tile_yx, stride_yx, strict=True)
    )
    return Places(angles, tile_yx, rows, columns)


def round_features(
    shapes: Sequence[shapely.Geometry] | np.ndarray,
    tile_yx: Size,
    angles: tuple[float, ...],
    *,
    fixed: bool,
    shape_yx: Size,
) -> Places:
    """Return a chip for each feature.

    Parameters
    ----------
    shapes
        In pixels of the frame, none empty.
    tile_yx
        Size of the chips, where they are ``fixed`` or the feature is a point.
    angles
        As in `ExportOptions`.
    fixed
        False cuts the pixels that the feature's bounds touch.
    shape_yx
        Of the frame, beyond which no bounds are cut.
    """
    check_count(len(shapes) * len(angles))
    whole = Window(0, 0, *shape_yx)
    bounds = shapely.bounds(np.asarray(shapes, dtype=object)).reshape(-1, 4).tolist()
    windows = tuple(
        _centred(edges, tile_yx) if fixed or edges[:2] == edges[2:] else _touched(edges, whole)
        for edges in bounds
    )
    return Places(angles, tile_yx, windows=windows)


def check_count(count: int) -> None:
    """Refuse an export that nobody can want.

    Raises
    ------
    OptionError
        If there are more than `MOST` places.
    """
    if count > MOST:
        raise OptionError(
            f"these options make {count} places for chips, more than the {MOST} possible; take "
            "larger tiles, a larger stride, a larger rotation angle or a smaller extent"
        )


def _centred(edges: list[float], tile_yx: Size) -> Window:
    x0, y0, x1, y1 = edges
    height, width = tile_yx
    top = math.floor((y0 + y1) / 2 - height / 2 + 0.5)
    return Window(top, math.floor((x0 + x1) / 2 - width / 2 + 0.5), *tile_yx)


def _touched(edges: list[float], whole: Window) -> Window:
    x0, y0, x1, y1 = edges
    left, top = math.floor(x0), math.floor(y0)
    width, height = max(1, math.ceil(x1) - left), max(1, math.ceil(y1) - top)
    window = Window(top, left, height, width).intersect(whole)
    if not window:
        return Window(top, left, 1, 1)  # outside: nothing will be read there
    if max(window.shape_yx) > LARGEST_SIDE:
        raise OptionError(
            f"a feature covers {window.height} x {window.width} pixels, and a chip has at most "
            f"{LARGEST_SIDE} in one direction; cut chips of a fixed size, or split it"
        )
    return window
