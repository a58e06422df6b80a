"""Pixels of chips, cut from one raster or from several laid over each other, never stretched."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.errors
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as FileWindow

from geodl_lab.errors import RasterError, first_line
from geodl_lab.exports.frames import Frame, open_dataset
from geodl_lab.exports.places import Place
from geodl_lab.grid import Window
from geodl_lab.nodata import valid_pixels


@dataclass(frozen=True)
class Pixels:
    """Pixels of a chip.

    Parameters
    ----------
    values
        (band, y, x), as stored; the nodata value, or 0, where the raster does not reach.
    valid
        (y, x): whether a pixel holds data.
    """

    values: np.ndarray
    valid: np.ndarray


@dataclass(frozen=True)
class Layer:
    """An open raster on the frame's grid.

    Parameters
    ----------
    file
        What rasterio opened.
    window
        Pixels of the frame that it covers.
    offset_yx
        Row and column of the file at the frame's first pixel.
    nodata
        The stored value that means no data, or None.
    reach
        Index of the band that tells where a warped raster reaches; -1 is one that was added to
        its own, None no band.
    """

    file: Any
    window: Window
    offset_yx: tuple[int, int]
    nodata: float | None
    reach: int | None

    def read(self, window: Window) -> Pixels:
        """Return pixels of a window of the frame that lies inside `window`."""
        row, column = window.y + self.offset_yx[0], window.x + self.offset_yx[1]
        try:
            stored = self.file.read(window=FileWindow(column, row, window.width, window.height))
        except rasterio.errors.RasterioError as error:
            raise RasterError(
                f"{Path(self.file.name).name!r} cannot be read at row {row}, column {column} "
                f"({first_line(error)}); the file may be damaged: write it again"
            ) from error
        reached = True if self.reach is None else stored[self.reach] > 0
        seen = stored[:-1] if self.reach == -1 else stored
        return Pixels(seen, valid_pixels(seen, self.nodata) & reached)


@dataclass(frozen=True)
class ChipReader:
    """Chips of one raster, or of several of which the first one with data is seen.

    Parameters
    ----------
    layers
        The open rasters.
    bands, dtype, nodata, names
        What all of them have: number of bands, pixel type, the value that means no data or None,
        names of the bands.
    """

    layers: tuple[Layer, ...]
    bands: int
    dtype: np.dtype
    nodata: float | None
    names: tuple[str, ...]

    def read(self, place: Place) -> Pixels:
        """Return the pixels of a chip; of one that is turned, those nearest to its pixels."""
        if not place.angle:
            return self._window(place.window)
        rows, columns = _turned(place)
        top, left = int(rows.min()), int(columns.min())
        seen = Window(top, left, int(rows.max()) + 1 - top, int(columns.max()) + 1 - left)
        around = self._window(seen)
        rows, columns = rows - top, columns - left
        return Pixels(around.values[:, rows, columns], around.valid[rows, columns])

    def _window(self, window: Window) -> Pixels:
        fill = 0 if self.nodata is None else self.nodata
        values = np.full((self.bands, *window.shape_yx), fill, self.dtype)
        valid = np.zeros(window.shape_yx, dtype=bool)
        for layer in self.layers:
            inside = window.intersect(layer.window)
            if not inside:
                continue
            got, where = layer.read(inside), inside.relative_to(window).slices_yx
            values[:, *where] = np.where(valid[where], values[:, *where], got.values)
            valid[where] |= got.valid
        return Pixels(values, valid)


@contextlib.contextmanager
def open_chips(
    rasters: Sequence[Path], frame: Frame, *, resampling: str = "nearest"
) -> Iterator[ChipReader]:
    """Open rasters to cut chips from.

    Parameters
    ----------
    rasters
        The first on top.
    frame
        The grid that chips are places of; a raster on another grid is resampled as it is read.
    resampling
        ``nearest``, ``bilinear`` or ``cubic``.

    Raises
    ------
    RasterError
        If one does not open, or they have other bands or pixel types than the first.
    """
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(open_dataset(path)) for path in rasters]
        first = files[0]
        for file in files:
            _check_like(first, file)
        layers = tuple(_layer(file, frame, resampling, stack) for file in files)
        names = tuple(name or "" for name in first.descriptions)
        dtype = np.dtype(first.dtypes[0])
        yield ChipReader(layers, first.count, dtype, first.nodata, names)


def _check_like(first: Any, file: Any) -> None:
    kinds = [(each.count, each.dtypes[0], each.nodata) for each in (first, file)]
    if repr(kinds[0]) != repr(kinds[1]):
        words = [f"{count} bands of {dtype} with nodata {nodata}" for count, dtype, nodata in kinds]
        raise RasterError(
            f"{Path(file.name).name!r} has {words[1]}, and {Path(first.name).name!r} has "
            f"{words[0]}; chips of one export are all alike: export them one by one"
        )
    if np.dtype(file.dtypes[0]).kind not in "iuf":
        raise RasterError(
            f"{Path(file.name).name!r} has pixels of type {file.dtypes[0]}, which are no numbers "
            "that nets are trained on; convert it first"
        )
    if len(set(file.dtypes)) > 1:
        raise RasterError(
            f"{Path(file.name).name!r} has bands of the types {', '.join(file.dtypes)}; chips have "
            "one: convert it first"
        )


def _layer(file: Any, frame: Frame, resampling: str, stack: contextlib.ExitStack) -> Layer:
    offset = _offset(file, frame)
    if offset is not None:
        row, column = offset
        return Layer(file, Window(-row, -column, *file.shape), offset, file.nodata, None)
    if file.crs is None or not frame.crs:
        raise RasterError(
            f"{Path(file.name).name!r} and the raster that chips are cut from do not lie on one "
            "grid, and one of them has no CRS; georeference both, or give rasters of one size"
        )
    height, width = frame.shape_yx
    own = next((i for i, c in enumerate(file.colorinterp) if c == ColorInterp.alpha), -1)
    reach = own if file.nodata is None else None
    warped = stack.enter_context(
        WarpedVRT(
            file, crs=frame.crs, transform=frame.transform, height=height, width=width,
            resampling=Resampling[resampling], add_alpha=reach == -1,
        )
    )  # fmt: skip
    return Layer(warped, Window(0, 0, height, width), (0, 0), file.nodata, reach)


def _offset(file: Any, frame: Frame) -> tuple[int, int] | None:
    """Return the row and column of a file at the frame's first pixel; None on another grid."""
    if bool(file.crs) != bool(frame.crs):
        return None
    if file.crs and file.crs != CRS.from_user_input(frame.crs):
        return None
    between = ~file.transform * frame.transform
    column, row = round(between.c), round(between.f)
    drift = np.subtract(between[:6], (1, 0, column, 0, 1, row))
    reach = (*frame.shape_yx[::-1], 1, *frame.shape_yx[::-1], 1)
    return (row, column) if (np.abs(drift) * reach).max() < 0.01 else None


def _turned(place: Place) -> tuple[np.ndarray, np.ndarray]:
    """Return row and column in the frame of each pixel (y, x) of a chip, by its middle."""
    height, width = place.shape_yx
    y, x = np.mgrid[:height, :width] + 0.5
    t = place.to_frame
    rows = np.floor(t.d * x + t.e * y + t.f + 1e-9).astype(np.int64)
    return rows, np.floor(t.a * x + t.b * y + t.c + 1e-9).astype(np.int64)
