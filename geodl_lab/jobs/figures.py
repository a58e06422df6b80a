"""What there is to measure on a server."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Figures:
    """A server at one moment.

    Parameters
    ----------
    pending, running
        Jobs that wait, and that are under way.
    devices
        What computes; empty until the workers are there.
    ended
        Jobs that ended since the start, by kind of recipe and state.
    seconds
        How long those ran, in all, by kind of recipe.
    pixels
        What was computed since the start.
    """

    pending: int
    running: int
    devices: tuple[str, ...]
    ended: Mapping[tuple[str, str], int]
    seconds: Mapping[str, float]
    pixels: int


class Tally:
    """Counts what ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended: Counter[tuple[str, str]] = Counter()
        self._seconds: dict[str, float] = {}
        self._pixels = 0

    def note(self, kind: str, state: str, *, seconds: float, pixels: int) -> None:
        """Count one job."""
        with self._lock:
            self._ended[kind, str(state)] += 1
            self._seconds[kind] = self._seconds.get(kind, 0.0) + seconds
            self._pixels += pixels

    def figures(self, *, pending: int, running: int, devices: tuple[str, ...]) -> Figures:
        """Return what was counted, with what is now."""
        with self._lock:
            ended, seconds = dict(self._ended), dict(self._seconds)
            return Figures(pending, running, devices, ended, seconds, self._pixels)
