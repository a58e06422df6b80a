"""Blocks that somebody waits for, and those that are kept; not safe for threads by itself."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from geodl_lab.grid import Window
from geodl_lab.maps.views import Blocks


@dataclass(frozen=True, slots=True)
class Key:
    """One block of one raster."""

    blocks: Blocks
    block: Window


@dataclass
class BlockQueue:
    """Which blocks are waited for, by whom, and the values of finished ones.

    Parameters
    ----------
    keep_bytes
        Most bytes of finished blocks that are kept; the one used least lately goes first, and
        one that cost no model before one that did.
    computed
        Blocks finished so far.
    """

    keep_bytes: int
    computed: int = 0
    windows: int = 0
    _waiters: dict[Key, set[Any]] = field(default_factory=dict)
    _running: set[Key] = field(default_factory=set)
    _kept: OrderedDict[Key, np.ndarray] = field(default_factory=OrderedDict)
    _bytes: int = 0

    @property
    def waiting(self) -> int:
        """Number of blocks that somebody waits for, running ones included."""
        return len(self._waiters)

    def kept(self, key: Key) -> np.ndarray | None:
        """Return the values (channel, y, x) of a finished block, or None."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def kept_of(self, blocks: Blocks, area: Window) -> Iterator[tuple[Window, np.ndarray]]:
        """Yield the finished blocks of a raster that hold a pixel of an area."""
        for key, values in self._kept.items():
            if key.blocks is blocks and key.block.intersect(area):
                yield key.block, values

    def ask(self, waiter: Any, keys: Iterable[Key]) -> None:
        """Let somebody wait for blocks."""
        for key in keys:
            self._waiters.setdefault(key, set()).add(waiter)

    def let_go(self, waiter: Any, keys: Iterable[Key]) -> None:
        """Wait no longer; blocks that nobody else waits for are dropped."""
        for key in keys:
            waiters = self._waiters.get(key, set())
            waiters.discard(waiter)
            if not waiters:
                self._waiters.pop(key, None)

    def wanted(self, key: Key) -> bool:
        """Tell whether anybody waits for a block."""
        return key in self._waiters

    def take(
        self, *, costly: bool, order: Callable[[Key, set[Any]], Any], alone: bool = False
    ) -> Key | None:
        """Return the first block in order that waits and may run now; it counts as running.

        Parameters
        ----------
        costly
            Whether a model runs for it.
        order
            Called with a block and who waits for it; the least answer is first.
        alone
            True takes none beside one of the same kind that is still waited for.
        """
        running = [key for key in self._running if key.blocks.costly == costly]
        if alone and any(map(self.wanted, running)):
            return None
        busy = len(running)
        free = [
            (key, waiters)
            for key, waiters in self._waiters.items()
            if key not in self._running
            and key.blocks.costly == costly
            and busy < key.blocks.at_once
        ]
        if not free:
            return None
        key, _ = min(free, key=lambda one: order(*one))
        self._running.add(key)
        return key

    def finish(self, key: Key, values: np.ndarray) -> set[Any]:
        """Keep the values of a block; answers who waited for it."""
        self._running.discard(key)
        self.computed += 1
        self.windows += key.blocks.costly
        self._keep(key, values)
        return self._waiters.pop(key, set())

    def fail(self, key: Key) -> set[Any]:
        """Give a block up; answers who waited for it."""
        self._running.discard(key)
        return self._waiters.pop(key, set())

    def stop(self, key: Key) -> None:
        """Take note that a block was cancelled; it waits again if somebody came meanwhile."""
        self._running.discard(key)

    def forget(self, blocks: Blocks) -> None:
        """Let the finished blocks of a raster go."""
        for key in [key for key in self._kept if key.blocks is blocks]:
            self._bytes -= self._kept.pop(key).nbytes

    def clear(self) -> None:
        """Forget everything but what runs."""
        self._waiters.clear()
        self._kept.clear()
        self._bytes = 0

    def _keep(self, key: Key, values: np.ndarray) -> None:
        if key in self._kept:
            self._bytes -= self._kept.pop(key).nbytes
        self._kept[key] = values
        self._bytes += values.nbytes
        self.shrink(self.keep_bytes)

    def shrink(self, most: int) -> None:
        """Let finished blocks go until no more than some bytes are kept."""
        while self._bytes > most:
            cheap = (key for key in self._kept if not key.blocks.costly)
            oldest = next(cheap, next(iter(self._kept)))
            self._bytes -= self._kept.pop(oldest).nbytes
