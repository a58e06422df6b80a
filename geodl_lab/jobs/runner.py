"""Takes waiting jobs up, a few at a time, and lets them run; nothing here knows what they do."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from geodl_lab.jobs.job import Job, Level, Message, State
from geodl_lab.jobs.looks import FETCHES, LOOKS, TOGETHER, FetchRun, LookRun
from geodl_lab.jobs.recipes import Look, Recipe
from geodl_lab.jobs.run import Run, Tools, lane_name
from geodl_lab.jobs.store import CANCELLED
from geodl_lab.jobs.workers import FILES, MODELS

LOGGER = logging.getLogger("geodl_lab.jobs")

PLACES = {"device": 3, LOOKS: 2, FETCHES: 32, FILES: 2, MODELS: 4}
"""What is under way at one time: for each device, and for what needs none.

Of photos it is steps: one runs, and meanwhile the next one waits before its device.
"""

OF_DEVICES = ("device", LOOKS)
"""Queues whose places are for each device."""

RESTARTS = 10
"""How often a job may be begun without any progress, each time with the end of the server."""

Heard = Callable[[Job, State, float], None]


def queue_of(recipe: Recipe) -> str:
    """Return the queue in which a recipe waits, one of `PLACES`."""
    if isinstance(recipe, Look):
        return FETCHES if recipe.image.kind == "url" else LOOKS
    name = lane_name(recipe)
    return name if name in (FILES, MODELS) else "device"


class Runner:
    """Claims jobs and runs each, or photos some together, in a thread of its own.

    Parameters
    ----------
    tools
        What the runs work with.
    heard
        Is told of each end: the job, its state, the seconds that it took.
    """

    def __init__(self, tools: Tools, heard: Heard) -> None:
        self._tools, self._heard = tools, heard
        self._runs: dict[str, dict[Run | LookRun, threading.Thread]] = {q: {} for q in PLACES}
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._watch, name="geodl-runner", daemon=True)

    def start(self) -> None:
        """Take up what an earlier server left, then what waits."""
        for job in self._tools.store.running():
            self._recover(job)
        self._thread.start()

    def wake(self) -> None:
        """Look for waiting jobs now."""
        with self._changed:
            self._changed.notify()

    def cancel(self, id: str) -> None:
        """Stop a job if it runs."""
        for runs in self._runs.values():
            for run in list(runs):
                run.cancel(id)

    def close(self, seconds: float) -> None:
        """Let steps that run end, for some seconds; unfinished jobs wait for the next start."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()
        found = [one for runs in self._runs.values() for one in list(runs.items())]
        for run, _ in found:
            run.stop()
        self._tools.workers.close()
        deadline = time.monotonic() + seconds
        for _, thread in found:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._tools.workers.kill()
        for _, thread in found:
            thread.join(5)  # a download may take longer: it ends with the process

    def _watch(self) -> None:
        while True:
            with self._changed:
                if self._stopping:
                    return
            if not self._filled():
                with self._changed:
                    if not self._stopping:
                        self._changed.wait(1)

    def _filled(self) -> bool:
        try:
            return self._fill()
        except Exception:  # whatever it is, jobs that come later must be taken up
            LOGGER.exception("no job can be begun")
            return False

    def _fill(self) -> bool:
        """Begin one run more for each queue that has a place; tell whether there was any."""
        begun = False
        for queue, runs in self._runs.items():
            if len(runs) < self._places(queue):
                jobs = self._tools.store.claim(queue, TOGETHER if queue == LOOKS else 1)
                if jobs:
                    self._begin(queue, jobs)
                    begun = True
        return begun

    def _places(self, queue: str) -> int:
        devices = max(1, len(self._tools.workers.devices)) if queue in OF_DEVICES else 1
        return PLACES[queue] * devices

    def _begin(self, queue: str, jobs: Sequence[Job]) -> None:
        run = _run_of(queue, jobs, self._tools)
        thread = threading.Thread(
            target=self._run, args=(queue, run), name=f"geodl-{jobs[0].id}", daemon=True
        )
        self._runs[queue][run] = thread
        for job in jobs:
            LOGGER.info("job %s begins", job.id, extra={"job": job.id})
        thread.start()
        for id in self._tools.store.cancelling([job.id for job in jobs]):
            run.cancel(id)  # between the claim and here

    def _run(self, queue: str, run: Run | LookRun) -> None:
        states: dict[str, State] = {}
        try:
            states = run()
        finally:
            del self._runs[queue][run]
        for job in run.jobs:
            state = states.get(job.id)
            LOGGER.info("job %s: %s", job.id, state or "waits again", extra={"job": job.id})
            if state is not None:
                self._heard(job, state, run.seconds)
        self.wake()

    def _recover(self, job: Job) -> None:
        store, now = self._tools.store, time.time()
        if job.cancelling:
            store.end(job.id, State.CANCELLED, [Message(Level.INFO, CANCELLED, now)])
        elif job.attempts >= RESTARTS and not job.percent:
            text = (
                f"the server ended {job.attempts} times while this job began; have its operator "
                "look at the log before it is sent again"
            )
            store.end(job.id, State.FAILED, [Message(Level.ERROR, text, now)])
        else:
            store.release(job.id)


def _run_of(queue: str, jobs: Sequence[Job], tools: Tools) -> Run | LookRun:
    if queue == LOOKS:
        return LookRun(jobs, tools)
    return FetchRun(jobs[0], tools) if queue == FETCHES else Run(jobs[0], tools)
