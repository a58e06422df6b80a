"""Areas that people draw on the map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipyleaflet
import shapely
import shapely.geometry

STYLE = {"color": "#0b5cad", "weight": 3, "fillColor": "#0b5cad", "fillOpacity": 0.1}

Drawn = Callable[[], None]
"""Called when something was drawn, changed or deleted."""


def draw_control() -> ipyleaflet.GeomanDrawControl:
    """Return Geoman's tools for rectangles and polygons, to change and to delete them."""
    path = {"pathOptions": STYLE}
    return ipyleaflet.GeomanDrawControl(
        position="topleft",
        rectangle=path,
        polygon=path,
        polyline={},
        circlemarker={},
        cut=False,
        rotate=False,
        drag=False,
    )


def features_of(shape: shapely.Geometry) -> list[dict[str, Any]]:
    """Return a geometry, in coordinates as Leaflet counts, as if people had drawn its parts."""
    looks = {"type": "polygon", "style": STYLE}
    parts = map(shapely.geometry.mapping, shapely.get_parts(shape))
    return [{"type": "Feature", "properties": looks, "geometry": part} for part in parts]


def shape_of(features: list[dict[str, Any]]) -> shapely.Geometry | None:
    """Return all that is drawn as one geometry as Leaflet counts; None where nothing is."""
    shapes = [shapely.geometry.shape(feature["geometry"]) for feature in features]
    whole = shapely.union_all([shapely.make_valid(shape) for shape in shapes])
    return None if whole.is_empty else whole
