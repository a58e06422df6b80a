"""What a painter works on: tiles on their way, the blocks they wait for, and its threads.

Life of a tile: `want` puts it among those to plan. The painting thread plans it (which pixels,
which blocks), paints what is finished and asks the queue for the rest that is on a screen; a tile
that a screen cuts off is looked at again when the map moves. Threads of two lanes, one for blocks
that a model runs for and one for all others, take the next block, compute it and mark the tiles
that waited for it, which the painting thread paints. One lock guards all of it; nothing
is computed, painted or told while it is held.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future

import numpy as np

from geodl_lab import settings
from geodl_lab.errors import CancelledError
from geodl_lab.grid import Window
from geodl_lab.maps.queue import BlockQueue, Key
from geodl_lab.maps.tile_jobs import (
    Job,
    Probe,
    Value,
    Waiter,
    answered,
    hint,
    picture,
    pixels_away,
    plan_tile,
    tiles_away,
)
from geodl_lab.maps.tiles import Picture, Progress, Screen, State, Tell, TileId
from geodl_lab.maps.views import Blocks, View

LOGGER = logging.getLogger("geodl_lab")

REST_BYTES = 16 * 2**20
"""Most bytes of blocks that are kept when no page shows the map: enough for a reload of one."""

PARTIAL_EVERY = 0.15
"""Seconds between two pictures of one tile that are not its last: painting takes time too."""


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
        self._middle: tuple[float, float] | None = None
        self._middles: dict[Blocks, tuple[float, float]] = {}
        self._screens: dict[str, Screen] = {}
        self._moved = False
        self._first = False  # nothing was computed since the map moved
        self._told = (0, 0)
        self._threads: list[threading.Thread] = []
        self._shift = 0  # threads of earlier ones end
        self._closed = False

    def show(self, key: str, view: View) -> None:
        """Add a view, or put another in its place."""
        with self._changed:
            before = self._views.get(key)
            self._views[key], self._moved = view, True
            for tile in [tile for tile in self._jobs if tile.view == key]:
                self._drop(tile)
                self._begin(tile, view)
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
            view, job = self._views.get(tile.view), self._jobs.get(tile)
            if view is None or self._closed:
                return
            if job is None:
                self._begin(tile, view)
            else:
                job.told, self._unplanned[tile] = None, None  # for who did not see its pictures
            self._start()
            self._changed.notify_all()

    def drop(self, tile: TileId) -> None:
        """Let go of a tile."""
        with self._changed:
            self._drop(tile)
            self._changed.notify_all()

    def look_at(self, longitude: float, latitude: float, page: str, screen: Screen | None) -> None:
        """Say where the middle of the map is, and what a page shows of it."""
        with self._changed:
            self._middle, self._moved, self._first = (longitude, latitude), True, True
            if screen is not None:
                self._screens[page] = screen
            self._look_again()
            self._changed.notify_all()

    def leave(self, page: str) -> None:
        """Forget what a page showed."""
        with self._changed:
            if self._screens.pop(page, None) is not None:
                self._look_again()
                self._changed.notify_all()

    def values_at(self, longitude: float, latitude: float) -> dict[str, Future[Value]]:
        """Return the stored values of every view's pixel at a place, to come."""
        with self._changed:
            views = list(self._views.items())
        probes = {key: _probe(view, longitude, latitude) for key, view in views}
        with self._changed:
            answers = {key: self._ask(probe) for key, probe in probes.items()}
            self._start()
            self._changed.notify_all()
        return answers

    @property
    def windows(self) -> int:
        """Number of blocks that a model was run for."""
        return self._queue.windows

    def rest(self) -> None:
        """End the threads until a tile is wanted, and keep little, as nobody looks."""
        with self._changed:
            if self._jobs or self._queue.waiting:
                return
            self._shift += 1
            self._threads = []
            self._queue.shrink(REST_BYTES)
            self._changed.notify_all()

    def finished(self, key: str) -> list[np.ndarray]:
        """Return the values of a view's finished blocks."""
        with self._changed:
            view = self._views.get(key)
            if view is None:
                return []
            whole = Window(0, 0, *view.blocks.shape_yx)
            return [values for _, values in self._queue.kept_of(view.blocks, whole)]

    def close(self) -> None:
        """Let the threads end."""
        with self._changed:
            self._closed = True
            self._jobs.clear()
            self._queue.clear()
            self._changed.notify_all()

    # ---- threads that compute blocks

    def _start(self) -> None:
        if self._threads or self._closed:
            return
        loops: list[Callable[[int], None]] = [self._paint_loop, self._cheap_loop, self._cheap_loop]
        loops += [self._costly_loop] * max(2, settings.cores())
        for index, loop in enumerate(loops):
            thread = threading.Thread(
                target=loop, args=(self._shift,), name=f"geodl-map-{index}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _cheap_loop(self, shift: int) -> None:
        while (key := self._next_block(shift, costly=False)) is not None:
            self._run(key)

    def _costly_loop(self, shift: int) -> None:
        while (key := self._next_block(shift, costly=True)) is not None:
            self._run(key)

    def _over(self, shift: int) -> bool:
        return self._closed or shift != self._shift

    def _next_block(self, shift: int, *, costly: bool) -> Key | None:
        """Wait for a block to compute; None when it is time to end."""
        with self._changed:
            while not self._over(shift):
                # Two forwards at once slow each other: the first picture comes first.
                alone = costly and self._first
                key = self._queue.take(costly=costly, order=self._order, alone=alone)
                if key is not None:
                    return key
                self._changed.wait()
        return None

    def _run(self, key: Key) -> None:
        try:
            values = key.blocks.compute(key.block, lambda: not self._wanted(key))
        except CancelledError:
            with self._changed:
                self._queue.stop(key)
                self._changed.notify_all()
        except Exception as error:  # a model or a reader is anybody's code
            LOGGER.debug("block %s failed", key.block, exc_info=True)
            with self._changed:
                waiters = self._queue.fail(key)
                for job in _jobs(waiters):
                    job.fail(error)
                    self._queue.let_go(job, job.missing)
                self._first = False
                self._mark(waiters)
            for probe in _probes(waiters):
                probe.fail(error)
        else:
            with self._changed:
                waiters = self._queue.finish(key, values)
                for job in _jobs(waiters):
                    job.missing.discard(key)
                    job.have[key.block] = values
                self._first = self._first and not (key.blocks.costly and waiters)
                self._mark(waiters)
            for probe in _probes(waiters):
                probe.tell(values)

    def _wanted(self, key: Key) -> bool:
        with self._changed:
            return self._queue.wanted(key) and not self._closed

    # ---- the thread that plans and paints

    def _paint_loop(self, shift: int) -> None:
        while True:
            with self._changed:
                while not (self._over(shift) or self._moved or self._told != self._progress()):
                    job, wait = self._next_job()
                    if job is not None:
                        break
                    self._changed.wait(wait)
                else:
                    job = None
                if self._over(shift):
                    return
                moved, self._moved = self._moved, False
            if moved:
                self._find_middles()
            self._say_progress()
            if job is not None:
                self._work(job)

    def _next_job(self) -> tuple[Job | None, float | None]:
        """Return the tile to plan or paint next, or how long to wait for it.

        The nearest that is to be planned or painted for good; then those that are not finished.
        """
        dirty = [self._jobs[tile] for tile in self._dirty]
        ready = [job for job in dirty if job.final or not job.missing]
        ready += [self._jobs[tile] for tile in self._unplanned]
        job = min(ready or dirty, key=lambda job: job.away if ready else job.painted, default=None)
        if job is None:
            return None, None
        early = job.painted + PARTIAL_EVERY - time.monotonic()
        if not ready and early > 0:
            return None, early
        self._dirty.pop(job.tile, None)
        self._unplanned.pop(job.tile, None)
        return job, None

    def _work(self, job: Job) -> None:
        try:
            if job.spots is None:
                self._plan(job)
            with self._changed:
                self._seek(job)
                have, state = dict(job.have), job.state
                if state is State.SEEN:
                    job.have.clear()  # it may be long until it is looked at again
            told = picture(job, have, state)
        except Exception as error:  # whatever a style or a raster does, the next tile is painted
            LOGGER.debug("tile %s failed", job.tile, exc_info=True)
            job.fail(error)
            told = Picture(job.tile, State.FAILED, b"", job.message)
        if told is not None:
            job.painted = time.monotonic()
            self._say(job, told)

    def _plan(self, job: Job) -> None:
        planned = plan_tile(job.view, job.tile)
        with self._changed:
            job.spots, job.factor = planned.spots, planned.factor
            if planned.keys is None:
                job.have = dict(self._queue.kept_of(planned.blocks, planned.area))
                job.final, job.message = hint(job.view, planned.area, job.have)
            else:
                job.keys, job.owners = planned.keys, planned.owners

    def _say(self, job: Job, told: Picture) -> None:
        with self._changed:
            if self._jobs.get(job.tile) is not job or self._closed:
                return
            if told.state not in {State.PARTIAL, State.SEEN}:
                self._drop(job.tile)
        try:
            self._tell(told)
        except Exception:  # the page may be gone
            LOGGER.debug("a picture could not be told", exc_info=True)

    def _find_middles(self) -> None:
        """Find the middle of the map in the pixels of every view and its overviews."""
        with self._changed:
            views, middle = list(self._views.values()), self._middle
        found: dict[Blocks, tuple[float, float]] = {}
        for view in views if middle is not None else ():
            row, column = view.frame.pixel_at(*middle) or (0.0, 0.0)  # type: ignore[misc]
            found[view.blocks] = row, column
            found |= {one: (row / one.factor, column / one.factor) for one in view.overviews}
        with self._changed:
            self._middles = found
            for job in self._jobs.values():
                job.away = self._away(job.tile, job.view)
            self._changed.notify_all()

    def _say_progress(self) -> None:
        with self._changed:
            now = self._progress()
            changed, self._told = now != self._told, now
        if changed and self._on_progress is not None:
            try:
                self._on_progress(*now)
            except Exception:  # the page may be gone
                LOGGER.debug("progress could not be told", exc_info=True)

    # ---- with the lock held

    def _progress(self) -> tuple[int, int]:
        return self._queue.waiting, self._queue.computed

    def _order(self, key: Key, waiters: Iterable[Waiter]) -> tuple[float, float]:
        """Return what is computed first: the least of (nearest tile that waits, distance)."""
        middle = self._middles.get(key.blocks)
        distance = 0.0 if middle is None else pixels_away(key.block, middle)
        return min(waiter.away for waiter in waiters), distance

    def _away(self, tile: TileId, view: View) -> float:
        if self._middle is None:
            return 0.0
        return tiles_away(tile, self._middle, plane=view.crs is None)

    def _begin(self, tile: TileId, view: View) -> None:
        self._jobs[tile] = Job(tile, view, self._away(tile, view))
        self._unplanned[tile] = None

    def _seek(self, job: Job) -> None:
        """Take blocks that are finished, and wait for those that are not and are on a screen."""
        if job.final is not None or self._jobs.get(job.tile) is not job:
            return
        wanted = job.wanted(self._screens.values())
        self._queue.let_go(job, job.missing - wanted)
        for key in job.keys:
            if key.block not in job.have and (values := self._queue.kept(key)) is not None:
                job.have[key.block] = values
        job.missing = {key for key in wanted if key.block not in job.have}
        self._queue.ask(job, job.missing)
        if job.missing:
            self._changed.notify_all()

    def _look_again(self) -> None:
        """Have tiles planned again of which the screen may show another part."""
        self._unplanned |= {tile: None for tile, job in self._jobs.items() if job.keys}

    def _mark(self, waiters: Iterable[Waiter]) -> None:
        for job in _jobs(waiters):
            if self._jobs.get(job.tile) is job:
                self._dirty[job.tile] = None
        self._changed.notify_all()

    def _drop(self, tile: TileId) -> None:
        job = self._jobs.pop(tile, None)
        self._unplanned.pop(tile, None)
        self._dirty.pop(tile, None)
        if job is not None:
            self._queue.let_go(job, job.missing)

    def _ask(self, probe: Probe | None) -> Future[Value]:
        if probe is None or self._closed:
            return answered(None)
        values = self._queue.kept(probe.key)
        if values is None:
            self._queue.ask(probe, [probe.key])
        else:
            probe.tell(values)
        return probe.answer

    def _forget(self, before: View | None) -> None:
        """Let the blocks of a view go that no view shows any more."""
        if before is None:
            return
        shown = {blocks for view in self._views.values() for blocks in _all_blocks(view)}
        for blocks in _all_blocks(before):
            if blocks not in shown:
                self._queue.forget(blocks)


def _probe(view: View, longitude: float, latitude: float) -> Probe | None:
    """Return the question for a view's pixel at a place; None outside the raster."""
    at = view.frame.pixel_at(longitude, latitude)
    height, width = view.blocks.shape_yx
    if at is None or not (0 <= at[0] < height and 0 <= at[1] < width):
        return None
    pixel = Window(int(at[0]), int(at[1]), 1, 1)
    (block,) = view.blocks.blocks(pixel)
    return Probe(Key(view.blocks, block), pixel, Future())


def _all_blocks(view: View) -> list[Blocks]:
    return [view.blocks, *view.overviews]


def _jobs(waiters: Iterable[Waiter]) -> list[Job]:
    return [waiter for waiter in waiters if isinstance(waiter, Job)]


def _probes(waiters: Iterable[Waiter]) -> list[Probe]:
    return [waiter for waiter in waiters if isinstance(waiter, Probe)]
