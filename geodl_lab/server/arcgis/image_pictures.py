"""A request becomes bytes: pixels are read, coloured or cast, and written."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from geodl_lab.server.arcgis.image_formats import (
    MEDIA,
    VALUES,
    Encoding,
    write_indices,
    write_lerc,
    write_picture,
    write_raw,
    write_tiff,
)
from geodl_lab.server.arcgis.image_places import WEB_MERCATOR, WORLD
from geodl_lab.server.arcgis.image_reads import Pixels, read_view
from geodl_lab.server.arcgis.image_rendering import Rule, colors_of, ramp, shown_bands
from geodl_lab.server.arcgis.image_requests import PictureRequest
from geodl_lab.server.arcgis.image_sources import ImageSource
from geodl_lab.server.arcgis.image_views import View
from geodl_lab.server.arcgis.web import ArcgisError

TILE = 256
"""Side of a tile, pixels."""

DEEPEST = 30
"""Last level of the tiles."""


def make_picture(source: ImageSource, request: PictureRequest) -> tuple[bytes, str]:
    """Return the answer to exportImage, and its media type.

    Raises
    ------
    RasterError
        If the raster cannot be read.
    ArcgisError
        If it lies nowhere on the map that is asked for.
    """
    if request.wants_values:
        return _values(source, request)
    if _is_indexed(source, request):
        return _indices(source, request)
    bands = shown_bands(source, request.bands)
    pixels = _read(source, request, bands)
    rgba = colors_of(source, pixels, bands, request.rule)
    if request.encoding.format not in VALUES:
        return write_picture(rgba, request.encoding)
    colors = np.moveaxis(rgba, -1, 0)
    shown = np.broadcast_to(rgba[..., 3] > 0, colors.shape)
    return _written(Pixels(colors, shown), request, None, None)


def make_tile(source: ImageSource, z: int, y: int, x: int) -> bytes:
    """Return a tile of a web map as PNG; transparent where there is nothing, never an error."""
    if not (0 <= z <= DEEPEST and 0 <= x < 2**z and 0 <= y < 2**z) or source.grid.crs is None:
        return empty_tile()
    side = WORLD / 2**z
    left, top = x * side - WORLD / 2, WORLD / 2 - y * side
    view = View((left, top - side, left + side, top), WEB_MERCATOR, (TILE, TILE))
    bands = shown_bands(source, ())
    try:
        pixels = read_view(source, view, bands)
    except ArcgisError:
        return empty_tile()
    if not pixels.shown.any():
        return empty_tile()
    return write_picture(colors_of(source, pixels, bands, Rule()), Encoding("png32"))[0]


@functools.cache
def empty_tile() -> bytes:
    """Return a tile without anything."""
    return write_picture(np.zeros((TILE, TILE, 4), np.uint8), Encoding("png32"))[0]


def palette_of(source: ImageSource, rule: Rule) -> np.ndarray:
    """Return the colours of all bytes, uint8 (256, red green blue alpha)."""
    steps = np.arange(256, dtype=np.uint8).reshape(1, 1, 256)
    return colors_of(source, Pixels(steps, np.ones(steps.shape, bool)), (0,), rule)[0]


def _read(source: ImageSource, request: PictureRequest, bands: tuple[int, ...]) -> Pixels:
    pixels = read_view(source, request.view, bands, smooth=request.smooth)
    if not request.nodata:
        return pixels
    given = request.nodata if len(request.nodata) == len(bands) else request.nodata[:1]
    gone = pixels.values == np.array(given).reshape(-1, 1, 1)
    gone = gone.all(axis=0) if request.match_all else gone.any(axis=0)
    return Pixels(pixels.values, pixels.valid & ~gone)


def _values(source: ImageSource, request: PictureRequest) -> tuple[bytes, str]:
    bands = request.bands or tuple(range(len(source.grid.numbers)))
    dtype = np.dtype(request.dtype or _possible(source.grid.dtype))
    pixels = _cast(_read(source, request, bands), dtype)
    nodata = next((n for n in (*request.nodata[:1], source.grid.nodata) if _fits(n, dtype)), None)
    palette = None
    if dtype == np.uint8 and len(bands) == 1 and source.classes:
        palette = palette_of(source, request.rule)
    return _written(pixels, request, nodata, palette)


def _written(
    pixels: Pixels, request: PictureRequest, nodata: float | None, palette: np.ndarray | None
) -> tuple[bytes, str]:
    format = request.encoding.format
    if format == "tiff":
        data = write_tiff(pixels, request.view, nodata, palette)
    elif format == "lerc":
        data = write_lerc(pixels, request.encoding)
    else:
        data = write_raw(pixels, nodata, by_pixel=format == "bip")
    return data, MEDIA[format]


def _is_indexed(source: ImageSource, request: PictureRequest) -> bool:
    """Tell whether the values themselves fit a palette: one band of bytes, asked for as such."""
    one_band = len(request.bands) == 1 or bool(source.classes)
    plain = request.rule.function in ("", "None") and not request.encoding.opaque
    is_byte = source.grid.dtype == "uint8" and request.dtype in ("", "uint8")
    return request.encoding.format in ("png8", "gif") and one_band and plain and is_byte


def _indices(source: ImageSource, request: PictureRequest) -> tuple[bytes, str]:
    pixels = _read(source, request, request.bands or (0,))
    palette = np.dstack([ramp("gray")[None], np.full((1, 256), 255, np.uint8)])[0]
    if source.classes:
        palette = palette_of(source, request.rule)
    data = write_indices(pixels, source.grid.nodata, palette, request.encoding)
    return data, MEDIA[request.encoding.format]


def _possible(dtype: str) -> str:
    """Return the pixel type that ArcGIS knows for one that it does not."""
    return "float64" if dtype in ("int64", "uint64") else "float32" if dtype == "float16" else dtype


def _fits(number: float | None, dtype: np.dtype) -> bool:
    if number is None or (dtype.kind != "f" and math.isnan(number)):
        return False
    return dtype.kind == "f" or np.iinfo(dtype).min <= number <= np.iinfo(dtype).max


def _cast(pixels: Pixels, dtype: np.dtype) -> Pixels:
    """Return values in another pixel type: rounded, and at most its largest."""
    values = pixels.values
    if dtype == values.dtype:
        return pixels
    if dtype.kind != "f":
        limits = np.iinfo(dtype)
        known = np.nan_to_num(np.where(pixels.valid, values, 0).astype(np.float64))
        values = np.clip(np.rint(known), limits.min, limits.max)
    with np.errstate(over="ignore"):
        return dataclasses.replace(pixels, values=values.astype(dtype))
