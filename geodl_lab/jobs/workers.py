"""Lanes of steps: one for each device, one for files, one for models.

In a lane steps wait by priority, and one step is out on each of its executors at a time: what has
a high priority waits for one step at most. Where that never ends the others get a share of time.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from geodl_lab.errors import BusyError
from geodl_lab.jobs.executors import CrashError, DaskExecutor, ProcessExecutor
from geodl_lab.jobs.worker import Answer, run_step

FILES, MODELS = "files", "models"
"""Names of the lanes without a device."""

LOCAL = "local"
"""Name of the device of this machine that has the fewest jobs, also where there is a cluster."""

FILE_WORKERS = 2
"""Finishes that run at one time, so that a long one does not hold up a short one."""

LEAD = 4.0
"""How much longer steps that overtake others may take, in all, than those that do not."""

STOPPING = "the server is stopping; send the same request again later"


_Step = tuple[int, int, Future[Answer], tuple[Any, ...]]  # -priority, number, future, call


class Runs(Protocol):
    """An executor that knows how many calls it runs at one time."""

    @property
    def width(self) -> int:
        """How many."""
        ...

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call a function."""
        ...

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End."""
        ...

    def interrupt(self) -> None:
        """Kill what runs, if that is possible."""
        ...


class Lane:
    """Steps by priority before some executors.

    Parameters
    ----------
    name
        Of the device, or `FILES` or `MODELS`.
    executors
        Where the steps run; the first that is free is taken.
    """

    def __init__(self, name: str, executors: Sequence[Runs]) -> None:
        self.name, self.jobs = name, 0
        self._executors = tuple(executors)
        self._out: dict[Runs, set[Future[Answer]]] = {one: set() for one in executors}
        self._waiting: list[_Step] = []
        self._number = itertools.count()
        self._lead = 0.0  # seconds that overtaking steps took too long
        self._lock = threading.Lock()
        self._closed = False

    @property
    def width(self) -> int:
        """How many steps run at one time."""
        return sum(one.width for one in self._executors)

    def submit(self, function: Callable[..., Any], *args: Any, priority: int = 0) -> Future[Answer]:
        """Call a function in a worker, after what has a higher priority or came before.

        Returns
        -------
        Future
            Of an `Answer`; cancelled it never begins. It raises CrashError if the worker dies.
        """
        future: Future[Answer] = Future()
        with self._lock:
            if self._closed:
                raise BusyError(STOPPING)
            step = (-priority, next(self._number), future, (function, *args))
            heapq.heappush(self._waiting, step)
        self._feed()
        future.add_done_callback(self._forget)
        return future

    def interrupt(self, future: Future[Answer]) -> None:
        """Kill the worker that runs a step, if it still does."""
        with self._lock:
            found = [one for one, out in self._out.items() if future in out]
        for executor in found:
            executor.interrupt()

    def close(self) -> None:
        """Take no more steps and drop those that wait; those that run go on."""
        with self._lock:
            self._closed = True
            dropped, self._waiting = self._waiting, []
        for _, _, future, _ in dropped:
            future.cancel()

    def kill(self) -> None:
        """End the executors, with what they run."""
        for one in self._executors:
            one.shutdown(wait=False)

    def _forget(self, future: Future[Answer]) -> None:
        """Let go of a cancelled step: its arguments may be large."""
        if future.cancelled():
            with self._lock:
                self._waiting = [step for step in self._waiting if step[2] is not future]
                heapq.heapify(self._waiting)

    def _feed(self) -> None:
        while (begun := self._begin()) is not None:
            executor, future, call, overtakes = begun
            ended = _Ended(self, executor, future, overtakes)
            executor.submit(run_step, *call).add_done_callback(ended)

    def _begin(self) -> tuple[Runs, Future[Answer], tuple[Any, ...], bool] | None:
        with self._lock:
            free = (one for one, out in self._out.items() if len(out) < one.width)
            executor = next(free, None)
            while executor is not None and self._waiting:
                future, call, overtakes = self._next()
                if future.set_running_or_notify_cancel():
                    self._out[executor].add(future)
                    return executor, future, call, overtakes
        return None

    def _next(self) -> tuple[Future[Answer], tuple[Any, ...], bool]:
        """Take the next step, by priority or by age; tell whether it overtakes another."""
        oldest = min(self._waiting, key=_number)
        if self._lead > 0:
            self._waiting.remove(oldest)
            heapq.heapify(self._waiting)
            return *oldest[2:], False
        step = heapq.heappop(self._waiting)
        return *step[2:], step is not oldest

    def _note(self, seconds: float, *, overtakes: bool) -> None:
        """Note how long a step took."""
        with self._lock:
            self._lead = self._lead + seconds if overtakes else -LEAD * seconds

    def _end(self, executor: Runs, future: Future[Answer], inner: Future[Answer]) -> None:
        with self._lock:
            self._out[executor].discard(future)
        self._feed()
        if inner.cancelled():
            future.set_exception(CrashError("the server is stopping"))
        elif (error := inner.exception()) is not None:
            future.set_exception(error)
        else:
            future.set_result(inner.result())


class _Ended:
    """What is called when a step has ended."""

    def __init__(self, lane: Lane, executor: Runs, future: Future[Answer], overtakes: bool) -> None:
        self._what = lane, executor, future
        self._overtakes, self._begun = overtakes, time.monotonic()

    def __call__(self, inner: Future[Answer]) -> None:
        lane, executor, future = self._what
        lane._note(time.monotonic() - self._begun, overtakes=self._overtakes)
        lane._end(executor, future, inner)


class Workers:
    """All lanes of a server; their processes start in the background.

    Parameters
    ----------
    scheduler
        Address of a Dask scheduler whose workers run what is computed; "" is processes here.
    """

    def __init__(self, scheduler: str = "") -> None:
        self._lock = threading.Lock()
        self._lanes: dict[str, Lane] = {}
        self._devices: list[str] = []
        self._found = threading.Event()
        self._closed = False
        if scheduler:
            self._lanes["cluster"] = Lane("cluster", [DaskExecutor(scheduler)])
            self._know(["cluster"])
        else:
            self._first = ProcessExecutor("geodl-device-0")
            self._first.submit(run_step, find_devices).add_done_callback(self._set_up)

    @property
    def ready(self) -> bool:
        """Whether the devices are known."""
        return self._found.is_set()

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that compute, ``cluster`` for a Dask cluster; empty until they are known."""
        return tuple(self._devices)

    def lane(self, name: str) -> Lane:
        """Return the lane of `FILES`, of `MODELS`, or of a device; waits for the devices.

        ``auto``, ``cuda`` and `LOCAL` take the device that has the fewest jobs. A device that is
        not there is sent to one that is, whose worker then says so.
        """
        if name in (FILES, MODELS):
            return self._made(name, FILE_WORKERS if name == FILES else 1)
        self._found.wait()
        if self._closed:
            raise BusyError(STOPPING)
        if name == LOCAL and "cluster" in self._lanes:
            return self._made(LOCAL, 1)
        name = "auto" if name == LOCAL else name
        fit = [one for one in self._devices if name in ("auto", one, one.partition(":")[0])]
        if not fit and name == "cpu" and "cluster" not in self._lanes:
            return self._made("cpu", 1)
        return min((self._lanes[one] for one in fit or self._devices), key=_busyness)

    def close(self) -> None:
        """Take no more steps; those that run go on until `kill`."""
        self._closed = True
        for lane in list(self._lanes.values()):
            lane.close()
        self._found.set()

    def kill(self) -> None:
        """End all workers at once."""
        if not self._devices:
            self._first.shutdown(wait=False)
        for lane in list(self._lanes.values()):
            lane.kill()

    def _made(self, name: str, count: int) -> Lane:
        with self._lock:
            if self._closed:
                raise BusyError(STOPPING)
            if name not in self._lanes:
                executors = [ProcessExecutor(f"geodl-{name}-{i}") for i in range(count)]
                self._lanes[name] = Lane(name, executors)
            return self._lanes[name]

    def _set_up(self, asked: Future[Answer]) -> None:
        """Make a lane for each device; the worker that was asked becomes the first one's."""
        try:
            names: list[str] = asked.result().get()
        except Exception:  # no reason to have no server: jobs will say what is wrong
            names = ["cpu"]
        others = [ProcessExecutor(f"geodl-device-{i}") for i in range(1, len(names))]
        for name, executor in zip(names, [self._first, *others], strict=True):
            self._lanes[name] = Lane(name, [executor])
        self._know(names)
        with contextlib.suppress(BusyError):  # who finishes the first job has loaded torch by then
            self.lane(FILES).submit(find_devices)

    def _know(self, names: list[str]) -> None:
        self._devices = names
        self._found.set()


def find_devices() -> list[str]:
    """Return the devices that torch sees, in a worker: torch is not for the server's process."""
    from geodl_lab import devices  # noqa: PLC0415

    return devices.all_devices()


def _number(step: _Step) -> int:
    return step[1]


def _busyness(lane: Lane) -> int:
    return lane.jobs
