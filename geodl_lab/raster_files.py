"""Raster files that GDAL writes, and the blocks that one is made of until it is complete."""

from __future__ import annotations

import contextlib
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import rasterio
import rasterio.errors
from affine import Affine
from rasterio.windows import Window as FileWindow

from geodl_lab import settings
from geodl_lab.checkpoints import Checkpoint
from geodl_lab.grid import Window
from geodl_lab.package import LabelClass

BLOCK = 512
"""Side in pixels of a file's tiles."""

CRC = "GEODL_CRC32"
"""Tag of a block file: the checksum of its pixels."""


@dataclass(frozen=True)
class RasterFile:
    """What a raster file says about itself.

    Parameters
    ----------
    shape_yx, bands
        Height and width in pixels, number of bands.
    dtype, nodata
        Pixel type and the value that means no data, or None.
    crs, transform
        Georeference; pixel corners to CRS units.
    classes
        Classes for palette and names; empty for continuous values.
    names
        One name a band.
    tags
        Metadata, as text.
    """

    shape_yx: tuple[int, int]
    bands: int
    dtype: str
    nodata: float | None
    crs: Any
    transform: Any
    classes: tuple[LabelClass, ...] = ()
    names: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PixelBlocks:
    """Blocks of a raster, each in a GeoTIFF of its own until the raster is complete.

    Parameters
    ----------
    raster
        What they are blocks of.
    checkpoint
        Where they are kept.
    """

    raster: RasterFile
    checkpoint: Checkpoint

    def holds(self, window: Window) -> bool:
        """Tell whether the block at ``window`` is there and whole."""
        return self.checkpoint.holds(window) and _is_whole(self.checkpoint.path(window))

    def write(self, window: Window, block: np.ndarray) -> None:
        """Keep values (band, y, x) of ``window``, counted from the file's first pixel."""
        self.checkpoint.commit(window, lambda path: _write_block(path, block))

    def mosaic(self, windows: Sequence[Window], path: Path) -> None:
        """Write a VRT that shows the blocks at ``windows`` as one raster."""
        with rasterio.open(path, "w", driver="VRT", **_profile(self.raster)) as file:
            describe(file, self.raster)
            for band in range(1, self.raster.bands + 1):
                sources = {
                    f"source_{index}": _vrt_source(self.checkpoint.path(window), window, band)
                    for index, window in enumerate(windows)
                }
                file.update_tags(ns="new_vrt_sources", bidx=band, **sources)

    def sums(self, windows: Sequence[Window]) -> Iterator[tuple[Window, str]]:
        """Yield windows with the checksums of their blocks."""
        for window in windows:
            with rasterio.open(self.checkpoint.path(window)) as block:
                yield window, block.tags()[CRC]


@dataclass(frozen=True)
class Snap:
    """How a raster of blocks is brought to another grid: by copying the nearest.

    Parameters
    ----------
    raster
        What is made.
    rows, columns
        The row and column of the blocks' raster for each row and column of it.
    """

    raster: RasterFile
    rows: np.ndarray
    columns: np.ndarray

    def write(self, mosaic: Path, path: Path) -> list[tuple[Window, str]]:
        """Write the picked pixels of ``mosaic``; return windows with their checksums."""
        sums = []
        with (
            rasterio.open(mosaic) as source,
            rasterio.open(path, "w", **_tiled(self.raster)) as file,
        ):
            describe(file, self.raster)
            for window in _squares(self.raster.shape_yx, settings.CHUNK):
                rows, columns = self.rows[window.slices_yx[0]], self.columns[window.slices_yx[1]]
                top, left = int(rows[0]), int(columns[0])
                seen = Window(top, left, int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left)
                near = source.read(window=_place(seen))
                block = near[:, (rows - top)[:, None], columns - left]
                file.write(block, window=_place(window))
                sums.append((window, _crc(block)))
        return sums


def check_sums(path: Path, sums: Iterable[tuple[Window, str]]) -> None:
    """Compare a raster with checksums: a full disk can pass unnoticed until then.

    Raises
    ------
    OSError
        If a window's pixels differ.
    """
    with rasterio.open(path) as file:
        for window, known in sums:
            if _crc(file.read(window=_place(window))) != known:
                raise OSError("what was read back differs from what was written")


def sums_of(path: Path) -> Iterator[tuple[Window, str]]:
    """Yield windows of a raster with the checksums of their pixels."""
    with rasterio.open(path) as file:
        for window in _squares(file.shape, settings.CHUNK):
            yield window, _crc(file.read(window=_place(window)))


@contextlib.contextmanager
def gdal_limits() -> Iterator[None]:
    """Keep GDAL's cache small, use all cores, and say nothing of photos without a place."""
    with (
        rasterio.Env(GDAL_CACHEMAX=settings.GDAL_CACHE, GDAL_NUM_THREADS="ALL_CPUS"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        yield


def _place(window: Window) -> FileWindow:
    return FileWindow(window.x, window.y, window.width, window.height)


def _profile(raster: RasterFile) -> dict[str, Any]:
    height, width = raster.shape_yx
    georeference = {} if raster.crs is None and raster.transform.is_identity else {
        "crs": raster.crs, "transform": raster.transform,
    }  # fmt: skip
    return {
        "height": height, "width": width, "count": raster.bands, "dtype": raster.dtype,
        "nodata": raster.nodata, **georeference,
    }  # fmt: skip


def _tiled(raster: RasterFile) -> dict[str, Any]:
    """Return how a rough file is laid out; floats hardly shrink and stay as they are."""
    packed = {} if np.dtype(raster.dtype).kind == "f" else {"compress": "deflate", "zlevel": 1}
    return {
        "driver": "GTiff", "tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK,
        "bigtiff": "if_safer", "interleave": "band", **packed, **_profile(raster),
    }  # fmt: skip


def _squares(shape_yx: tuple[int, int], side: int) -> Iterator[Window]:
    height, width = shape_yx
    for y in range(0, height, side):
        for x in range(0, width, side):
            yield Window(y, x, min(side, height - y), min(side, width - x))


def _write_block(path: Path, block: np.ndarray) -> None:
    """Write values (band, y, x) with their checksum."""
    count, height, width = block.shape
    plain = RasterFile((height, width), count, block.dtype.name, None, None, Affine.identity())
    # The writing thread's own limits: GDAL's are by thread.
    with gdal_limits(), rasterio.open(path, "w", **_tiled(plain)) as file:
        file.write(block)
        file.update_tags(**{CRC: _crc(block)})
    if not _is_whole(path):  # libtiff does not always say that a disk is full
        raise OSError("what was read back differs from what was written")


def _is_whole(path: Path) -> bool:
    try:
        with gdal_limits(), rasterio.open(path) as file:
            return _crc(file.read()) == file.tags().get(CRC)
    except rasterio.errors.RasterioError:
        return False


def _crc(block: np.ndarray) -> str:
    return str(zlib.crc32(np.ascontiguousarray(block).data))


def _vrt_source(path: Path, window: Window, band: int) -> str:
    """Return GDAL's XML for one block of a mosaic."""
    size = f'xSize="{window.width}" ySize="{window.height}"'
    return (
        f'<SimpleSource><SourceFilename relativeToVRT="0">{escape(str(path.resolve()))}'
        f"</SourceFilename><SourceBand>{band}</SourceBand>"
        f'<SrcRect xOff="0" yOff="0" {size}/>'
        f'<DstRect xOff="{window.x}" yOff="{window.y}" {size}/></SimpleSource>'
    )


def describe(file: Any, raster: RasterFile) -> None:
    """Write tags, names of bands and palette to a file that is open."""
    file.update_tags(**raster.tags)
    for index, name in enumerate(raster.names, 1):
        file.set_band_description(index, name)
    if raster.classes and raster.dtype == "uint8":
        palette = {label.value: (*label.rgb, 255) for label in raster.classes}
        nodata = {} if raster.nodata is None else {int(raster.nodata): (0, 0, 0, 0)}
        file.write_colormap(1, {**palette, **nodata})
