"""Tiles of views, painted in threads: what is in view first, what is out of it not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from geodl_lab.maps.views import View


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


class Painter:
    """Paints tiles of views in threads of its own.

    Parameters
    ----------
    tell
        Called with each picture.
    on_progress
        Called with (blocks waiting, blocks computed so far) when either changes.
    keep_bytes
        Most bytes of computed blocks that are kept, over all views.
    """

    def __init__(
        self,
        tell: Tell,
        *,
        on_progress: Callable[[int, int], None] | None = None,
        keep_bytes: int = 512 * 2**20,
    ) -> None:
        raise NotImplementedError

    def show(self, key: str, view: View) -> None:
        """Add a view, or give it another style or other blocks."""
        raise NotImplementedError

    def hide(self, key: str) -> None:
        """Forget a view and all that waits for it."""
        raise NotImplementedError

    def want(self, tile: TileId) -> None:
        """Queue a tile; returns at once."""
        raise NotImplementedError

    def drop(self, tile: TileId) -> None:
        """Let go of a tile that has left the screen; blocks that only it waits for are dropped."""
        raise NotImplementedError

    def look_at(self, longitude: float, latitude: float, zoom: int) -> None:
        """Say where the middle of the map is (degrees, or x and y of a plane without a CRS)."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop the threads; what runs is cancelled before its next forward."""
        raise NotImplementedError
