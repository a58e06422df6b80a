"""Layers as the browser is told of them."""

import json

from geodl_lab.maps.layers import as_dict, legend_dict
from geodl_lab.styles import Bar, Swatch


def test_a_colour_bar_has_ends_as_people_read_them():
    bar = Bar(0.0, 0.123456, ("#000000", "#ffffff"), "depth (m)")
    assert legend_dict(bar) == {
        "kind": "bar", "label": "depth (m)", "colors": ["#000000", "#ffffff"],
        "low": "0", "high": "0.1235",
    }  # fmt: skip


def test_classes_have_swatches():
    legend = legend_dict((Swatch("water", "#0000ff", 3),))
    assert legend == {"kind": "classes", "swatches": [{"name": "water", "color": "#0000ff"}]}
    assert legend_dict(None) is None


def test_what_the_browser_is_told_is_plain_json(explorer, land):
    explorer.add(land, name="Land")
    told = as_dict(explorer.stack.all()[0])
    assert json.loads(json.dumps(told)) == told
    assert (told["kind"], told["name"], told["version"]) == ("raster", "Land", 0)
