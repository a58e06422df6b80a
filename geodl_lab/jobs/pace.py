"""How much of a job goes into one step: about a second's worth, as far as is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from geodl_lab.jobs.works import Part

STEP_SECONDS = 1.0
"""How long a step should take; something urgent waits that long at most."""


@dataclass
class Pace:
    """How far a job is, and how quick.

    Parameters
    ----------
    total, done
        Forwards of the whole job, and of its finished parts.
    least
        Forwards of a step at least, as many as go side by side.
    seconds
        How long a step should take.
    """

    total: int
    done: int
    least: int = 1
    seconds: float = STEP_SECONDS
    windows_per_second: float = 0.0

    @property
    def share(self) -> float:
        """How much is done, 0..1."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def windows(self) -> float:
        """How many forwards one step should cost; the least as long as nothing is known."""
        return max(float(self.least), self.windows_per_second * self.seconds)

    def note(self, windows: int, seconds: float) -> None:
        """Learn from a step; later steps count more, the first one is slow."""
        now = windows / max(seconds, 1e-3)
        before = self.windows_per_second
        self.windows_per_second = (before + now) / 2 if before else now
        self.done += windows


def batches(parts: Sequence[Part], pace: Pace) -> Iterator[tuple[Part, ...]]:
    """Cut parts into steps, each as large as the pace allows when it is asked for."""
    first = 0
    while first < len(parts):
        end, windows = first + 1, parts[first].windows
        while end < len(parts) and windows + parts[end].windows <= pace.windows:
            windows += parts[end].windows
            end += 1
        yield tuple(parts[first:end])
        first = end
