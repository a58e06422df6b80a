"""Parameters of queries as values; what they find is tested in test_feature_server."""

import json

import pytest

from geodl_lab.server.arcgis.feature_layer import read_layer
from geodl_lab.server.arcgis.feature_query import PAGE, TILE_PAGE, parse_format, parse_query
from geodl_lab.server.arcgis.web import ArcgisError, Parameters

LAYER = read_layer(None)


def parse(**given):
    """A query of an empty layer."""
    return parse_query(Parameters(given), LAYER, format="json")


def test_nothing_said_is_everything():
    query = parse(where="1=1", outFields="*")
    assert not query.filtered
    assert query.fields == LAYER.fields
    assert (query.wants, query.limit, query.offset, query.geometry) == ("features", PAGE, 0, True)


@pytest.mark.parametrize(
    ("given", "wants"),
    [({"returnCountOnly": "True"}, "count"), ({"returnIdsOnly": "TRUE"}, "ids"),
     ({"returnExtentOnly": "true", "returnCountOnly": "true"}, "extent"),
     ({"returnCountOnly": "false"}, "features")],
)  # fmt: skip
def test_what_is_wanted(given, wants):
    assert parse(**given).wants == wants


def test_pages():
    assert parse(resultRecordCount="9999999").limit == PAGE
    assert parse(resultRecordCount="10").limit == 10
    assert parse(resultType="tile").limit == TILE_PAGE


def test_a_grid_is_in_the_crs_of_the_answer():
    extent = {"xmin": 0, "ymin": 0, "xmax": 1, "ymax": 1, "spatialReference": {"wkid": 4326}}
    grid = parse(outSR="3857", quantizationParameters=json.dumps(
        {"tolerance": 2, "extent": extent, "originPosition": "lowerLeft"})).grid  # fmt: skip
    assert (grid.step, grid.down) == (2.0, False)
    assert (grid.x, grid.y) == pytest.approx((0, 0), abs=1e-6)


def test_formats():
    assert parse_format(Parameters({"f": "geoJSON"}), "") == "geojson"
    assert parse_format(Parameters({}), "text/html,*/*") == "html"
    assert parse_format(Parameters({}), "*/*") == "json"
    with pytest.raises(ArcgisError, match="possible are json"):
        parse_format(Parameters({"f": "pbf"}), "")


@pytest.mark.parametrize("name", ["resultOffset", "resultRecordCount", "geometryPrecision"])
@pytest.mark.parametrize("value", ["-1", "x", "1e9", "²", "9" * 40])
def test_numbers_are_checked(name, value):
    with pytest.raises(ArcgisError, match=name):
        parse(**{name: value})
