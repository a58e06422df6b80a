"""What a query asks, and how much may be under way."""

import pytest

from geodl_lab.errors import BusyError, OptionError
from geodl_lab.server.pekat.asked import Asked, Room, asked, side


@pytest.mark.parametrize(
    ("query", "means"),
    [
        ({}, Asked("context", False, "")),
        ({"response_type": "", "extra": "1"}, Asked()),
        ({"response_type": "heatmap", "context_in_body": ""}, Asked("heatmap", True)),
        ({"context_in_body": "1", "data": "lot 7"}, Asked("context", True, "lot 7")),
        ({"data": "None"}, Asked(data="")),
        ({"data": "None of these"}, Asked(data="None of these")),
    ],
)
def test_what_is_asked(query, means):
    assert asked(query) == means


def test_an_unknown_response_type():
    with pytest.raises(OptionError, match="response_type 'jpeg' is not possible; use context, im"):
        asked({"response_type": "jpeg"})


def test_data_that_is_too_long():
    with pytest.raises(OptionError, match="data has 100001 characters"):
        asked({"data": "x" * 100_001})


@pytest.mark.parametrize("text", ["abc", "-1", "0", "1.5", "٣", "1" * 10, "0000", "1e3"])
def test_a_side_that_is_none(text):
    with pytest.raises(OptionError, match=r"width .* is not possible; give pixels"):
        side({"width": text}, "width")
    with pytest.raises(OptionError, match="height is missing"):
        side({"width": text}, "height")
    assert side({"width": " 640 "}, "width") == 640


def test_room_is_given_back():
    room = Room(10)
    room.take(6)
    with pytest.raises(BusyError, match="too many images are under way"):
        room.take(5)
    room.give(6)
    room.take(10)
