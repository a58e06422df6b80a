"""How layers are drawn and described; features are tested in test_feature_server."""

import dataclasses
import math

import pytest

from geodl_lab.server.arcgis import feature_render
from geodl_lab.server.arcgis.feature_layer import read_layer
from geodl_lab.server.arcgis.feature_query import parse_query
from geodl_lab.server.arcgis.feature_store import Page
from geodl_lab.server.arcgis.web import Parameters

LAYER = read_layer(None)


@pytest.mark.parametrize("colour", ["#0a141e", [10, 20, 30], (10, 20, 30, 255)])
def test_classes_have_their_colours(colour):
    info = {"classes": [{"value": 1, "name": "tree", "color": colour}]}
    drawn = feature_render.renderer(LAYER, info)
    (one,) = drawn["uniqueValueInfos"]
    assert (drawn["field1"], one["value"]) == ("Class", "tree")
    assert one["symbol"]["outline"]["color"] == [10, 20, 30, 255]
    assert one["symbol"]["color"][3] == 0  # the imagery below stays visible


def test_without_classes_all_look_alike():
    assert feature_render.renderer(LAYER, {})["type"] == "simple"


@pytest.mark.parametrize(
    ("kind", "symbol"),
    [("Point", "esriSMS"), ("Polyline", "esriSLS"), ("Polygon", "esriSFS")],
)
def test_each_kind_has_its_symbol(kind, symbol):
    layer = dataclasses.replace(LAYER, geometry_type=f"esriGeometry{kind}")
    assert feature_render.renderer(layer, {})["symbol"]["type"] == symbol


def test_json_holds_no_infinity():
    query = parse_query(Parameters({"outFields": "Confidence"}), LAYER, format="json")
    answer = feature_render.esri_features(Page([(math.inf,)], None, False), LAYER, query)
    assert answer["features"] == [{"attributes": {"Confidence": None}}]
