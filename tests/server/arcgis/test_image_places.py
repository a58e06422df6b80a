"""Boxes and spatial references of requests."""

import json

import numpy as np
import pytest
from pyproj import CRS, Transformer

from geodl_lab.server.arcgis.image_places import (
    WEB_MERCATOR,
    box_json,
    crs_json,
    is_flat,
    moved,
    moved_box,
    parse_box,
    parse_crs,
)
from geodl_lab.server.arcgis.web import ArcgisError

UTM = CRS.from_epsg(32611)


@pytest.mark.parametrize("text", [
    "3857", "102100", "900913", '{"wkid": 102100, "latestWkid": 3857}', '{"wkid":102113}',
    "http://www.opengis.net/def/crs/EPSG/0/3857", "EPSG:3857", "urn:ogc:def:crs:EPSG::3857",
    '{"latestWkid":3857}', '{wkid: 3857}',
])  # fmt: skip
def test_web_mercator_has_many_names(text):
    assert parse_crs(text, "imageSR") == WEB_MERCATOR


def test_none_is_none_and_esri_s_own_are_known():
    assert parse_crs("", "imageSR") is None and parse_crs(" ", "imageSR") is None
    assert parse_crs("54009", "imageSR").to_authority() == ("ESRI", "54009")
    assert crs_json(parse_crs("54009", "x")) == {"wkid": 54009, "latestWkid": 54009}
    assert crs_json(WEB_MERCATOR) == {"wkid": 102100, "latestWkid": 3857}
    assert "LOCAL_CS" in crs_json(None)["wkt"]


@pytest.mark.parametrize("text", ["0", "x", "5773", "4978", "EPSG:1", "{}x", "99999999999"])
def test_what_is_no_map_is_refused(text):
    with pytest.raises(ArcgisError, match="imageSR"):
        parse_crs(text, "imageSR")


def test_boxes_are_sorted_and_may_be_json():
    assert parse_box("4,3,1,2") == ((1, 2, 4, 3), None)
    given = {"xmin": 4, "ymin": 3, "xmax": 1, "ymax": 2, "spatialReference": {"wkid": 32611}}
    assert parse_box(json.dumps(given)) == ((1, 2, 4, 3), UTM)
    extent = box_json((1, 2, 4, 3), UTM)
    assert extent["xmax"] == 4.0 and extent["spatialReference"]["wkid"] == 32611


@pytest.mark.parametrize("text", ["1,2,3", "nan,1,2,3", "1,2,3,inf", "a,b,c,d", "1,2,3,1e16", "{}"])
def test_what_is_no_box(text):
    with pytest.raises(ArcgisError, match="give xmin,ymin,xmax,ymax"):
        parse_box(text)


def test_a_moved_box_holds_all_of_it():
    box = (300_000, 3_700_000, 700_000, 4_300_000)
    left, bottom, right, top = moved_box(box, UTM, WEB_MERCATOR)
    inside = np.random.default_rng(0).uniform(box[:2], box[2:], (500, 2))
    x, y = Transformer.from_crs(UTM, WEB_MERCATOR, always_xy=True).transform(*inside.T)
    assert left <= x.min() and x.max() <= right and bottom <= y.min() and y.max() <= top
    assert moved_box(box, UTM, UTM) == box


def test_the_pole_lies_inside_its_box():
    polar = CRS.from_epsg(3995)
    box = moved_box((-1e6, -1e6, 1e6, 1e6), polar, CRS.from_epsg(4326))
    assert box[3] == pytest.approx(90) and box[0] < -170 and box[2] > 170


def test_pixels_are_no_places():
    with pytest.raises(ArcgisError, match="no place on earth"):
        moved(np.zeros((1, 2)), None, UTM)
    assert (moved(np.ones((1, 2)), None, None) == 1).all()


def test_flat_boxes():
    assert is_flat((0, 0, 0, 1), (1, 1)) and is_flat((0, 1, 1, 1), (1, 1))
    assert is_flat((5e5, 0, 5e5 + 1e-9, 1), (1, 400))
    assert not is_flat((0, 0, 1e-3, 1e-3), (4096, 4096))
