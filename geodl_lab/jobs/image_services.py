"""A raster from an ImageServer elsewhere: pixel for pixel, block by block, as one GeoTIFF.

Blocks are asked with ``exportImage`` on the service's own grid, so nothing is resampled. Each lies
in a file of its own until all are there, so a run that was killed asks only for what is missing.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.errors
from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.warp import transform_bounds
from rasterio.windows import Window as FileWindow

from geodl_lab.addresses import checked_url, shown
from geodl_lab.errors import AccessError, RasterError, first_line
from geodl_lab.fetch import Fetcher
from geodl_lab.grid import Window
from geodl_lab.jobs.rasters import check_raster
from geodl_lab.jobs.recipes import Extent
from geodl_lab.jobs.remote import answered, ask, below, crs_of, plain
from geodl_lab.jobs.resolved import Call, call_here
from geodl_lab.jobs.worker import UNTRUSTED_ENV
from geodl_lab.staging import staged

TYPES = {
    "U1": "uint8", "U2": "uint8", "U4": "uint8", "U8": "uint8", "S8": "int8", "U16": "uint16",
    "S16": "int16", "U32": "uint32", "S32": "int32", "F32": "float32", "F64": "float64",
}  # fmt: skip
"""Esri's pixel types."""

SIDE = 2048
"""Pixels of a block's side at most."""

TILE = 1024
"""Pixels of a side of the tiles in the files that it answers, at most."""

MARGIN = 1024
"""Pixels around an extent that are fetched as well: a model sees beyond what it answers for."""

MOST_VALUES = 2**34
"""Pixels times bands that are fetched."""


@dataclass(frozen=True)
class ImageService:
    """What an image service says about itself.

    Parameters
    ----------
    url
        Its address, with its token if it has one.
    shape_yx, bands
        Height and width in pixels at its own resolution, number of bands.
    pixel_type
        One of `TYPES`.
    crs, transform
        Georeference; pixel corners to CRS units.
    nodata
        The value that means no data, or None.
    side
        Pixels of a block's side that it answers at most.
    """

    url: str
    shape_yx: tuple[int, int]
    bands: int
    pixel_type: str
    crs: CRS | None
    transform: Affine
    nodata: float | None
    side: int

    @property
    def name(self) -> str:
        """Its address for messages."""
        return shown(checked_url(self.url))


def describe(url: str, fetcher: Fetcher) -> ImageService:
    """Return what a service says about itself.

    Raises
    ------
    AccessError
        If it cannot be asked, or says nothing that fits.
    """
    url = plain(url)
    values = ask(fetcher, url, {})
    try:
        return _described(url, values)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, AccessError):
            raise
        raise AccessError(
            f"{shown(checked_url(url))} does not describe an image service ({first_line(error)}); "
            "give the address of an ImageServer"
        ) from error


def download_image(
    service: ImageService,
    path: Path,
    fetcher: Fetcher,
    *,
    extent: Extent | None = None,
    call: Call = call_here,
) -> Path:
    """Fetch a service, or what of it lies in an extent and `MARGIN` around, as a GeoTIFF.

    Parameters
    ----------
    service
        The service.
    path
        The file; what is fetched is kept beside it until it is complete.
    fetcher
        The way out.
    extent
        In its own CRS; None is all.
    call
        Where the answers are opened.

    Raises
    ------
    AccessError
        If it is too large, the extent misses it, or an answer is not what was asked for.
    """
    return download_window(service, path, fetcher, window=_window(service, extent), call=call)


def download_window(
    service: ImageService,
    path: Path,
    fetcher: Fetcher,
    *,
    window: Window,
    call: Call = call_here,
) -> Path:
    """Fetch a window of a service's own grid as a GeoTIFF."""
    if (values := window.height * window.width * service.bands) > MOST_VALUES:
        raise AccessError(
            f"{service.name} has {window.height} x {window.width} pixels in {service.bands} bands "
            f"there, {values} values; at most {MOST_VALUES} are fetched: give a smaller extent "
            "in the context, or put the raster into a store of the server"
        )
    folder = path.with_name(f"{path.stem}-blocks")
    folder.mkdir(exist_ok=True)
    blocks = {b: _fetch(service, b, folder, fetcher, call) for b in _cut(service, window)}
    with staged(path, overwrite=True) as rough:
        call(_join, service, window, blocks, rough)
    shutil.rmtree(folder)
    return path


def _described(url: str, values: Mapping[str, Any]) -> ImageService:
    extent, pixel_type = values["extent"], values["pixelType"]
    if pixel_type not in TYPES:
        raise ValueError(
            f"its pixelType is {str(pixel_type)[:20]!r}, not one of {', '.join(TYPES)}"
        )
    left, bottom, right, top = (float(extent[key]) for key in ("xmin", "ymin", "xmax", "ymax"))
    x, y = float(values["pixelSizeX"]), float(values["pixelSizeY"])
    bands = int(values["bandCount"])
    if not (x > 0 and y > 0 and right > left and top > bottom and 0 < bands < 2**16):
        raise ValueError("its extent, pixel size or bandCount is empty")
    reference = extent.get("spatialReference") or values.get("spatialReference")
    limits = (int(values.get(f"maxImage{side}") or SIDE) for side in ("Height", "Width"))
    return ImageService(
        url, (_cells(top - bottom, y), _cells(right - left, x)), bands, pixel_type,
        crs_of(reference, url), Affine(x, 0, left, 0, -y, top),
        _nodata(values, np.dtype(TYPES[pixel_type])),
        max(1, min(SIDE, *limits)),
    )  # fmt: skip


def _cells(span: float, size: float) -> int:
    """Return how many pixels a span has; what is nearly whole is."""
    cells = span / size
    near = round(cells)
    return max(1, near if abs(cells - near) < 0.01 else math.ceil(cells))


def _nodata(values: Mapping[str, Any], dtype: np.dtype[Any]) -> float | None:
    """Return the value of no data, None where there is none that a pixel can have."""
    given = values.get("noDataValue")
    listed = values.get("noDataValues") if given is None else given
    some = listed if isinstance(listed, list) else [listed]
    found = {repr(float(one)): float(one) for one in some if one is not None}
    if len(found) > 1:
        raise ValueError(f"its bands have {len(found)} values of no data, and a file has one")
    fitting = [one for one in found.values() if dtype.kind == "f" or _holds(dtype, one)]
    return fitting[0] if fitting else None


def _holds(dtype: np.dtype[Any], value: float) -> bool:
    limits = np.iinfo(dtype)
    return value.is_integer() and limits.min <= value <= limits.max


def _window(service: ImageService, extent: Extent | None) -> Window:
    """Return the pixels in an extent and around it."""
    height, width = service.shape_yx
    if extent is None:
        return Window(0, 0, height, width)
    left, bottom, right, top = _bounds(service, extent)
    inverse = ~service.transform
    (x0, y0), (x1, y1) = inverse * (left, top), inverse * (right, bottom)
    if not (x1 > 0 and y1 > 0 and x0 < width and y0 < height):
        raise AccessError(
            f"the extent {(extent.left, extent.bottom, extent.right, extent.top)} lies outside "
            f"{service.name}; give one that meets it"
        )
    first_y, first_x = max(0, math.floor(y0) - MARGIN), max(0, math.floor(x0) - MARGIN)
    last_y, last_x = min(height, math.ceil(y1) + MARGIN), min(width, math.ceil(x1) + MARGIN)
    return Window(first_y, first_x, last_y - first_y, last_x - first_x)


def _bounds(service: ImageService, extent: Extent) -> tuple[float, float, float, float]:
    sides = (extent.left, extent.bottom, extent.right, extent.top)
    try:
        if not extent.crs or service.crs is None or CRS.from_user_input(extent.crs) == service.crs:
            return sides
        found = transform_bounds(CRS.from_user_input(extent.crs), service.crs, *sides)
        if not all(map(math.isfinite, found)):
            raise ValueError("its corners have no place there")
    except (rasterio.errors.RasterioError, CPLE_BaseError, ValueError) as error:
        raise AccessError(
            f"the extent cannot be brought from {extent.crs[:80]!r} to the spatial reference of "
            f"{service.name} ({first_line(error)}); give it in that one"
        ) from error
    return found


def _cut(service: ImageService, window: Window) -> Iterator[Window]:
    """Yield the blocks of a window, row by row."""
    bottom, right = window.y + window.height, window.x + window.width
    for y in range(window.y, bottom, service.side):
        for x in range(window.x, right, service.side):
            yield Window(y, x, min(service.side, bottom - y), min(service.side, right - x))


def _fetch(
    service: ImageService, block: Window, folder: Path, fetcher: Fetcher, call: Call
) -> Path:
    """Fetch a block, unless an earlier run did, and check that it is what was asked for."""
    path = folder / f"{block.y}-{block.x}-{block.height}-{block.width}.tif"
    if path.exists():
        return path
    answer = fetcher.download(
        below(service.url, "exportImage"), folder / "answer.tif", _question(service, block),
        most_bytes=_most_bytes(service, block), most_seconds=600,
    )  # fmt: skip
    call(_check, service, block, answer)
    return answer.rename(path)


def _most_bytes(service: ImageService, block: Window) -> int:
    """Return the bytes that a block may have: a file's tiles may reach far over its rim."""
    tiles = math.ceil(block.height / TILE) * math.ceil(block.width / TILE)
    values = tiles * TILE**2 * service.bands
    return 2 * values * np.dtype(TYPES[service.pixel_type]).itemsize + 2**20


def _question(service: ImageService, block: Window) -> dict[str, str]:
    """Return the parameters of exportImage; the box is in the service's own reference."""
    left, top = service.transform * (block.x, block.y)
    right, bottom = service.transform * (block.x + block.width, block.y + block.height)
    return {
        "bbox": ",".join(repr(side) for side in (left, bottom, right, top)),
        "size": f"{block.width},{block.height}", "format": "tiff", "f": "image",
        "pixelType": service.pixel_type, "interpolation": "RSP_NearestNeighbor",
        "adjustAspectRatio": "false",
    }  # fmt: skip


def _check(service: ImageService, block: Window, answer: Path) -> None:
    with answer.open("rb") as file:
        if file.read(1) == b"{":
            answered(answer.read_bytes(), service.url)
    try:
        check_raster(answer)
        with rasterio.Env(**UNTRUSTED_ENV), rasterio.open(answer) as file:
            got = (file.count, file.height, file.width), file.dtypes[0], file.transform, file.crs
    except RasterError as error:
        raise AccessError(f"exportImage of {service.name} answered no GeoTIFF: {error}") from error
    wanted = (service.bands, block.height, block.width), TYPES[service.pixel_type]
    if got[:2] != wanted:
        raise AccessError(
            f"exportImage of {service.name} answered {got[0]} values (band, y, x) of {got[1]}, "
            f"asked were {wanted[0]} of {wanted[1]}; the service cannot be read pixel for pixel"
        )
    place = service.transform * Affine.translation(block.x, block.y)
    if got[3] is not None and not _near(got[2], place, block):
        raise AccessError(
            f"exportImage of {service.name} answered another place than was asked for; the service "
            "cannot be read pixel for pixel"
        )


def _near(got: Affine, wanted: Affine, block: Window) -> bool:
    """Tell whether two grids differ by less than a tenth of a pixel at a block's corners."""
    corners = ((0, 0), (block.width, block.height))
    away = (
        abs(a - b)
        for corner in corners
        for a, b in zip(~wanted * (got * corner), corner, strict=True)
    )
    return max(away) < 0.1


def _join(service: ImageService, window: Window, blocks: Mapping[Window, Path], path: Path) -> None:
    """Write blocks into one file."""
    profile = {
        "driver": "GTiff", "height": window.height, "width": window.width, "count": service.bands,
        "dtype": TYPES[service.pixel_type], "crs": service.crs,
        "nodata": _nodata_of(service, blocks),
        "transform": service.transform * Affine.translation(window.x, window.y),
        "tiled": True, "blockxsize": 512, "blockysize": 512, "bigtiff": "if_safer",
        "interleave": "band", "compress": "deflate", "zlevel": 1,
    }  # fmt: skip
    with rasterio.Env(**UNTRUSTED_ENV), rasterio.open(path, "w", **profile) as file:
        for block, part in blocks.items():
            place = FileWindow(block.x - window.x, block.y - window.y, block.width, block.height)
            with rasterio.open(part) as source:
                file.write(source.read(), window=place)


def _nodata_of(service: ImageService, blocks: Mapping[Window, Path]) -> float | None:
    """Return what the service says, or else its first answer."""
    if service.nodata is not None:
        return service.nodata
    with rasterio.Env(**UNTRUSTED_ENV), rasterio.open(next(iter(blocks.values()))) as file:
        return file.nodata
