"""Who waits for which tile, and what pages are told, with a painter that does as it is told."""

import dataclasses
import threading

import pytest

from geodl_lab.errors import CancelledError
from geodl_lab.maps import feed as feed_module
from geodl_lab.maps.feed import Feed
from geodl_lab.maps.places import Place
from geodl_lab.maps.tiles import Picture, Screen, State, TileId

PLACE = Place((0.0, 0.0), 3, (256, 256))
ONE, TWO = TileId("a", 3, 1, 2), TileId("b", 3, 1, 2)


class FakePainter:
    """Notes what it is asked for."""

    def __init__(self, tell, on_progress):
        self.tell, self.progress, self.asked = tell, on_progress, []

    def want(self, tile):
        self.asked.append(("want", tile))

    def drop(self, tile):
        self.asked.append(("drop", tile))

    def hide(self, key):
        self.asked.append(("hide", key))

    def look_at(self, longitude, latitude, zoom, *, page, screen):
        self.asked.append(("look", page, screen))

    def leave(self, page):
        self.asked.append(("leave", page))

    def rest(self):
        self.asked.append(("rest",))


@pytest.fixture
def told():
    return []


@pytest.fixture
def feed(monkeypatch, told):
    monkeypatch.setattr(feed_module, "Painter", FakePainter)
    return Feed(lambda kind, buffers=(), **content: told.append((kind, list(buffers), content)))


def test_a_tile_on_two_pages_is_dropped_with_the_last(feed):
    feed.want("page 1", [ONE])
    feed.want("page 2", [ONE])
    feed.drop("page 1", [ONE])
    assert ("drop", ONE) not in feed.painter.asked
    feed.drop("page 2", [ONE])
    assert feed.painter.asked[-1] == ("drop", ONE)


def test_a_page_that_leaves_drops_only_its_own(feed):
    feed.want("page 1", [ONE, TWO])
    feed.want("page 2", [TWO])
    feed.see("page 2", PLACE)
    feed.leave("page 1")
    assert ("rest",) not in feed.painter.asked
    assert [asked for asked in feed.painter.asked if asked[0] == "drop"] == [("drop", ONE)]
    feed.leave("page 2")
    assert feed.painter.asked[-1] == ("rest",)


def test_a_tile_that_is_painted_is_dropped_by_nobody(feed):
    feed.want("page", [ONE])
    feed.painter.tell(Picture(ONE, State.DONE, b"png"))
    feed.drop("page", [ONE])
    assert ("drop", ONE) not in feed.painter.asked


def test_a_picture_is_sent_with_its_bytes_and_place(feed, told):
    feed.painter.tell(Picture(ONE, State.HINT, b"png", "zoom in"))
    assert told == [
        ("tile", [b"png"],
         {"layer": "a", "z": 3, "x": 1, "y": 2, "state": "hint", "message": "zoom in"}),
    ]  # fmt: skip


def test_pictures_waits_for_the_final_one(feed):
    def paint():
        feed.painter.tell(Picture(ONE, State.PARTIAL, b"half"))
        feed.painter.tell(Picture(ONE, State.DONE, b"whole"))

    threading.Timer(0.02, paint).start()
    assert feed.pictures(PLACE, [ONE], limit_s=10)[ONE].png == b"whole"


def test_a_picture_of_what_is_on_the_screen_is_enough(feed):
    feed.want("page", [ONE])
    whole = Screen(3, 896, 896, 1152, 1152)

    def paint():
        feed.painter.tell(Picture(ONE, State.SEEN, b"part"))

    threading.Timer(0.02, paint).start()
    assert feed.pictures(PLACE, [ONE], limit_s=10)[ONE].png == b"part"
    looked, left = feed.painter.asked[1], feed.painter.asked[-2]
    assert looked == ("look", left[1], whole) and left[0] == "leave"
    feed.drop("page", [ONE])
    assert feed.painter.asked[-1] == ("drop", ONE)  # the page waited for more


def test_pictures_that_do_not_come_are_given_up(feed):
    with pytest.raises(CancelledError, match="the map was not painted in 0 s; wait until"):
        feed.pictures(PLACE, [ONE], limit_s=0.01)
    assert feed.painter.asked[-2] == ("drop", ONE)


def test_progress_counts_a_round_from_its_beginning(feed, told, monkeypatch):
    monkeypatch.setattr(feed_module, "PROGRESS_S", 0)
    for waiting, computed in [(4, 0), (2, 2), (0, 4), (3, 4), (0, 7)]:
        feed.painter.progress(waiting, computed)
    rounds = [(content["done"], content["total"]) for _, _, content in told]
    assert rounds == [(0, 4), (2, 4), (4, 4), (0, 3), (3, 3)]


def test_a_view_is_painted_when_no_page_waits_for_its_tiles(feed):
    other = dataclasses.replace(ONE, x=2)
    assert not feed.wait_painted("a", limit_s=0)  # nobody asked yet
    feed.want("page", [ONE, other, TWO])
    feed.painter.tell(Picture(ONE, State.PARTIAL, b"png"))
    feed.painter.tell(Picture(ONE, State.DONE, b"png"))
    assert not feed.wait_painted("a", limit_s=0)
    threading.Timer(0.01, feed.drop, ("page", [other])).start()
    assert feed.wait_painted("a", limit_s=10)  # what left the view is waited for by nobody
    feed.hide("a")
    assert not feed.wait_painted("a", limit_s=0)
