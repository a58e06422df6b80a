"""Objects as the browser draws them: GeoJSON as Leaflet counts, with a colour for each label."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import geopandas
import numpy as np
import shapely

from geodl_lab.errors import OptionError
from geodl_lab.maps.places import Bounds, bounds_of, to_map
from geodl_lab.styles import label_colors

PLAIN = "#ffe600"
"""Colour of a label that has none."""

SAID = 8
"""Columns of an object that are said of it."""


def as_frame(data: Any, crs: Any) -> geopandas.GeoDataFrame:
    """Return objects or a geometry as rows without empty geometries.

    Parameters
    ----------
    data
        GeoDataFrame, GeoSeries, or a shapely geometry in ``crs``.
    crs
        Of a geometry alone.

    Raises
    ------
    OptionError
        If it is something else.
    """
    if isinstance(data, shapely.Geometry):
        data = geopandas.GeoSeries([data], crs=crs)
    if isinstance(data, geopandas.GeoSeries):
        data = geopandas.GeoDataFrame(geometry=data)
    if not isinstance(data, geopandas.GeoDataFrame):
        raise OptionError(
            f"a {type(data).__name__} cannot be shown on the map; give a raster, a GeoDataFrame, a "
            "shapely geometry, or an ipyleaflet layer"
        )
    empty = data.geometry.isna() | data.geometry.is_empty
    return data[~empty]


def frame_colors(frame: geopandas.GeoDataFrame, *, taken: Iterable[str] = ()) -> dict[str, str]:
    """Return the colour of each label, in order; objects without labels have the first.

    Colours that are ``taken`` by other objects come last.
    """
    labels = map(str, frame["label"]) if "label" in frame.columns else [""]
    return label_colors(labels, taken=taken)


def map_geometries(frame: geopandas.GeoDataFrame, *, up: bool = False) -> np.ndarray:
    """Return the geometries (object,) as Leaflet counts; ``up`` as in `to_map`."""
    shapes = shapely.force_2d(frame.geometry.to_numpy())
    return shapely.transform(shapes, lambda points: to_map(points, frame.crs, up=up))


def frame_bounds(frame: geopandas.GeoDataFrame, *, up: bool = False) -> Bounds:
    """Return where objects lie on the map; ``up`` as in `to_map`."""
    return bounds_of(shapely.get_coordinates(map_geometries(frame, up=up)))


def to_json(frame: geopandas.GeoDataFrame, colors: Mapping[str, str], shapes: np.ndarray) -> bytes:
    """Return objects as a GeoJSON FeatureCollection, whose properties also name a colour.

    Parameters
    ----------
    frame
        What is said of the objects.
    colors
        ``#rrggbb`` of each label.
    shapes
        Where the objects lie (object,), as it is to be written.
    """
    features = (
        f'{{"type":"Feature","geometry":{shape},"properties":{json.dumps(about)}}}'
        for shape, about in zip(shapely.to_geojson(shapes), _properties(frame, colors), strict=True)
    )
    return f'{{"type":"FeatureCollection","features":[{",".join(features)}]}}'.encode()


def _properties(frame: geopandas.GeoDataFrame, colors: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return what is said of each object, label and score first."""
    names = [name for name in ("label", "score") if name in frame.columns]
    names += [name for name in frame.columns if name not in {*names, frame.geometry.name}]
    columns = [[_plain(value) for value in frame[name]] for name in names[:SAID]]
    rows = zip(*columns, strict=True) if columns else [()] * len(frame)
    made = [dict(zip(names, row, strict=False)) for row in rows]
    return [{**about, "color": colors.get(str(about.get("label", "")), PLAIN)} for about in made]


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: numbers rounded as people read them, the rest as text."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return round(float(value), 4) if np.isfinite(value) else None
    return None if value is None else str(value)
