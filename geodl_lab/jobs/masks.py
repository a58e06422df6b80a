"""Where answers are wanted: a raster's data, or the insides of features."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio
import rasterio
import rasterio.features
import shapely
from rasterio.vrt import WarpedVRT

from geodl_lab.errors import OptionError, first_line
from geodl_lab.grid import Window
from geodl_lab.jobs.places import Place
from geodl_lab.mosaics import MapGrid, facts_of
from geodl_lab.raster_files import gdal_limits

STRIP = 512
"""Rows of a raster mask that are read at a time."""


@dataclass(frozen=True)
class MapMask:
    """Where answers are wanted, on the cells of a grid.

    Parameters
    ----------
    path
        A raster, whose data other than 0 is wanted, or features.
    of_features
        Whether it is features.
    grid
        The cells; ``crs`` and ``transform`` count.
    """

    path: Path
    of_features: bool
    grid: MapGrid

    def covers(self, window: Window) -> np.ndarray:
        """Return where a window's cells are wanted, (y, x) bool; by their middles."""
        place = self.grid.transform @ self.grid.transform.translation(window.x, window.y)
        if not self.of_features:
            return self._seen(window, place)
        shapes, tree = _shapes(self.path, _name(self.grid.crs))
        near = tree.query(_outline(place, window.shape_yx))
        if not len(near):
            return np.zeros(window.shape_yx, dtype=bool)
        return rasterio.features.geometry_mask(
            shapes[near], window.shape_yx, place, invert=True
        ).astype(bool)

    def keeps(self, points: np.ndarray) -> np.ndarray:
        """Tell which points, x and y in cells of the grid, (point, 2), are wanted."""
        if self.of_features:
            _, tree = _shapes(self.path, _name(self.grid.crs))
            t = self.grid.transform
            xy = np.stack(t @ points.T, axis=1)
            kept = np.zeros(len(points), dtype=bool)
            kept[tree.query(shapely.points(xy), predicate="intersects")[0]] = True
            return kept
        cells = np.floor(points).astype(np.int64)
        kept = np.zeros(len(points), dtype=bool)
        for row in np.unique(cells[:, 1] // STRIP):
            of = cells[:, 1] // STRIP == row
            low, high = cells[of].min(axis=0), cells[of].max(axis=0) + 1
            window = Window(int(low[1]), int(low[0]), *(int(v) for v in (high - low)[::-1]))
            kept[of] = self.covers(window)[cells[of, 1] - low[1], cells[of, 0] - low[0]]
        return kept

    def _seen(self, window: Window, place: Any) -> np.ndarray:
        height, width = window.shape_yx
        # The reading thread's own limits: GDAL's are by thread.
        with (
            gdal_limits(),
            rasterio.open(self.path) as file,
            WarpedVRT(
                file, crs=self.grid.crs, transform=place, height=height, width=width,
                add_alpha=file.nodata is None and file.count == 1,
            ) as warped,
        ):  # fmt: skip
            return (warped.dataset_mask() > 0) & (warped.read(1) != 0)


def make_mask(place: Place, grid: MapGrid) -> MapMask | None:
    """Return where answers are wanted on a grid; None is everywhere.

    Raises
    ------
    OptionError
        If mask or raster have no CRS.
    """
    if place.mask is None:
        return None
    if grid.crs is None:
        raise OptionError("a mask needs a raster with a CRS, and this one has none; leave it out")
    mask = MapMask(place.mask, place.mask_of_features, grid)
    if place.mask_of_features:
        _shapes(place.mask, _name(grid.crs))
    elif facts_of(place.mask).grid.crs is None:
        raise OptionError(
            f"the mask {place.mask.name!r} has no CRS, so its place is unknown; give another"
        )
    return mask


def read_features(path: Path) -> geopandas.GeoDataFrame:
    """Read a vector file.

    Raises
    ------
    OptionError
        If it cannot be read or holds no geometries.
    """
    try:
        if path.suffix.lower() == ".parquet":
            return geopandas.read_parquet(path)
        frame = pyogrio.read_dataframe(path)
    except Exception as error:  # whatever a file of others does to its reader
        raise OptionError(
            f"the features {path.name!r} cannot be read ({first_line(error)}); give a GeoPackage, "
            "GeoParquet or GeoJSON"
        ) from error
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise OptionError(f"{path.name!r} holds rows without geometries; give features")
    return frame


def _outline(place: Any, shape_yx: tuple[int, int]) -> Any:
    height, width = shape_yx
    return shapely.polygons(
        [place @ xy for xy in ((0, 0), (width, 0), (width, height), (0, height))]
    )


@functools.lru_cache(maxsize=4)
def _shapes(path: Path, crs: str) -> tuple[np.ndarray, shapely.STRtree]:
    """Return the geometries of a file in a CRS, and their spatial index."""
    frame = read_features(path)
    if frame.crs is None:
        raise OptionError(f"the features {path.name!r} have no CRS; give them one")
    shapes = frame.geometry[frame.geometry.notna()].to_crs(crs).to_numpy()
    return shapes, shapely.STRtree(shapes)


def _name(crs: Any) -> str:
    return str(crs.to_wkt())
