"""One raster file for a run: the only one, a mosaic, or on another grid; and the area in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.errors
from rasterio.crs import CRS
from rasterio.warp import transform_bounds

from geodl_lab.errors import OptionError, first_line
from geodl_lab.jobs.places import OutsideError, Place, numbers
from geodl_lab.jobs.recipes import Extent
from geodl_lab.mosaics import MapGrid, facts_of, grid_in, write_mosaic, write_warped

DENSE = 101
"""Points on each side of an extent that are brought to another CRS: its sides become curves."""


def one_raster(rasters: tuple[Path, ...], place: Place, folder: Path, name: str = "input") -> Path:
    """Return the one raster file that a run reads: the only one, a mosaic, or on another grid.

    Parameters
    ----------
    rasters
        In item order; see `mosaics.write_mosaic`.
    place
        CRS and grid to compute on.
    folder
        VRTs are written here.
    name
        Of the VRTs.

    Raises
    ------
    GeodlError
        If rasters or grid are not possible.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = rasters[0]
    if len(rasters) > 1:
        source = folder / f"{name}.vrt"
        write_mosaic(rasters, source, resampling=place.resampling)
    grid = _wanted(source, place)
    if grid is None:
        return source
    warped = folder / f"{name}-warped.vrt"
    write_warped(source, warped, grid, resampling=place.resampling)
    return warped


def run_options(source: Path, place: Place) -> dict[str, Any]:
    """Return ``area``, ``cell_size`` and ``device`` as the options of a run on ``source``.

    Raises
    ------
    OutsideError
        If the extent does not meet the raster.
    OptionError
        If the CRS of the result is none, which would else be found out at the end.
    """
    if place.out_crs:
        parse_crs(place.out_crs)
    options: dict[str, Any] = {"device": place.device}
    grid = facts_of(source).grid
    if place.extent is not None:
        options["area"] = _area(place.extent, source, grid)
    size = _cell_size(source, place)
    if size is not None and not _is_size(grid, size):
        options["cell_size"] = size
    return options


def parse_crs(text: str) -> Any:
    """Return a CRS by its name.

    Raises
    ------
    OptionError
        If it is none.
    """
    try:
        return CRS.from_user_input(text)
    except (rasterio.errors.CRSError, ValueError, TypeError) as error:
        raise OptionError(
            f"{text[:200]!r} is no coordinate reference system that is known here; give one as in "
            f"'EPSG:3857', or its WKT ({first_line(error)})"
        ) from error


def _wanted(source: Path, place: Place) -> MapGrid | None:
    """Return the grid to compute on; None where it is the raster's, or that of `Options`."""
    grid = facts_of(source).grid
    crs = parse_crs(place.process_crs) if place.process_crs else grid.crs
    size = _cell_size(source, place)
    resized = size is not None and not _is_size(grid, size)
    if crs == grid.crs and place.snap_to is None and not (resized and place.resampling):
        return None
    wanted = grid_in(source, crs, cell_size=size if resized or crs != grid.crs else None)
    if place.snap_to is not None:
        corner = grid_in(place.snap_to, crs).transform
        t = wanted.transform
        snapped = MapGrid(crs, type(t)(t.a, 0, corner.c, 0, t.e, corner.f), (1, 1))
        wanted = snapped.around(wanted.bounds)
    return None if wanted.fits(grid) else wanted


def _cell_size(source: Path, place: Place) -> float | None:
    """Return the cell size that was asked for, in units of the processing CRS."""
    if place.cell_size is not None or place.cell_size_of is None:
        return place.cell_size
    own = facts_of(source).grid.crs
    crs = parse_crs(place.process_crs) if place.process_crs else own
    return float(grid_in(place.cell_size_of, crs).transform.a)


def _is_size(grid: MapGrid, size: float) -> bool:
    """Tell whether the cells of a grid are squares of a size, but for rounding."""
    t = grid.transform
    sides = np.hypot(t.a, t.d), np.hypot(t.b, t.e)
    return bool(np.allclose(sides, size, rtol=1e-6, atol=0))


def _area(extent: Extent, source: Path, grid: MapGrid) -> tuple[float, float, float, float]:
    """Return an extent in the raster's CRS, its outline brought there densely."""
    bounds = extent.left, extent.bottom, extent.right, extent.top
    height, width = grid.shape_yx
    west, south, east, north = rasterio.transform.array_bounds(height, width, grid.transform)
    whole = west, min(south, north), east, max(south, north)  # rows may go up
    if grid.crs is None and grid.transform.e > 0 and extent.top <= 0:
        bounds = extent.left, -extent.top, extent.right, -extent.bottom  # as image services say it
    if extent.crs and grid.crs is not None:
        crs = parse_crs(extent.crs)
        if crs != grid.crs:
            bounds = _brought(crs, grid.crs, bounds, source)
    left, bottom, right, top = bounds
    if left >= whole[2] or right <= whole[0] or bottom >= whole[3] or top <= whole[1]:
        raise OutsideError(
            f"the extent {numbers(extent)} does not meet the raster {source.name!r}, whose bounds "
            f"are {tuple(round(side, 6) for side in whole)} in {_shown(grid.crs)}; give one that "
            "does"
        )
    return bounds


def _brought(
    crs: Any, other: Any, bounds: tuple[float, float, float, float], source: Path
) -> tuple[float, float, float, float]:
    try:
        found = transform_bounds(crs, other, *bounds, densify_pts=DENSE)
    except (rasterio.errors.RasterioError, ValueError) as error:
        raise OutsideError(
            f"the extent {bounds} cannot be brought from {_shown(crs)} to {_shown(other)} of "
            f"{source.name!r} ({first_line(error)}); give it in the raster's own CRS"
        ) from error
    if not np.isfinite(found).all():
        raise OutsideError(
            f"the extent {bounds} in {_shown(crs)} lies outside {_shown(other)} of "
            f"{source.name!r}; give one that meets it"
        )
    return found


def _shown(crs: Any) -> str:
    return "its own coordinates" if crs is None else str(crs.to_string())[:60]
