"""Photos as cameras and people send them become red, green and blue bytes.

Turned as EXIF says; transparent parts are over white; of 16-bit values, which are 8-bit values
times 257, the high byte is taken. Colour profiles are not applied. Sizes are read from the header
and checked before memory is taken.
"""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import xarray as xr
from PIL import Image

from geodl_lab.errors import RasterError, first_line

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")
"""What is opened: no format among them names files or runs programs."""

MOST_PIXELS = 100_000_000
"""Pixels of a photo."""

MOST_SCANS = 500
"""Passes over its pixels that a JPEG may ask for: useful ones have ten, and each costs a decode."""

BANDS = ("red", "green", "blue")
_SCAN = b"\xff\xda"
_ORIENTATION, _TILE_WIDTH, _TILE_HEIGHT = 0x0112, 322, 323
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N")

_TURNS = {
    2: (False, 1, -1), 3: (False, -1, -1), 4: (False, -1, 1), 5: (True, 1, 1), 6: (True, 1, -1),
    7: (True, -1, -1), 8: (True, -1, 1),
}  # fmt: skip
"""Of each EXIF orientation: whether rows become columns, then the steps along y and x."""


def open_photo(data: bytes, *, most_pixels: int = MOST_PIXELS) -> xr.DataArray:
    """Decode a photo.

    Parameters
    ----------
    data
        A PNG, JPEG, BMP, TIFF, WebP or GIF; of several pictures the first is taken.
    most_pixels
        Pixels that it may have.

    Returns
    -------
    xarray.DataArray
        (band, y, x), uint8, bands ``red``, ``green``, ``blue``; turned as EXIF says.

    Raises
    ------
    RasterError
        If it is no photo, damaged, or too large.
    """
    if not data:
        raise RasterError("the photo is empty, 0 bytes; send a PNG, JPEG, BMP, TIFF, WebP or GIF")
    with warnings.catch_warnings(action="ignore"), _opened(data) as image:
        _check(image, data, most_pixels)
        orientation = _orientation(image)
        try:
            pixels = _rgb(image)
        except RasterError:
            raise
        except Exception as error:  # decoders raise whatever a damaged file leads them to
            raise RasterError(
                f"the photo ({image.format}) is damaged or cut off: {first_line(error)[:200]}; "
                "send it again, whole"
            ) from error
    return _array(_turned(pixels, orientation))


def raw_photo(
    data: bytes | memoryview, width: int, height: int, *, bayer: bool = False
) -> xr.DataArray:
    """Take pixels as cameras give them.

    Parameters
    ----------
    data
        Bytes row by row: of each pixel blue, green and red, or one grey value.
    width, height
        In pixels.
    bayer
        Whether one value a pixel is a mosaic of colours: red at the top left, then green, and
        below them green and blue (Bayer RG 8). The missing ones are means of their neighbours.

    Returns
    -------
    xarray.DataArray
        As of `open_photo`; where it can be, a view of ``data``.

    Raises
    ------
    RasterError
        If the length of ``data`` does not fit.
    """
    if width < 1 or height < 1 or width * height > MOST_PIXELS:
        raise RasterError(
            f"a photo of {width} x {height} pixels is not possible; give from 1 to {MOST_PIXELS} "
            "pixels"
        )
    channels, rest = divmod(len(data), width * height)
    if rest or channels not in ((1,) if bayer else (1, 3)):
        wanted = "1 byte a pixel (Bayer)" if bayer else "1 (grey) or 3 (BGR) bytes a pixel"
        raise RasterError(
            f"{len(data)} bytes are no {width} x {height} pixels of {wanted}; send "
            f"{width * height}{'' if bayer else f' or {3 * width * height}'} bytes"
        )
    pixels = np.frombuffer(data, np.uint8).reshape(height, width, channels)
    if bayer:
        return _array(_mosaic(pixels[..., 0]))
    if channels == 3:
        return _array(pixels[..., ::-1])
    return _array(np.broadcast_to(pixels, (height, width, 3)))


def _opened(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise RasterError(f"the photo is too large: {first_line(error)}; send a smaller") from error
    except Exception as error:  # as above
        raise RasterError(
            f"the {len(data)} bytes are no photo that can be read; send a PNG, JPEG, BMP, TIFF, "
            "WebP or GIF"
        ) from error


def _check(image: Image.Image, data: bytes, most_pixels: int) -> None:
    """Refuse what would take too much memory or time; nothing is decoded yet."""
    width, height = image.size
    if width * height > most_pixels:
        raise RasterError(
            f"the photo is {width} x {height} pixels; possible are {most_pixels} in all: send a "
            "smaller one, or a part"
        )
    if image.format in ("JPEG", "MPO") and data.count(_SCAN) > MOST_SCANS:
        raise RasterError(
            f"the photo is a JPEG of more than {MOST_SCANS} scans; save it again as baseline JPEG"
        )
    if image.format == "TIFF" and _tile_pixels(image) > max(most_pixels, 2**20):
        raise RasterError(f"the photo's tiles are larger than {most_pixels} pixels; save it anew")
    if image.mode in ("I", "F"):
        raise RasterError(
            "the photo's values are 32-bit numbers, which have no white; save it with 8 or 16 bits"
        )


def _tile_pixels(image: Any) -> int:
    sides = (image.tag_v2.get(tag, 0) for tag in (_TILE_WIDTH, _TILE_HEIGHT))
    width, height = (side if isinstance(side, int) else 0 for side in sides)
    return width * height


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1, as it is, where EXIF is damaged or says none."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # whatever damaged EXIF leads to, the photo is still one
        return 1


def _rgb(image: Image.Image) -> np.ndarray:
    """Decode to (y, x, 3), uint8."""
    if image.mode in _DEEP:
        grey = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
        return np.broadcast_to(grey[..., None], (*grey.shape, 3))
    if image.has_transparency_data:
        return _over_white(image.convert("RGBA"))
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _over_white(image: Image.Image) -> np.ndarray:
    """Return an RGBA image (y, x, 3) as it looks on white paper."""
    if image.getchannel("A").getextrema()[0] == 255:
        return np.asarray(image.convert("RGB"))
    paper = Image.new("RGBA", image.size, "white")
    return np.asarray(Image.alpha_composite(paper, image).convert("RGB"))


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Return a view of pixels (y, x, 3) turned as EXIF says; 1 and unknown ones as they are."""
    transposed, y, x = _TURNS.get(orientation, (False, 1, 1))
    return (pixels.transpose(1, 0, 2) if transposed else pixels)[::y, ::x]


def _array(pixels: np.ndarray) -> xr.DataArray:
    """Wrap pixels (y, x, 3) as (band, y, x), without a copy."""
    return xr.DataArray(
        pixels.transpose(2, 0, 1), dims=("band", "y", "x"), coords={"band": list(BANDS)}
    )


def _mosaic(values: np.ndarray) -> np.ndarray:
    """Fill in the colours of a Bayer RG mosaic (y, x): bilinear, means rounded; (y, x, 3)."""
    rows, columns = (np.arange(side) % 2 for side in values.shape)
    red = np.outer(1 - rows, 1 - columns)
    blue = np.outer(rows, columns)
    known = (red, 1 - red - blue, blue)
    return np.stack([_filled(values, mask.astype(np.uint16)) for mask in known], axis=-1)


def _filled(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return a channel (y, x) whose unknown values are the means of known neighbours, uint8."""
    sums, counts = _blurred(values * known), _blurred(known)
    means = (sums + counts // 2) // np.maximum(counts, 1)
    return np.where(known, values, means).astype(np.uint8)


def _blurred(values: np.ndarray) -> np.ndarray:
    """Return sums over 3 x 3 pixels with the weights 1, 2, 1 of each axis, 0 beyond the rim."""
    padded = np.pad(values, 1)
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    result: np.ndarray = rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]
    return result
