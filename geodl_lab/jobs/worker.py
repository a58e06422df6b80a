"""What happens inside a worker: steps, one at a time, and what they answer."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from geodl_lab.errors import GeodlError, RunError

ENVIRONMENT = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO"}
"""What the server and its workers run with: files beside a raster are not read."""

_ONE_AT_A_TIME = threading.Lock()
_PR_SET_PDEATHSIG = 1


class StepError(Exception):
    """A step failed in a way that nobody expected.

    Parameters
    ----------
    kind
        Name of the error.
    trace
        Where it happened, for the log only.
    """

    def __init__(self, kind: str, trace: str) -> None:
        super().__init__(kind, trace)
        self.kind, self.trace = kind, trace


@dataclass(frozen=True)
class Answer:
    """What a step answers.

    Parameters
    ----------
    value
        What the function returned.
    error
        What it raised instead.
    warnings
        What the package warned of meanwhile.
    """

    value: Any = None
    error: Exception | None = None
    warnings: tuple[str, ...] = ()

    def get(self) -> Any:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value


class Warnings(logging.Handler):
    """Collects what the package warns of, each text once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a text."""
        self.texts[record.getMessage()] = None


def run_step(function: Callable[..., Any], *args: Any) -> Answer:
    """Call a function and answer whatever it does; nothing is raised.

    Steps of one process wait for each other: each has the machine, and its warnings, for itself.
    """
    os.environ.update(ENVIRONMENT)  # a worker of Dask was not started by us
    with _ONE_AT_A_TIME, _heard() as heard:
        answer = attempt(function, *args)
    return Answer(answer.value, answer.error, tuple(heard.texts))


def attempt(function: Callable[..., Any], *args: Any) -> Answer:
    """Call a function and answer what it returns or raises."""
    try:
        return Answer(function(*args))
    except BaseException as raised:  # also SystemExit: a model must not end its worker
        return Answer(error=_told(raised))


def serve(connection: Connection, parent: int) -> None:
    """Answer steps until the server ends; the main function of a worker process.

    Parameters
    ----------
    connection
        Brings tuples of a function that raises nothing, `run_step`, and its arguments; takes
        what it returns.
    parent
        Id of the server's process.
    """
    _die_with(parent)
    os.environ["GEODL_HOLD_MODELS"] = "no"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C and a service manager mean the server
    signal.signal(signal.SIGTERM, _leave_it_to_the_server)
    with contextlib.suppress(EOFError, OSError):
        while True:
            function, *args = connection.recv()
            _send(connection, function(*args))


def _send(connection: Connection, answer: Answer) -> None:
    try:
        connection.send(answer)
    except OSError:
        raise
    except Exception as error:  # the value cannot be sent
        connection.send(Answer(error=_told(error), warnings=answer.warnings))


def _told(error: BaseException) -> Exception:
    if isinstance(error, GeodlError):
        return error
    if isinstance(error, MemoryError):
        return RunError("the worker has no memory left; ask for a smaller batch_size or raster")
    return StepError(type(error).__name__, traceback.format_exc())


@contextlib.contextmanager
def _heard() -> Iterator[Warnings]:
    heard, logger = Warnings(), logging.getLogger("geodl_lab")
    logger.addHandler(heard)
    try:
        yield heard
    finally:
        logger.removeHandler(heard)


def _leave_it_to_the_server(number: int, frame: Any) -> None:
    """Ignore a signal; unlike SIG_IGN not what programs that are started from here inherit."""


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        # Of the thread that started us; `executors` has that thread live as long as it needs us.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
