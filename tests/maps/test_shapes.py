"""Objects as the browser gets them."""

import json

import geopandas
import numpy as np
import pyproj
import pytest
import shapely

from geodl_lab.errors import OptionError
from geodl_lab.maps.shapes import as_frame, frame_bounds, frame_colors, map_geometries, to_json

UTM = "EPSG:26911"


def frame(**columns):
    shapes = [
        shapely.box(400_000, 3_700_000, 400_010, 3_700_010),
        shapely.Point(400_020, 3_700_020),
    ]
    return geopandas.GeoDataFrame(columns, geometry=shapes, crs=UTM)


def test_objects_are_in_degrees_with_label_score_and_color():
    given = frame(label=["tree", "car"], score=np.float32([0.5, 0.25]), day=["mo", None])
    colors = frame_colors(given)
    first, second = json.loads(to_json(given, colors, map_geometries(given)))["features"]
    to = pyproj.Transformer.from_crs(UTM, 4326, always_xy=True)
    assert second["geometry"]["coordinates"] == pytest.approx(to.transform(400_020, 3_700_020))
    assert first["properties"] == {
        "label": "tree", "score": 0.5, "day": "mo", "color": colors["tree"],
    }  # fmt: skip
    assert second["properties"]["day"] is None
    assert colors["tree"] != colors["car"]


def test_bounds_are_those_of_all_objects():
    to = pyproj.Transformer.from_crs(UTM, 4326, always_xy=True)
    corners = [to.transform(400_000, 3_700_000), to.transform(400_020, 3_700_020)]
    assert frame_bounds(frame()) == pytest.approx((*corners[0], *corners[1]), abs=5e-6)


def test_a_geometry_alone_is_one_object():
    made = as_frame(shapely.box(0, 0, 1, 1), "EPSG:4326")
    (feature,) = json.loads(to_json(made, frame_colors(made), map_geometries(made)))["features"]
    assert set(feature["properties"]) == {"color"}


def test_nothing_is_an_empty_collection():
    none = frame(label=["a", "b"])[:0]
    assert json.loads(to_json(none, frame_colors(none), map_geometries(none)))["features"] == []


def test_empty_geometries_are_left_out():
    given = geopandas.GeoSeries([shapely.Point(1, 2), shapely.Point(), None])
    assert len(as_frame(given, None)) == 1


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(OptionError, match="a dict cannot be shown on the map; give a raster"):
        as_frame({}, None)
