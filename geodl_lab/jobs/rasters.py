"""Raster files from requests, uploads and stores are checked before GDAL may do as it likes.

GDAL chooses a driver by what a file holds, not by its name, and some formats (VRT, WMS) are texts
that name other files and addresses. Measured: a VRT called ``ok.tif`` inside a store read a file
outside it. So a file must begin as what it says it is, hold no such text, and open with no driver
but its own.
"""

from __future__ import annotations

import os
import re
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.errors
from rasterio._err import CPLE_BaseError
from rasterio.enums import Interleaving
from rasterio.windows import Window

from geodl_lab.errors import RasterError, first_line
from geodl_lab.jobs.worker import UNTRUSTED_ENV

MAGIC = {
    b"II*\0": "GTiff", b"MM\0*": "GTiff", b"II+\0": "GTiff", b"MM\0+": "GTiff",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JP2OpenJPEG", b"\xff\x4f\xff\x51": "JP2OpenJPEG",
}  # fmt: skip
"""How files begin, and GDAL's driver of each."""

HEAD = 2**16
"""Bytes in which texts are looked for; GDAL's drivers look at the first 1024, some further."""

TEXTS = re.compile(
    rb"<(VRTDataset|VRTRasterBand|GDAL_WMS|GDAL_WMTS|GDAL_WCS|WCS_GDAL|GDALTileIndexDataset|"
    rb"OGRVRTDataSource|OGRWMS|OGRWFS|MRF_META|WMT_MS_Capabilities|WMS_Capabilities|WMS_Tile_Service|"
    rb"TileMapService|TileMap|PLMosaic|DerivedDataset|Dimap_Document|SimpleSource|ComplexSource)\b",
    re.IGNORECASE,
)
"""Formats that are texts and name files or addresses."""

NAMING = ("OVERVIEWS", "GEOLOCATION", "new_vrt_sources", "vrt_sources", "xml:VRT")
"""Domains of metadata that name files."""

MOST_VALUES = 2**40
"""Pixels times bands."""

MOST_IN_A_ROW = 2**32
"""Pixels times bands of a PNG or JPEG, of which a pixel is read only after all before it."""

MOST_BLOCK = 2**30
"""Bytes of one block unpacked; a file may be one block, which is then read whole for any pixel."""


def check_raster(path: Path) -> Path:
    """Return a file that is one raster of a common format and names no other file.

    Parameters
    ----------
    path
        A local file: GeoTIFF (also a COG), PNG, JPEG or JPEG 2000.

    Raises
    ------
    RasterError
        If it is none, is damaged or cut off, holds several rasters, names other files, or is of
        no sane size.
    """
    head = read_head(path)
    driver = next((name for magic, name in MAGIC.items() if head.startswith(magic)), None)
    if driver is None:
        raise RasterError(
            f"{path.name!r} is no GeoTIFF, PNG, JPEG or JPEG 2000 by its first bytes; "
            "convert it to one, for example with gdal_translate -of COG"
        )
    if text := TEXTS.search(head):
        raise RasterError(
            f"{path.name!r} holds {text[0].decode()!r}, a text by which GDAL reads other files, "
            "and is not opened; write the pixels into a new file"
        )
    with rasterio.Env(**UNTRUSTED_ENV), _explained(path):
        with rasterio.open(path, driver=driver) as file:
            _check(path, file)
        with rasterio.open(path) as file:  # as everybody else will
            _check_driver(path, file, driver)
    return path


def read_head(path: Path) -> bytes:
    """Return the first bytes of a plain file; raises RasterError."""
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):  # opening a pipe would wait
            raise RasterError(f"{path.name!r} is not a plain file; give a raster file")
        with path.open("rb") as file:
            return file.read(HEAD)
    except (OSError, ValueError) as error:
        if isinstance(error, RasterError):
            raise
        raise RasterError(f"{path.name!r} cannot be read ({first_line(error)})") from error


def _check(path: Path, file: Any) -> None:
    """Check what a file says, before anything that it names could be opened."""
    bands = (space for band in file.indexes for space in file.tag_namespaces(band))
    if {*file.tag_namespaces(), *bands}.intersection(NAMING) or _others(path, file):
        raise RasterError(
            f"{path.name!r} names other files in its metadata, which are not read; "
            "write the pixels into a new file"
        )
    _check_size(path, file)
    if file.subdatasets:
        raise RasterError(
            f"{path.name!r} holds {len(file.subdatasets)} rasters; save the one that is wanted as "
            "a file of its own, for example with gdal_translate -sds"
        )
    last = Window(file.width - 1, file.height - 1, 1, 1)
    file.read(file.count, window=last)  # what is cut off lacks it


def _others(path: Path, file: Any) -> list[str]:
    return [other for other in file.files if Path(other) != path]


def _check_size(path: Path, file: Any) -> None:
    values = file.width * file.height * file.count
    most = MOST_IN_A_ROW if file.driver in ("PNG", "JPEG") else MOST_VALUES
    if not 0 < values <= most:
        raise RasterError(
            f"{path.name!r} says that it has {file.height} x {file.width} pixels in {file.count} "
            f"bands; of {file.driver} 1 to {most} values are read: make a smaller file of it, or "
            "a COG with gdal_translate -of COG"
        )
    bands = file.count if file.interleaving == Interleaving.pixel else 1
    height, width = file.block_shapes[0]
    item = np.dtype(file.dtypes[0].replace("complex_int16", "complex64")).itemsize
    if (size := height * width * bands * item) > MOST_BLOCK:
        raise RasterError(
            f"{path.name!r} is made of blocks of {height} x {width} pixels, {size} bytes that are "
            f"read at once; at most {MOST_BLOCK} are: write it in tiles, for example with "
            "gdal_translate -of COG"
        )


def _check_driver(path: Path, file: Any, driver: str) -> None:
    if file.driver != driver:
        raise RasterError(
            f"{path.name!r} begins as {driver} but opens as {file.driver}; write the pixels into a "
            "new file"
        )


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            yield
    except (rasterio.errors.RasterioError, CPLE_BaseError) as error:
        raise RasterError(
            f"{path.name!r} is damaged or cut off ({first_line(error)[:200]}); get it again"
        ) from error
