"""Takes waiting jobs up, a few at a time, and lets them run; nothing here knows what they do."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from geodl_lab.errors import BusyError
from geodl_lab.jobs.job import Job, Level, Message, State
from geodl_lab.jobs.recipes import Recipe
from geodl_lab.jobs.run import Run, Tools, lane_name
from geodl_lab.jobs.workers import FILES, MODELS

LOGGER = logging.getLogger("geodl_lab.jobs")

PLACES = {"device": 3, FILES: 2, MODELS: 4}
"""Jobs that are under way at one time: for each device, and for what needs none."""

RESTARTS = 10
"""How often a job may be begun without any progress, each time with the end of the server."""

Heard = Callable[[Run, State], None]


def queue_of(recipe: Recipe) -> str:
    """Return the queue in which a recipe waits: ``device``, `FILES` or `MODELS`."""
    name = lane_name(recipe)
    return name if name in (FILES, MODELS) else "device"


class Runner:
    """Claims jobs and runs each in a thread of its own.

    Parameters
    ----------
    tools
        What the runs work with.
    heard
        Is told of each end.
    """

    def __init__(self, tools: Tools, heard: Heard) -> None:
        self._tools, self._heard = tools, heard
        self._runs: dict[str, dict[str, tuple[Run, threading.Thread]]] = {q: {} for q in PLACES}
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
            if (found := runs.get(id)) is not None:
                found[0].cancel()

    def close(self, seconds: float) -> None:
        """Let steps that run end, for some seconds; unfinished jobs wait for the next start."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()
        found = [one for runs in self._runs.values() for one in list(runs.values())]
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
            if not self._fill():
                with self._changed:
                    if not self._stopping:
                        self._changed.wait(1)

    def _fill(self) -> bool:
        """Begin one job more for each queue that has a place; tell whether there was any."""
        begun = False
        for queue, runs in self._runs.items():
            if len(runs) < self._places(queue):
                try:
                    job = self._tools.store.claim(queue)
                except BusyError as error:
                    LOGGER.error("no job can be begun: %s", error)
                    continue
                if job is not None:
                    self._begin(queue, job)
                    begun = True
        return begun

    def _places(self, queue: str) -> int:
        devices = max(1, len(self._tools.workers.devices)) if queue == "device" else 1
        return PLACES[queue] * devices

    def _begin(self, queue: str, job: Job) -> None:
        run = Run(job, self._tools)
        thread = threading.Thread(
            target=self._run, args=(queue, run), name=f"geodl-{job.id}", daemon=True
        )
        self._runs[queue][job.id] = run, thread
        LOGGER.info("job %s begins", job.id, extra={"job": job.id})
        thread.start()
        if (now := self._tools.store.get(job.id)) is not None and now.cancelling:
            run.cancel()  # between the claim and here

    def _run(self, queue: str, run: Run) -> None:
        state = run()
        del self._runs[queue][run.job.id]
        words = state or "waits for the next start"
        LOGGER.info("job %s: %s", run.job.id, words, extra={"job": run.job.id})
        if state is not None:
            self._heard(run, state)
        self.wake()

    def _recover(self, job: Job) -> None:
        store, now = self._tools.store, time.time()
        if job.cancelling:
            store.end(job.id, State.CANCELLED, [Message(Level.INFO, "The job was cancelled.", now)])
        elif job.attempts >= RESTARTS and not job.percent:
            text = (
                f"the server ended {job.attempts} times while this job began; have its operator "
                "look at the log before it is sent again"
            )
            store.end(job.id, State.FAILED, [Message(Level.ERROR, text, now)])
        else:
            store.release(job.id)
