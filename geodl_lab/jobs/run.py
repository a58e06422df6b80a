"""One job from its begin to its end: resolve, compute what is missing, finish, publish."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from geodl_lab.errors import BusyError, RunError
from geodl_lab.errors import CancelledError as Cancelled
from geodl_lab.jobs.catalog import Catalog
from geodl_lab.jobs.database import Database
from geodl_lab.jobs.executors import CrashError
from geodl_lab.jobs.job import Caller, Job, Level, Message, State
from geodl_lab.jobs.make import make_work
from geodl_lab.jobs.meters import Meters
from geodl_lab.jobs.pace import Pace, batches
from geodl_lab.jobs.publishing import done_message, find_place, publish
from geodl_lab.jobs.recipes import Export, Look, Recipe, from_json
from geodl_lab.jobs.resolved import Resolved
from geodl_lab.jobs.store import CANCELLED, Store
from geodl_lab.jobs.wording import Wording
from geodl_lab.jobs.worker import Answer
from geodl_lab.jobs.workers import FILES, MODELS, Lane, Workers
from geodl_lab.jobs.works import CANCEL, Done, Part, Result, Work

LOGGER = logging.getLogger("geodl_lab.jobs")

T = TypeVar("T")

Resolve = Callable[[Recipe, Caller, Path], Resolved]

CRASHES = 3
"""How often the same part may take its worker along before the job fails."""

CANCEL_SECONDS = 10.0
"""How long a cancelled step may take to notice before its worker is killed."""

LOOK_SECONDS = 0.25
"""How often a run looks whether it is to stop."""

COMPUTED = 95.0
"""Percent when all is computed; the rest is for the finish."""


class Stopped(Exception):
    """The job waits again: the server stops, or what is left of the job is for another queue.

    Parameters
    ----------
    lane
        The queue, "" for that in which it was.
    """

    def __init__(self, lane: str = "") -> None:
        super().__init__(lane)
        self.lane = lane


@dataclass(frozen=True)
class Tools:
    """What all runs of a server share.

    Parameters
    ----------
    database, store, catalog, workers
        As their classes say.
    resolve
        Turns the references of a recipe into files; called with it, who asked, and the job's
        folder.
    meters
        Counts what is done.
    jobs, services
        Folders of the jobs' own files and of what is published.
    shown
        What clients are told instead of folders of this machine.
    """

    database: Database
    store: Store
    catalog: Catalog
    workers: Workers
    resolve: Resolve
    meters: Meters
    jobs: Path
    services: Path
    shown: Mapping[str, str]


class Run:
    """One job that runs.

    Parameters
    ----------
    job
        As it was claimed.
    tools
        What it works with.
    """

    def __init__(self, job: Job, tools: Tools) -> None:
        self.job, self.pixels = job, 0
        self.folder = tools.jobs / job.id
        self._tools = tools
        self._words = Wording(job.id, self.folder, tools.shown)
        self._begun = time.monotonic()
        self._cancelled, self._stopping = threading.Event(), threading.Event()
        self._crashes: Counter[Any] = Counter()
        self._said: set[str] = set()

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The one job."""
        return (self.job,)

    def cancel(self, id: str) -> None:
        """Ask the job, if it is this one, to stop; a step notices between two forwards."""
        if id != self.job.id:
            return
        self._cancelled.set()
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / CANCEL).touch()

    def stop(self) -> None:
        """Ask the job to wait for the next start of the server; its step that runs may end."""
        self._stopping.set()

    def __call__(self) -> dict[str, State]:
        """Run the job to its end; return its state by its id, nothing if it is to wait again."""
        try:
            state, text = self._reach_end()
        except Stopped as stop:
            lane = stop.lane
            self._persist(lambda: self._tools.store.release(self.job.id, lane=lane))
            return {}
        if text:
            level = Level.ERROR if state is State.FAILED else Level.INFO
            last = [Message(level, text, time.time())]
            self._persist(lambda: self._tools.store.end(self.job.id, state, last))
        shutil.rmtree(self.folder, ignore_errors=True)
        return {self.job.id: state}

    @property
    def seconds(self) -> float:
        """How long it has run since the server took it up."""
        return time.monotonic() - self._begun

    def _reach_end(self) -> tuple[State, str]:
        """Return how the job ended, and what is still to be said and written of that."""
        try:
            self._go()
            return State.SUCCEEDED, ""
        except (Stopped, Cancelled, CancelledError) as error:
            if self._cancelled.is_set() or isinstance(error, Cancelled):
                return State.CANCELLED, CANCELLED
            if isinstance(error, Stopped):
                raise  # with the queue in which it waits
            raise Stopped from error
        except Exception as error:  # whatever it is, the job must say so
            if self._cancelled.is_set():
                return State.CANCELLED, CANCELLED
            if self._stopping.is_set() and isinstance(error, BusyError):
                raise Stopped from error
            return State.FAILED, self._words.error(error)

    def _go(self) -> None:
        job, tools = self.job, self._tools
        recipe, caller = from_json(job.recipe), tools.store.caller(job)
        place = find_place(recipe, job, tools.catalog, caller)
        self.folder.mkdir(parents=True, exist_ok=True)
        with taken(tools.workers.lane(lane_name(recipe))) as lane:
            recipe = _on_device(recipe, lane)
            resolved = tools.resolve(recipe, caller, self.folder)
            self._look()
            work = make_work(recipe, resolved, self.folder)
            self._say(Level.INFO, _started(recipe, work, lane))
            self._compute(work, lane)
        result: Result = self._step(_last_lane(tools.workers, lane), "finish", work.finish)
        self._say(Level.INFO, *result.messages)
        self._look()
        words = done_message(self.pixels, self.seconds)
        publish(tools.database, job, result, place=place, folder=tools.services, words=words)

    def _compute(self, work: Work, lane: Lane) -> None:
        """Compute what is missing until nothing is."""
        computed: set[Part] = set()
        while (missing := self._step(lane, "missing", work.missing)).parts:
            if computed.issuperset(missing.parts):
                raise RunError("parts that were computed are missing again; the disk may be full")
            left = sum(part.windows for part in missing.parts)
            total = max(missing.windows, left)
            pace = Pace(total=total, done=missing.windows - left, least=missing.at_once)
            with contextlib.suppress(CrashError):  # then it is asked again what is missing
                computed |= self._feed(work, lane, missing.parts, pace)

    def _feed(self, work: Work, lane: Lane, parts: tuple[Part, ...], pace: Pace) -> set[Part]:
        """Keep as many steps out as the lane has places for; return the parts when all are done."""
        waiting = batches(parts, pace if not self._crashes else Pace(0, 0, seconds=0))
        out: dict[Future[Answer], tuple[Part, ...]] = {}
        for batch in waiting:
            out[lane.submit(work.compute, batch, priority=self.job.priority)] = batch
            if len(out) >= _places(self.job, lane):
                self._take(out, lane, pace)
        while out:
            self._take(out, lane, pace)
        return set(parts)

    def _take(self, out: dict[Future[Answer], tuple[Part, ...]], lane: Lane, pace: Pace) -> None:
        """Wait for one step at least, and note what it did."""
        for future in self._wait(set(out), lane):
            batch = out.pop(future)
            try:
                done: Done = self._value(future)
            except CrashError as error:
                self._settle(set(out), lane)
                self._count_crash(error, *batch)
                raise
            except BaseException:
                self._settle(set(out), lane)
                raise
            self.pixels += done.pixels
            self._tools.meters.step(done)
            pace.note(sum(part.windows for part in batch), done.seconds)
            with contextlib.suppress(BusyError):
                self._tools.store.progress(self.job.id, COMPUTED * pace.share)

    def _step(self, lane: Lane, what: str, function: Callable[[], Any]) -> Any:
        """Return what one step answers; it is tried again when its worker dies."""
        while True:
            future = lane.submit(function, priority=self.job.priority)
            try:
                self._wait({future}, lane)
                return self._value(future)
            except CrashError as error:
                self._count_crash(error, what)

    def _wait(self, futures: set[Future[Answer]], lane: Lane) -> set[Future[Answer]]:
        """Wait for some of the steps; stop feeding when the job is to stop."""
        while True:
            done, running = wait(futures, LOOK_SECONDS, FIRST_COMPLETED)
            if self._cancelled.is_set() or self._stopping.is_set():
                self._settle(running, lane)
                self._look()
            if done:
                return done

    def _settle(self, futures: set[Future[Answer]], lane: Lane) -> None:
        """Drop the steps that wait, and wait for those that run."""
        running = {future for future in futures if not future.cancel()}
        since: float | None = None
        while running:
            running = wait(running, LOOK_SECONDS).not_done
            if not self._cancelled.is_set():
                continue
            since = since or time.monotonic()
            if time.monotonic() > since + CANCEL_SECONDS:
                for future in running:
                    lane.interrupt(future)

    def _value(self, future: Future[Answer]) -> Any:
        answer = future.result()
        self._say(Level.WARNING, *answer.warnings)
        return answer.get()

    def _count_crash(self, error: CrashError, *places: Any) -> None:
        """Let a part take its worker along a few times, then fail the job."""
        self._look()
        self._crashes.update(places)
        LOGGER.warning("job %s: its worker was %s", self.job.id, error, extra={"job": self.job.id})
        if (count := max(self._crashes[place] for place in places)) >= CRASHES:
            raise RunError(
                f"the worker was {error}, {count} times at the same step; ask for a smaller "
                "batch_size or a smaller extent, or have the server's operator look at its "
                "memory and its log"
            ) from error
        self._stopping.wait(count - 1)  # a cluster that was lost needs time to come back

    def _look(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled("the job was cancelled")
        if self._stopping.is_set():
            raise Stopped

    def _say(self, level: Level, *texts: str) -> None:
        """Say what was not said before, also not before the server was started again."""
        if level is Level.WARNING and not self._said:
            self._said = {message.text for message in self._tools.store.messages(self.job.id)}
        new = [
            text for text in dict.fromkeys(map(self._words.local, texts)) if text not in self._said
        ]
        self._said.update(new)
        self._tools.store.say(self.job.id, level, *new)

    def _persist(self, write: Callable[[], None]) -> None:
        persist(write, self._stopping, f"job {self.job.id}")


def persist(write: Callable[[], T], stopping: threading.Event, what: str) -> T | None:
    """Write an end, however long the disk is full; when the server stops it may be lost."""
    while True:
        try:
            return write()
        except BusyError as error:
            LOGGER.error("%s: %s", what, error)
            if stopping.wait(1):
                return None


def lane_name(recipe: Recipe) -> str:
    """Return where a recipe is computed: a device as the client wants it, `FILES` or `MODELS`."""
    if isinstance(recipe, Export):
        return FILES
    if isinstance(recipe, Look):
        return "auto"
    context = getattr(recipe, "context", None)
    return MODELS if context is None else context.device


@contextlib.contextmanager
def taken(lane: Lane) -> Iterator[Lane]:
    """Count a job on a lane as long as it runs."""
    lane.jobs += 1
    try:
        yield lane
    finally:
        lane.jobs -= 1


def _on_device(recipe: Recipe, lane: Lane) -> Recipe:
    """Let ``auto`` mean the device that was chosen."""
    context = getattr(recipe, "context", None)
    if context is None or context.device not in ("auto", "cuda") or lane.name in (FILES, "cluster"):
        return recipe
    if context.device == "cuda" and lane.name == "cpu":
        return recipe  # its worker says that there is none
    chosen: Any = dataclasses.replace(context, device=lane.name)
    return dataclasses.replace(recipe, context=chosen)


def _last_lane(workers: Workers, lane: Lane) -> Lane:
    return lane if lane.name in (FILES, MODELS) else workers.lane(FILES)


def _places(job: Job, lane: Lane) -> int:
    share = (job.recipe.get("context") or {}).get("share")
    return max(1, round(lane.width * min(1.0, share))) if share else lane.width


def _started(recipe: Recipe, work: Work, lane: Lane) -> str:
    model = getattr(recipe, "model", None)
    with_model = f" with {model.value}" if model and model.kind in ("model", "store") else ""
    where = f" on {work.device or lane.name}" if work.device else ""
    return f"The job is started: {recipe.kind.replace('_', ' ')}{with_model}{where}."
