"""Labels of chips: features, or the regions of a class raster, in pixels of a chip."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import geopandas
import numpy as np
import pyogrio
import pyogrio.errors
import rasterio.features
import shapely
from affine import Affine

from geodl_lab.errors import OptionError, RasterError, first_line
from geodl_lab.exports.classes import LARGEST, feature_classes, label_class
from geodl_lab.exports.frames import Frame
from geodl_lab.exports.places import Place
from geodl_lab.exports.readers import ChipReader
from geodl_lab.package import LabelClass

VECTORS = (".gpkg", ".geojson", ".json", ".parquet", ".geoparquet", ".shp")
"""Endings of files of features; any other file is a raster."""


@dataclass(frozen=True)
class Objects:
    """What a chip shows.

    Parameters
    ----------
    shapes
        Outlines clipped to the chip, in its pixels (x right, y down from its corner).
    values
        Their class values, int64.
    """

    shapes: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.values)

    @property
    def boxes(self) -> np.ndarray:
        """Left, top, right, bottom in pixels of the chip, shape (object, 4)."""
        return np.asarray(shapely.bounds(self.shapes)).reshape(-1, 4)

    @property
    def areas(self) -> np.ndarray:
        """Areas in pixels of the chip."""
        return np.asarray(shapely.area(self.shapes), float)

    def select(self, kept: np.ndarray) -> Objects:
        """Return some of them."""
        return Objects(self.shapes[kept], self.values[kept])

    def draw(self, numbers: np.ndarray, shape_yx: tuple[int, int]) -> np.ndarray:
        """Return an image (y, x), int32, of a number each; 0 elsewhere, later ones on top.

        A pixel belongs to an object that covers its middle.
        """
        pairs = list(zip(self.shapes, np.asarray(numbers).tolist(), strict=True))
        if not pairs:
            return np.zeros(shape_yx, np.int32)
        return np.asarray(rasterio.features.rasterize(pairs, shape_yx, fill=0, dtype="int32"))


class Labels(Protocol):
    """Where labels come from."""

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """All classes that are known beforehand, by value."""
        ...

    def objects(self, place: Place, min_overlap: float) -> Objects:
        """Return the objects in a chip of which at least a part, 0..1, lies inside."""
        ...

    def pixels(self, place: Place, min_overlap: float) -> np.ndarray:
        """Return the class value (y, x) of each pixel of a chip, int32; 0 is none."""
        ...


@dataclass(frozen=True, eq=False)
class FeatureLabels:
    """Features.

    Parameters
    ----------
    shapes
        In pixels of the frame, none empty.
    values
        Class values, int64.
    classes
        By value.
    """

    shapes: np.ndarray
    values: np.ndarray
    classes: tuple[LabelClass, ...]
    tree: shapely.STRtree = field(repr=False)

    def objects(self, place: Place, min_overlap: float) -> Objects:
        """Return the features in a chip; those that only touch it are outside."""
        near = np.sort(self.tree.query(place.outline, predicate="intersects"))
        return self._clipped(place, near, min_overlap)

    def alone(self, place: Place) -> Objects:
        """Return the feature that a chip is cut round."""
        return self._clipped(place, np.array([place.feature]), 0.0)

    def pixels(self, place: Place, min_overlap: float) -> np.ndarray:
        """Return the class values of a chip's pixels."""
        found = self.objects(place, min_overlap)
        return found.draw(found.values, place.shape_yx)

    def _clipped(self, place: Place, which: np.ndarray, min_overlap: float) -> Objects:
        inside = _moved(self.shapes[which], ~place.to_frame)
        height, width = place.shape_yx
        clipped = shapely.intersection(inside, shapely.box(0, 0, width, height))
        whole, part = shapely.area(inside), shapely.area(clipped)
        flat = whole == 0  # points and lines have no part
        kept = np.where(flat, ~shapely.is_empty(clipped), part > 0)
        kept &= flat | (part >= min_overlap * whole * (1 - 1e-9))
        return Objects(clipped[kept], self.values[which][kept])


@dataclass(frozen=True)
class RasterLabels:
    """A raster of class values; pixels of one class that touch with a side are an object.

    Parameters
    ----------
    reader
        Of the raster, on the frame's grid.
    classes
        Those that the file names.
    """

    reader: ChipReader
    classes: tuple[LabelClass, ...]

    def objects(self, place: Place, min_overlap: float) -> Objects:
        """Return the regions of a chip; what of them lies outside is not known."""
        values = self.pixels(place, min_overlap)
        found = list(rasterio.features.shapes(values, mask=values > 0))
        shapes = np.empty(len(found), dtype=object)
        shapes[:] = [shapely.geometry.shape(outline) for outline, _ in found]
        return Objects(shapes, np.array([int(value) for _, value in found], np.int64))

    def pixels(self, place: Place, min_overlap: float) -> np.ndarray:
        """Return the class values of a chip's pixels; 0 where the raster has no data."""
        pixels = self.reader.read(place)
        values = np.where(pixels.valid, pixels.values[0], 0)
        if values.min() < 0 or values.max() > LARGEST:
            raise RasterError(
                f"the class raster holds values from {values.min()} to {values.max()}; possible "
                f"are 0 to {LARGEST}"
            )
        return values.astype(np.int32)


def is_vector(path: Path) -> bool:
    """Tell whether a file of labels holds features."""
    return path.suffix.lower() in VECTORS


def read_features(path: Path, frame: Frame, *, field: str = "", buffer: float = 0) -> FeatureLabels:
    """Read features as labels on a frame; the same file is read once.

    Parameters
    ----------
    path
        GeoPackage, GeoParquet, GeoJSON or shapefile.
    frame
        Whose pixels they are turned to; features in another CRS are projected.
    field
        As in `feature_classes`.
    buffer
        Radius round points, and beside lines, in units of the features' CRS.

    Raises
    ------
    OptionError
        If it holds no features, or they have no place in the frame.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise OptionError(
            f"{path.name!r} cannot be read ({error.strerror}); check the path of the features"
        ) from error
    return _read(path, (status.st_mtime_ns, status.st_size), frame, field, buffer)


def read_areas(paths: Sequence[Path], frame: Frame) -> shapely.Geometry:
    """Return what the areas of all files share, in pixels of a frame, prepared for questions."""
    unions = []
    for path in paths:
        shapes = read_features(path, frame).shapes
        unions.append(shapely.union_all(shapes[shapely.area(shapes) > 0]))
        if unions[-1].is_empty:
            raise OptionError(f"{path.name!r} holds no polygon; give areas that chips lie within")
    shared = shapely.intersection_all(unions)
    shapely.prepare(shared)
    return shared


def check_classes(reader: ChipReader, path: Path) -> None:
    """Refuse a raster that is no class raster.

    Raises
    ------
    RasterError
        If it has several bands, or values with fractions.
    """
    if reader.bands != 1 or reader.dtype.kind not in "iub":
        raise RasterError(
            f"{path.name!r} has {reader.bands} bands of {reader.dtype}; a class raster has one "
            "band of whole numbers"
        )


def raster_labels(reader: ChipReader, path: Path) -> RasterLabels:
    """Return the labels of an open class raster, named as its attribute table or palette does."""
    check_classes(reader, path)
    return RasterLabels(reader, named_classes(reader.layers[0].file))


def named_classes(file: Any) -> tuple[LabelClass, ...]:
    """Return the classes that GDAL's metadata of a raster name, by value."""
    tags = file.tags()
    values, names = tags.get("flag_values", "").split(), tags.get("flag_meanings", "").split()
    if len(values) != len(names):
        return ()
    try:
        return tuple(label_class(int(v), n) for v, n in zip(values, names, strict=True))
    except ValueError:
        return ()


@functools.lru_cache(maxsize=4)
def _read(
    path: Path, version: tuple[int, int], frame: Frame, field: str, buffer: float
) -> FeatureLabels:
    rows = _open(path)
    rows = rows[~(rows.geometry.isna() | rows.geometry.is_empty)].reset_index(drop=True)
    if rows.empty:
        raise OptionError(f"{path.name!r} holds no features with a geometry; give some labels")
    values, classes = feature_classes(rows.drop(columns=rows.geometry.name), field)
    shapes = frame.to_pixels(_projected(_buffered(rows, buffer), frame, path))
    if not np.isfinite(shapely.bounds(shapes)).all():
        raise OptionError(
            f"{path.name!r} holds features that have no place in the raster's CRS; leave them out"
        )
    return FeatureLabels(shapes, values, classes, shapely.STRtree(shapes))


def _open(path: Path) -> geopandas.GeoDataFrame:
    try:
        if path.suffix.lower() in (".parquet", ".geoparquet"):
            return geopandas.read_parquet(path)
        rows = pyogrio.read_dataframe(path)
    except (pyogrio.errors.DataSourceError, OSError, ValueError) as error:
        raise OptionError(
            f"{path.name!r} does not open as features ({first_line(error)}); give a GeoPackage, "
            "GeoParquet or GeoJSON"
        ) from error
    if not isinstance(rows, geopandas.GeoDataFrame):
        raise OptionError(f"{path.name!r} is a table without geometries; give features")
    return rows


def _buffered(rows: geopandas.GeoDataFrame, buffer: float) -> geopandas.GeoSeries:
    shapes = shapely.force_2d(rows.geometry.to_numpy())
    invalid = ~shapely.is_valid(shapes)
    shapes[invalid] = shapely.make_valid(shapes[invalid])
    thin = shapely.area(shapes) == 0
    if buffer:
        shapes[thin] = shapely.buffer(shapes[thin], buffer)
    return geopandas.GeoSeries(shapes, crs=rows.crs)


def _projected(shapes: geopandas.GeoSeries, frame: Frame, path: Path) -> np.ndarray:
    if shapes.crs is None or not frame.crs:
        if shapes.crs is None or path.suffix.lower() in (".geojson", ".json"):
            return np.asarray(shapes.to_numpy())  # GeoJSON without a CRS is read as one of degrees
        raise RasterError(
            "the features have a CRS and the raster has none; georeference the raster, or give "
            "features in its pixels without a CRS"
        )
    return np.asarray(shapes.to_crs(frame.crs).to_numpy())


def _moved(shapes: np.ndarray, t: Affine) -> np.ndarray:
    matrix, shift = np.array([[t.a, t.d], [t.b, t.e]]), np.array([t.c, t.f])
    return np.asarray(shapely.transform(shapes, lambda xy: xy @ matrix + shift))
