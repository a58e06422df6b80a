"""What the runner counts: steps, pixels and how long jobs take, since the server started."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from geodl_lab.jobs.job import State
from geodl_lab.jobs.works import Done

SECONDS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000)
"""Upper ends of the classes of a job's duration."""


class Meters:
    """Counters in a registry of their own, by kind of job; nothing in them names a user."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._seconds = Histogram(
            "geodl_job_seconds",
            "Seconds from start to end of jobs.",
            ("kind", "state"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._pixels = Counter(
            "geodl_pixels", "Pixels of rasters that were computed.", registry=self.registry
        )
        self._steps = Counter(
            "geodl_steps", "Steps that workers have finished.", registry=self.registry
        )
        self._busy = Counter(
            "geodl_step_seconds", "Seconds that workers spent in steps.", registry=self.registry
        )

    def step(self, done: Done) -> None:
        """Count a step that a worker has finished."""
        self._steps.inc()
        self._pixels.inc(done.pixels)
        self._busy.inc(done.seconds)

    def job(self, kind: str, state: State, seconds: float) -> None:
        """Count a job that has ended.

        Parameters
        ----------
        kind
            Of its recipe.
        state
            How it ended.
        seconds
            From its start to its end.
        """
        self._seconds.labels(kind, state).observe(seconds)
