"""Several rasters as one, and rasters on another grid: VRTs that GDAL reads window by window.

Nothing is copied: the files must stay where they are. Where rasters overlap the first that has data
there is seen. Format: https://gdal.org/drivers/raster/vrt.html.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import rasterio
import rasterio.errors
import rasterio.shutil
import shapely
from affine import Affine
from rasterio.dtypes import typename_fwd
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.warp import calculate_default_transform

from geodl_lab.errors import OptionError, RasterError, first_line
from geodl_lab.raster_files import gdal_limits

NEAR = 1e-3
"""Part of a cell by which grids may differ and be one."""

LARGEST = 2**31 - 1
"""Pixels of a side that GDAL can count."""


@dataclass(frozen=True)
class MapGrid:
    """Cells of a map.

    Parameters
    ----------
    crs
        A `rasterio.crs.CRS`, or None.
    transform
        Cell corners to CRS units.
    shape_yx
        Height and width in cells.
    """

    crs: Any
    transform: Affine
    shape_yx: tuple[int, int]

    def __post_init__(self) -> None:
        if not 1 <= min(self.shape_yx) <= max(self.shape_yx) <= LARGEST:
            raise OptionError(
                f"a raster of {self.shape_yx[0]} x {self.shape_yx[1]} cells is not possible; give "
                "a larger cell size, or rasters that lie nearer to each other"
            )

    @property
    def upright(self) -> bool:
        """Tell whether rows run east and the first is the northernmost."""
        t = self.transform
        return t.b == t.d == 0 and t.a > 0 > t.e

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top in CRS units, of an upright grid."""
        (height, width), t = self.shape_yx, self.transform
        return t.c, t.f + t.e * height, t.c + t.a * width, t.f

    def around(self, bounds: Sequence[float]) -> MapGrid:
        """Return the cells of this upright grid, continued, that cover bounds."""
        t, (left, bottom, right, top) = self.transform, bounds
        x0, x1 = math.floor((left - t.c) / t.a + NEAR), math.ceil((right - t.c) / t.a - NEAR)
        y0, y1 = math.floor((top - t.f) / t.e + NEAR), math.ceil((bottom - t.f) / t.e - NEAR)
        shape_yx = max(y1 - y0, 1), max(x1 - x0, 1)
        return MapGrid(self.crs, t @ Affine.translation(x0, y0), shape_yx)

    def fits(self, other: MapGrid) -> bool:
        """Tell whether the cells of both lie on each other, where both have any."""
        if self.crs != other.crs or not (self.upright and other.upright):
            return False
        near = NEAR / max(*self.shape_yx, *other.shape_yx)
        (a, _, c, _, e, f), (oa, _, oc, _, oe, of) = self.transform[:6], other.transform[:6]
        if abs(oa / a - 1) > near or abs(oe / e - 1) > near:
            return False
        return all(abs(step - round(step)) < NEAR for step in ((oc - c) / a, (of - f) / e))


@dataclass(frozen=True)
class Facts:
    """What a raster file says: its grid, ``dtype``, ``nodata``, and bands' names and colours."""

    path: Path
    grid: MapGrid
    dtype: str
    nodata: float | None
    names: tuple[str, ...]
    colors: tuple[str, ...]


def facts_of(path: Path) -> Facts:
    """Return what a raster file says.

    Raises
    ------
    RasterError
        If it does not open.
    """
    try:
        with gdal_limits(), rasterio.open(path) as file:
            grid = MapGrid(file.crs, file.transform, file.shape)
            names = tuple(name or "" for name in file.descriptions)
            colors = tuple(color.name for color in file.colorinterp)
            return Facts(path, grid, file.dtypes[0], file.nodata, names, colors)
    except rasterio.errors.RasterioError as error:
        raise RasterError(
            f"{path.name!r} does not open as a raster; give a GeoTIFF or another file that GDAL "
            f"reads ({first_line(error)})"
        ) from error


def grid_in(path: Path, crs: Any, *, cell_size: float | None = None) -> MapGrid:
    """Return the upright grid in a CRS that covers a raster.

    Parameters
    ----------
    path
        The raster.
    crs
        A `rasterio.crs.CRS`, or None where the raster has none either.
    cell_size
        In units of ``crs``; None is about that of the raster.

    Raises
    ------
    RasterError, OptionError
        If the raster has no CRS, cannot be shown in the other, or would be too large.
    """
    grid = facts_of(path).grid
    if grid.crs == crs and grid.upright:
        t = grid.transform
        a, e = (t.a, t.e) if cell_size is None else (cell_size, -cell_size)
        return MapGrid(crs, Affine(a, 0, t.c, 0, e, t.f), (1, 1)).around(grid.bounds)
    if grid.crs is None or crs is None:
        raise RasterError(
            f"{path.name!r} or what it is to fit has no CRS, so it cannot be brought to another; "
            "give a georeferenced raster, or leave the CRS out"
        )
    height, width = grid.shape_yx
    bounds = rasterio.transform.array_bounds(height, width, grid.transform)
    try:
        transform, across, down = calculate_default_transform(
            grid.crs, crs, width, height, *bounds, resolution=cell_size
        )
    except (rasterio.errors.RasterioError, ValueError, OverflowError) as error:
        raise RasterError(
            f"{path.name!r} cannot be shown in {crs.to_string()} ({first_line(error)}); give a CRS "
            "that is made for its place"
        ) from error
    return MapGrid(crs, transform, (int(down), int(across)))


def write_warped(source: Path, path: Path, grid: MapGrid, *, resampling: str = "") -> None:
    """Write a VRT that shows a raster on another grid.

    Where the raster has nothing the VRT has nodata: the raster's value or, if it has none, NaN or
    the least of its pixel type, which GDAL then keeps out of what it resamples.

    Parameters
    ----------
    source
        The raster.
    path
        A ``.vrt``; one that says the same already is left as it is.
    grid
        The cells.
    resampling
        ``nearest``, ``bilinear`` or ``cubic``; "" is bilinear.
    """
    facts = facts_of(source)
    nodata = _some_nodata(facts.dtype) if facts.nodata is None else facts.nodata
    height, width = grid.shape_yx
    rough = path.with_name(f"rough-{path.name}")
    with (
        gdal_limits(),
        rasterio.open(source) as file,
        WarpedVRT(
            file, crs=grid.crs, transform=grid.transform, height=height, width=width,
            nodata=nodata, resampling=Resampling[resampling or "bilinear"],
        ) as warped,
    ):  # fmt: skip
        rasterio.shutil.copy(warped, rough, driver="VRT")
    text = rough.read_text(encoding="utf-8")
    rough.unlink()
    _put(path, text)


def write_mosaic(paths: Sequence[Path], path: Path, *, resampling: str = "") -> None:
    """Write a VRT that shows several rasters as one, on the grid of the first.

    Parameters
    ----------
    paths
        Rasters with the same bands and pixel type; what is of another CRS, or does not lie on the
        cells of the first, is resampled.
    path
        A ``.vrt``; more may be written beside it. One that says the same already is left.
    resampling
        As in `write_warped`.

    Raises
    ------
    RasterError
        If the rasters do not fit each other; the message names two.
    """
    files = [facts_of(one) for one in paths]
    for other in files[1:]:
        _check_alike(files[0], other)
    base = files[0].grid
    if not base.upright:
        base = grid_in(files[0].path, base.crs)
    placed = [_placed(file, base, path, resampling, index) for index, file in enumerate(files)]
    boxes = [file.grid.bounds for file in placed]
    low, high = np.min(boxes, axis=0)[:2], np.max(boxes, axis=0)[2:]
    whole = base.around((*low, *high))
    root = _document(files[0], whole, _nodata_of(placed))
    for band, element in enumerate(root.iter("VRTRasterBand"), 1):
        for file in reversed(placed):  # what is drawn last is seen
            _draw(element, file, whole, band)
    _put(path, ElementTree.tostring(root, encoding="unicode"))


def write_stack(paths: Sequence[Path], path: Path, *, names: Sequence[str]) -> None:
    """Write a VRT with the bands of rasters of one grid one after the other.

    Parameters
    ----------
    paths
        Rasters of the same cells, pixel type and nodata, where they have any.
    path
        A ``.vrt``.
    names
        One for each band of all.

    Raises
    ------
    RasterError
        If the rasters differ in grid, pixel type or nodata.
    """
    files = [facts_of(one) for one in paths]
    for other in files[1:]:
        same = files[0].grid.shape_yx == other.grid.shape_yx and files[0].grid.fits(other.grid)
        if not same or files[0].dtype != other.dtype:
            raise RasterError(
                f"{files[0].path.name!r} and {other.path.name!r} differ in their cells or in "
                f"pixel type ({files[0].dtype} and {other.dtype}); bring them to the same"
            )
    bands = [(file, band) for file in files for band in range(1, len(file.names) + 1)]
    known = {str(file.nodata): file.nodata for file in files if file.nodata is not None}
    if len(known) > 1:
        raise RasterError(
            f"{files[0].path.name!r} and {files[1].path.name!r} differ in nodata "
            f"({' and '.join(known)}); bring them to the same"
        )
    nodata = next(iter(known.values()), None)
    root = _document(files[0], files[0].grid, nodata, names=tuple(names))
    for element, (file, band) in zip(root.iter("VRTRasterBand"), bands, strict=True):
        _draw(element, file, files[0].grid, band, copied=True)
    _put(path, ElementTree.tostring(root, encoding="unicode"))


def _check_alike(one: Facts, other: Facts) -> None:
    for what, mine, theirs in (
        ("bands", len(one.names), len(other.names)),
        ("pixel type", one.dtype, other.dtype),
    ):
        if mine != theirs:
            raise RasterError(
                f"{one.path.name!r} and {other.path.name!r} cannot be one mosaic: their {what} "
                f"differ ({mine} and {theirs}); take rasters that are alike, or run each apart"
            )
    if one.grid.crs is None and one.grid.transform.is_identity:
        raise RasterError(
            f"{one.path.name!r} has no place on a map, so {other.path.name!r} cannot be put beside "
            "it; run each apart"
        )


def _placed(file: Facts, base: MapGrid, path: Path, resampling: str, index: int) -> Facts:
    """Return a file on the cells of a mosaic, as it is or warped beside the mosaic."""
    if base.fits(file.grid):
        return file
    warped = path.with_name(f"{path.stem}-{index}.vrt")
    grid = base.around(grid_in(file.path, base.crs).bounds)
    write_warped(file.path, warped, grid, resampling=resampling)
    return facts_of(warped)


def _nodata_of(files: Sequence[Facts]) -> float | None:
    """Return the nodata of a mosaic: the first that a file has, or one where there are holes."""
    known = next((file.nodata for file in files if file.nodata is not None), None)
    if known is not None:
        return known
    boxes = [shapely.box(*file.grid.bounds) for file in files]
    covered = shapely.union_all(boxes)
    gaps = covered.envelope.area - covered.area
    return _some_nodata(files[0].dtype) if gaps > NEAR * min(b.area for b in boxes) else None


def _some_nodata(dtype: str) -> float:
    kind = np.dtype(dtype)
    return math.nan if kind.kind == "f" else float(np.iinfo(kind).min)


def _document(
    like: Facts, grid: MapGrid, nodata: float | None, *, names: tuple[str, ...] = ()
) -> ElementTree.Element:
    """Return a VRT without sources, with the bands of a file or with bands of other names."""
    height, width = grid.shape_yx
    root = ElementTree.Element("VRTDataset", rasterXSize=str(width), rasterYSize=str(height))
    if grid.crs is not None:
        srs = {"dataAxisToSRSAxisMapping": _axes(grid.crs)}
        ElementTree.SubElement(root, "SRS", srs).text = grid.crs.to_wkt()
    if not (grid.crs is None and grid.transform.is_identity):
        numbers = ", ".join(map(repr, grid.transform.to_gdal()))
        ElementTree.SubElement(root, "GeoTransform").text = numbers
    kind = next(name for name in typename_fwd.values() if _named(name) == like.dtype)
    colors = like.colors if not names else ("undefined",) * len(names)
    for band, (name, color) in enumerate(zip(names or like.names, colors, strict=True), 1):
        element = ElementTree.SubElement(root, "VRTRasterBand", dataType=kind, band=str(band))
        if name:
            ElementTree.SubElement(element, "Description").text = name
        if nodata is not None:
            ElementTree.SubElement(element, "NoDataValue").text = repr(nodata)
        if color in ("red", "green", "blue", "gray", "alpha"):
            ElementTree.SubElement(element, "ColorInterp").text = color.capitalize()
    return root


def _axes(crs: Any) -> str:
    """Return the order of axes that geotransforms have: x first, also where the CRS says else."""
    return "2,1" if crs.is_geographic else "1,2"


def _named(gdal_type: str) -> str:
    """Return the numpy name of GDAL's name of a pixel type."""
    return {"Byte": "uint8"}.get(gdal_type, gdal_type.lower())


def _draw(
    element: ElementTree.Element, file: Facts, whole: MapGrid, band: int, *, copied: bool = False
) -> None:
    """Add a file as a source of a band; ``copied`` also where it has no data."""
    height, width = file.grid.shape_yx
    x, y = (round(v, 3) for v in ~whole.transform @ (file.grid.transform.c, file.grid.transform.f))
    size = {"xSize": str(width), "ySize": str(height)}
    masked = file.nodata is not None and not copied
    source = ElementTree.SubElement(element, "ComplexSource" if masked else "SimpleSource")
    name = ElementTree.SubElement(source, "SourceFilename", relativeToVRT="0")
    name.text = str(file.path.resolve())
    ElementTree.SubElement(source, "SourceBand").text = str(band)
    about = {"RasterXSize": str(width), "RasterYSize": str(height)}
    about |= {"DataType": element.attrib["dataType"]}
    ElementTree.SubElement(source, "SourceProperties", about)
    ElementTree.SubElement(source, "SrcRect", {"xOff": "0", "yOff": "0", **size})
    place = {"xOff": str(round(x)), "yOff": str(round(y))}
    ElementTree.SubElement(source, "DstRect", {**place, **size})
    if masked:
        ElementTree.SubElement(source, "NODATA").text = repr(file.nodata)


def _put(path: Path, text: str) -> None:
    """Write a text at once; one that is there already stays, with its time."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    rough = path.with_name(f"rough-{path.name}")
    rough.write_text(text, encoding="utf-8")
    rough.replace(path)
