"""Tiles on their way: which pages wait for which, and the pictures that the painter tells of.

A tile may be on several pages, or asked for by a picture that is being saved. The painter lets
go of it when nobody waits for it any more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from geodl_lab.errors import CancelledError
from geodl_lab.maps.painter import Painter
from geodl_lab.maps.places import Place
from geodl_lab.maps.tiles import Picture, Progress, State, TileId
from geodl_lab.maps.views import View

PROGRESS_S = 0.1
"""Least time between two messages of progress."""

Tell = Callable[..., None]
"""Sends a message to all pages: its kind, its buffers, its content by name."""


class Feed:
    """Passes tiles between pages and a painter; any thread may call it.

    Parameters
    ----------
    tell
        Sends a message to all pages.
    counted
        Called from a thread of the painter with blocks waiting and blocks computed so far.
    """

    def __init__(self, tell: Tell, counted: Progress | None = None) -> None:
        self._tell, self._counted = tell, counted
        self._lock = threading.Condition()
        self._pages: set[str] = set()
        self._waiting: dict[TileId, set[str]] = {}
        self._kept: dict[TileId, Picture | None] = {}  # for who waits in `pictures`
        self._painted: set[str] = set()  # views of which a page got a picture
        self._before = self._computed = self._told = 0.0
        self.painter = Painter(self._picture, on_progress=self._progress)

    def show(self, key: str, view: View) -> None:
        """Add a view, or give it another style."""
        self.painter.show(key, view)

    def hide(self, key: str) -> None:
        """Forget a view and who waits for its tiles."""
        with self._lock:
            for tile in [tile for tile in self._waiting if tile.view == key]:
                del self._waiting[tile]
            self._painted.discard(key)
        self.painter.hide(key)

    def see(self, token: str, place: Place) -> None:
        """Take note of what a page shows."""
        with self._lock:
            self._pages.add(token)
        self.painter.look_at(*place.middle, place.zoom, page=token, screen=place.screen)

    def want(self, token: str, tiles: Iterable[TileId]) -> None:
        """Queue tiles for a page."""
        for tile in tiles:
            with self._lock:
                self._waiting.setdefault(tile, set()).add(token)
            self.painter.want(tile)

    def drop(self, token: str, tiles: Iterable[TileId]) -> None:
        """Let go of tiles that a page does not show any more."""
        for tile in tiles:
            with self._lock:
                pages = self._waiting.get(tile, set())
                pages.discard(token)
                gone = tile in self._waiting and not pages
                if gone:
                    del self._waiting[tile]
                    self._lock.notify_all()
            if gone:
                self.painter.drop(tile)

    def leave(self, token: str) -> None:
        """Let go of all that a page waits for, and of what it shows; rest after the last."""
        self.painter.leave(token)
        with self._lock:
            held = [tile for tile, pages in self._waiting.items() if token in pages]
            self._pages.discard(token)
            empty = not self._pages
        self.drop(token, held)
        if empty:
            self.painter.rest()

    def pictures(
        self, place: Place, tiles: Iterable[TileId], *, limit_s: float
    ) -> dict[TileId, Picture]:
        """Return pictures of tiles, as a page that shows a place would get them.

        Raises
        ------
        CancelledError
            If they are not there in ``limit_s`` seconds.
        """
        tiles, deadline = list(tiles), time.monotonic() + limit_s
        token = f"pictures-{threading.get_ident()}"
        with self._lock:
            self._kept |= dict.fromkeys(tiles)
        self.see(token, place)
        self.want(token, tiles)
        with self._lock:
            while any(self._kept.get(tile) is None for tile in tiles):
                if not self._lock.wait(deadline - time.monotonic()):
                    break
            found = {tile: self._kept.pop(tile, None) for tile in tiles}
        self.leave(token)
        done = {tile: picture for tile, picture in found.items() if picture is not None}
        if len(done) < len(found):
            raise CancelledError(
                f"the map was not painted in {limit_s:.0f} s; wait until it is whole, or zoom in"
            )
        return done

    def wait_painted(self, key: str, *, limit_s: float) -> bool:
        """Wait until pages have got all tiles of a view; False where they do not in that time."""
        with self._lock:
            return self._lock.wait_for(lambda: self._is_painted(key), limit_s)

    def _is_painted(self, key: str) -> bool:
        return key in self._painted and all(tile.view != key for tile in self._waiting)

    def close(self) -> None:
        """Stop the painter."""
        self.painter.close()

    def _picture(self, picture: Picture) -> None:
        """Send a picture; called by the painter's threads."""
        tile = picture.tile
        if picture.state is not State.PARTIAL:
            with self._lock:
                if picture.state is not State.SEEN:
                    self._waiting.pop(tile, None)
                if tile in self._kept:
                    self._kept[tile] = picture
        self._tell("tile", [picture.png], **_about(picture))
        with self._lock:
            self._painted.add(tile.view)
            self._lock.notify_all()

    def _progress(self, waiting: int, computed: int) -> None:
        """Say how far this round is; a round begins when something waits again."""
        if self._counted is not None:
            self._counted(waiting, computed)
        if not waiting and computed == self._computed:
            self._before = computed
        now, self._computed = time.monotonic(), computed
        if waiting and now - self._told < PROGRESS_S:
            return
        self._told = now
        done = int(computed - self._before)
        self._tell("status", source="tiles", done=done, total=done + waiting)
        if not waiting:
            self._before = computed


def _about(picture: Picture) -> dict[str, Any]:
    tile = picture.tile
    place = {"layer": tile.view, "z": tile.z, "x": tile.x, "y": tile.y}
    return {**place, "state": picture.state.value, "message": picture.message}
