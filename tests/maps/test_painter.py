"""Tiles painted: true colours at every zoom, the windows in view and no others, errors, hints."""

import gc
import io
import threading
import time
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from affine import Affine
from PIL import Image
from torch import nn

from geodl_lab import classify, from_torch, probabilities, regress
from geodl_lab.errors import RasterError
from geodl_lab.grid import Window
from geodl_lab.maps import views
from geodl_lab.maps.frames import WORLD, mercator
from geodl_lab.maps.painter import Painter, Picture, Screen, State, TileId
from geodl_lab.maps.views import view_of
from geodl_lab.styles import Ramp
from geodl_lab.testing import make_raster

WAIT = 60


class Page:
    """Takes pictures as the map does, and waits for them."""

    def __init__(self):
        self.changed, self.all, self.final = threading.Condition(), [], {}
        self.progress = []

    def tell(self, picture):
        with self.changed:
            self.all.append(picture)
            if picture.state not in {State.PARTIAL, State.SEEN}:
                self.final[picture.tile] = picture
            self.changed.notify_all()

    def count(self, *now):
        with self.changed:
            self.progress.append(now)
            self.changed.notify_all()

    def wait(self, tiles):
        with self.changed:
            assert self.changed.wait_for(lambda: set(tiles) <= self.final.keys(), WAIT)
            return [self.final[tile] for tile in tiles]


@pytest.fixture
def screen():
    return Page()


@pytest.fixture
def painter(screen):
    painter = Painter(screen.tell, on_progress=screen.count)
    yield painter
    painter.close()


class Counted(nn.Module):
    """Answers class 0 or 1 by how bright band 1 is, counts, and stops at a gate."""

    def __init__(self):
        super().__init__()
        self.calls, self.gate, self.begun = 0, threading.Event(), threading.Semaphore(0)
        self.gate.set()
        self.conv = nn.Conv2d(1, 2, 5, padding=2)
        self.eval()

    def forward(self, x):
        self.begun.release()
        assert self.gate.wait(WAIT)
        self.calls += 1
        return torch.cat([x, 0.5 - x], dim=1) + 0 * self.conv(x)


@pytest.fixture
def counted():
    return Counted()


@pytest.fixture
def model(counted):
    made = from_torch(counted, bands=1, classes=["dark", "bright"], window=64)
    counted.calls = 0
    while counted.begun.acquire(blocking=False):
        pass
    return made


def tile_at(view, row, column, zoom, *, key="a"):
    """The tile that shows a pixel."""
    x, y = (float(v) for v in view.frame.places(row, column))
    if view.frame.plane:
        return TileId(key, zoom, int(x * 2.0**zoom // 256), int(-y * 2.0**zoom // 256))
    x, y = mercator(x, y)
    return TileId(key, zoom, int((x / WORLD + 0.5) * 2**zoom), int((0.5 - y / WORLD) * 2**zoom))


def pixels(picture):
    assert picture.state is State.DONE, picture
    if not picture.png:
        return np.zeros((256, 256, 4), np.uint8)
    image = Image.open(io.BytesIO(picture.png))
    assert image.size == (256, 256)
    return np.asarray(image.convert("RGBA"))


def shown(painter, screen, view, tile):
    painter.show("a", view)
    painter.want(tile)
    (picture,) = screen.wait([tile])
    return pixels(picture)


def rotated(raster):
    """The same pixels, turned by 25 degrees."""
    turned = Affine.translation(4e5, 3.7e6) * Affine.rotation(25) * Affine.scale(0.6, -0.6)
    bare = raster.drop_vars(["x", "y"])
    return bare.rio.write_crs("EPSG:26911").rio.write_transform(turned)


def in_degrees(raster):
    names = raster.rename(y="lat", x="lon").drop_vars("spatial_ref")
    lat, lon = 46 - 1e-5 * np.arange(raster.sizes["y"]), 8 + 1e-5 * np.arange(raster.sizes["x"])
    return names.assign_coords(lat=lat, lon=lon).rio.write_crs(4326)


PLACES = {
    "utm": lambda raster: raster,
    "south first": lambda raster: raster.isel(y=slice(None, None, -1)),
    "rotated": rotated,
    "degrees": in_degrees,
    "photo": lambda raster: raster.drop_vars(["x", "y", "spatial_ref"]),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("zoom", [-1, 0, 2])
def test_colours_on_the_map_are_those_of_the_computed_result(painter, screen, model, place, zoom):
    raster = PLACES[place](make_raster((1, 150, 170)))
    lazy = classify(raster.chunk(), model)
    view = view_of(lazy)
    tile = tile_at(view, 75, 85, view.frame.native_zoom + zoom)
    image, spots = shown(painter, screen, view, tile), view.frame.spots(tile.z, tile.x, tile.y)
    colors = view.style.rgba(lazy.values[None])
    expected = np.where(spots.inside[..., None], colors[spots.rows, spots.columns], 0)
    assert np.array_equal(image, expected) and spots.inside.sum() > 1000
    assert len(np.unique(image[spots.inside], axis=0)) == 2


def test_only_windows_in_view_run_and_each_once(painter, screen, model, counted):
    view = view_of(classify(make_raster((1, 500, 500)).chunk(), model))
    zoom = view.frame.native_zoom + 1
    tile = tile_at(view, 250, 250, zoom)
    tiles = [tile, replace(tile, x=tile.x + 1)]
    painter.show("a", view)
    for one in tiles:
        painter.want(one)
    screen.wait(tiles)
    seen = [view.frame.spots(one.z, one.x, one.y).area for one in tiles]
    blocks = {block for area in seen for block in view.blocks.blocks(area)}
    assert counted.calls == len(blocks) < sum(len(view.blocks.blocks(area)) for area in seen)
    screen.final.clear()
    painter.show("a", replace(view, style=Ramp(0, 1)))
    painter.want(tile)
    assert pixels(screen.wait([tile])[0]).any() and counted.calls == len(blocks)
    with screen.changed:
        assert screen.changed.wait_for(lambda: screen.progress[-1:] == [(0, len(blocks))], WAIT)


def on_screen(view, screen, tiles):
    """Blocks that hold a pixel of the screen, point by point."""
    found = set()
    for tile in tiles:
        spots = view.frame.spots(tile.z, tile.x, tile.y)
        x, y = (i * 256 + np.arange(256) for i in (tile.x, tile.y))
        seen = ((y >= screen.top) & (y < screen.bottom))[:, None]
        seen = seen & ((x >= screen.left) & (x < screen.right)) & spots.inside
        pixels = set(zip(spots.rows[seen].tolist(), spots.columns[seen].tolist(), strict=True))
        for block in view.blocks.blocks(spots.area):
            rows, columns = (range(s.start, s.stop) for s in block.slices_yx)
            if any((y, x) in pixels for y in rows for x in columns):
                found.add(block)
    return found


@pytest.mark.parametrize("place", ["utm", "rotated", "photo"])
def test_only_windows_that_hold_a_pixel_of_the_screen_run(painter, screen, model, counted, place):
    lazy = classify(PLACES[place](make_raster((1, 900, 900))).chunk(), model)
    view = view_of(lazy)
    zoom = view.frame.native_zoom + 1
    middle = tile_at(view, 450, 450, zoom)
    tiles = [
        replace(middle, x=middle.x + i, y=middle.y + j) for i in (-1, 0, 1) for j in (-1, 0, 1)
    ]
    left, top = middle.x * 256 - 70, middle.y * 256 + 30
    first = Screen(zoom, left, top, left + 300, top + 200)
    at = [float(v) for v in view.frame.places(450, 450)]
    painter.show("a", view)
    painter.look_at(*at, zoom, screen=first)
    for tile in tiles:
        painter.want(tile)
    with screen.changed:

        def seen():
            return {p.tile for p in screen.all if p.state in {State.SEEN, State.DONE}}

        assert screen.changed.wait_for(lambda: seen() == set(tiles), WAIT)
    ran = on_screen(view, first, tiles)
    assert counted.calls == len(ran) < len(view.blocks.blocks(Window(0, 0, 900, 900)))
    painter.look_at(*at, zoom + 3)  # nobody else shows less: without a screen all of it is one
    second = Screen(zoom + 1, (left + 90) * 2, top * 2, (left + 390) * 2, (top + 200) * 2)
    painter.look_at(*at, zoom, screen=second)
    ran |= on_screen(view, Screen(zoom, left + 90, top, left + 390, top + 200), tiles)
    with screen.changed:
        assert screen.changed.wait_for(lambda: screen.progress[-1:] == [(0, len(ran))], WAIT)
    assert counted.calls == len(ran)
    painter.leave("")
    colors = view.style.rgba(lazy.values[None])
    for tile, picture in zip(tiles, screen.wait(tiles), strict=True):
        spots = view.frame.spots(tile.z, tile.x, tile.y)
        expected = np.where(spots.inside[..., None], colors[spots.rows, spots.columns], 0)
        assert np.array_equal(pixels(picture), expected)


def test_a_second_page_sees_what_the_first_was_told(painter, screen, model):
    view = view_of(classify(make_raster((1, 400, 400)).chunk(), model))
    zoom = view.frame.native_zoom + 1
    tile = tile_at(view, 200, 200, zoom)
    left, top = tile.x * 256, tile.y * 256
    painter.show("a", view)
    painter.look_at(0, 0, zoom, page="one", screen=Screen(zoom, left, top, left + 9, top + 9))
    painter.want(tile)
    with screen.changed:

        def told():
            return [p for p in screen.all if p.state is State.SEEN]

        assert screen.changed.wait_for(lambda: len(told()) == 1, WAIT)
        painter.want(tile)
        assert screen.changed.wait_for(lambda: len(told()) == 2, WAIT)


def test_tiles_that_left_are_not_computed(painter, screen, model, counted):
    view = view_of(classify(make_raster((1, 600, 600)).chunk(), model))
    zoom = view.frame.native_zoom + 1
    left, kept = tile_at(view, 80, 80, zoom), tile_at(view, 520, 520, zoom)
    counted.gate.clear()
    painter.show("a", view)
    painter.want(left)
    gone = view.blocks.blocks(view.frame.spots(left.z, left.x, left.y).area)
    begun = min(view.blocks.at_once, len(gone))
    for _ in range(begun):
        assert counted.begun.acquire(timeout=WAIT)
    painter.want(kept)
    painter.drop(left)
    counted.gate.set()
    screen.wait([kept])
    blocks = view.blocks.blocks(view.frame.spots(kept.z, kept.x, kept.y).area)
    assert not set(gone) & set(blocks) and counted.calls == len(blocks) + begun
    assert left not in screen.final


class Noted:
    """Blocks of another view, one at a time, and the order in which they were computed."""

    channels, costly, at_once = 1, True, 1

    def __init__(self, blocks):
        self.of, self.shape_yx, self.ran = blocks, blocks.shape_yx, []
        self.blocks = blocks.blocks

    def compute(self, block, cancelled):
        self.ran.append(block)
        return self.of.compute(block, cancelled)


def test_the_middle_comes_first(painter, screen, model, counted):
    view = view_of(classify(make_raster((1, 600, 600)).chunk(), model))
    noted, zoom = Noted(view.blocks), view.frame.native_zoom + 1
    view = replace(view, blocks=noted)
    middle = tile_at(view, 300, 300, zoom)
    tiles = [replace(middle, x=middle.x + i) for i in (-1, 1, 0)]
    seen = [list(on_screen(view, Screen(zoom, -9e9, -9e9, 9e9, 9e9), [t])) for t in tiles]
    counted.gate.clear()
    painter.show("a", view)
    painter.look_at(*(float(v) for v in view.frame.places(300, 300)), zoom)
    for tile in tiles:
        painter.want(tile)
    count = len(set().union(*seen))
    with screen.changed:
        assert screen.changed.wait_for(lambda: (count, 0) in screen.progress, WAIT)
    counted.gate.set()
    screen.wait(tiles)
    assert len(noted.ran) == count > len(seen[2])
    assert set(noted.ran[1 : len(seen[2])]) <= set(seen[2])


def test_pictures_grow_as_blocks_finish(painter, screen, model, counted):
    view = view_of(classify(make_raster((1, 400, 400)).chunk(), model))
    tile = tile_at(view, 200, 200, view.frame.native_zoom)
    painter.show("a", view)
    pixel = Window(200, 200, 1, 1)
    at = [float(v) for v in view.frame.places(200.5, 200.5)]
    painter.values_at(*at)["a"].result(WAIT)
    counted.gate.clear()
    painter.want(tile)
    with screen.changed:
        assert screen.changed.wait_for(lambda: screen.all, WAIT)
    partial = screen.all[0]
    assert partial.state is State.PARTIAL
    counted.gate.set()
    (done,) = screen.wait([tile])
    spots = view.frame.spots(tile.z, tile.x, tile.y)
    (block,) = view.blocks.blocks(pixel)
    there = (spots.rows >= block.y) & (spots.rows < block.bottom)
    there &= (spots.columns >= block.x) & (spots.columns < block.right)
    early = np.asarray(Image.open(io.BytesIO(partial.png)).convert("RGBA"))
    assert np.array_equal(early[there], pixels(done)[there]) and not early[~there].any()


def test_far_out_there_is_the_footprint_and_a_hint_and_no_forward(painter, screen, model, counted):
    view = view_of(classify(make_raster((1, 700, 700)).chunk(), model), name="roofs")
    tile = tile_at(view, 350, 350, view.frame.native_zoom - 3)
    painter.show("a", view)
    painter.want(tile)
    (picture,) = screen.wait([tile])
    assert picture.state is State.HINT and counted.calls == 0
    assert picture.message == "Zoom in to run roofs: from here it would be too much to compute."
    image = np.asarray(Image.open(io.BytesIO(picture.png)).convert("RGBA"))
    inside = view.frame.spots(tile.z, tile.x, tile.y).inside
    assert (image[inside][:, 3] > 0).all() and not image[~inside].any()


def test_far_out_a_finished_result_is_shown_whole(painter, screen, model, counted):
    lazy = classify(make_raster((1, 700, 700)).chunk(), model)
    view = view_of(lazy)
    near = {
        tile_at(view, row, column, view.frame.native_zoom)
        for row in range(0, 701, 50)
        for column in range(0, 701, 50)
    }
    painter.show("a", view)
    for tile in near:
        painter.want(tile)
    screen.wait(near)
    ran = counted.calls
    tile = tile_at(view, 350, 350, view.frame.native_zoom - 3)
    painter.want(tile)
    image, spots = pixels(screen.wait([tile])[0]), view.frame.spots(tile.z, tile.x, tile.y)
    colors = view.style.rgba(lazy.values[None])
    assert ran == len(view.blocks.blocks(Window(0, 0, 700, 700)))
    assert np.array_equal(image[spots.inside], colors[spots.rows, spots.columns][spots.inside])


def test_far_out_an_image_is_an_overview(painter, screen, monkeypatch):
    monkeypatch.setattr(views, "SMALLEST", 64)
    raster = make_raster((3, 700, 700))
    view = view_of(raster)
    tile = tile_at(view, 350, 350, view.frame.native_zoom - 4)
    image, spots = shown(painter, screen, view, tile), view.frame.spots(tile.z, tile.x, tile.y)
    row, column = np.argwhere(spots.inside)[700]
    y, x = spots.rows[row, column] // 8 * 8, spots.columns[row, column] // 8 * 8
    mean = raster.values[:, y : y + 8, x : x + 8].mean(axis=(1, 2)).round().astype(np.uint8)
    assert image[row, column].tolist() == view.style.rgba(mean[:, None, None])[0, 0].tolist()


def test_an_error_is_a_sentence_and_other_tiles_go_on(painter, screen, monkeypatch):
    view = view_of(make_raster((1, 1200, 600)))
    whole = type(view.blocks).compute

    def broken(self, block, cancelled):
        if block.y == 0:
            raise RasterError("the pixels cannot be read; get the file again")
        if block.y == 512:
            raise ZeroDivisionError("division by zero")
        return whole(self, block, cancelled)

    monkeypatch.setattr(type(view.blocks), "compute", broken)
    zoom = view.frame.native_zoom + 1
    tiles = [tile_at(view, row, 200, zoom) for row in (200, 800, 1150)]
    painter.show("a", view)
    for tile in tiles:
        painter.want(tile)
    first, second, third = screen.wait(tiles)
    assert first.state is State.FAILED
    assert first.message == "the pixels cannot be read; get the file again"
    assert "raster could not be computed here: division by zero; compute" in second.message
    assert third.state is State.DONE
    longitude, latitude = (float(v) for v in view.frame.places(10, 10))
    with pytest.raises(RasterError, match="get the file again"):
        painter.values_at(longitude, latitude)["a"].result(WAIT)


def test_true_values_under_the_mouse(painter, model, counted):
    raster = make_raster((1, 300, 300))
    lazy = probabilities(raster.chunk(), model)
    both = {"image": view_of(raster), "result": view_of(lazy)}
    for key, view in both.items():
        painter.show(key, view)
    longitude, latitude = (float(v) for v in both["image"].frame.places(123.4, 45.6))
    answers = painter.values_at(longitude, latitude)
    assert answers["image"].result(WAIT).tolist() == raster.values[:, 123, 45].tolist()
    assert counted.calls <= 1
    assert np.array_equal(answers["result"].result(WAIT), lazy.values[:, 123, 45])
    assert both["result"].channel_names == ("dark", "bright")
    x, y = raster.rio.transform() * (45.6, 123.4)
    assert np.array_equal(both["image"].value_at(x, y), raster.values[:, 123, 45])
    assert both["image"].value_at(0, 0) is None
    assert {a.result(WAIT) for a in painter.values_at(0, 0).values()} == {None}


def test_hidden_views_are_forgotten(painter, screen):
    view = view_of(make_raster((1, 300, 300)))
    tile = tile_at(view, 100, 100, view.frame.native_zoom)
    shown(painter, screen, view, tile)
    painter.hide("a")
    screen.final.clear()
    painter.want(tile)
    painter.hide("nobody")
    painter.drop(tile)
    assert not screen.final and not painter._board._queue._kept


@pytest.mark.parametrize("how", ["close", "drop"])
def test_no_thread_is_left(how, screen, model):
    painter = Painter(screen.tell)
    view = view_of(classify(make_raster((1, 300, 300)).chunk(), model))
    shown(painter, screen, view, tile_at(view, 100, 100, view.frame.native_zoom))
    threads = painter._board._threads
    assert all(thread.is_alive() for thread in threads)
    if how == "close":
        painter.close()
        painter.want(tile_at(view, 100, 100, view.frame.native_zoom))
    gone = weakref.ref(painter)
    del painter
    gc.collect()
    assert gone() is None
    for thread in threads:
        thread.join(WAIT)
        assert not thread.is_alive()


def test_threads_rest_while_nobody_looks_and_come_back(painter, screen, model, counted):
    view = view_of(classify(make_raster((1, 300, 300)).chunk(), model))
    tile = tile_at(view, 100, 100, view.frame.native_zoom)
    shown(painter, screen, view, tile)
    threads, ran = painter._board._threads, counted.calls
    painter.rest()
    for thread in threads:
        thread.join(WAIT)
        assert not thread.is_alive()
    screen.final.clear()
    painter.want(tile)
    assert pixels(screen.wait([tile])[0]).any() and counted.calls == ran


def test_the_object_that_is_told_can_be_dropped():
    screen = Page()
    screen.painter = Painter(screen.tell)
    gone = weakref.ref(screen)
    del screen
    gc.collect()
    assert gone() is None


def test_a_broken_map_does_not_stop_the_painter(screen):
    told = []

    def tell(picture: Picture):
        told.append(picture)
        if len(told) == 1:
            raise RuntimeError("the page is gone")
        screen.tell(picture)

    painter = Painter(tell)
    view = view_of(make_raster((1, 300, 300)))
    painter.show("a", view)
    tile = tile_at(view, 100, 100, view.frame.native_zoom)
    painter.want(tile)
    deadline = time.monotonic() + WAIT
    while not told and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    painter.want(tile)
    assert screen.wait([tile])[0].state is State.DONE
    painter.close()


def test_values_of_a_regression_have_a_ramp(painter, screen):
    net = nn.Conv2d(1, 1, 3, padding=1).eval()
    model = from_torch(net, bands=1, classes=["height"], task="regress", window=64)
    lazy = regress(make_raster((1, 100, 100)).chunk(), model)
    view = view_of(lazy, stretch=(-100, 100))
    image = shown(painter, screen, view, tile_at(view, 50, 50, view.frame.native_zoom))
    assert view.style.legend.label == "height" and image.any()


def test_of_a_raster_too_large_to_be_read_there_is_a_hint_far_out(painter, screen, monkeypatch):
    monkeypatch.setattr(views, "LARGEST", 10**6)
    view = view_of(make_raster((3, 700, 700)).chunk(), name="scene", stretch=(0, 255))
    monkeypatch.setattr(type(view.blocks), "compute", None)  # nothing is read
    tile = tile_at(view, 350, 350, view.frame.native_zoom - 4)
    painter.show("a", view)
    painter.want(tile)
    (picture,) = screen.wait([tile])
    assert picture.state is State.HINT
    assert picture.message == "Zoom in to see scene: from here it would be too much to read."
