"""The widget's messages, and that its scripts ask nobody for anything."""

import re

import pytest

from geodl_lab.maps.tile_layer import SCRIPTS, TileLayer, shipped


@pytest.fixture
def heard():
    return []


@pytest.fixture
def layer(heard):
    layer = TileLayer(heard.append)
    yield layer
    layer.close()


def test_a_message_is_passed_on(layer, heard):
    layer._handle_custom_msg({"kind": "hello", "token": "a"}, [])
    assert heard == [{"kind": "hello", "token": "a"}]


@pytest.mark.parametrize("content", [None, [], {}, {"kind": 3}])
def test_what_is_no_message_is_left_alone(layer, heard, content):
    layer._handle_custom_msg(content, [])
    assert heard == []


def test_bytes_travel_beside_the_message(layer, monkeypatch):
    sent = []
    monkeypatch.setattr(layer, "send", lambda content, buffers: sent.append((content, buffers)))
    layer.tell("tile", [b"png"], z=3)
    assert sent == [({"kind": "tile", "z": 3}, [b"png"])]


@pytest.mark.parametrize("name", [*SCRIPTS, "map.css"])
def test_scripts_ask_nobody_and_build_on_nothing(name):
    text = shipped(name)
    assert not re.search(r"https?://|@import|\bimport\b.*\bfrom\b|require\(|url\(", text)
    assert len(text.splitlines()) < 200


def test_the_module_is_all_scripts_in_a_row(layer):
    assert layer._esm.endswith("export default { render };\n")
    assert [layer._esm.index(shipped(name)) for name in SCRIPTS] == sorted(
        layer._esm.index(shipped(name)) for name in SCRIPTS
    )
