"""What travels between the map and its painter: tiles wanted, pictures told."""

from __future__ import annotations

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


class State(StrEnum):
    """What a picture of a tile is."""

    DONE = "done"
    PARTIAL = "partial"  # more follows
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
"""Called from a worker thread: PARTIAL pictures as blocks finish, then one that is final."""

Progress = Callable[[int, int], None]
"""Called from a worker thread with blocks waiting and blocks computed so far."""
