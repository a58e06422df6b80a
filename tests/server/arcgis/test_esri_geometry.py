"""Esri's geometries against shapely's own, and spatial references against pyproj."""

import json

import hypothesis.strategies as st
import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import given

from geodl_lab.server.arcgis import esri_geometry as esri
from geodl_lab.server.arcgis.web import ArcgisError

UTM = pyproj.CRS(26911)
RING = [[0, 0], [0, 10], [10, 10], [10, 0], [0, 0]]
HOLE = [[2, 2], [4, 2], [4, 4], [2, 4], [2, 2]]
ISLAND = [[20, 0], [20, 5], [25, 5], [25, 0], [20, 0]]


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ('{"x": 1, "y": 2}', shapely.Point(1, 2)),
        ("{x: 1.5, y: 2, spatialReference: {wkid: 4326}}", shapely.Point(1.5, 2)),
        ("3,4", shapely.Point(3, 4)),
        ("0,0,2,1", shapely.box(0, 0, 2, 1)),
        ("2,1,0,0", shapely.box(0, 0, 2, 1)),
        ('{"xmin": 0, "ymin": 9, "xmax": 2, "ymax": 1}', shapely.box(0, 1, 2, 9)),
        ('{"points": [[0, 0], [1, 1]]}', shapely.MultiPoint([(0, 0), (1, 1)])),
        ('{"paths": [[[0, 0], [1, 1]]]}', shapely.MultiLineString([[(0, 0), (1, 1)]])),
        (json.dumps({"rings": [RING, HOLE, ISLAND]}),
         shapely.MultiPolygon([(RING, [HOLE]), (ISLAND, [])])),
        (json.dumps({"rings": [RING[::-1], HOLE[::-1]]}), shapely.Polygon(RING, [HOLE])),
        ("1,1,1,1", shapely.Point(1, 1)),
    ],
)  # fmt: skip
def test_geometries_are_read(text, shape):
    found, _ = esri.parse_geometry(text)
    assert shapely.equals(found, shape)


@pytest.mark.parametrize(
    "text",
    ["", "a,b", "1", "1,2,3", "{", "[]", "[1,2]", "{}", '{"x": "a", "y": 1}', '{"rings": []}',
     '{"rings": [[[0,0],[1,1]]]}', '{"rings": "abc"}', '{"paths": [[[0,0]]]}', '{"x": NaN, "y": 1}',
     "nan,1", "1e999,1", '{"points": []}', '{"points": 5}', '{"rings": [[0, 1, 2, 3]]}',
     '{"xmin": 1}', '{"curveRings": [[1]]}', '{"x": null, "y": null}', "[" * 100_000,
     '{"x": 1, "y": 2, "spatialReference": {"wkid": 99999999}}'],
)  # fmt: skip
def test_what_is_no_geometry_is_said(text):
    with pytest.raises(ArcgisError, match="geometry"):
        esri.parse_geometry(text)


@given(st.text(max_size=40) | st.from_regex(r"\{\"?[a-z]{1,6}\"?: ?[\[\]0-9,]{0,20}\}"))
def test_any_text_is_a_geometry_or_an_error(text):
    try:
        shape, _ = esri.parse_geometry(text)
        assert not shape.is_empty
    except ArcgisError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("text", "code"),
    [("4326", 4326), (102100, 3857), ("EPSG:26911", 26911), ('{"wkid": 102100}', 3857),
     ('{"wkid": 102100, "latestWkid": 3857}', 3857), ("{wkid: 26911}", 26911),
     ("http://www.opengis.net/def/crs/EPSG/0/26911", 26911), ("urn:ogc:def:crs:EPSG::26911", 26911),
     (json.dumps({"wkt": UTM.to_wkt("WKT1_ESRI")}), 26911)],
)  # fmt: skip
def test_references_are_read(text, code):
    assert esri.parse_crs(text).equals(pyproj.CRS(code), ignore_axis_order=True)


def test_crs84_is_longitude_first():
    crs = esri.parse_crs("http://www.opengis.net/def/crs/OGC/1.3/CRS84")
    assert esri.spatial_reference(crs)["wkid"] == 4326


@pytest.mark.parametrize(
    "text", ["", "0", "x", "{}", "+proj=utm +zone=11", "+init=/etc/passwd:1", "999999", "EPSG:x",
             "-1", "4326.5", "{", '{"wkid": {"a": 1}}', "PROJCS[", "²"],
)  # fmt: skip
def test_what_is_no_reference_is_said(text):
    with pytest.raises(ArcgisError, match="outSR"):
        esri.parse_crs(text)


@pytest.mark.parametrize("crs", [4326, 3857, 26911, "ESRI:102003", UTM.to_wkt("WKT1_ESRI")])
def test_references_go_there_and_back(crs):
    crs = pyproj.CRS(crs)
    again = esri.parse_crs(json.dumps(esri.spatial_reference(crs)))
    assert again.equals(crs, ignore_axis_order=True)


def test_rings_turn_as_esri_wants_and_come_back():
    shapes = np.array(
        [shapely.MultiPolygon([(RING, [HOLE]), (ISLAND, [])]), shapely.Polygon(ISLAND[::-1]), None]
    )
    written = esri.encode(shapes, np.ndarray.tolist)
    turns = [shapely.is_ccw(shapely.LinearRing(ring)) for ring in written[0]["rings"]]
    assert turns == [False, True, False]
    assert written[2] is None
    for shape, one in zip(shapes[:2], written, strict=False):
        assert shapely.equals(esri.parse_geometry(json.dumps(one))[0], shape)


@pytest.mark.parametrize("kind", ["Point", "MultiPoint", "LineString", "MultiLineString"])
def test_other_kinds_come_back(kind):
    shape = {
        "Point": shapely.Point(1, 2), "MultiPoint": shapely.MultiPoint([(1, 2), (3, 4)]),
        "LineString": shapely.LineString([(1, 2), (3, 4)]),
        "MultiLineString": shapely.MultiLineString([[(1, 2), (3, 4)], [(5, 6), (7, 8)]]),
    }[kind]  # fmt: skip
    (written,) = esri.encode(np.array([shape]), np.ndarray.tolist)
    assert shapely.equals(esri.parse_geometry(json.dumps(written))[0], shape)


def test_transform_is_pyproj_with_x_first():
    x, y = pyproj.Transformer.from_crs(4326, 26911, always_xy=True).transform(-117, 34)
    point = esri.transform(shapely.Point(-117, 34), pyproj.CRS(4326), UTM)
    assert (point.x, point.y) == (x, y)
    with pytest.raises(ArcgisError, match="without outSR"):
        esri.transform(point, None, UTM)


def test_the_world_is_cut_to_what_is_near():
    near = (500_000, 3_700_000, 501_000, 3_701_000)
    world = shapely.box(-20037508, -20037508, 20037508, 20037508)
    shape = esri.bring(world, pyproj.CRS(3857), UTM, near=near)
    assert shapely.contains(shape, shapely.box(*near))


@pytest.mark.parametrize(("xy", "wkid"), [((1e308, 0), 32611), ((0, 95), 4326)])
def test_there_is_no_buffer_around_what_is_nowhere(xy, wkid):
    with pytest.raises(ArcgisError, match="no place on earth"):
        esri.buffer(shapely.Point(xy), pyproj.CRS(wkid), 5.0)


def test_a_buffer_is_in_metres():
    area = esri.buffer(shapely.Point(-117, 34), pyproj.CRS(4326), 100.0)
    circle = esri.transform(area, pyproj.CRS(4326), UTM)
    assert circle.area == pytest.approx(np.pi * 100**2, rel=0.01)
