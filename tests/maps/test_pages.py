"""What pages say, and what they are told."""

import json

import numpy as np
import pytest
import shapely

from geodl_lab.maps import pages
from geodl_lab.maps.places import to_map

PLACE = {"middle": [-118.0749, 33.4342], "bounds": [-118.1, 33.4, -118.0, 33.5],
         "zoom": 18, "size": [800, 500]}  # fmt: skip


def say(explorer, kind, **content):
    """Say something as a page does; slow answers are waited for."""
    page = {**pages.QUICK, **pages.SLOW}[kind]
    explorer._answer(page, {"kind": kind, "token": "me", **content})


def told(explorer, kind):
    return [(buffers, content) for one, buffers, content in explorer.sent if one == kind]


def test_a_page_is_answered(explorer):
    say(explorer, "hello")
    assert told(explorer, "welcome") == [([], {"token": "me"})]


def test_tiles_that_are_wanted_come_with_their_pixels(explorer, land):
    explorer.add(land)
    key = explorer.stack.all()[0].id
    x, y = 45053, 104858  # at zoom 18, by the tile scheme of the web
    say(explorer, "tiles", want=[[key, 18, x, y]], drop=[], **PLACE)
    found = explorer.feed.pictures(explorer.place, [pages.TileId(key, 18, x, y)], limit_s=20)
    assert all(picture.state.value == "done" for picture in found.values())
    assert explorer.place.zoom == 18 and explorer.place.size == (800, 500)


def test_looks_change_and_layers_move(explorer, land):
    explorer.add(land, name="a").add(land, name="b")
    key = explorer.stack.by_name("a").id
    say(explorer, "change", layer=key, opacity=0.5, visible=False)
    say(explorer, "move", layer=key, by=1)
    assert explorer.names == ["b", "a"]
    assert (explorer.stack.by_id(key).opacity, explorer.stack.by_id(key).visible) == (0.5, False)


@pytest.mark.parametrize("kind", ["change", "choose", "move", "objects"])
def test_a_layer_that_is_gone_is_no_error(explorer, kind):
    say(explorer, kind, layer="gone", choice="x", by=1)
    assert explorer.sent == []


def test_objects_go_to_who_asked(explorer):
    explorer.add(shapely.box(-118, 33, -117, 34))
    say(explorer, "objects", layer=explorer.stack.all()[0].id)
    (((json_bytes,), content),) = told(explorer, "objects")
    assert content["token"] == "me"
    assert len(json.loads(json_bytes)["features"]) == 1


def test_a_click_is_answered_with_every_raster_the_uppermost_first(explorer, land):
    explorer.add(land, name="a").add(land, name="b", visible=False)
    place = to_map(np.array([[400_003.0, 3_699_999.0]]), "EPSG:26911")[0]
    say(explorer, "inspect", asked="1", place=place.tolist())
    ((_, content),) = told(explorer, "values")
    assert [layer["name"] for layer in content["layers"]] == ["b", "a"]
    assert ("pixel", "row 0, column 1") in content["layers"][0]["rows"]


def test_a_measure_is_answered(explorer):
    say(explorer, "measure", points=[[0, 0], [1, 0]])
    assert told(explorer, "measured")[0][1]["words"] == "Distance: 111.319 km"


def test_a_file_comes_as_bytes_or_as_a_sentence(explorer):
    say(explorer, "save", what="geojson", **PLACE)
    assert "there are no objects" in told(explorer, "saved")[0][1]["words"]
    explorer.add(shapely.box(-118, 33, -117, 34))
    say(explorer, "save", what="geojson", **PLACE)
    ((made,), content) = told(explorer, "saved")[1]
    assert content["name"] == "map.geojson" and json.loads(made)["features"]


def test_what_fails_is_told_in_a_sentence(explorer, monkeypatch):
    def fail(*_):
        raise ValueError("broken")

    explorer._answer(fail, {"kind": "view"})
    assert told(explorer, "problem")[0][1]["text"] == "the map could not view: broken"


def test_what_nobody_knows_is_left_alone(explorer):
    explorer._hear({"kind": "unheard of"})
    assert explorer.sent == []
