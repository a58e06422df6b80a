"""What a painter works on: tiles on their way, the blocks they wait for, and its threads.

Life of a tile: `want` puts it among those to plan. The painting thread plans it (which pixels,
which blocks), paints what is finished and asks the queue for the rest. Threads of the two lanes,
one for blocks that a model runs for and one for all others, take the nearest block, compute it
and mark the tiles that waited for it, which the painting thread paints. A lock guards all of it;
nothing is computed, painted or told while it is held.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from geodl_lab import settings
from geodl_lab.errors import CancelledError, GeodlError, first_line
from geodl_lab.grid import Window
from geodl_lab.maps.blocks import Overview
from geodl_lab.maps.frames import TILE, WORLD, Spots, mercator
from geodl_lab.maps.painting import add_footprint, encode, paint
from geodl_lab.maps.queue import BlockQueue, Key
from geodl_lab.maps.tiles import Picture, Progress, State, Tell, TileId
from geodl_lab.maps.views import Blocks, View

LOGGER = logging.getLogger("geodl_lab")

LARGEST_STEP = 4.0
"""Raster pixels a screen point up to which a model runs: at 4, a map of 1200 x 800 points shows
15 megapixels, some ten windows of a usual net."""

MOST_BLOCKS = 36
"""Blocks that a tile may need for a model to run: of tiny windows there would be hundreds."""

OVERVIEW_STEP = 8.0
"""Raster pixels a screen point from which an overview is looked at instead of the raster."""

Value = np.ndarray | None


@dataclass(eq=False)
class Job:
    """A tile on its way: which blocks it needs, and the values of those that are finished."""

    tile: TileId
    view: View
    spots: Spots | None = None
    factor: int = 1
    missing: set[Key] = field(default_factory=set)
    have: dict[Window, np.ndarray] = field(default_factory=dict)
    message: str = ""
    final: State | None = None


@dataclass(eq=False)
class Probe:
    """One pixel whose values somebody asked for."""

    key: Key
    pixel: Window
    answer: Future[Value]


class Board:
    """The state of a painter and the work of its threads.

    Parameters
    ----------
    tell, on_progress, keep_bytes
        As of `Painter`.
    """

    def __init__(self, tell: Tell, on_progress: Progress | None, keep_bytes: int) -> None:
        self._tell, self._on_progress = tell, on_progress
        self._changed = threading.Condition()
        self._queue = BlockQueue(keep_bytes)
        self._views: dict[str, View] = {}
        self._jobs: dict[TileId, Job] = {}
        self._unplanned: dict[TileId, None] = {}
        self._dirty: dict[TileId, None] = {}
        self._middle: tuple[float, float, int] | None = None
        self._middles: dict[Blocks, tuple[float, float]] = {}
        self._moved = False
        self._told = (0, 0)
        self._threads: list[threading.Thread] = []
        self._closed = False

    def show(self, key: str, view: View) -> None:
        """Add a view, or put another in its place."""
        with self._changed:
            before = self._views.get(key)
            self._views[key] = view
            self._moved = True
            for job in [job for job in self._jobs.values() if job.tile.view == key]:
                self._release(job)
                self._jobs[job.tile] = Job(job.tile, view)
                self._unplanned[job.tile] = None
            self._forget(before)
            self._changed.notify_all()

    def hide(self, key: str) -> None:
        """Forget a view."""
        with self._changed:
            before = self._views.pop(key, None)
            for tile in [tile for tile in self._jobs if tile.view == key]:
                self._drop(tile)
            self._forget(before)
            self._changed.notify_all()

    def want(self, tile: TileId) -> None:
        """Queue a tile."""
        with self._changed:
            view = self._views.get(tile.view)
            if view is None or tile in self._jobs or self._closed:
                return
            self._jobs[tile] = Job(tile, view)
            self._unplanned[tile] = None
            self._start()
            self._changed.notify_all()

    def drop(self, tile: TileId) -> None:
        """Let go of a tile."""
        with self._changed:
            self._drop(tile)
            self._changed.notify_all()

    def look_at(self, longitude: float, latitude: float, zoom: int) -> None:
        """Say where the middle of the map is."""
        with self._changed:
            self._middle, self._moved = (longitude, latitude, zoom), True
            self._changed.notify_all()

    def values_at(self, longitude: float, latitude: float) -> dict[str, Future[Value]]:
        """Return the stored values of every view's pixel at a place, to come."""
        answers: dict[str, Future[Value]] = {}
        with self._changed:
            for key, view in self._views.items():
                answers[key] = self._probe(view, longitude, latitude)
            self._start()
            self._changed.notify_all()
        return answers

    @property
    def windows(self) -> int:
        """Number of blocks that a model was run for."""
        return self._queue.windows

    def close(self) -> None:
        """Let the threads end."""
        with self._changed:
            self._closed = True
            self._jobs.clear()
            self._queue.clear()
            self._changed.notify_all()

    # ---- threads

    def _start(self) -> None:
        if self._threads:
            return
        loops: list[Callable[[], None]] = [self._paint_loop, self._cheap_loop, self._cheap_loop]
        loops += [self._costly_loop] * max(2, settings.cores())
        for index, loop in enumerate(loops):
            thread = threading.Thread(target=loop, name=f"geodl-map-{index}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _cheap_loop(self) -> None:
        self._block_loop(costly=False)

    def _costly_loop(self) -> None:
        self._block_loop(costly=True)

    def _block_loop(self, *, costly: bool) -> None:
        while True:
            with self._changed:
                key = self._queue.take(costly=costly, distance=self._distance)
                while key is None and not self._closed:
                    self._changed.wait()
                    key = self._queue.take(costly=costly, distance=self._distance)
                if key is None or self._closed:
                    return
            self._run(key)

    def _run(self, key: Key) -> None:
        try:
            values = key.blocks.compute(key.block, lambda: not self._wanted(key))
        except CancelledError:
            with self._changed:
                self._queue.stop(key)
                self._changed.notify_all()
        except Exception as error:  # a model or a reader is anybody's code
            LOGGER.debug("block %s failed", key.block, exc_info=True)
            self._failed(key, error)
        else:
            self._finished(key, values)

    def _wanted(self, key: Key) -> bool:
        with self._changed:
            return self._queue.wanted(key) and not self._closed

    def _finished(self, key: Key, values: np.ndarray) -> None:
        answers = []
        with self._changed:
            for waiter in self._queue.finish(key, values):
                if isinstance(waiter, Probe):
                    answers.append(waiter)
                elif isinstance(waiter, Job):
                    waiter.missing.discard(key)
                    waiter.have[key.block] = values
                    self._dirty[waiter.tile] = None
            self._changed.notify_all()
        for probe in answers:
            _answer(probe, values)

    def _failed(self, key: Key, error: Exception) -> None:
        probes = []
        with self._changed:
            for waiter in self._queue.fail(key):
                if isinstance(waiter, Probe):
                    probes.append(waiter)
                elif isinstance(waiter, Job):
                    waiter.message, waiter.final = _sentence(waiter.view, error), State.FAILED
                    self._queue.let_go(waiter, waiter.missing)
                    self._dirty[waiter.tile] = None
            self._changed.notify_all()
        for probe in probes:
            if probe.answer.set_running_or_notify_cancel():
                probe.answer.set_exception(error)

    def _paint_loop(self) -> None:
        while True:
            with self._changed:
                while not (self._closed or self._moved or self._unplanned or self._dirty):
                    if self._progress() != self._told:
                        break
                    self._changed.wait()
                if self._closed:
                    return
                moved, self._moved = self._moved, False
                job = None if moved else self._next_job()
            try:
                self._paint_step(job, moved=moved)
            except (
                Exception
            ) as error:  # whatever a style or a raster does, the next tile is painted
                LOGGER.warning("a tile of the map could not be painted", exc_info=True)
                if job is not None:
                    self._say(job, State.FAILED, b"", _sentence(job.view, error))

    def _paint_step(self, job: Job | None, *, moved: bool) -> None:
        if moved:
            self._find_middles()
        elif job is not None:
            if job.spots is None:
                self._plan(job)
            self._paint(job)
        with self._changed:
            now = self._progress()
            changed, self._told = now != self._told, now
        if changed and self._on_progress is not None:
            self._on_progress(*now)

    def _progress(self) -> tuple[int, int]:
        return self._queue.waiting, self._queue.computed

    # ---- planning and painting, on the painting thread

    def _next_job(self) -> Job | None:
        """Return the tile to plan or paint next: to plan before final before partial."""
        if self._unplanned:
            tile = min(self._unplanned, key=self._away)
            del self._unplanned[tile]
            self._dirty.pop(tile, None)
            return self._jobs.get(tile)
        if not self._dirty:
            return None
        done = (t for t in self._dirty if t in self._jobs and not self._jobs[t].missing)
        tile = next(done, next(iter(self._dirty)))
        del self._dirty[tile]
        return self._jobs.get(tile)

    def _find_middles(self) -> None:
        with self._changed:
            views, middle = list(self._views.values()), self._middle
        found: dict[Blocks, tuple[float, float]] = {}
        for view in views:
            at = None if middle is None else view.frame.pixel_at(middle[0], middle[1])
            if at is not None:
                found[view.blocks] = at
                found |= {o: (at[0] / o.factor, at[1] / o.factor) for o in view.overviews}
        with self._changed:
            self._middles = found

    def _plan(self, job: Job) -> None:
        tile, view = job.tile, job.view
        spots = view.frame.spots(tile.z, tile.x, tile.y)
        blocks, job.factor = _level(view, spots.step)
        area = _divided(spots.area, job.factor)
        costly, far = view.blocks.costly, spots.step > LARGEST_STEP
        keys = [] if costly and far else [Key(blocks, block) for block in blocks.blocks(area)]
        far |= len(keys) > MOST_BLOCKS
        with self._changed:
            job.spots = spots
            if costly and far:
                job.have = dict(self._queue.kept_of(blocks, area))
                job.final, job.message = _hint(view, job.have, area)
                return
            for key in keys:
                values = self._queue.kept(key)
                if values is None:
                    job.missing.add(key)
                else:
                    job.have[key.block] = values
            if self._jobs.get(tile) is job:
                self._queue.ask(job, job.missing)
                self._changed.notify_all()

    def _paint(self, job: Job) -> None:
        with self._changed:
            if self._jobs.get(job.tile) is not job or job.spots is None:
                return
            have, missing = dict(job.have), bool(job.missing)
        state = job.final or (State.PARTIAL if missing else State.DONE)
        if state is State.PARTIAL and not have:
            return
        colors, known = paint(job.spots, have, job.view.style, factor=job.factor)
        if state is State.HINT:
            colors = add_footprint(colors, known, job.spots.inside)
        self._say(job, state, encode(colors), job.message)

    def _say(self, job: Job, state: State, png: bytes, message: str) -> None:
        with self._changed:
            if self._jobs.get(job.tile) is not job or self._closed:
                return
            if state is not State.PARTIAL:
                self._drop(job.tile)
        try:
            self._tell(Picture(job.tile, state, png, message))
        except Exception:  # the page may be gone
            LOGGER.debug("a picture could not be told", exc_info=True)

    # ---- with the lock held

    def _away(self, tile: TileId) -> float:
        """Return how far a tile is from the middle of the map, in tiles."""
        view = self._views.get(tile.view)
        if self._middle is None or view is None:
            return 0.0
        x, y = _tile_at(self._middle[0], self._middle[1], tile.z, plane=view.crs is None)
        return abs(tile.x + 0.5 - x) + abs(tile.y + 0.5 - y)

    def _distance(self, key: Key) -> tuple[float, float]:
        """Return how far a block and its middle are from the middle of the map, in pixels."""
        row, column = self._middles.get(key.blocks, (0.0, 0.0))
        block = key.block
        if key.blocks not in self._middles:
            return 0.0, 0.0
        down = max(block.y - row, 0.0, row - block.bottom)
        across = max(block.x - column, 0.0, column - block.right)
        middle = block.y + block.height / 2 - row, block.x + block.width / 2 - column
        return float(np.hypot(down, across)), float(np.hypot(*middle))

    def _probe(self, view: View, longitude: float, latitude: float) -> Future[Value]:
        answer: Future[Value] = Future()
        at = view.frame.pixel_at(longitude, latitude)
        height, width = view.blocks.shape_yx
        if self._closed or at is None or not (0 <= at[0] < height and 0 <= at[1] < width):
            answer.set_result(None)
            return answer
        pixel = Window(int(at[0]), int(at[1]), 1, 1)
        probe = Probe(Key(view.blocks, view.blocks.blocks(pixel)[0]), pixel, answer)
        values = self._queue.kept(probe.key)
        if values is None:
            self._queue.ask(probe, [probe.key])
        else:
            _answer(probe, values)
        return answer

    def _drop(self, tile: TileId) -> None:
        job = self._jobs.pop(tile, None)
        self._unplanned.pop(tile, None)
        self._dirty.pop(tile, None)
        if job is not None:
            self._release(job)

    def _release(self, job: Job) -> None:
        self._queue.let_go(job, job.missing)

    def _forget(self, before: View | None) -> None:
        """Let the blocks of a view go that no view shows any more."""
        if before is None:
            return
        shown = {blocks for view in self._views.values() for blocks in _all_blocks(view)}
        for blocks in set(_all_blocks(before)) - shown:
            self._queue.forget(blocks)


def _all_blocks(view: View) -> list[Blocks]:
    return [view.blocks, *view.overviews]


def _level(view: View, step: float) -> tuple[Blocks, int]:
    """Return the blocks to look at, and how many raster pixels one of their pixels stands for."""
    if step <= OVERVIEW_STEP:
        return view.blocks, 1
    fine: list[Overview] = [one for one in view.overviews if one.factor <= step]
    return (fine[-1], fine[-1].factor) if fine else (view.blocks, 1)


def _divided(area: Window, factor: int) -> Window:
    """Return the pixels of an overview that hold an area."""
    y, x = area.y // factor, area.x // factor
    return Window(y, x, -(-area.bottom // factor) - y, -(-area.right // factor) - x)


def _hint(view: View, have: dict[Window, np.ndarray], area: Window) -> tuple[State, str]:
    """Return HINT and what it says, or DONE where all blocks of an area are finished."""
    covered = sum(block.intersect(area).height * block.intersect(area).width for block in have)
    if covered == area.height * area.width:
        return State.DONE, ""
    return State.HINT, f"Zoom in to run {view.name}: from here it would be too much to compute."


def _tile_at(longitude: float, latitude: float, z: int, *, plane: bool) -> tuple[float, float]:
    """Return the place of a point in tiles."""
    if plane:
        return longitude * 2.0**z / TILE, -latitude * 2.0**z / TILE
    x, y = mercator(longitude, latitude)
    return (x / WORLD + 0.5) * 2.0**z, (0.5 - y / WORLD) * 2.0**z


def _answer(probe: Probe, values: np.ndarray) -> None:
    inner = probe.pixel.relative_to(probe.key.block)
    if probe.answer.set_running_or_notify_cancel():
        probe.answer.set_result(values[:, inner.y, inner.x])


def _sentence(view: View, error: Exception) -> str:
    """Say in one sentence why a view is not painted and what to do."""
    if isinstance(error, GeodlError):
        return str(error)
    return (
        f"{view.name} could not be computed here: {first_line(error)}; compute a part of it with "
        ".compute() to see where it fails"
    )
