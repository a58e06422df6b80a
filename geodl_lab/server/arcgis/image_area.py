"""Statistics of a part of a raster: computeStatisticsHistograms."""

from __future__ import annotations

import math
from typing import Any

from rasterio.features import geometry_mask
from rasterio.transform import from_bounds
from shapely.geometry.base import BaseGeometry

from geodl_lab.server.arcgis.image_info import histograms, statistics
from geodl_lab.server.arcgis.image_places import is_flat
from geodl_lab.server.arcgis.image_points import parse_shape
from geodl_lab.server.arcgis.image_reads import Pixels, read_view
from geodl_lab.server.arcgis.image_sources import ImageSource
from geodl_lab.server.arcgis.image_statistics import LOOK, of_pixels
from geodl_lab.server.arcgis.image_views import View
from geodl_lab.server.arcgis.web import ArcgisError, Parameters


def compute_statistics(source: ImageSource, given: Parameters) -> dict[str, Any]:
    """Return statistics and histograms of what lies in a polygon or an envelope.

    The raster's own pixels count where they are at most `image_statistics.LOOK` a side, else a
    coarser look; without a geometry it is the whole raster.

    Raises
    ------
    ArcgisError
        If the geometry has no area.
    """
    if not given.text("geometry"):
        return {**statistics(source), **histograms(source)}
    shape, crs = parse_shape(given, source)
    if not shape.area or is_flat(shape.bounds, (LOOK, LOOK)):
        raise ArcgisError("geometry has no area; give a polygon or an envelope")
    seen = [of_pixels(_pixels(source, shape, crs, band))[0] for band in range(_bands(source))]
    return {
        "statistics": [each.json for each in seen],
        "histograms": [each.histogram for each in seen],
    }


def _bands(source: ImageSource) -> int:
    return len(source.grid.numbers)


def _pixels(source: ImageSource, shape: BaseGeometry, crs: Any, band: int) -> Pixels:
    """Return the pixels whose middle lies in a shape."""
    left, bottom, right, top = shape.bounds
    width, height = (LOOK, LOOK)
    if crs == source.grid.crs:
        across, down = source.pixel_size
        width = min(LOOK, max(1, math.ceil((right - left) / across)))
        height = min(LOOK, max(1, math.ceil((top - bottom) / down)))
    view = View(shape.bounds, crs, (height, width))
    pixels = read_view(source, view, (band,))
    inside = geometry_mask(
        [shape], (height, width), from_bounds(*shape.bounds, width, height), invert=True
    )
    return Pixels(pixels.values, pixels.valid & inside)
