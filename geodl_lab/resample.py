"""Rasters at a model's cell size, read window by window; and answers back on the raster's grid.

Every cell is the sum of fixed pixels with fixed weights in a fixed order (see `cells`), taken down
columns first, then along rows, in float64: no window, chunk or strip changes a bit of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import xarray as xr
from affine import Affine
from scipy import sparse

from geodl_lab import settings
from geodl_lab.cells import CellAxis, Cells, model_grid, snap_indices
from geodl_lab.grid import Window
from geodl_lab.lazy_blocks import lazy_blocks
from geodl_lab.nodata import valid_pixels
from geodl_lab.raster import Raster, as_raster
from geodl_lab.sources import RasterSource

if TYPE_CHECKING:
    from geodl_lab.inference import Source

STRIP = 32
"""Rows of cells made at a time: their float64 sums stay in the processor's cache."""

SIDE = 4096
"""Pixels in each direction read at a time, so that large cells cost no memory."""


class Lattice(Protocol):
    """Where the pixels of a result lie."""

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Height and width in pixels."""
        ...

    @property
    def transform(self) -> Affine:
        """Pixel corners to CRS units."""
        ...


@dataclass(frozen=True)
class Resampled:
    """Pixels of another source, as cells.

    Parameters
    ----------
    source
        Where the pixels are.
    cells
        The grid of cells over it.
    """

    source: Source
    cells: Cells

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Height and width in cells."""
        return self.cells.shape_yx

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
        """Return values (band, y, x), in the stored dtype, of a window (not empty) of cells."""
        if self.cells.same:
            return self.source.read(window)
        blocks = [[self._part(part) for part in row] for row in _parts(window, self.cells)]
        return np.concatenate([np.concatenate(row, axis=2) for row in blocks], axis=1)

    def _part(self, window: Window) -> np.ndarray:
        seen = self.cells.source_window(window)
        return resample(self.source.read(seen), seen, window, cells=self.cells, nodata=self.nodata)


def resample(
    stored: np.ndarray, seen: Window, window: Window, *, cells: Cells, nodata: float | None
) -> np.ndarray:
    """Make cells of pixels.

    A cell has no data where the pixel under its centre has none, or more than half of the weight
    falls on such pixels; else those count nothing. Integers are rounded, and a cell with data
    never rounds to nodata in all bands: its first band then stays one step beside it.

    Parameters
    ----------
    stored
        Values (band, y, x) of the pixels ``seen``, at least those of ``cells.source_window``.
    seen
        Where they lie in the raster.
    window
        The cells wanted, not empty.
    cells
        The grid of cells.
    nodata
        The stored value that means no data, or None.

    Returns
    -------
    numpy.ndarray
        Values (band, y, x) of the cells, dtype as stored.
    """
    if cells.same:
        return stored[:, *window.relative_to(seen).slices_yx]
    valid = valid_pixels(stored, nodata)
    if not valid.all():
        stored = np.where(valid, stored, stored.dtype.type(0))
    result = np.empty((len(stored), *window.shape_yx), stored.dtype)
    across = _matrix(cells.columns, window.x, window.right, seen.x, seen.right)
    for top in range(window.y, window.bottom, STRIP):
        bottom = min(top + STRIP, window.bottom)
        first, last = cells.rows.span(top, bottom)
        down = _matrix(cells.rows, top, bottom, first, last)
        rows = slice(first - seen.y, last - seen.y)
        strip = result[:, top - window.y : bottom - window.y]
        gaps = _fill(strip, stored[:, rows], valid[rows], down, across)
        if gaps is not None:
            below = cells.rows.beneath(top, bottom) - seen.y
            gaps |= ~valid[np.ix_(below, cells.columns.beneath(window.x, window.right) - seen.x)]
        _keep_apart(strip, gaps, nodata)
    return result


def to_cell_size(data: xr.DataArray | xr.Dataset, cell_size: float) -> xr.DataArray:
    """Bring a raster to another cell size, with antialiasing.

    Parameters
    ----------
    data
        (y, x), (band, y, x) in any order, or a Dataset of bands; stored values.
    cell_size
        Side of the new, square cells in CRS units (pixels where there is no georeference).

    Returns
    -------
    xarray.DataArray
        (band, y, x), or (y, x) where ``data`` is; dtype, nodata, CRS and attributes as in
        ``data``, from the same first corner. Dask-backed, with nothing computed, where ``data``
        is; the values do not depend on chunks.

    Raises
    ------
    RasterError, OptionError
        If ``data`` is no raster or the cell size is not possible.
    """
    raster = as_raster(data)
    cells = model_grid(raster, cell_size)
    values = _lazy(raster, cells) if raster.lazy else _eager(raster, cells)
    result = on_cells(values, raster, cells)
    return result if len(data.dims) > 2 or isinstance(data, xr.Dataset) else result[0]


def _eager(raster: Raster, cells: Cells) -> np.ndarray:
    source = RasterSource(raster, tuple(range(len(raster.array))))
    return Resampled(source, cells).read(Window(0, 0, *cells.shape_yx))


def _lazy(raster: Raster, cells: Cells) -> Any:
    make = partial(resample, cells=cells, nodata=raster.nodata)
    windows = _parts(Window(0, 0, *cells.shape_yx), cells, settings.CHUNK)
    return lazy_blocks(raster.array.data, windows, cells.source_window, make)


def blank_raster(raster: Raster, cells: Lattice) -> Raster:
    """Return a raster of the cells whose values are all 0 and take no memory: a grid to fill."""
    zero = np.zeros((), raster.array.dtype)
    values = np.broadcast_to(zero, (len(raster.array), *cells.shape_yx))
    return Raster(on_cells(values, raster, cells))


def on_cells(values: Any, raster: Raster, cells: Lattice) -> xr.DataArray:
    """Wrap values (band, y, x) of cells; CRS, nodata, band coordinates and attributes survive."""
    band, y, x = raster.array.dims
    spatial = [key for key, coord in raster.array.coords.items() if {y, x} & set(coord.dims)]
    kept = raster.array.drop_vars(spatial).coords
    attrs = {
        key: value
        for key, value in raster.array.attrs.items()
        if not str(key).startswith("STATISTICS_")
    }
    result = xr.DataArray(values, dims=(band, y, x), coords=kept, attrs=attrs)
    result.name = raster.array.name  # else xarray takes a dask array's
    if {y, x} <= set(raster.array.coords) and cells.transform.is_rectilinear:
        result = result.assign_coords(_centres(cells, y, x))
    # In place, because rioxarray else copies all values at each step; the array is ours.
    result.rio.set_spatial_dims(x_dim=x, y_dim=y, inplace=True)
    if raster.crs is not None:
        result.rio.write_crs(raster.crs, inplace=True)
    if not cells.transform.is_identity:
        result.rio.write_transform(cells.transform, inplace=True)
    if raster.nodata is not None:
        result.rio.write_nodata(raster.nodata, inplace=True)
    return result


def snap_back(
    answer: xr.DataArray, raster: Raster, cells: Cells, area: Window | None = None
) -> xr.DataArray:
    """Bring an answer on cells to the raster's own grid by copying the nearest cell.

    Parameters
    ----------
    answer
        (..., y, x) on all cells, or on ``cells.cell_window(area)``; dask-backed or not.
    raster, cells
        The raster, and the grid of cells over it.
    area
        Pixels wanted; None for all.
    """
    origin = Window(0, 0, *cells.shape_yx) if area is None else cells.cell_window(area)
    area = Window(0, 0, *raster.shape_yx) if area is None else area
    y, x = raster.array.dims[1:]
    rows, columns = snap_indices(cells)
    down, across = area.slices_yx
    spatial = [key for key, coord in answer.coords.items() if {y, x} & set(coord.dims)]
    picked = answer.drop_vars(spatial).isel(
        {y: rows[down] - origin.y, x: columns[across] - origin.x}
    )
    own = raster.array.isel({y: down, x: across}).coords
    picked = picked.assign_coords({key: own[key] for key in (y, x) if key in own})
    transform = raster.transform * raster.transform.translation(area.x, area.y)
    return picked if transform.is_identity else picked.rio.write_transform(transform)


def _fill(
    strip: np.ndarray,
    stored: np.ndarray,
    valid: np.ndarray,
    down: sparse.csr_array,
    across: sparse.csr_array,
) -> np.ndarray | None:
    """Put the means of the pixels with data into a strip of cells (band, y, x).

    Returns
    -------
    numpy.ndarray or None
        (y, x) bool: where more than half of the weight is on pixels without data, which must be
        0; None where all have data.
    """
    missing = None if valid.all() else _sums(~valid, down, across)
    for place, band in zip(strip, stored, strict=True):
        values = _sums(band, down, across)
        if missing is not None:  # where nothing is missing this is exactly 1 and changes no bit
            values /= np.maximum(1 - missing, 0.5)
        place[:] = values if strip.dtype.kind == "f" else np.rint(values)
    return None if missing is None else missing > 0.5


def _sums(values: np.ndarray, down: sparse.csr_array, across: sparse.csr_array) -> np.ndarray:
    """Sum values (y, x) down, then across: float64."""
    rows = down @ values.astype(np.float64)
    return (across @ np.ascontiguousarray(rows.T)).T


def _matrix(axis: CellAxis, start: int, stop: int, first: int, last: int) -> sparse.csr_array:
    """Return weights (cells ``start`` to ``stop``, pixels ``first`` to ``last``), a few a row."""
    index, weight = axis.taps(start, stop)
    counts = weight > 0
    ends = np.concatenate([[0], np.cumsum(counts.sum(axis=1))])
    entries = weight[counts], index[counts] - first, ends
    return sparse.csr_array(entries, shape=(stop - start, last - first))


def _keep_apart(strip: np.ndarray, gaps: np.ndarray | None, nodata: float | None) -> None:
    """Write nodata into the cells (band, y, x) of gaps, and nowhere else."""
    mark = np.nan if nodata is None else nodata
    if not np.isnan(mark):
        equal = (strip == nodata).all(axis=0)
        if equal.any():
            strip[0][equal] = _beside(mark, strip.dtype)
    if gaps is not None:
        strip[:, gaps] = mark


def _beside(nodata: float, dtype: np.dtype) -> Any:
    """Return the value next to nodata, towards 0, which every dtype can hold."""
    if dtype.kind == "f":
        return np.nextafter(dtype.type(nodata), dtype.type(0 if nodata else 1))
    return dtype.type(nodata - np.sign(nodata) if nodata else 1)


def _parts(window: Window, cells: Cells, side: int = SIDE) -> list[list[Window]]:
    """Cut a window of cells into rows of parts of about ``side`` pixels, or cells, at most."""
    height, width = (max(1, int(side / max(factor, 1))) for factor in cells.factor_yx)
    return [
        [
            Window(y, x, min(height, window.bottom - y), min(width, window.right - x))
            for x in range(window.x, window.right, width)
        ]
        for y in range(window.y, window.bottom, height)
    ]


def _centres(cells: Lattice, y: Any, x: Any) -> dict[Any, np.ndarray]:
    """Return coordinates of cell centres along both axes, in CRS units."""
    height, width = cells.shape_yx
    transform = cells.transform
    return {
        y: transform.f + transform.e * (np.arange(height) + 0.5),
        x: transform.c + transform.a * (np.arange(width) + 0.5),
    }
