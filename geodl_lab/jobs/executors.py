"""Where steps run: standard executors over a process of our own, or over a Dask cluster.

Both answer steps (`worker.run_step`) and raise `CrashError` when whoever ran one is no more.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from multiprocessing.connection import wait
from typing import Any

from geodl_lab.errors import first_line
from geodl_lab.jobs import worker

MOST_OUT = 64
"""Most steps that are out at one time on a Dask cluster."""

COUNT_SECONDS = 5.0
"""How long the number of Dask workers is believed."""

CONNECT_SECONDS = 10.0
"""How long a Dask scheduler may take to answer."""

_SPAWN = multiprocessing.get_context("spawn")
_LIVES = threading.Lock()  # the birth of one process asks after the end of all others


class CrashError(Exception):
    """Whoever ran a step is no more; the message says how it ended."""


class ProcessExecutor(Executor):
    """Calls functions in one spawned process, which is made anew when it has died.

    Parameters
    ----------
    name
        Of the process.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._child: _Child | None = None
        self._closed = False
        self._calls: queue.SimpleQueue[tuple[Future[Any], Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def width(self) -> int:
        """How many calls run at one time."""
        return 1

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call a function that raises nothing (`worker.run_step`) with arguments by position.

        Its future raises CrashError if the process dies meanwhile.
        """
        future: Future[Any] = Future()
        self._calls.put((future, (fn, *args)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the process, in the middle of a call if need be."""
        self._closed = True
        self._calls.put(None)
        if (child := self._child) is not None:
            child.kill()
        if wait:
            self._thread.join()

    def interrupt(self) -> None:
        """Kill the process; the call that runs fails, the next one has a new process."""
        if (child := self._child) is not None:
            child.kill()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            future, message = call
            if future.set_running_or_notify_cancel():
                self._answer(future, message)
        if self._child is not None:
            self._child.end()

    def _answer(self, future: Future[Any], message: Any) -> None:
        try:
            if self._closed:
                raise CrashError("the server is stopping")
            if self._child is not None and self._child.is_gone:
                self._child.end()  # while it had nothing to do: no fault of this call
                self._child = None
            if self._child is None:
                self._child = _Child(self._name)
            future.set_result(self._child.ask(message))
        except CrashError as error:
            self._child = None
            future.set_exception(error)
        except Exception as error:
            future.set_exception(error)


class _Child:
    """A process and the pipe to it."""

    def __init__(self, name: str) -> None:
        self._pipe, theirs = _SPAWN.Pipe()
        # Not daemonic: Python raster functions start processes of their own.
        self._process = _SPAWN.Process(
            target=worker.serve, args=(theirs, os.getpid()), name=name, daemon=False
        )
        with _LIVES:
            self._process.start()
        atexit.register(self._process.kill)  # else the interpreter waits for it at its end
        theirs.close()

    @property
    def is_gone(self) -> bool:
        return bool(wait([self._process.sentinel], timeout=0))

    def ask(self, message: Any) -> Any:
        try:
            self._pipe.send(message)
            if self._pipe in wait([self._pipe, self._process.sentinel]):
                return self._pipe.recv()
        except (EOFError, OSError):
            pass
        raise CrashError(_ended(self.end()))

    def end(self) -> int:
        self._process.kill()
        with _LIVES:
            self._process.join()
            code = self._process.exitcode or 0
        atexit.unregister(self._process.kill)
        self._pipe.close()
        return code

    def kill(self) -> None:
        self._process.kill()


class DaskExecutor(Executor):
    """Calls functions on the workers of a Dask cluster, which see the same files.

    Parameters
    ----------
    address
        Of the scheduler; it is looked for when the first call needs it, and again when it is lost.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._threads = ThreadPoolExecutor(MOST_OUT, thread_name_prefix="geodl-dask")
        self._connecting = threading.Lock()
        self._client: Any = None
        self._counted = (1, 0.0)

    @property
    def width(self) -> int:
        """How many calls run at one time: one a worker."""
        return self._counted[0]

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call a function with arguments by position.

        Its future raises CrashError if there is no cluster, or its workers die meanwhile.
        """
        return self._threads.submit(self._call, fn, *args)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster; calls that run there cannot be stopped."""
        with self._connecting:
            self._leave()
        self._threads.shutdown(wait, cancel_futures=True)

    def interrupt(self) -> None:
        """Do nothing: a running task of Dask cannot be stopped."""

    def _call(self, fn: Callable[..., Any], *args: Any) -> Any:
        try:
            client = self._connected()
            return client.get_executor(pure=False).submit(fn, *args).result()
        except (Exception, CancelledError) as error:  # of many kinds, all of them Dask's
            with self._connecting:
                if self._client is not None and self._client.status != "running":
                    self._leave()
            raise CrashError(
                f"lost on the Dask cluster at {self._address} "
                f"({type(error).__name__}: {first_line(error)[:200]})"
            ) from error

    def _connected(self) -> Any:
        with self._connecting:
            if self._client is None:
                # Imported here: it takes long, and only some servers have it.
                distributed: Any = importlib.import_module("distributed")
                self._client = distributed.Client(
                    self._address, timeout=CONNECT_SECONDS, name="geodl-serve", set_as_default=False
                )
            count, when = self._counted
            if time.monotonic() > when + COUNT_SECONDS:
                count = min(MOST_OUT, max(1, len(self._client.nthreads())))
                self._counted = (count, time.monotonic())
            return self._client

    def _leave(self) -> None:
        if self._client is not None:
            with contextlib.suppress(Exception):
                self._client.close(timeout=2)
        self._client = None


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended by itself with code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else "unknown"
    words = f"killed by signal {-code} ({name})"
    return f"{words}: probably out of memory" if code == -signal.SIGKILL else words
