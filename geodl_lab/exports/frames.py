"""The grid of pixels that chips are cut from: a raster's own, or one that is laid over several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.warp
import shapely
from affine import Affine
from rasterio.crs import CRS

from geodl_lab.checks import is_above_0
from geodl_lab.errors import OptionError, RasterError, first_line
from geodl_lab.grid import Window

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Frame:
    """A grid of pixels.

    Parameters
    ----------
    crs
        As WKT; "" if there is none.
    transform
        Pixel corners to CRS units.
    shape_yx
        Height and width in pixels.
    """

    crs: str
    transform: Affine
    shape_yx: tuple[int, int]

    @property
    def pixel_area(self) -> float:
        """Area of a pixel in CRS units squared."""
        return abs(self.transform.determinant)

    @property
    def cell_yx(self) -> tuple[float, float]:
        """Height and width of a pixel in CRS units."""
        t = self.transform
        return math.hypot(t.b, t.e), math.hypot(t.a, t.d)

    def to_pixels(self, shapes: np.ndarray) -> np.ndarray:
        """Return geometries in CRS units as geometries in pixels of the frame."""
        t = ~self.transform
        matrix, shift = np.array([[t.a, t.d], [t.b, t.e]]), np.array([t.c, t.f])
        return np.asarray(shapely.transform(shapes, lambda xy: xy @ matrix + shift))

    def cut(self, window: Window) -> Frame:
        """Return the grid of a window."""
        origin = self.transform * Affine.translation(window.x, window.y)
        return Frame(self.crs, origin, window.shape_yx)


@dataclass(frozen=True)
class Wanted:
    """What the grid shall be, where it is not the raster's own.

    Parameters
    ----------
    extent, extent_crs
        Left, bottom, right, top of what is cut, and their CRS ("" is the frame's); None is all.
    cell_size
        In units of the CRS; None is the raster's.
    crs
        Of the grid; "" is the raster's.
    snap
        A raster whose pixel corners the grid meets; None is the raster itself.
    """

    extent: Bounds | None = None
    extent_crs: str = ""
    cell_size: float | None = None
    crs: str = ""
    snap: Path | None = None

    def __post_init__(self) -> None:
        if self.cell_size is not None and not is_above_0(self.cell_size):
            raise OptionError(f"the cell size is {self.cell_size!r}; possible: numbers above 0")
        for name in (self.extent_crs, self.crs):
            _check_crs(name)
        edges = self.extent
        if edges is not None and not (edges[0] < edges[2] and edges[1] < edges[3]):
            raise OptionError(f"the extent is {edges}; give left, bottom, right, top in that order")


def frame_of(rasters: Sequence[Path], *, reference: str = "map", wanted: Wanted) -> Frame:
    """Return the grid of one raster, or of several together.

    Parameters
    ----------
    rasters
        The first decides CRS and cell size.
    reference
        ``map``, ``image`` or ``pixel``, as in `ExportOptions`.
    wanted
        What it shall be instead.

    Raises
    ------
    RasterError
        If a raster does not open, or several have no georeference.
    OptionError
        If the extent lies outside.
    """
    owns = [_own(raster) for raster in rasters]
    stored = reference != "map" or (len(owns) == 1 and _is_flat(owns[0]))
    laid = wanted.cell_size is not None or wanted.snap is not None or _other_crs(owns[0], wanted)
    if stored and len(owns) == 1 and not (laid and reference == "map"):
        frame = owns[0]
    elif len(owns) == 1 or reference == "map":
        frame = _laid(owns, wanted)
    else:
        raise OptionError(
            f"the reference system {reference!r} keeps the pixels of each raster, and "
            f"{len(owns)} were given as one; process each raster apart, or choose 'map'"
        )
    return frame if wanted.extent is None else frame.cut(_inside(frame, wanted))


def open_dataset(path: Path) -> Any:
    """Open a raster file with rasterio.

    Raises
    ------
    RasterError
        If it does not open.
    """
    try:
        return rasterio.open(path)
    except rasterio.errors.RasterioError as error:
        raise RasterError(
            f"{path.name!r} does not open as a raster ({first_line(error)}); give a GeoTIFF or "
            "another image that can be read"
        ) from error


def _check_crs(name: str) -> None:
    try:
        CRS.from_user_input(name) if name else None
    except rasterio.errors.CRSError as error:
        raise OptionError(
            f"the spatial reference {name[:80]!r} is not known; give an EPSG code or WKT"
        ) from error


def _own(path: Path) -> Frame:
    with open_dataset(path) as file:
        return Frame(file.crs.to_wkt() if file.crs else "", file.transform, file.shape)


def _is_flat(frame: Frame) -> bool:
    """Tell whether north is up, or nothing is known of north."""
    t = frame.transform
    return not frame.crs or (t.b == t.d == 0 and t.a > 0 > t.e)


def _other_crs(frame: Frame, wanted: Wanted) -> bool:
    return bool(wanted.crs) and CRS.from_user_input(wanted.crs) != CRS.from_user_input(frame.crs)


def _laid(owns: Sequence[Frame], wanted: Wanted) -> Frame:
    """Return a grid, north up, over all rasters."""
    if not all(own.crs for own in owns):
        raise RasterError(
            "a raster without a CRS cannot be laid on another grid or beside others; process "
            "each raster apart, without cell size, CRS or snap raster"
        )
    crs = CRS.from_user_input(wanted.crs or owns[0].crs).to_wkt()
    bounds = np.array([_bounds(own, crs) for own in owns])
    left, bottom = bounds[:, :2].min(axis=0)
    right, top = bounds[:, 2:].max(axis=0)
    size_y, size_x = _cell(owns[0], wanted, crs)
    x0, y0 = _origin(owns[0], wanted, crs)
    left = x0 + math.floor((left - x0) / size_x + 1e-6) * size_x
    top = y0 + math.ceil((top - y0) / size_y - 1e-6) * size_y
    height, width = (top - bottom) / size_y, (right - left) / size_x
    shape = max(1, math.ceil(height - 1e-6)), max(1, math.ceil(width - 1e-6))
    return Frame(crs, Affine(size_x, 0, left, 0, -size_y, top), shape)


def _bounds(frame: Frame, crs: str) -> Bounds:
    height, width = frame.shape_yx
    corners = [frame.transform * xy for xy in ((0, 0), (width, 0), (0, height), (width, height))]
    xs, ys = zip(*corners, strict=True)
    bounds = (min(xs), min(ys), max(xs), max(ys))
    if CRS.from_user_input(crs) == CRS.from_user_input(frame.crs):
        return bounds
    return tuple(rasterio.warp.transform_bounds(frame.crs, crs, *bounds))


def _cell(own: Frame, wanted: Wanted, crs: str) -> tuple[float, float]:
    """Return height and width of a pixel of the grid."""
    if wanted.cell_size is not None:
        return wanted.cell_size, wanted.cell_size
    if not _other_crs(own, wanted):
        return own.cell_yx
    height, width = own.shape_yx
    transform, _, _ = rasterio.warp.calculate_default_transform(
        own.crs, crs, width, height, *_bounds(own, own.crs)
    )
    return abs(transform.e), transform.a


def _origin(own: Frame, wanted: Wanted, crs: str) -> tuple[float, float]:
    """Return a pixel corner of the grid: the snap raster's, or the first raster's."""
    snap = own if wanted.snap is None else _own(wanted.snap)
    if wanted.snap is not None and not snap.crs:
        raise RasterError("the snap raster has no CRS; give one that is georeferenced")
    left, _, _, top = _bounds(snap, crs)
    return left, top


def _inside(frame: Frame, wanted: Wanted) -> Window:
    """Return the pixels of a frame that an extent touches."""
    assert wanted.extent is not None
    crs, bounds = wanted.extent_crs, wanted.extent
    if crs and frame.crs and CRS.from_user_input(crs) != CRS.from_user_input(frame.crs):
        bounds = tuple(rasterio.warp.transform_bounds(crs, frame.crs, *bounds))
    (outline,) = frame.to_pixels(np.array([shapely.box(*bounds)]))
    x0, y0, x1, y1 = outline.bounds
    left, top = math.floor(x0 + 1e-6), math.floor(y0 + 1e-6)
    right, bottom = math.ceil(x1 - 1e-6), math.ceil(y1 - 1e-6)
    window = Window(top, left, max(0, bottom - top), max(0, right - left))
    window = window.intersect(Window(0, 0, *frame.shape_yx))
    if not window:
        raise OptionError(
            f"the extent {tuple(round(edge, 6) for edge in wanted.extent)} lies outside the "
            "raster; choose one that meets it, or check its spatial reference"
        )
    return window
