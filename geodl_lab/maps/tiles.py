"""What travels between the map and its painter: tiles wanted, pictures told."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class TileId:
    """One tile of one view: ``view`` is its id, ``z``, ``x``, ``y`` are Leaflet's."""

    view: str
    z: int
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Screen:
    """The part of a map that a page shows.

    Parameters
    ----------
    zoom
        Leaflet's.
    left, top, right, bottom
        In points of the whole map at this zoom, from its north-west corner.
    """

    zoom: float
    left: float
    top: float
    right: float
    bottom: float

    def part_of(self, tile: TileId, side: int) -> tuple[slice, slice]:
        """Return rows and columns of a tile's points, ``side`` each way, that are on the screen."""
        scale = 2.0 ** (tile.z - self.zoom)

        def along(first: float, last: float, corner: int) -> slice:
            start = max(0, math.floor(first * scale) - corner * side)
            return slice(start, max(start, math.ceil(last * scale) - corner * side))

        return along(self.top, self.bottom, tile.y), along(self.left, self.right, tile.x)


class State(StrEnum):
    """What a picture of a tile is."""

    DONE = "done"
    PARTIAL = "partial"  # more follows
    SEEN = "seen"  # all that is on the screen; more follows when the map moves
    HINT = "hint"  # too far out for the model to run: finished blocks and the footprint
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Picture:
    """A painted tile.

    Parameters
    ----------
    tile
        Which one.
    state
        Whether it is final.
    png
        256 x 256 pixels RGBA; empty for nothing to paint.
    message
        A sentence for people where ``state`` is FAILED or HINT.
    """

    tile: TileId
    state: State
    png: bytes = b""
    message: str = ""


Tell = Callable[[Picture], None]
"""Called from a worker thread: PARTIAL pictures as blocks finish, SEEN when the screen has all
of it, then one that is final."""

Progress = Callable[[int, int], None]
"""Called from a worker thread with blocks waiting and blocks computed so far."""
