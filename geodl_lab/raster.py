"""Rasters as xarray objects: dimensions, bands, nodata, georeference, and pixels by window.

A photo is a raster with the identity transform and no CRS. Pixels are read in their stored type;
no mask band and no stretch is ever applied.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.errors
import rioxarray
import xarray as xr
from affine import Affine

from geodl_lab.bands import common_name
from geodl_lab.errors import OptionError, RasterError, first_line
from geodl_lab.grid import Window
from geodl_lab.inputs import InputSpec

LOGGER = logging.getLogger("geodl_lab")


@dataclass(frozen=True)
class Raster:
    """A DataArray with dimensions (band, y, x), whatever they are called.

    Parameters
    ----------
    array
        Stored values (band, y, x).
    """

    array: xr.DataArray

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.array.shape[1], self.array.shape[2]

    @property
    def lazy(self) -> bool:
        """Tell whether the values are a dask array."""
        return self.array.chunks is not None

    @property
    def in_memory(self) -> bool:
        """Tell whether the values are there, and neither to be computed nor in a file."""
        return isinstance(self.array.variable._data, np.ndarray)  # xarray says it nowhere else

    @property
    def nodata(self) -> float | None:
        """The stored value that means no data, or None."""
        try:
            nodata = self.array.rio.nodata
        except OverflowError:  # a value that the pixel type cannot hold, left by a conversion
            return None
        return None if nodata is None else float(nodata)

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names in band order; "" where the raster has none."""
        dim, attrs = self.array.dims[0], self.array.attrs
        names: Sequence[Any] = ()
        if dim in self.array.coords and self.array.coords[dim].dtype.kind in "UO":
            names = self.array.coords[dim].values.tolist()
        elif isinstance(attrs.get("long_name"), tuple | list | str):
            named = attrs["long_name"]
            names = [named] if isinstance(named, str) else named
        if len(names) != self.array.shape[0]:
            names = [""] * self.array.shape[0]
        return tuple(common_name(str(name)) for name in names)

    @property
    def crs(self) -> Any:
        """The coordinate reference system, or None."""
        return self.array.rio.crs

    @property
    def transform(self) -> Affine:
        """Pixel corner coordinates to CRS units; the identity where there is no georeference.

        Coordinates win over a stored transform, which goes stale when an array is sliced.
        """
        stored = self.array.rio.transform()
        dims, coords = self.array.dims[1:], self.array.coords
        # Asked by name first: xarray would make up 0, 1, 2 for a dimension without coordinates.
        if not all(dim in coords for dim in dims):
            mapping = self.array.coords.get(self.array.rio.grid_mapping)
            known = mapping is not None and "GeoTransform" in mapping.attrs
            return stored if known else Affine.identity()
        y, x = (coords[dim] for dim in dims)
        ends = [
            (0.5, 0.5, x[0], y[0]),
            (x.size - 0.5, y.size - 0.5, x[-1], y[-1]),
        ]
        size = max(abs(stored.a), abs(stored.b), abs(stored.e), 1e-300)
        error = max(
            np.hypot(*np.subtract(stored * (column, row), (float(cx), float(cy))))
            for column, row, cx, cy in ends
        )
        return stored if error < size / 100 else _from_centres(x.values, y.values, stored)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top in CRS units."""
        height, width = self.shape_yx
        corners = [
            self.transform * corner for corner in ((0, 0), (width, 0), (0, height), (width, height))
        ]
        xs, ys = zip(*corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)


def open_raster(path: str | Path, *, chunks: Any = None) -> xr.DataArray:
    """Open a raster file as a DataArray (band, y, x) of stored values.

    Parameters
    ----------
    path
        Any raster that GDAL opens.
    chunks
        As in `xarray.open_dataset`: None reads windows when asked, ``"auto"`` or sizes give dask.

    Returns
    -------
    xarray.DataArray
        Stored values, nothing computed; ``long_name`` holds band names where the file has any.

    Raises
    ------
    RasterError
        If the file is missing or is not a raster.
    """
    try:
        array = rioxarray.open_rasterio(path, chunks=chunks, masked=False)
        names = _file_band_names(path)
    except (rasterio.errors.RasterioError, OSError, ValueError) as error:
        if not any(mark in str(path) for mark in ("://", "/vsi", ":")) and not Path(path).exists():
            raise RasterError(f"there is no file {str(path)!r}; check the path") from error
        raise RasterError(
            f"{str(path)!r} does not open as a raster; give a GeoTIFF, PNG, JPEG or another file "
            f"that GDAL reads ({first_line(error)})"
        ) from error
    if not isinstance(array, xr.DataArray):
        raise RasterError(
            f"{str(path)!r} holds several rasters; open one of its subdatasets by its full name"
        )
    if any(names):
        array.attrs["long_name"] = names
    if isinstance(flags := array.attrs.get("flag_values"), str | int):  # GDAL keeps text
        with contextlib.suppress(ValueError, OverflowError):  # another's, in other words
            array.attrs["flag_values"] = np.array(str(flags).strip("[]").split(), dtype=array.dtype)
    return array


def as_raster(data: xr.DataArray | xr.Dataset) -> Raster:
    """Bring dimensions into the order (band, y, x).

    Parameters
    ----------
    data
        (y, x), (band, y, x) in any order, or a Dataset of (y, x) variables, one a band.

    Raises
    ------
    RasterError
        If there are no two spatial dimensions or more than three dimensions, or no pixels.
    """
    array = _stacked(data) if isinstance(data, xr.Dataset) else data
    y, x = _spatial_dims(array)
    others = [dim for dim in array.dims if dim not in (y, x)]
    if len(others) > 1:
        first = others[0]
        raise RasterError(
            f"the array has the dimensions {array.dims}; possible are band, {y}, {x}: take one "
            f"step of the rest first, as in da.isel({first}=0)"
        )
    if others == ["time"]:
        raise RasterError(
            f"the array has the dimensions {array.dims}: steps in time are no bands; take one, as "
            "in da.isel(time=0)"
        )
    if not others:
        array = array.expand_dims("band")
        others = ["band"]
    if 0 in array.shape:
        raise RasterError(f"the array is empty: its shape is {dict(array.sizes)}")
    if array.dtype.kind not in "iufb":
        raise RasterError(f"pixels of type {array.dtype} are no numbers a model can read")
    array = array.transpose(others[0], y, x)
    return Raster(array.rio.set_spatial_dims(x_dim=x, y_dim=y, inplace=False))


def _stacked(dataset: xr.Dataset) -> xr.DataArray:
    """Make one array (band, y, x) of a Dataset's images, named as they are, with their nodata.

    Raises
    ------
    RasterError
        If there are no images, or they do not agree on what means no data.
    """
    images = {name: image for name, image in dataset.data_vars.items() if image.ndim >= 2}
    if not images:
        raise RasterError(f"the dataset holds {list(dataset.data_vars)} and no image among them")
    nodata = {str(image.rio.nodata): image.rio.nodata for image in images.values()}
    if len(nodata) > 1:
        raise RasterError(
            f"the variables {list(images)} have different nodata values ({', '.join(nodata)}); "
            "give them one, as in ds.map(lambda band: band.rio.write_nodata(0))"
        )
    array = dataset[list(images)].to_dataarray("band")
    names = [image.attrs.get("long_name", name) for name, image in images.items()]
    array = array.assign_coords(band=[str(name) for name in names])
    value = next(iter(nodata.values()))
    return array if value is None else array.rio.write_nodata(value)


def area_window(raster: Raster, area: Any) -> Window:
    """Return the pixels that an area touches.

    Parameters
    ----------
    raster
        The raster.
    area
        None for all, (left, bottom, right, top) in the raster's CRS units, or an object with such
        ``bounds`` (of a shapely geometry its bounds count, not its outline).

    Raises
    ------
    OptionError
        If it is no area or lies outside the raster; the message names both extents.
    """
    whole = Window(0, 0, *raster.shape_yx)
    x0, y0, x1, y1 = area_edges(raster, area)
    first = min(math.floor(y0), whole.height - 1), min(math.floor(x0), whole.width - 1)
    last = max(math.ceil(y1), first[0] + 1), max(math.ceil(x1), first[1] + 1)
    return Window(*first, last[0] - first[0], last[1] - first[1]).intersect(whole)


def area_edges(raster: Raster, area: Any) -> tuple[float, float, float, float]:
    """Return left, top, right, bottom of an area in pixels; parameters as in `area_window`.

    Raises
    ------
    OptionError
        If it is no area or lies outside the raster; the message names both extents.
    """
    height, width = raster.shape_yx
    if area is None:
        return 0, 0, width, height
    try:
        left, bottom, right, top = (float(side) for side in getattr(area, "bounds", area))
    except (TypeError, ValueError) as error:
        raise OptionError(
            f"area {area!r} is not possible; give (left, bottom, right, top) in CRS units"
        ) from error
    if not (left < right and bottom < top and np.isfinite([left, bottom, right, top]).all()):
        raise OptionError(
            f"area {(left, bottom, right, top)} has no size; give (left, bottom, right, top) with "
            "left < right and bottom < top"
        )
    inverse = ~raster.transform
    corners = [
        inverse * corner for corner in ((left, bottom), (right, top), (left, top), (right, bottom))
    ]
    columns, rows = (np.round(values, 6) for values in zip(*corners, strict=True))
    x0, y0, x1, y1 = (float(v) for v in (columns.min(), rows.min(), columns.max(), rows.max()))
    if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
        raise OptionError(
            f"area {(left, bottom, right, top)} does not meet the raster, whose bounds are "
            f"{tuple(round(side, 6) for side in raster.bounds)} in {raster.crs or 'pixels'}"
        )
    return x0, y0, x1, y1


def say_if_unreferenced(raster: Raster) -> None:
    """Tell the log once a call that results will have no CRS."""
    if raster.crs is None:
        LOGGER.warning("the raster has no CRS: results are in its own coordinates, without a CRS")


def say_if_other_cell_size(raster: Raster, inputs: InputSpec) -> None:
    """Tell the log if the model was trained at less than half or more than twice the cell size."""
    if inputs.cell_size is None or raster.crs is None or not raster.crs.is_projected:
        return
    meters = math.sqrt(abs(raster.transform.determinant)) * raster.crs.linear_units_factor[1]
    if not 0.5 <= meters / inputs.cell_size <= 2:
        LOGGER.warning(
            "the raster's cells are %.3g m and the model was trained at %.3g m: expect it to be "
            "less accurate, or resample the raster first",
            meters, inputs.cell_size,
        )  # fmt: skip


def _spatial_dims(array: xr.DataArray) -> tuple[Any, Any]:
    try:
        return array.rio.y_dim, array.rio.x_dim
    except rioxarray.exceptions.MissingSpatialDimensionError:
        for y, x in (("lat", "lon"), ("row", "column"), ("northing", "easting")):
            if {y, x} <= set(array.dims):
                return y, x
    raise RasterError(
        f"the array has the dimensions {array.dims}; possible are band, y, x: rename them, as in "
        "da.rename(rows='y', cols='x')"
    )


def _file_band_names(path: str | Path) -> tuple[str, ...]:
    """Return descriptions, or colours where there are none; never alpha, which NAIP misuses."""
    with rasterio.open(path) as file:
        if any(file.descriptions):
            return tuple(text or "" for text in file.descriptions)
        colors = tuple(color.name for color in file.colorinterp)
        return tuple(name if name in ("red", "green", "blue") else "" for name in colors)


def _from_centres(x: np.ndarray, y: np.ndarray, stored: Affine) -> Affine:
    """Return the transform of pixel centres along both axes, in CRS units."""
    width = float(x[-1] - x[0]) / (len(x) - 1) if len(x) > 1 else stored.a
    height = float(y[-1] - y[0]) / (len(y) - 1) if len(y) > 1 else stored.e
    return Affine(width, 0, float(x[0]) - width / 2, 0, height, float(y[0]) - height / 2)
