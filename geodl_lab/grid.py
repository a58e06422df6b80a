"""Which window of a raster computes which pixels: pure arithmetic on pixel indices.

Life of a grid: an `Axis` places windows in one direction from the raster's size alone, a `Grid`
joins two of them, and `Grid.tiles` lists the windows that an area needs. Nothing here knows of
chunks, areas or workers when it places a window, so the same pixel always comes from the same
window (design property 1), and cores partition the raster (property 3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from geodl_lab.errors import OptionError


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A rectangle of pixels, rows first; it may reach over the raster's rim.

    Parameters
    ----------
    y, x
        First row and column, in pixels.
    height, width
        Size in pixels, at least 0.
    """

    y: int
    x: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 0 or self.width < 0:
            raise OptionError(f"a window cannot have the size {self.height} x {self.width} pixels")

    @property
    def bottom(self) -> int:
        """First row below the window."""
        return self.y + self.height

    @property
    def right(self) -> int:
        """First column right of the window."""
        return self.x + self.width

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.height, self.width

    @property
    def slices_yx(self) -> tuple[slice, slice]:
        """Row and column slices into an array whose origin is the raster's."""
        return slice(self.y, self.bottom), slice(self.x, self.right)

    def __bool__(self) -> bool:
        """Tell whether the window holds any pixel."""
        return self.height > 0 and self.width > 0

    def intersect(self, other: Window) -> Window:
        """Return the common pixels; empty where there are none."""
        y, x = max(self.y, other.y), max(self.x, other.x)
        height = max(0, min(self.bottom, other.bottom) - y)
        width = max(0, min(self.right, other.right) - x)
        return Window(y, x, height, width)

    def relative_to(self, origin: Window) -> Window:
        """Return the same pixels counted from the first pixel of ``origin``."""
        return Window(self.y - origin.y, self.x - origin.x, self.height, self.width)


def hull(windows: Sequence[Window]) -> Window:
    """Return the smallest window that holds all of at least one."""
    y, x = min(w.y for w in windows), min(w.x for w in windows)
    bottom, right = max(w.bottom for w in windows), max(w.right for w in windows)
    return Window(y, x, bottom - y, right - x)


@dataclass(frozen=True, slots=True)
class Tile:
    """One forward: the ``window`` the model sees and the ``core`` pixels it owns."""

    window: Window
    core: Window


@dataclass(frozen=True, slots=True)
class Axis:
    """Windows along one direction of a raster.

    Parameters
    ----------
    size
        Pixels of the raster in this direction.
    window
        Pixels the model sees; a multiple of ``stride``.
    halo
        Context in pixels on each side of a core; a multiple of ``stride``.
    stride
        Phase of the net in pixels: windows and inner core edges start on multiples of it.
    clamped
        True keeps windows inside the raster padded to the stride, so that the net's own padding
        falls on the raster's edge. False lets them reach ``halo`` pixels over the rim.
    fixed
        True forbids a window smaller than ``window`` where the raster is smaller.
    """

    size: int
    window: int
    halo: int = 0
    stride: int = 1
    clamped: bool = True
    fixed: bool = False

    def __post_init__(self) -> None:
        if self.size < 1:
            raise OptionError(f"the raster has {self.size} pixels in one direction; it needs one")
        if self.window % self.stride or self.halo % self.stride:
            raise OptionError(
                f"window {self.window} and halo {self.halo} must be multiples of the model's "
                f"stride {self.stride} pixels"
            )
        if self.window <= 2 * self.halo and self.count > 1:
            raise OptionError(
                f"a window of {self.window} pixels has no core left inside a halo of {self.halo}; "
                f"take window={2 * self.halo + max(self.stride, 1)} or larger"
            )

    @property
    def padded(self) -> int:
        """Pixels after padding to the stride (and to a fixed window)."""
        padded = -(-self.size // self.stride) * self.stride
        return max(padded, self.window) if self.fixed else padded

    @property
    def length(self) -> int:
        """Pixels of every window in this direction."""
        return min(self.window, self.padded) if self.clamped else self.window

    @property
    def step(self) -> int:
        """Pixels from one window to the next."""
        return self.window - 2 * self.halo

    @property
    def count(self) -> int:
        """Number of windows."""
        if not self.clamped:
            return -(-self.size // max(self.step, 1))
        rest = self.padded - self.length
        return 1 + -(-rest // max(self.step, 1))

    def core(self, index: int) -> tuple[int, int]:
        """Return first and one past last pixel that window ``index`` owns."""
        offset = self.halo if self.clamped else 0
        start = offset + index * self.step if index else 0
        stop = offset + (index + 1) * self.step if index < self.count - 1 else self.size
        return start, stop

    def start(self, index: int) -> int:
        """Return the first pixel that window ``index`` sees; negative over the rim."""
        if self.clamped:
            return min(index * self.step, self.padded - self.length)
        return index * self.step - self.halo

    def indices(self, start: int, stop: int) -> range:
        """Return the windows whose cores hold any of the pixels ``start`` to ``stop``."""
        return range(self._owner(start), self._owner(stop - 1) + 1)

    def _owner(self, pixel: int) -> int:
        if self.count == 1:
            return 0
        offset = self.halo if self.clamped else 0
        return min(max(0, (pixel - offset) // self.step), self.count - 1)


@dataclass(frozen=True, slots=True)
class Grid:
    """The windows of a raster: one `Axis` down, one across."""

    rows: Axis
    columns: Axis

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Height and width of the raster in pixels."""
        return self.rows.size, self.columns.size

    @property
    def window_yx(self) -> tuple[int, int]:
        """Height and width in pixels of every window."""
        return self.rows.length, self.columns.length

    @property
    def whole(self) -> Window:
        """The raster as a window."""
        return Window(0, 0, *self.shape_yx)

    @property
    def count(self) -> int:
        """Number of windows of the whole raster."""
        return self.rows.count * self.columns.count

    @property
    def recompute(self) -> float:
        """Pixels computed per pixel of the raster: 1 would be no overlap at all."""
        height, width = self.window_yx
        return self.count * height * width / (self.rows.size * self.columns.size)

    def tile(self, row: int, column: int) -> Tile:
        """Return the window in grid position ``row``, ``column`` and the pixels it owns."""
        (top, bottom), (left, right) = self.rows.core(row), self.columns.core(column)
        window = Window(self.rows.start(row), self.columns.start(column), *self.window_yx)
        return Tile(window, Window(top, left, bottom - top, right - left))

    def windows(self, area: Window) -> int:
        """Return how many windows own a pixel of ``area``."""
        area = area.intersect(self.whole)
        rows = self.rows.indices(area.y, area.bottom) if area else range(0)
        return len(rows) * len(self.columns.indices(area.x, area.right)) if rows else 0

    def tiles(self, area: Window | None = None) -> Iterator[Tile]:
        """Yield the tiles whose cores hold a pixel of ``area``, row by row."""
        area = self.whole if area is None else area.intersect(self.whole)
        if not area:
            return
        for row in self.rows.indices(area.y, area.bottom):
            for column in self.columns.indices(area.x, area.right):
                yield self.tile(row, column)


def cut(axis: Axis, start: int, stop: int, side: int) -> list[int]:
    """Cut the pixels ``start`` to ``stop`` at core edges into chunks as near ``side`` as they come.

    The inner edges are among those of the whole axis, so that two overlapping areas have the same
    chunks where they agree.

    Returns
    -------
    list of int
        Edges in pixels, from ``start`` to ``stop``; every inner edge is the end of a core.
    """
    edges, last = [start], 0
    for index in range(axis.count - 1):
        end, following = axis.core(index)[1], axis.core(index + 1)[1]
        if abs(end - last - side) <= abs(following - last - side):
            last = end
            if start < end < stop:
                edges.append(end)
    return [*edges, stop]
