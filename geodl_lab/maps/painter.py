"""Tiles of views, painted in threads: what is in view first, what is out of it not at all."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np

from geodl_lab.maps.board import Board
from geodl_lab.maps.tiles import Picture, Progress, Screen, State, Tell, TileId
from geodl_lab.maps.views import View

__all__ = ["Painter", "Picture", "Progress", "Screen", "State", "Tell", "TileId"]


class Painter:
    """Paints tiles of views in threads of its own, which end when it is closed or dropped.

    No method waits for anything.

    Parameters
    ----------
    tell
        Called with each picture. A method is held weakly, so that its object can be dropped.
    on_progress
        Called with (blocks waiting, blocks computed so far) when either changes.
    keep_bytes
        Most bytes of computed blocks that are kept, over all views.
    """

    def __init__(
        self,
        tell: Tell,
        *,
        on_progress: Progress | None = None,
        keep_bytes: int = 512 * 2**20,
    ) -> None:
        board = Board(_weak(tell), None if on_progress is None else _weak(on_progress), keep_bytes)
        self._board = board
        self._end = weakref.finalize(self, board.close)

    @property
    def windows_run(self) -> int:
        """How many windows models were run on so far; what is kept is not run again."""
        return self._board.windows

    def show(self, key: str, view: View) -> None:
        """Add a view, or give it another style or other blocks.

        Tiles that wait are planned again; those told before are not told again. Blocks that the
        new view shares with the old one (``dataclasses.replace(view, style=...)``) are kept.
        """
        self._board.show(key, view)

    def hide(self, key: str) -> None:
        """Forget a view and all that waits for it."""
        self._board.hide(key)

    def want(self, tile: TileId) -> None:
        """Queue a tile; returns at once. A tile of no view is left alone.

        Of a view for which a model runs only the part on a screen is computed, if pages have said
        what they show; the rest of the tile follows when it comes onto one, until it is dropped.
        """
        self._board.want(tile)

    def drop(self, tile: TileId) -> None:
        """Let go of a tile that has left the screen; blocks that only it waits for are dropped."""
        self._board.drop(tile)

    def look_at(
        self,
        longitude: float,
        latitude: float,
        zoom: float,
        *,
        page: str = "",
        screen: Screen | None = None,
    ) -> None:
        """Say what a page shows.

        Parameters
        ----------
        longitude, latitude
            Of the middle: degrees, or x and y of a plane without a CRS.
        zoom
            Leaflet's.
        page
            Which page, where several show the same map.
        screen
            What it shows; None does not say, and tiles are computed whole.
        """
        self._board.look_at(longitude, latitude, page, screen)

    def leave(self, page: str) -> None:
        """Forget what a page showed."""
        self._board.leave(page)

    def values_at(self, longitude: float, latitude: float) -> dict[str, Future[np.ndarray | None]]:
        """Read the true pixel of every view at a place.

        Parameters
        ----------
        longitude, latitude
            Degrees, or x and y of a plane without a CRS.

        Returns
        -------
        dict
            For each view's id the stored values (channel,), to come: the one block that holds the
            pixel is computed where it is not known. None outside the raster.
        """
        return self._board.values_at(longitude, latitude)

    def rest(self) -> None:
        """End the threads until something is wanted again, and keep little, as nobody looks."""
        self._board.rest()

    def finished(self, key: str) -> list[np.ndarray]:
        """Return the values (channel, y, x) of a view's blocks that are computed and kept."""
        return self._board.finished(key)

    def close(self) -> None:
        """Stop the threads; what runs is cancelled before its next forward."""
        self._end()


def _weak(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a call that does not keep the object of a method alive."""
    if not inspect.ismethod(call):
        return call
    held = weakref.WeakMethod(call)

    def called(*arguments: Any) -> None:
        if (method := held()) is not None:
            method(*arguments)

    return called
