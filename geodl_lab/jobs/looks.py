"""Photos that wait are looked at together: one step answers them, one transaction ends them."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, wait
from typing import Any

from geodl_lab.errors import BusyError, RunError
from geodl_lab.errors import CancelledError as Cancelled
from geodl_lab.jobs import photo_works
from geodl_lab.jobs.executors import CrashError
from geodl_lab.jobs.job import Job, Level, Message, State
from geodl_lab.jobs.photo_works import Photo
from geodl_lab.jobs.publishing import done_message
from geodl_lab.jobs.recipes import Look, from_json
from geodl_lab.jobs.run import (
    CANCEL_SECONDS,
    CRASHES,
    LOOK_SECONDS,
    Run,
    Stopped,
    Tools,
    persist,
    taken,
)
from geodl_lab.jobs.store import CANCELLED, End
from geodl_lab.jobs.wording import Wording
from geodl_lab.jobs.worker import Answer
from geodl_lab.jobs.workers import Lane
from geodl_lab.jobs.works import CANCEL

LOGGER = logging.getLogger("geodl_lab.jobs")

LOOKS, FETCHES = "looks", "fetches"
"""Queues of photos: those that are here, and those that are still to be fetched."""

TOGETHER = 16
"""Most photos of one step."""


class FetchRun(Run):
    """Fetches the photo of one job, which then waits among those that are here."""

    def _go(self) -> None:
        recipe = from_json(self.job.recipe)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._tools.resolve(recipe, self._tools.store.caller(self.job), self.folder)
        self._look()
        raise Stopped(LOOKS)


class LookRun:
    """Some jobs that each look at a photo.

    Parameters
    ----------
    jobs
        As they were claimed.
    tools
        What it works with.
    """

    def __init__(self, jobs: Sequence[Job], tools: Tools) -> None:
        self.jobs = tuple(jobs)
        self._tools, self._begun = tools, time.monotonic()
        self._answers: dict[str, Answer] = {}
        self._cancelled: dict[str, float] = {}
        self._stopping = threading.Event()
        self._crashes: Counter[str] = Counter()

    @property
    def seconds(self) -> float:
        """How long it has run since the server took the jobs up."""
        return time.monotonic() - self._begun

    def cancel(self, id: str) -> None:
        """Ask one of the jobs to stop; the step notices before it looks at the photo."""
        if all(id != job.id for job in self.jobs):
            return
        self._cancelled.setdefault(id, time.monotonic())
        folder = self._tools.jobs / id
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CANCEL).touch()

    def stop(self) -> None:
        """Ask the jobs to wait for the next start of the server; a step that runs may end."""
        self._stopping.set()

    def __call__(self) -> dict[str, State]:
        """Answer all photos; return the states of the jobs that ended, by their ids."""
        try:
            self._answer_all()
        except (Stopped, CancelledError):
            pass  # what has no answer waits again
        except Exception as error:  # whatever it is, the jobs must say so
            if not (self._stopping.is_set() and isinstance(error, BusyError)):
                left = (job.id for job in self.jobs if job.id not in self._answers)
                self._answers |= {id: Answer(error=error) for id in left}
        return self._write()

    def _answer_all(self) -> None:
        with taken(self._tools.workers.lane("auto")) as lane:
            photos = self._resolved()
            self._answer(lane, list(photos.values()), photos)
            while photos.keys() - self._answers.keys():  # somebody's photo took the worker along
                for id in photos.keys() - self._answers.keys():
                    self._answer(lane, [photos[id]], {id: photos[id]})

    def _resolved(self) -> dict[str, Photo]:
        """Return the photos that can be looked at."""
        photos = {}
        for job in self.jobs:
            try:
                photos[job.id] = self._photo(job)
            except Exception as error:  # it fails alone
                self._answers[job.id] = Answer(error=error)
        return photos

    def _photo(self, job: Job) -> Photo:
        recipe, folder = from_json(job.recipe), self._tools.jobs / job.id
        assert isinstance(recipe, Look)
        caller = self._tools.store.caller(job)
        return photo_works.photo_of(recipe, self._tools.resolve(recipe, caller, folder), folder)

    def _answer(self, lane: Lane, photos: Sequence[Photo], ids: Any) -> None:
        """Look at some photos in one step; none has an answer if their worker dies."""
        if not photos:
            return
        device = "auto" if lane.name == "cluster" else lane.name
        priority = max(job.priority for job in self.jobs)
        future = lane.submit(photo_works.look, tuple(photos), device, priority=priority)
        try:
            answers = self._wait(future, lane).get()
        except CrashError as error:
            self._note_crash(error, list(ids))
            return
        self._answers |= dict(zip(ids, answers, strict=True))

    def _wait(self, future: Future[Answer], lane: Lane) -> Answer:
        """Wait for a step; it is dropped if the server stops, killed if it ignores a cancel."""
        while not wait([future], LOOK_SECONDS).done:
            if self._stopping.is_set() and future.cancel():
                raise Stopped
            since = min(self._cancelled.values(), default=time.monotonic())
            if time.monotonic() > since + CANCEL_SECONDS:
                lane.interrupt(future)
        return future.result()

    def _note_crash(self, error: CrashError, ids: Sequence[str]) -> None:
        """Let a photo take its worker along a few times, then fail its job."""
        if self._stopping.is_set():
            raise Stopped from error
        LOGGER.warning("photos %s: their worker was %s", ", ".join(ids), error)
        for id in set(ids) & self._cancelled.keys():
            self._answers[id] = Answer(error=Cancelled(CANCELLED))
        if len(ids) > 1:
            return  # nobody knows whose fault it was: each is looked at alone
        self._crashes.update(ids)
        count = self._crashes[ids[0]]
        if count >= CRASHES:
            words = f"the worker was {error}, {count} times at this photo; send a smaller one"
            self._answers.setdefault(ids[0], Answer(error=RunError(words)))
        self._stopping.wait(count - 1)  # a cluster that was lost needs time to come back

    def _write(self) -> dict[str, State]:
        """Let the jobs end that have an answer, and the others wait again."""
        store, left = self._tools.store, [j.id for j in self.jobs if j.id not in self._answers]
        if left:
            persist(lambda: store.release(*left), self._stopping, "photos")
        ends = [self._end(id, answer) for id, answer in self._answers.items()]
        states = persist(lambda: store.end_all(ends), self._stopping, "photos") or {}
        for id in states:
            shutil.rmtree(self._tools.jobs / id, ignore_errors=True)
        return states

    def _end(self, id: str, answer: Answer) -> End:
        now, error = time.time(), answer.error
        if error is None:
            message = Message(Level.INFO, done_message(0, self.seconds), now)
            return End(id, State.SUCCEEDED, message, {"values": answer.value})
        if isinstance(error, Cancelled) or id in self._cancelled:
            return End(id, State.CANCELLED, Message(Level.INFO, CANCELLED, now))
        words = Wording(id, self._tools.jobs / id, self._tools.shown).error(error)
        return End(id, State.FAILED, Message(Level.ERROR, words, now))
