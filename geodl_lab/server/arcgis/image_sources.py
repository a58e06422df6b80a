"""A raster as it is served: its grid, bands, classes, and which bands make a picture."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from pyproj import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import CRSError
from rasterio.io import DatasetReader

from geodl_lab.bands import SYNONYMS, common_name
from geodl_lab.errors import RasterError
from geodl_lab.jobs.catalog import Service
from geodl_lab.jobs.rasters import check_raster
from geodl_lab.package import LabelClass
from geodl_lab.server.arcgis.image_files import POOL, FileId
from geodl_lab.server.arcgis.image_places import WEB_MERCATOR, WORLD, parse_crs
from geodl_lab.server.arcgis.web import ArcgisError

PIXEL_TYPES = {
    "uint8": "U8", "int8": "S8", "uint16": "U16", "int16": "S16", "uint32": "U32",
    "int32": "S32", "float32": "F32", "float64": "F64",
}  # fmt: skip
"""ArcGIS's name of each pixel type."""


@dataclass(frozen=True)
class Grid:
    """What a raster file says of itself.

    Parameters
    ----------
    shape_yx
        Height and width in pixels.
    transform
        Pixel corners to units of the CRS.
    crs
        None for a raster that lies nowhere; then its units are pixels and y points upwards.
    dtype
        Name of the pixel type.
    nodata
        The value that means no data, or None.
    numbers
        Numbers of the bands in the file, from 1; the alpha band is none of them.
    names
        One name a band.
    shown
        Zero-based bands of a picture: three (red, green, blue) or one.
    masked
        Whether the file has a mask or an alpha band.
    palette
        (value, red, green, blue) of its own colour table.
    has_overviews
        Whether a coarse look is cheap.
    turn
        Width of the world in units of the CRS where x repeats, else 0.
    alpha
        Number of the alpha band in the file, or 0.
    """

    shape_yx: tuple[int, int]
    transform: Affine
    crs: CRS | None
    dtype: str
    nodata: float | None
    numbers: tuple[int, ...]
    names: tuple[str, ...]
    shown: tuple[int, ...]
    masked: bool
    palette: tuple[tuple[int, int, int, int], ...]
    has_overviews: bool = True
    turn: float = 0.0
    alpha: int = 0


EMPTY = Grid(
    (1, 2), Affine(180, 0, -180, 0, -180, 90), CRS.from_epsg(4326), "uint8", 255.0, (1,),
    ("Band_1",), (0,), False, (),
)  # fmt: skip
"""The grid of a service that no job has filled yet: the world, without a pixel of data."""


@dataclass(frozen=True)
class ImageSource:
    """A raster as it is served.

    Parameters
    ----------
    name
        Of the service, as its path has it.
    title
        For people.
    file
        None as long as no job has filled the service.
    grid
        What the file says.
    classes
        Classes of its values; empty for continuous values.
    """

    name: str
    title: str
    file: FileId | None
    grid: Grid
    classes: tuple[LabelClass, ...] = ()

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, bottom, right and top of all corners, in units of the CRS."""
        height, width = self.grid.shape_yx
        corners = [self.grid.transform @ at for at in ((0, 0), (width, 0), (0, height),
                                                       (width, height))]  # fmt: skip
        x, y = zip(*corners, strict=True)
        return min(x), min(y), max(x), max(y)

    @property
    def pixel_size(self) -> tuple[float, float]:
        """Width and height of a pixel in units of the CRS, along its own axes."""
        grid = self.grid.transform
        return float(np.hypot(grid.a, grid.d)), float(np.hypot(grid.b, grid.e))

    @property
    def is_ours(self) -> bool:
        """Tell whether a job of ours made it."""
        return self.file is None or self.file.ours


def published(service: Service) -> ImageSource:
    """Return the raster of a published result; of one that waits for its job, nothing yet.

    Raises
    ------
    RasterError
        If its file is gone.
    """
    path = service.files.get("raster")
    name, title = f"Hosted/{service.name}", str(service.info.get("title") or service.name)
    if not path:
        return ImageSource(name, title, None, EMPTY)
    file = FileId.of(Path(path), ours=True)
    grid = grid_of(file)
    bands = tuple(map(str, service.info.get("bands") or ()))
    if len(bands) == len(grid.numbers):
        grid = dataclasses.replace(grid, names=bands)
    is_classes = len(grid.numbers) == 1 and not grid.dtype.startswith("float")
    classes = _listed(service.info.get("classes") or ()) if is_classes else ()
    return ImageSource(name, title, file, grid, classes)


def stored(id: str, title: str, path: Path) -> ImageSource:
    """Return a raster of a store.

    Raises
    ------
    RasterError
        If it is not one that may be opened (`geodl_lab.jobs.rasters`).
    """
    file = FileId.of(path, ours=False)
    _check(file)
    grid = grid_of(file)
    classes = tuple(
        LabelClass(value, str(value), f"#{red:02x}{green:02x}{blue:02x}")
        for value, red, green, blue in grid.palette
    )
    return ImageSource(f"Stores/{id}", title, file, grid, classes)


@functools.lru_cache(1024)
def grid_of(file: FileId) -> Grid:
    """Read what a file says of itself, once.

    Raises
    ------
    RasterError
        If its values are complex numbers, or it has no band.
    """
    with POOL.use(file) as dataset:
        alpha = _alpha(dataset)
        numbers = tuple(n for n in dataset.indexes if n != alpha)
        if not numbers or np.dtype(dataset.dtypes[0]).kind not in "iuf":
            raise RasterError(f"pixels of {Path(file.path).name!r} are no real numbers")
        crs = _crs(dataset)
        flags = dataset.mask_flag_enums[numbers[0] - 1]
        return Grid(
            shape_yx=dataset.shape,
            transform=_upright(dataset),
            crs=crs,
            dtype=dataset.dtypes[numbers[0] - 1],
            nodata=dataset.nodatavals[numbers[0] - 1],
            numbers=numbers,
            names=tuple(dataset.descriptions[n - 1] or f"Band_{n}" for n in numbers),
            shown=_shown(dataset, numbers),
            masked=MaskFlags.per_dataset in flags and (bool(alpha) or MaskFlags.alpha not in flags),
            palette=_palette(dataset, numbers),
            has_overviews=bool(dataset.overviews(numbers[0])),
            turn=_turn(crs),
            alpha=alpha,
        )


def _alpha(dataset: DatasetReader) -> int:
    """Return the number of the alpha band, 0 for none.

    GDAL marks the fourth of four byte bands so where nobody says otherwise: one that is named as
    a colour of light, such as NIR, is none, nor is any where a value says what is no data.
    """
    if dataset.nodata is not None:
        return 0
    kinds = zip(dataset.indexes, dataset.colorinterp, dataset.descriptions, strict=True)
    marked = (
        n
        for n, kind, name in kinds
        if kind == ColorInterp.alpha and common_name(name or "") not in SYNONYMS.values()
    )
    return next(marked, 0)


def _turn(crs: CRS | None) -> float:
    if crs is not None and crs.is_geographic:
        return 360.0
    return WORLD if crs == WEB_MERCATOR else 0.0


@functools.lru_cache(1024)
def _check(file: FileId) -> None:
    check_raster(Path(file.path))


def _upright(dataset: DatasetReader) -> Affine:
    """Return the transform; rows of a photo, or of a part of it, go downwards as on every map."""
    grid = dataset.transform
    rows_go_up = dataset.crs is None and grid.is_rectilinear and grid.b == 0 and grid.e > 0
    return Affine(grid.a, 0, grid.c, 0, -grid.e, -grid.f) if rows_go_up else grid


def _crs(dataset: DatasetReader) -> CRS | None:
    if dataset.crs is None:
        return None
    try:
        code = dataset.crs.to_epsg()
        return parse_crs(code or dataset.crs.to_wkt(), "the raster's CRS")
    except (CRSError, ArcgisError):
        return None


def _shown(dataset: DatasetReader, numbers: tuple[int, ...]) -> tuple[int, ...]:
    """Return the bands of a picture: by name, by what GDAL calls them, else the first three."""
    if len(numbers) < 3:
        return (0,)
    names = [common_name(dataset.descriptions[number - 1] or "") for number in numbers]
    kinds = [dataset.colorinterp[number - 1].name for number in numbers]
    for words in (names, kinds):
        if all(words.count(color) == 1 for color in ("red", "green", "blue")):
            return tuple(words.index(color) for color in ("red", "green", "blue"))
    return (0, 1, 2)


def _palette(
    dataset: DatasetReader, numbers: tuple[int, ...]
) -> tuple[tuple[int, int, int, int], ...]:
    if len(numbers) > 1 or dataset.colorinterp[numbers[0] - 1] != ColorInterp.palette:
        return ()
    table, nodata = dataset.colormap(numbers[0]), dataset.nodatavals[numbers[0] - 1]
    # A TIFF's table has a colour for each possible value: those after the last are black.
    last = max((value for value, rgba in table.items() if any(rgba[:3])), default=-1)
    return tuple(
        (value, *rgba[:3])
        for value, rgba in sorted(table.items())
        if value <= last and value != nodata and rgba[3]
    )


def _listed(classes: Iterable[Mapping[str, Any]]) -> tuple[LabelClass, ...]:
    return tuple(
        LabelClass(int(each["value"]), str(each["name"]), str(each["color"])) for each in classes
    )
