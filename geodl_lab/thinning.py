"""Every n-th pixel of a large raster: what a screen shows of it, without all of it in memory."""

from __future__ import annotations

import numpy as np
import rasterio
import rasterio.errors
from rasterio.enums import Resampling

from geodl_lab.raster import Raster

STRIP = 512
"""Rows that are read at once of a file that cannot be read thinned."""


def thinned(raster: Raster, most: int) -> np.ndarray:
    """Return the values (band, y, x) of a raster, every n-th pixel down and across.

    Parameters
    ----------
    raster
        In memory; a dask array, which is computed chunk by chunk; or pixels of a file, which are
        read from its overviews where it has any.
    most
        Pixels a side that are enough; n is the least number that gives no more.

    Returns
    -------
    numpy.ndarray
        Stored values; all of them where the raster is no larger.
    """
    step = max(1, -(-max(raster.shape_yx) // most))
    rows, columns = (_middles(side, step) for side in raster.shape_yx)
    if step == 1:
        return np.asarray(raster.array.values)
    if raster.lazy or raster.in_memory:
        return np.asarray(raster.array[:, rows, columns].values)
    found = _from_file(raster, (len(rows), len(columns)))
    return _by_strips(raster, rows, columns) if found is None else found


def _middles(side: int, step: int) -> np.ndarray:
    """Return the pixel in the middle of each ``step`` pixels."""
    return np.minimum(np.arange(0, side, step) + step // 2, side - 1)


def _from_file(raster: Raster, shape_yx: tuple[int, int]) -> np.ndarray | None:
    """Return thinned pixels of the file behind a raster; None if the raster is not all of it."""
    try:
        with rasterio.open(raster.array.encoding.get("source", "")) as file:
            whole = raster.array.shape == (file.count, *file.shape)
            alike = raster.array.dtype == np.dtype(file.dtypes[0])
            if not (whole and alike and raster.transform.almost_equals(file.transform)):
                return None
            pixels: np.ndarray = file.read(
                out_shape=(file.count, *shape_yx), resampling=Resampling.nearest
            )
            return pixels
    except (rasterio.errors.RasterioError, OSError, TypeError):
        return None


def _by_strips(raster: Raster, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    strips = []
    for top in range(0, raster.shape_yx[0], STRIP):
        wanted = rows[(rows >= top) & (rows < top + STRIP)] - top
        if len(wanted):
            strip = np.asarray(raster.array[:, top : top + STRIP].values)
            strips.append(strip[:, wanted][:, :, columns])
    return np.concatenate(strips, axis=1)
