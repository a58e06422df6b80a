"""Where windows of pixels come from: an array, a file read by several threads, or memory."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.errors
from rasterio.windows import Window as FileWindow

from geodl_lab import settings
from geodl_lab.bands import Bands, match_bands
from geodl_lab.errors import BandError, RasterError, first_line
from geodl_lab.grid import Window
from geodl_lab.inputs import InputSpec
from geodl_lab.raster import Raster


@dataclass(frozen=True)
class RasterSource:
    """Pixels of chosen bands, read window by window.

    Parameters
    ----------
    raster
        Where the pixels are.
    bands
        Zero-based positions of the bands in the model's order.
    limits
        Least and greatest possible value, or None; a value beyond is an error.
    """

    raster: Raster
    bands: tuple[int, ...]
    limits: tuple[float, float] | None = None

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.raster.shape_yx

    @property
    def nodata(self) -> float | None:
        """The stored value that means no data, or None."""
        return self.raster.nodata

    @property
    def readers(self) -> int:
        """Threads that may call `read` at one time."""
        return 1

    def read(self, window: Window) -> np.ndarray:
        """Return stored values (band, y, x) of a window inside the raster.

        Raises
        ------
        RasterError
            If the pixels cannot be read or lie outside ``limits``.
        """
        rows, columns = window.slices_yx
        part = self.raster.array[list(self.bands), rows, columns]
        with _explained(window):
            stored = np.asarray(part.values)
        check_limits(stored, self.nodata, self.limits)
        return stored


@dataclass(frozen=True)
class FileSource:
    """Pixels of chosen bands of a file, which several threads may read at one time.

    Parameters
    ----------
    path
        The file that ``of`` was opened from.
    of
        What to read of it.
    """

    path: str | Path
    of: RasterSource
    _handles: threading.local = field(default_factory=threading.local, repr=False, compare=False)

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.of.shape_yx

    @property
    def nodata(self) -> float | None:
        """The stored value that means no data, or None."""
        return self.of.nodata

    @property
    def bands(self) -> tuple[int, ...]:
        """Which bands of the raster these are, from 0."""
        return self.of.bands

    @property
    def readers(self) -> int:
        """Threads that may call `read` at one time."""
        return min(settings.READERS, settings.cores())

    def read(self, window: Window) -> np.ndarray:
        """Return stored values (band, y, x) of a window inside the raster, as `RasterSource`."""
        place = FileWindow(window.x, window.y, window.width, window.height)
        with _explained(window):
            stored = self._file().read([band + 1 for band in self.of.bands], window=place)
        self._handles.read += stored.nbytes
        check_limits(stored, self.nodata, self.of.limits)
        return stored

    def _file(self) -> Any:
        """Return this thread's handle; a new one now and then, which empties GDAL's cache.

        Windows share no more than their halos, so what was read is not worth its memory.
        """
        handles = self._handles
        if getattr(handles, "read", settings.READ_CACHE) >= settings.READ_CACHE:
            if hasattr(handles, "file"):
                handles.file.close()
            handles.file, handles.read = rasterio.open(self.path), 0
        return handles.file


@dataclass(frozen=True)
class BothDates:
    """Two dates in one file: a pixel without data at one date is nodata in all bands.

    Parameters
    ----------
    of
        The bands that are wanted.
    every
        All bands of the file.
    count
        Bands of the first date.
    """

    of: FileSource
    every: FileSource
    count: int

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.of.shape_yx

    @property
    def nodata(self) -> float | None:
        """The stored value that means no data, or None."""
        return self.of.nodata

    @property
    def bands(self) -> tuple[int, ...]:
        """Which bands of the raster these are, from 0."""
        return self.of.bands

    @property
    def readers(self) -> int:
        """Threads that may call `read` at one time."""
        return self.of.readers

    def read(self, window: Window) -> np.ndarray:
        """Return stored values (band, y, x) of a window inside the raster."""
        stored, nodata = self.of.read(window), self.nodata
        if nodata is None:
            return stored
        every = self.every.read(window)
        missing = np.isnan(every) if np.isnan(nodata) else every == nodata
        gone = missing[: self.count].all(axis=0) | missing[self.count :].all(axis=0)
        return np.where(gone, stored.dtype.type(nodata), stored)


@dataclass(frozen=True)
class Part:
    """Pixels of a part of a raster, already in memory.

    Parameters
    ----------
    stored
        Values (band, y, x).
    origin
        Where they lie in the raster.
    shape_yx, nodata
        Of the whole raster.
    """

    stored: np.ndarray
    origin: Window
    shape_yx: tuple[int, int]
    nodata: float | None

    @property
    def bands(self) -> tuple[int, ...]:
        """Which bands of the raster these are, from 0."""
        return tuple(range(len(self.stored)))

    @property
    def readers(self) -> int:
        """Threads that may call `read` at one time."""
        return min(settings.READERS, settings.cores())

    def read(self, window: Window) -> np.ndarray:
        """Return the values (band, y, x) of a window inside the part."""
        return self.stored[:, *window.relative_to(self.origin).slices_yx]


def make_source(raster: Raster, inputs: InputSpec, bands: Bands | None = None) -> RasterSource:
    """Match a raster's bands and pixel type to what a model wants.

    Raises
    ------
    BandError
        If bands or pixel type do not fit; the message names both sides.
    """
    chosen = match_bands(raster.band_names, inputs, bands)
    limits = None
    if inputs.dtype is not None and raster.array.dtype != np.dtype(inputs.dtype):
        if raster.array.dtype.kind != "f" and np.dtype(inputs.dtype).kind != "f":
            raise BandError(
                f"the model wants {inputs.dtype} pixels and the raster has {raster.array.dtype}; "
                f"its values would be scaled wrongly: bring them to the range of {inputs.dtype} "
                f"first and convert with .astype({inputs.dtype!r})"
            )
        if np.dtype(inputs.dtype).kind in "iu":
            info = np.iinfo(inputs.dtype)
            limits = (float(info.min), float(info.max))
    return RasterSource(raster, chosen, limits)


def check_limits(
    stored: np.ndarray, nodata: float | None, limits: tuple[float, float] | None
) -> None:
    """Refuse values (band, y, x) that the model's scaling was not made for.

    Raises
    ------
    RasterError
        If a value other than nodata lies outside ``limits``.
    """
    if limits is None:
        return
    off = np.isfinite(stored) & ((stored < limits[0]) | (stored > limits[1]))
    off &= stored != (np.nan if nodata is None else nodata)
    if off.any():
        raise RasterError(
            f"the raster holds the value {stored[off][0]:g}, but the model wants pixels from "
            f"{limits[0]:g} to {limits[1]:g}; rescale them first"
        )
    if limits[1] > 1 and _are_fractions(stored):
        raise RasterError(
            f"the raster's values are fractions of 0 to 1, but the model wants pixels from "
            f"{limits[0]:g} to {limits[1]:g}; rescale them first, as in da * {limits[1]:g}"
        )


def _are_fractions(stored: np.ndarray) -> bool:
    """Tell whether all values above 0 are up to 1, and most below: bytes brought to 0..1."""
    seen = stored[np.isfinite(stored) & (stored > 0)]
    return bool(seen.size and seen.max() <= 1 and (seen < 1).mean() > 0.5)


@contextlib.contextmanager
def _explained(window: Window) -> Iterator[None]:
    """Word what the libraries raise when pixels cannot be read."""
    try:
        yield
    except (rasterio.errors.RasterioError, OSError) as error:
        raise RasterError(
            f"the pixels of rows {window.y}-{window.bottom} and columns {window.x}-"
            f"{window.right} cannot be read; the file seems truncated or damaged: get it "
            f"again ({first_line(error)})"
        ) from error
