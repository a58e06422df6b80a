"""How long the live map keeps people waiting after a pan, against one forward of the model.

    python -m benchmarks.live_map --models naip-landcover aerial-landcover --rounds 8

The scene is crops of the bundled one laid side by side, in a GeoTIFF read by dask. A pan looks at
a place that nothing is known of, at native zoom, with a map of 1200 x 800 points; before each, two
forwards of one window are timed, alone, in the same thread pool. ``first`` is the
first picture that shows pixels, ``final`` the first finished tile. Wanted: the first at most 1.5
forwards plus 150 ms. With ``--busy`` the map still computes the place before when it is panned.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio
import xarray as xr

import geodl_lab
from geodl_lab.grid import Window
from geodl_lab.maps.frames import TILE, WORLD, mercator
from geodl_lab.maps.painter import Painter, Picture, State, TileId
from geodl_lab.maps.places import Place
from geodl_lab.maps.views import View, view_of

SCENE = Path(geodl_lab.__file__).parent / "data" / "santa_monica_naip.tif"
SIDE = 6144
MAP_YX = (800, 1200)
MOST_RATIO, MOST_EXTRA = 1.5, 0.150


class Watch:
    """Notes when pictures come."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.begin()

    def begin(self) -> None:
        """Start the clock."""
        with self.changed:
            self.first = self.final = None
            self.started, self.done = time.perf_counter(), set[TileId]()

    def tell(self, picture: Picture) -> None:
        """Take a picture."""
        now = time.perf_counter() - self.started
        with self.changed:
            if picture.state is State.FAILED:
                raise RuntimeError(picture.message)
            if self.first is None and picture.png:
                self.first = now
            if picture.state in {State.DONE, State.SEEN}:
                self.done.add(picture.tile)
                if self.final is None and picture.png:  # a tile whose part in view is whole
                    self.final = now
            self.changed.notify_all()

    def wait(self, tiles: set[TileId] | None = None) -> None:
        """Wait for the first final tile, or for all of some."""
        with self.changed:
            self.changed.wait_for(lambda: self.final if tiles is None else tiles <= self.done, 300)


def main() -> None:
    """Measure each model and print a table."""
    options = _options()
    print("| model | core px | forward ms | first ms | final ms | first ratio | wanted |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        data = _scene(Path(folder))
        for name in options.models:
            print(_measured(data, name, options.rounds, busy=options.busy), flush=True)


def _measured(data: xr.DataArray, name: str, rounds: int, *, busy: bool) -> str:
    view, watch = view_of(data.dl.classify(name)), Watch()
    painter, places = Painter(watch.tell), _places(view)
    painter.show("model", view)
    _pan(painter, view, watch, next(places), busy=False)  # warm
    rows = []
    for _ in range(rounds):
        forwards = [_forward(view, *next(places)) for _ in range(2)]
        first, final = _pan(painter, view, watch, next(places), busy=busy)
        rows.append((statistics.mean(forwards), first, final))
    painter.close()
    forward, first, final = (statistics.median(column) for column in zip(*rows, strict=True))
    wanted = statistics.median(f <= MOST_RATIO * w + MOST_EXTRA for w, f, _ in rows)
    block = view.blocks.blocks(Window(SIDE // 2, SIDE // 2, 1, 1))[0]
    return (
        f"| {name} | {block.height} x {block.width} | {forward * 1e3:.0f} | {first * 1e3:.0f} | "
        f"{final * 1e3:.0f} | {first / forward:.2f} | {'kept' if wanted > 0.5 else 'missed'} |"
    )


def _pan(
    painter: Painter, view: View, watch: Watch, place: tuple[int, int], *, busy: bool
) -> tuple[float, float]:
    """Look at a place (row, column); return seconds to the first picture and to the first tile."""
    longitude, latitude = (float(v) for v in view.frame.places(*place))
    zoom = view.frame.native_zoom
    tiles = _tiles(longitude, latitude, zoom)
    watch.begin()
    painter.look_at(
        longitude, latitude, zoom, screen=Place((longitude, latitude), zoom, MAP_YX[::-1]).screen
    )
    for tile in tiles:
        painter.want(tile)
    watch.wait()
    if not busy:
        watch.wait(tiles)
    for tile in tiles:
        painter.drop(tile)
    if not busy:
        painter._board._queue._kept.clear()  # the next place is new, however large a window is
        painter._board._queue._bytes = 0
    assert watch.first is not None and watch.final is not None
    return watch.first, watch.final


def _forward(view: View, row: int, column: int) -> float:
    """Return the seconds of one window's forward, its pixels in memory."""
    windowed = view.blocks.windowed  # type: ignore[attr-defined]
    planned = windowed.planned
    (tile,) = planned.grid.tiles(Window(row, column, 1, 1))
    inside = tile.window.intersect(planned.grid.whole)
    stored, session = windowed.source.read(inside)[None], planned.session()
    began = time.perf_counter()
    session.submit(session.forward, stored, planned.model.package.inputs).result()
    return time.perf_counter() - began


def _tiles(longitude: float, latitude: float, z: int) -> set[TileId]:
    x, y = mercator(longitude, latitude)
    x, y = (x / WORLD + 0.5) * 2**z, (0.5 - y / WORLD) * 2**z
    down, across = (size / TILE / 2 for size in MAP_YX)
    return {
        TileId("model", z, column, row)
        for row in range(int(y - down), int(y + down) + 1)
        for column in range(int(x - across), int(x + across) + 1)
    }


def _places(view: View) -> Iterator[tuple[int, int]]:
    """Yield places far from each other, as long as there are any."""
    lattice = list(itertools.product(range(700, SIDE - 500, 830), range(700, SIDE - 500, 1230)))
    return iter(np.random.default_rng(0).permutation(lattice).tolist())


def _scene(folder: Path) -> xr.DataArray:
    with rasterio.open(SCENE) as file:
        values = file.read()
        profile = file.profile
    full = [
        values[:, y : y + 256, x : x + 256]
        for y in range(0, values.shape[1], 256)
        for x in range(0, values.shape[2], 256)
        if values[:, y : y + 256, x : x + 256].any(axis=0).all()
    ]
    row = np.concatenate(full[: SIDE // 256], axis=2)
    pixels = np.tile(row, (1, SIDE // 256, -(-SIDE // row.shape[2])))[:, :, :SIDE]
    profile.update(height=SIDE, width=SIDE, tiled=True, blockxsize=512, blockysize=512)
    with rasterio.open(folder / "scene.tif", "w", **profile) as file:
        file.write(pixels)
    return geodl_lab.open_raster(folder / "scene.tif", chunks={"x": 1024, "y": 1024})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["naip-landcover", "aerial-landcover"])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--busy", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
