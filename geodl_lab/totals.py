"""How much there is of each class: areas of a class raster, counts of objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas
import pyproj
import xarray as xr

from geodl_lab.errors import OptionError, RasterError
from geodl_lab.nodata import valid_pixels
from geodl_lab.outputs import chunk_windows
from geodl_lab.raster import Raster, as_raster
from geodl_lab.styles import known_classes

if TYPE_CHECKING:
    import geopandas

HECTARE = 1e4
"""Square metres."""

TRUE = 0.01
"""Up to this part a plane's area is taken for the ground's, as other GIS do; Web Mercator is off
by more nearly everywhere."""

SAMPLES = 257
"""Rows of a projected raster of which the ground is measured; between them it is interpolated."""


def class_areas(result: xr.DataArray | xr.Dataset) -> pandas.DataFrame:
    """Measure how much ground each class of a class raster covers.

    Parameters
    ----------
    result
        Class raster (y, x) with flag attributes, as `classify` returns or a saved one opened
        again. What is lazy is computed block by block and not kept.

    Returns
    -------
    pandas.DataFrame
        One row for each class that occurs, by value: ``value``, ``name``, ``color``
        (``#rrggbb``), ``pixels``, ``hectares`` and ``share`` (0..1, of the ground with data; of
        its pixels where there is no CRS, and then ``hectares`` are NaN). Pixels of a geographic
        CRS have their area on the ellipsoid. Those of a projected CRS have that of its plane, but
        where that is wrong by more than 1 %, as in Web Mercator, that of the ground, by row.

    Raises
    ------
    RasterError
        If the raster holds no classes.
    """
    raster = as_raster(result)
    classes = {label.value: label for label in known_classes(raster)}
    if not classes:
        raise RasterError(
            f"a raster of {raster.array.shape[0]} bands with the attributes "
            f"{sorted(map(str, raster.array.attrs))} is no class raster, which has one band and "
            "flag_values; give what da.dl.classify(...) returns"
        )
    counts, squares = _added_up(raster, _square_meters(raster))
    values = sorted(counts)
    weights = np.array([counts[v] if raster.crs is None else squares[v] for v in values])
    return pandas.DataFrame(
        {
            "value": np.array(values, dtype=np.int64),
            "name": [classes[v].name if v in classes else str(v) for v in values],
            "color": [classes[v].color if v in classes else "#808080" for v in values],
            "pixels": np.array([counts[v] for v in values], dtype=np.int64),
            "hectares": np.array([squares[v] / HECTARE for v in values], dtype=float),
            "share": weights / weights.sum() if values else np.zeros(0),
        }
    )


def label_counts(objects: geopandas.GeoDataFrame) -> pandas.DataFrame:
    """Count the objects of each label.

    Parameters
    ----------
    objects
        As `detect` returns.

    Returns
    -------
    pandas.DataFrame
        One row a label, the most frequent first: ``label``, ``count`` and ``mean_score`` (0..1;
        NaN where there are no scores).

    Raises
    ------
    OptionError
        If there is no column ``label``.
    """
    if "label" not in objects:
        raise OptionError(
            f"the objects have the columns {list(objects.columns)} and no 'label'; give what "
            "da.dl.detect(...) returns, or rename a column"
        )
    scores = objects.get("score", np.nan)
    table = pandas.DataFrame({"label": objects["label"], "score": scores})
    groups = table.groupby("label", sort=True, observed=True)["score"]
    counted = groups.agg(count="size", mean_score="mean").reset_index()
    return counted.sort_values("count", ascending=False, kind="stable", ignore_index=True)


def _added_up(raster: Raster, squares: np.ndarray) -> tuple[dict[int, int], dict[int, float]]:
    """Return pixels and square metres of each value, nodata aside; ``squares`` are of (row,)."""
    counts: dict[int, int] = {}
    areas: dict[int, float] = {}
    for window in chunk_windows(raster):
        stored = np.asarray(raster.array[:, *window.slices_yx].values)
        values, pixels = _of_rows(stored[0], valid_pixels(stored, raster.nodata))
        weights = squares[window.slices_yx[0]] @ pixels
        for value, count, weight in zip(values, pixels.sum(axis=0), weights, strict=True):
            counts[value] = counts.get(value, 0) + int(count)
            areas[value] = areas.get(value, 0.0) + float(weight)
    return counts, areas


def _of_rows(stored: np.ndarray, valid: np.ndarray) -> tuple[list[int], np.ndarray]:
    """Return the values that occur among ``stored`` (y, x), and pixels of each (row, value)."""
    rows = np.arange(len(stored))[:, None]
    if stored.dtype == np.uint8:
        codes, values = stored, np.arange(256)
    else:
        found, values = pandas.factorize(stored.ravel())
        codes = found.reshape(stored.shape)
    places = (codes + rows * len(values))[valid]
    pixels = np.bincount(places, minlength=len(rows) * len(values)).reshape(len(rows), -1)
    occurs = np.flatnonzero(pixels.any(axis=0))
    return [int(value) for value in values[occurs]], pixels[:, occurs]


def _square_meters(raster: Raster) -> np.ndarray:
    """Return the area of a pixel of each row, (row,); NaN without a CRS."""
    height, width = raster.shape_yx
    if raster.crs is None:
        return np.full(height, np.nan)
    crs = pyproj.CRS(raster.crs)
    if crs.is_geographic:
        transform = raster.transform
        y = transform.f + transform.d * width / 2 + transform.e * (np.arange(height) + 0.5)
        return _on_ellipsoid(crs, transform, y)
    plane = abs(raster.transform.determinant) * crs.axis_info[0].unit_conversion_factor ** 2
    rows = np.linspace(0, height - 1, min(height, SAMPLES)).round()
    ground = _on_ground(crs, raster, rows) if crs.geodetic_crs else np.full(len(rows), plane)
    ground = np.where(np.isfinite(ground), ground, plane)
    if np.abs(ground / plane - 1).max() <= TRUE:
        return np.full(height, plane)
    return np.interp(np.arange(height), rows, ground)


def _on_ellipsoid(crs: pyproj.CRS, transform: Any, y: np.ndarray) -> np.ndarray:
    """Return square metres of pixels whose middle is at the latitudes ``y``, in CRS units."""
    geod, unit = _geod(crs), crs.axis_info[0].unit_conversion_factor  # radians
    b, e = geod.b, np.sqrt(geod.es)
    side = abs(transform.d) + abs(transform.e)  # from south to north
    width = abs(transform.determinant) / side * unit

    def zone(latitude: np.ndarray) -> np.ndarray:
        """Return the area from the equator to a parallel, for one radian of longitude."""
        sine = np.sin(np.clip(latitude * unit, -np.pi / 2, np.pi / 2))
        bent = np.arctanh(e * sine) / e if e else sine
        return b**2 / 2 * (sine / (1 - (e * sine) ** 2) + bent)

    return (zone(y + side / 2) - zone(y - side / 2)) * width


def _on_ground(crs: pyproj.CRS, raster: Raster, rows: np.ndarray) -> np.ndarray:
    """Return square metres of the middle pixel of rows of a projected raster, (row,)."""
    to_degrees = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    columns = raster.shape_yx[1] // 2 + np.array([0, 1, 1, 0])
    corners_y = rows[:, None] + np.array([0, 0, 1, 1])
    t = raster.transform
    corners = t.a * columns + t.b * corners_y + t.c, t.d * columns + t.e * corners_y + t.f
    geod = _geod(crs)
    places = zip(*to_degrees.transform(*corners), strict=True)
    return np.array([abs(geod.polygon_area_perimeter(*place)[0]) for place in places])


def _geod(crs: pyproj.CRS) -> pyproj.Geod:
    return crs.get_geod() or pyproj.Geod(ellps="WGS84")
