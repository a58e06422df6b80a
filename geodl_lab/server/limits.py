"""How much a key, or an address without one, may ask for: buckets that fill with time."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

MOST_OWNERS = 10_000
"""Buckets that are kept; the one that was not used for longest goes, and would be full again."""


class Buckets:
    """A token bucket for each owner.

    Parameters
    ----------
    rate
        What a bucket gains in a second.
    capacity
        What it holds when it is full; what ``rate`` gives in a second by default.
    clock
        Seconds that only go up.
    """

    def __init__(
        self,
        rate: float,
        capacity: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rate, self.capacity = rate, max(capacity or rate, 1.0)
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, owner: str, amount: float = 1.0) -> bool:
        """Take from an owner's bucket; False, and nothing is taken, if there is not enough."""
        now = self._clock()
        level, then = self._levels.pop(owner, (self.capacity, now))
        level = min(self.capacity, level + (now - then) * self.rate)
        enough = level >= amount
        self._levels[owner] = (level - amount if enough else level, now)
        if len(self._levels) > MOST_OWNERS:
            self._levels.popitem(last=False)
        return enough

    @property
    def words(self) -> str:
        """What to say when there is not enough."""
        return (
            f"More than {self.rate:g} requests a second came, for this key or address; send fewer."
        )
