"""A tile on its way to a picture: which pixels and blocks it needs, and what it is then."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from geodl_lab.errors import GeodlError, first_line
from geodl_lab.grid import Window
from geodl_lab.maps.frames import TILE, WORLD, Spots, mercator
from geodl_lab.maps.painting import add_footprint, encode, paint
from geodl_lab.maps.queue import Key
from geodl_lab.maps.tiles import Picture, Screen, State, TileId
from geodl_lab.maps.views import Blocks, View

LARGEST_STEP = 4.0
"""Raster pixels a screen point up to which a model runs: at 4, a map of 1200 x 800 points shows
15 megapixels, which a usual net computes in a minute or so."""

MOST_BLOCKS = 36
"""Blocks that a tile may need for a model to run: of tiny windows there would be hundreds."""

OVERVIEW_STEP = 8.0
"""Raster pixels a screen point from which an overview is looked at instead of the raster."""

Value = np.ndarray | None


@dataclass(eq=False)
class Job:
    """A tile on its way.

    Parameters
    ----------
    tile, view
        What is to be painted.
    away
        Tiles from the middle of the map.
    spots
        The pixel under each point; None before it is planned.
    factor
        Raster pixels a pixel of the blocks.
    keys, owners
        Blocks that the tile shows, and which of them each point looks into (256, 256), int; None
        where all of them are wanted wherever the screen is.
    missing, have
        Blocks that are waited for; values (channel, y, x) of those that are finished.
    final, message
        What it is to be if not DONE.
    painted
        When it was last painted, in seconds.
    told
        State and blocks of its last picture; None of one that has to be told again.
    """

    tile: TileId
    view: View
    away: float = 0.0
    spots: Spots | None = None
    factor: int = 1
    keys: tuple[Key, ...] = ()
    owners: np.ndarray | None = None
    missing: set[Key] = field(default_factory=set)
    have: dict[Window, np.ndarray] = field(default_factory=dict)
    final: State | None = None
    message: str = ""
    painted: float = 0.0
    told: tuple[State, frozenset[Window]] | None = None

    @property
    def state(self) -> State:
        """What a picture of it is now."""
        if self.final is not None:
            return self.final
        if self.missing:
            return State.PARTIAL
        return State.DONE if len(self.have) == len(self.keys) else State.SEEN

    def wanted(self, screens: Iterable[Screen]) -> set[Key]:
        """Return the blocks that hold a pixel on any screen; all where no page says its own."""
        parts = [screen.part_of(self.tile, TILE) for screen in screens]
        if self.owners is None or not parts:
            return set(self.keys)
        counts = [np.bincount(self.owners[part].ravel() + 1) for part in parts]
        shown = {int(i) for count in counts for i in np.flatnonzero(count[1:])}
        return {self.keys[i] for i in shown}

    def fail(self, error: Exception) -> None:
        """Give it up."""
        self.final, self.message = State.FAILED, sentence(self.view, error)


@dataclass(eq=False)
class Probe:
    """One pixel whose values somebody asked for."""

    key: Key
    pixel: Window
    answer: Future[Value]
    away = -1.0

    def tell(self, values: np.ndarray) -> None:
        """Answer with the pixel of a finished block."""
        inner = self.pixel.relative_to(self.key.block)
        if self.answer.set_running_or_notify_cancel():
            self.answer.set_result(values[:, inner.y, inner.x])

    def fail(self, error: Exception) -> None:
        """Answer with an error."""
        if self.answer.set_running_or_notify_cancel():
            self.answer.set_exception(error)


Waiter = Job | Probe


@dataclass(frozen=True, slots=True)
class Planned:
    """What a tile needs.

    Parameters
    ----------
    spots
        The pixel under each point.
    blocks, factor
        What to look them up in: the raster or an overview.
    area
        Pixels of ``blocks`` that are wanted.
    keys
        Blocks that hold them; None where a model would run on too many.
    owners
        Which of the blocks each point looks into, where a model runs for them; else None.
    """

    spots: Spots
    blocks: Blocks
    factor: int
    area: Window
    keys: tuple[Key, ...] | None
    owners: np.ndarray | None = None


def plan_tile(view: View, tile: TileId) -> Planned:
    """Find out what a tile needs."""
    spots = view.frame.spots(tile.z, tile.x, tile.y)
    blocks, factor = _level(view, spots.step)
    area = _divided(spots.area, factor)
    if not area:
        return Planned(spots, blocks, factor, area, ())
    if spots.step > (LARGEST_STEP if blocks.costly else view.farthest):
        return Planned(spots, blocks, factor, area, None)
    found = blocks.blocks(area)
    if not blocks.costly:
        keys = tuple(Key(blocks, block) for block in found)
        return Planned(spots, blocks, factor, area, keys)
    if len(found) > MOST_BLOCKS:
        return Planned(spots, blocks, factor, area, None)
    used, owners = looked_into(spots, found)
    keys = tuple(Key(blocks, block) for block in used)
    return Planned(spots, blocks, factor, area, keys, owners)


def looked_into(spots: Spots, blocks: Sequence[Window]) -> tuple[list[Window], np.ndarray]:
    """Return the blocks that points of a tile look into, and which of them each point does.

    Parameters
    ----------
    spots
        The pixel under each point.
    blocks
        All that may hold one: rows of blocks of the same height, columns of the same width.

    Returns
    -------
    tuple of list and numpy.ndarray
        The blocks, and an index into them (256, 256), int16; -1 outside the raster.
    """
    tops, lefts = sorted({one.y for one in blocks}), sorted({one.x for one in blocks})
    places = {(one.y, one.x): one for one in blocks}
    rows = np.searchsorted(tops, spots.rows, side="right") - 1
    columns = np.searchsorted(lefts, spots.columns, side="right") - 1
    flat = np.where(spots.inside, rows * len(lefts) + columns, -1)
    used = np.flatnonzero(np.bincount(flat.ravel() + 1, minlength=len(blocks) + 1)[1:])
    index = np.full(len(blocks) + 1, -1, np.int16)  # the last is of points outside
    index[used] = np.arange(len(used))
    found = [places[tops[i // len(lefts)], lefts[i % len(lefts)]] for i in used.tolist()]
    return found, index[flat]


def hint(view: View, area: Window, have: Iterable[Window]) -> tuple[State, str]:
    """Return HINT and what it says, or DONE where finished blocks cover an area."""
    parts = [block.intersect(area) for block in have]
    if sum(part.height * part.width for part in parts) == area.height * area.width:
        return State.DONE, ""
    what, much = ("run", "compute") if view.blocks.costly else ("see", "read")
    return State.HINT, f"Zoom in to {what} {view.name}: from here it would be too much to {much}."


def picture(job: Job, have: dict[Window, np.ndarray], state: State) -> Picture | None:
    """Paint what a planned tile has; None while that is nothing, or what was told before."""
    told, job.told = job.told, (state, frozenset(have))
    if job.spots is None or told == job.told or (state is State.PARTIAL and not have):
        return None
    colors, known = paint(job.spots, have, job.view.style, factor=job.factor)
    if state is State.HINT:
        colors = add_footprint(colors, known, job.spots.inside)
    return Picture(job.tile, state, encode(colors), job.message)


def sentence(view: View, error: Exception) -> str:
    """Say in one sentence why a view is not painted and what to do."""
    if isinstance(error, GeodlError):
        return str(error)
    return (
        f"{view.name} could not be computed here: {first_line(error)}; compute a part of it with "
        ".compute() to see where it fails"
    )


def tiles_away(tile: TileId, middle: tuple[float, float], *, plane: bool) -> float:
    """Return how far a tile is from a place (longitude, latitude), in tiles."""
    if plane:
        x, y = middle[0] * 2.0**tile.z / TILE, -middle[1] * 2.0**tile.z / TILE
    else:
        east, north = mercator(*middle)
        x, y = (east / WORLD + 0.5) * 2.0**tile.z, (0.5 - north / WORLD) * 2.0**tile.z
    return abs(tile.x + 0.5 - x) + abs(tile.y + 0.5 - y)


def pixels_away(block: Window, middle: tuple[float, float]) -> float:
    """Return how far the middle of a block is from a place (row, column), in pixels."""
    row, column = middle
    return float(np.hypot(block.y + block.height / 2 - row, block.x + block.width / 2 - column))


def answered(value: Value) -> Future[Value]:
    """Return an answer that is already there."""
    answer: Future[Value] = Future()
    answer.set_result(value)
    return answer


def _level(view: View, step: float) -> tuple[Blocks, int]:
    """Return the blocks to look at, and how many raster pixels one of their pixels stands for."""
    if step <= OVERVIEW_STEP:
        return view.blocks, 1
    fine = [one for one in view.overviews if one.factor <= step]
    return (fine[-1], fine[-1].factor) if fine else (view.blocks, 1)


def _divided(area: Window, factor: int) -> Window:
    """Return the pixels of an overview that hold an area."""
    y, x = area.y // factor, area.x // factor
    return Window(y, x, -(-area.bottom // factor) - y, -(-area.right // factor) - x)
