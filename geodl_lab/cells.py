"""The grid of cells that a model was made for, laid over a raster: which pixels make which cell.

Cells begin at the raster's first corner and keep its axes, rotation included. A cell is a weighted
sum of pixels, and the weights follow from the cell's index alone (triangle filter, widened to the
cell where cells are larger than pixels), so a cell is the same whatever window it is read in.
odc-geo's ``zoom_to`` turns south-up rasters over and ``zoom_out`` knows one factor for both axes;
that is why the grid is made here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine

from geodl_lab.checks import is_number
from geodl_lab.errors import OptionError
from geodl_lab.grid import Window
from geodl_lab.raster import Raster

FINEST = 0.01
"""Least side of a cell in pixels: a hundred cells from one pixel show nothing new."""


@dataclass(frozen=True, slots=True)
class CellAxis:
    """Cells along one direction of a raster.

    Parameters
    ----------
    pixels
        Pixels of the raster in this direction.
    factor
        Side of a cell in pixels, fractions allowed.
    """

    pixels: int
    factor: float

    def __post_init__(self) -> None:
        if self.pixels < 1 or not FINEST * (1 - 1e-9) <= self.factor <= self.pixels:
            raise OptionError(
                f"cells of {self.factor:g} pixels are not possible where the raster has "
                f"{self.pixels}; give {FINEST:g} to {self.pixels} pixels a cell"
            )

    @property
    def size(self) -> int:
        """Cells that cover all pixels; a thousandth of a cell is rounding and gets none."""
        return max(1, math.ceil(self.pixels / self.factor - 1e-3))

    def taps(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the pixels that make the cells ``start`` to ``stop``, and how much they count.

        Returns
        -------
        tuple of numpy.ndarray
            Pixel indices (cell, tap), int64, and weights (cell, tap), float64: 0 where a tap does
            not count or lies outside the raster; those of a cell sum to 1.
        """
        reach = max(self.factor, 1.0)
        centre = (np.arange(start, stop)[:, None] + 0.5) * self.factor  # (cell, 1)
        first = np.floor(centre - reach - 0.5).astype(np.int64) + 1
        index = first + np.arange(math.ceil(2 * reach) + 1)  # (cell, tap)
        weight = 1 - np.abs(index + 0.5 - centre) / reach
        # Less than 1e-9 is the rounding of a 0, and would cost a row of pixels.
        weight[(weight < 1e-9) | (index < 0) | (index >= self.pixels)] = 0
        return index, weight / np.cumsum(weight, axis=1)[:, -1:]  # summed one by one, in order

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """Return first and one past last pixel that the cells ``start`` to ``stop`` need."""
        (top, first), (bottom, last) = self.taps(start, start + 1), self.taps(stop - 1, stop)
        return int(top[first > 0].min()), int(bottom[last > 0].max()) + 1

    def beneath(self, start: int, stop: int) -> np.ndarray:
        """Return the pixel under the centre of each of the cells ``start`` to ``stop``, int64."""
        centre = (np.arange(start, stop) + 0.5) * self.factor
        return np.minimum(centre.astype(np.int64), self.pixels - 1)

    def nearest(self) -> np.ndarray:
        """Return the cell that holds the centre of each pixel, int64."""
        index = ((np.arange(self.pixels) + 0.5) / self.factor).astype(np.int64)
        return np.minimum(index, self.size - 1)


@dataclass(frozen=True, slots=True)
class Cells:
    """A grid of cells over a raster, from its first corner.

    Parameters
    ----------
    rows, columns
        Cells down and across.
    transform
        Cell corners to CRS units.
    crs
        Of the raster, or None.
    """

    rows: CellAxis
    columns: CellAxis
    transform: Affine
    crs: Any

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Height and width in cells."""
        return self.rows.size, self.columns.size

    @property
    def source_yx(self) -> tuple[int, int]:
        """Height and width of the raster in pixels."""
        return self.rows.pixels, self.columns.pixels

    @property
    def factor_yx(self) -> tuple[float, float]:
        """Height and width of a cell in pixels."""
        return self.rows.factor, self.columns.factor

    @property
    def same(self) -> bool:
        """Tell whether cells are the raster's own pixels."""
        return self.factor_yx == (1, 1)

    def source_window(self, window: Window) -> Window:
        """Return the pixels that the cells of a window (not empty) need."""
        top, bottom = self.rows.span(window.y, window.bottom)
        left, right = self.columns.span(window.x, window.right)
        return Window(top, left, bottom - top, right - left)

    def cell_window(self, window: Window) -> Window:
        """Return the cells that stand for the pixels of a window (not empty) when snapped back."""
        rows, columns = snap_indices(self)
        y, x = int(rows[window.y]), int(columns[window.x])
        bottom, right = int(rows[window.bottom - 1]) + 1, int(columns[window.right - 1]) + 1
        return Window(y, x, bottom - y, right - x)


def model_grid(raster: Raster, cell_size: float) -> Cells:
    """Lay square cells over a raster.

    Parameters
    ----------
    raster
        The raster.
    cell_size
        Side of a cell in CRS units (metres, degrees), or in pixels where there is no georeference.

    Raises
    ------
    OptionError
        If it is no size, or cells would be larger than the raster or a hundredth of its pixels.
    """
    transform, pixels = raster.transform, raster.shape_yx
    sides = math.hypot(transform.b, transform.e), math.hypot(transform.a, transform.d)
    low = FINEST * max(sides)
    high = min(side * count for side, count in zip(sides, pixels, strict=True))
    # Not `low <= x <= high` alone: sizes that a user reads in the message must pass in spite of
    # rounding, and what is no number must not raise anything else.
    if not is_number(cell_size) or not low * (1 - 1e-6) <= cell_size <= high * (1 + 1e-6):
        raise OptionError(
            f"cell_size {cell_size!r} is not possible: the raster's cells are {sides[1]:g} x "
            f"{sides[0]:g} {_unit(raster)} and it is {sides[1] * pixels[1]:g} x "
            f"{sides[0] * pixels[0]:g} large; give {low:g} to {high:g}, in {_unit(raster)}"
        )
    rows, columns = (_axis(n, cell_size, side) for n, side in zip(pixels, sides, strict=True))
    if rows.factor == columns.factor == 1:
        return Cells(rows, columns, transform, raster.crs)
    a, b, c, d, e, f = transform[:6]
    # Divided first, which gives exactly 1 for an axis along the CRS's, and so the very cell size.
    y, x = sides
    cells = Affine(a / x * cell_size, b / y * cell_size, c, d / x * cell_size, e / y * cell_size, f)
    return Cells(rows, columns, cells, raster.crs)


def snap_indices(cells: Cells) -> tuple[np.ndarray, np.ndarray]:
    """Return the row and the column of cells nearest to each row and column of pixels, int64.

    ``answer[..., rows[:, None], columns]``, or ``isel`` with both, is an answer on the raster's
    own grid; a cell's value is copied, never mixed.
    """
    return cells.rows.nearest(), cells.columns.nearest()


def _axis(pixels: int, cell_size: float, side: float) -> CellAxis:
    """Return cells of ``cell_size`` over pixels of ``side``; all but equal sizes are equal."""
    factor = min(cell_size / side, float(pixels))
    return CellAxis(pixels, 1.0 if abs(factor - 1) * pixels < 1e-3 else factor)


def _unit(raster: Raster) -> str:
    """Return what the raster's coordinates count."""
    if raster.crs is None:
        return "pixels" if raster.transform.is_identity else "units of its transform"
    return str(raster.crs.units_factor[0])
