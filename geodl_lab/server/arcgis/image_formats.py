"""Pixels and pictures as bytes of a format.

Values travel as ``tiff``, ``bip``, ``bsq``, ``lerc`` and, where one band of bytes is asked for, as
``png8`` whose palette index is the value. All others are pictures.
"""

from __future__ import annotations

import ctypes
import io
import warnings
from dataclasses import dataclass

import lerc
import numpy as np
import rasterio
import rasterio.errors
from PIL import Image
from pyproj import CRS
from rasterio.io import MemoryFile
from rasterio.transform import from_bounds

from geodl_lab.server.arcgis.image_reads import Pixels
from geodl_lab.server.arcgis.image_views import View
from geodl_lab.server.arcgis.web import ArcgisError

MEDIA = {
    "jpgpng": "image/png", "png": "image/png", "png8": "image/png", "png24": "image/png",
    "png32": "image/png", "jpg": "image/jpeg", "bmp": "image/bmp", "gif": "image/gif",
    "tiff": "image/tiff", "bip": "application/octet-stream", "bsq": "application/octet-stream",
    "lerc": "application/octet-stream",
}  # fmt: skip
"""Media type of each format; ``jpgpng`` is a JPEG where nothing is transparent."""

OTHER_NAMES = {"jpeg": "jpg", "tif": "tiff", "png32a": "png32"}
VALUES = ("tiff", "bip", "bsq", "lerc")
"""Formats of values, unless a renderingRule asks for colours."""

WHITE = 255

_LERC_CODECS = {1: 2, 2: 4}
"""The newest codec that a reader of each ``lercVersion`` knows; GDAL 3.6 reads up to 4."""


@dataclass(frozen=True)
class Encoding:
    """How something is written.

    Parameters
    ----------
    format
        A key of `MEDIA`.
    quality
        Of a JPEG, 1..100.
    tolerance
        Largest error of a value in ``lerc``; 0 keeps all bits.
    lerc_version
        1 or 2, as the client asked.
    opaque
        Whether what has no data becomes white.
    """

    format: str
    quality: int = 75
    tolerance: float = 0.0
    lerc_version: int = 2
    opaque: bool = False


def find_format(name: str) -> str:
    """Return a format by its name in any case.

    Raises
    ------
    ArcgisError
        If there is none of that name.
    """
    known = OTHER_NAMES.get(name.lower(), name.lower())
    if known not in MEDIA:
        raise ArcgisError(f"format is {name[:40]!r}; possible are {', '.join(MEDIA)}")
    return known


def write_picture(rgba: np.ndarray, encoding: Encoding) -> tuple[bytes, str]:
    """Return a picture (y, x, 4) as bytes, and their media type."""
    format = encoding.format
    is_whole = bool((rgba[..., 3] == 255).all())
    if format == "jpgpng":
        format = "jpg" if is_whole else "png"
    if format in ("png8", "gif"):
        return _saved(*_few_colors(rgba), format, encoding.quality), MEDIA[format]
    if encoding.opaque or format in ("jpg", "bmp") or (format == "png24" and is_whole):
        rgba = _on_white(rgba)
    return _saved(Image.fromarray(rgba), None, format, encoding.quality), MEDIA[format]


def write_indices(
    pixels: Pixels, nodata: float | None, palette: np.ndarray, encoding: Encoding
) -> bytes:
    """Return one band of bytes as a PNG or GIF whose palette index is the value.

    Parameters
    ----------
    pixels
        uint8 (1, y, x).
    nodata
        The index of what has no data, if no pixel has that value; else another that is free.
    palette
        uint8 (256, red green blue alpha).
    encoding
        ``png8`` or ``gif``.
    """
    values, valid = pixels.values[0], pixels.valid[0]
    is_free = np.bincount(values[valid], minlength=256) == 0
    wanted = [int(index) for index in (nodata, 255) if index is not None and 0 <= index <= 255]
    free = [index for index in (*wanted, *np.flatnonzero(is_free)) if is_free[index]]
    alpha = palette[:, 3].copy()
    if free and not valid.all():
        values = np.where(valid, values, free[0]).astype(np.uint8)
        alpha[free[0]] = 0
    image = Image.fromarray(values)
    image.putpalette(palette[:, :3].tobytes())
    return _saved(image, alpha, encoding.format, encoding.quality)


def write_tiff(
    pixels: Pixels, view: View, nodata: float | None, palette: np.ndarray | None = None
) -> bytes:
    """Return values as a GeoTIFF with CRS, transform and nodata.

    Where the raster has no value for "no data" the file gets a mask.

    Parameters
    ----------
    pixels
        (band, y, x).
    view
        Where they lie.
    nodata
        The value for "no data", or None.
    palette
        uint8 (256, red green blue alpha) of one band of bytes, or None.
    """
    height, width = view.shape_yx
    profile = {
        "driver": "GTiff", "height": height, "width": width, "count": len(pixels.values),
        "dtype": pixels.values.dtype, "nodata": nodata, "compress": "deflate", "zlevel": 1,
        "transform": from_bounds(*view.box, width, height), "crs": _file_crs(view.crs),
    }  # fmt: skip
    with (
        warnings.catch_warnings(),
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        MemoryFile() as memory,
    ):
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with memory.open(**profile) as file:
            file.write(filled(pixels, nodata))
            if nodata is None and not pixels.shown.all():
                file.write_mask(pixels.shown)
            if palette is not None:
                file.write_colormap(1, dict(enumerate(map(tuple, palette.tolist()))))
        return bytes(memory.getbuffer())


def write_raw(pixels: Pixels, nodata: float | None, *, by_pixel: bool) -> bytes:
    """Return values without any header, little endian: band by band, or pixel by pixel."""
    values = filled(pixels, nodata)
    if by_pixel:
        values = np.moveaxis(values, 0, -1)
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()


def write_lerc(pixels: Pixels, encoding: Encoding) -> bytes:
    """Return values as a Lerc2 blob; what has no data is its mask.

    The package's own ``encode`` writes a codec that GDAL 3.6 cannot read, so the library is asked
    for an older one by name.

    Raises
    ------
    ArcgisError
        If the library refuses.
    """
    values = np.ascontiguousarray(filled(pixels, None))
    bands, height, width = values.shape
    mask = np.ascontiguousarray(pixels.shown, np.uint8)
    room = values.nbytes + mask.nbytes + 4096 * bands + 65536
    blob, written = ctypes.create_string_buffer(room), ctypes.c_uint(0)
    status = lerc.lercDll.lerc_encodeForVersion(
        ctypes.c_void_p(values.ctypes.data),
        ctypes.c_int(_LERC_CODECS.get(encoding.lerc_version, 4)),
        ctypes.c_uint(lerc.getLercDatatype(values.dtype)),
        1, width, height, bands, int(not mask.all()),
        ctypes.c_char_p(mask.tobytes()) if not mask.all() else None,
        ctypes.c_double(encoding.tolerance), blob, ctypes.c_uint(room), ctypes.byref(written),
    )  # fmt: skip
    if status:
        raise ArcgisError(f"these values cannot be written as lerc (status {status}); ask for tiff")
    return blob.raw[: written.value]


def filled(pixels: Pixels, nodata: float | None) -> np.ndarray:
    """Return values (band, y, x) with ``nodata``, or 0, where there are none."""
    answer = pixels.values.copy()
    answer[~pixels.valid] = 0 if nodata is None else nodata
    return answer


def _on_white(rgba: np.ndarray) -> np.ndarray:
    """Return (y, x, 3) on white paper."""
    return np.where(rgba[..., 3:] > 0, rgba[..., :3], WHITE).astype(np.uint8)


def _few_colors(rgba: np.ndarray) -> tuple[Image.Image, np.ndarray]:
    """Return a picture of at most 255 colours, and the alpha of its palette; 255 is no data."""
    image = Image.fromarray(np.ascontiguousarray(rgba[..., :3])).quantize(
        255, dither=Image.Dither.NONE
    )
    indices = np.where(rgba[..., 3] > 0, np.asarray(image), 255).astype(np.uint8)
    few = Image.fromarray(indices)
    few.putpalette(bytes(image.getpalette() or []).ljust(768, b"\0"))
    alpha = np.full(256, 255, np.uint8)
    alpha[255] = 0
    return few, alpha


def _saved(image: Image.Image, alpha: np.ndarray | None, format: str, quality: int) -> bytes:
    data = io.BytesIO()
    if format == "jpg":
        image.save(data, "JPEG", quality=quality)
    elif format == "bmp":
        image.save(data, "BMP")
    elif format == "gif" and alpha is not None:
        gone = {"transparency": int(alpha.argmin())} if alpha.min() == 0 else {}
        image.save(data, "GIF", optimize=False, **gone)
    else:
        table = {} if alpha is None else {"transparency": alpha.tobytes()}
        image.save(data, "PNG", compress_level=1, **table)
    return data.getvalue()


def _file_crs(crs: CRS | None) -> rasterio.CRS | None:
    if crs is None:
        return None
    code = crs.to_epsg()
    return rasterio.CRS.from_epsg(code) if code else rasterio.CRS.from_wkt(crs.to_wkt())
