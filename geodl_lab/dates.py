"""Two dates of one place as one raster, for models that answer what has changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from geodl_lab.errors import RasterError
from geodl_lab.raster import Raster, as_raster

BEFORE, AFTER = "before_", "after_"
"""What the names of a change model's bands begin with: ``before_red``, ``after_red``."""


def stack_dates(before: xr.DataArray | xr.Dataset, after: xr.DataArray | xr.Dataset) -> Any:
    """Put the bands of two rasters of one grid one after the other.

    Parameters
    ----------
    before, after
        Rasters (band, y, x) of the same pixels at two dates, of one pixel type.

    Returns
    -------
    xarray.DataArray
        (band, y, x): all bands of ``before``, named ``before_<band>``, then those of ``after``. A
        pixel that is nodata at one date is nodata in all bands. Dask-backed where the input is.

    Raises
    ------
    RasterError
        If the rasters differ in size, place, CRS, pixel type or nodata; the message names both.
    """
    one, other = as_raster(before), as_raster(after)
    for what, left, right in _facts(one, other):
        if left != right:
            raise RasterError(
                f"the two dates differ in {what}: {left} before and {right} after; bring the one "
                "onto the other's grid first, as in after.rio.reproject_match(before)"
            )
    band = str(one.array.dims[0])
    second = other.array.rename(dict(zip(other.array.dims, one.array.dims, strict=True)))
    parts = [part.drop_vars(band, errors="ignore") for part in (one.array, second)]
    stack = xr.concat(parts, dim=band, coords="minimal", compat="override", join="override")
    stack.attrs = {
        **one.array.attrs,
        "long_name": date_names(one, BEFORE) + date_names(other, AFTER),
    }
    return stack if one.nodata is None else _both_valid(stack, one)


def _facts(one: Raster, other: Raster) -> list[tuple[str, Any, Any]]:
    near = np.allclose(one.transform[:6], other.transform[:6], rtol=1e-9, atol=1e-9)
    same_nodata = one.nodata == other.nodata or str(one.nodata) == str(other.nodata)
    return [
        ("size (rows, columns)", one.shape_yx, other.shape_yx),
        ("CRS", str(one.crs), str(other.crs)),
        ("place", *(("", "") if near else (one.transform[:6], other.transform[:6]))),
        ("pixel type", one.array.dtype, other.array.dtype),
        ("nodata", *(("", "") if same_nodata else (one.nodata, other.nodata))),
    ]


def date_names(raster: Raster, prefix: str) -> tuple[str, ...]:
    """Return the names of the bands of one date: `BEFORE` or `AFTER` and the band's."""
    return tuple(f"{prefix}{name}" if name else "" for name in raster.band_names)


def _both_valid(stack: xr.DataArray, one: Raster) -> xr.DataArray:
    """Make a pixel nodata in all bands that is nodata in all bands of one date."""
    assert one.nodata is not None
    band, count = str(stack.dims[0]), one.array.shape[0]
    missing: xr.DataArray = stack.isnull() if np.isnan(one.nodata) else stack.isin(one.nodata)
    gone = missing[:count].all(band) | missing[count:].all(band)
    return stack.where(~gone, stack.dtype.type(one.nodata)).assign_attrs(stack.attrs)
