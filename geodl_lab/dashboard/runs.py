"""The run of the app: sent, followed to its end, cancelled."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from geodl_lab.dashboard import words
from geodl_lab.dashboard.address import Address
from geodl_lab.dashboard.desk import Desk
from geodl_lab.dashboard.results import Results
from geodl_lab.errors import BusyError
from geodl_lab.remote_jobs import RemoteJob

LOOK = 0.5
"""Seconds between two looks at a job that runs."""

PAINT = 20.0
"""Most seconds that a picture of the result is waited for before its job is called done."""

DRAWING = "Drawing the result."


class Runs:
    """The job that the page is about; its id stands in the page's address.

    Parameters
    ----------
    desk
        Page and server.
    results
        Shows what came out.
    changed
        Called when a job began or ended.
    """

    def __init__(self, desk: Desk, results: Results, changed: Callable[[], None]) -> None:
        self._desk, self._results, self._changed = desk, results, changed
        self.job: RemoteJob | None = None
        self.address = Address()
        desk.page.address.children = [self.address]
        desk.page.cancel.on_click(lambda _: desk.do(self._cancel))

    @property
    def idle(self) -> bool:
        """Whether no job runs."""
        return self.job is None or self.job.ended

    def follow(self, job: RemoteJob) -> None:
        """Show a job until it has ended."""
        self.job, self.address.job = job, job.id
        self._results.clear()
        self._show(job)
        self._changed()
        self._desk.beside(self._watch, job)

    def leave(self) -> None:
        """Follow no job any more; it goes on."""
        self.job, self.address.job = None, ""
        self._desk.page.progress.value, self._desk.page.cancel.disabled = 0, True
        self._results.clear()

    def _watch(self, job: RemoteJob) -> None:
        while self.job is job and not job.ended:
            time.sleep(LOOK)
            with contextlib.suppress(BusyError):  # it is asked again anyway
                job.refresh()
            self._show(job)
        if self.job is job:
            self._changed()
            if job.state == "succeeded":
                self._desk.do(self._draw, job)

    def _draw(self, job: RemoteJob) -> None:
        if self.job is job:
            self._results.show(job)
            self._desk.beside(self._finish, job)

    def _finish(self, job: RemoteJob) -> None:
        """Say that a job is done when its result is to be seen."""
        self._desk.map.wait_painted(PAINT)
        if self.job is job:
            self._desk.say(words.run_line(job), "good")

    def _show(self, job: RemoteJob) -> None:
        if self.job is not job:
            return
        done = job.state == "succeeded"
        self._desk.page.progress.value = 100 if done else job.percent
        self._desk.page.cancel.disabled = job.ended
        text = DRAWING if done else words.run_line(job)
        self._desk.say(text, "bad" if job.state == "failed" else "info")

    def _cancel(self) -> None:
        if self.job is not None:
            self._desk.page.cancel.disabled = True
            self._desk.say("Cancelling: it stops after the window that the model is at.")
            self.job.cancel()
