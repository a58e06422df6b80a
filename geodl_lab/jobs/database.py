"""One database: many readers, and one writer whose changes share a commit.

A change is on the disk when `Database.write` returns. Changes that wait at the same time go into
one transaction, so that many clients cost few waits for the disk; each stands in a savepoint of
its own, so that one that fails leaves the others alone.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import SQLAlchemyError

from geodl_lab.errors import BusyError, OptionError
from geodl_lab.jobs.tables import METADATA

Value = TypeVar("Value")
Change = Callable[[Connection], Value]

BATCH = 200
"""Most changes of one transaction."""

BUSY_MS = 10_000
"""How long SQLite waits for a lock of another process, milliseconds."""

READERS = 80
"""Most connections that read at one time."""

PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_MS}")


class Database:
    """The tables of a server, made if they are missing.

    Parameters
    ----------
    url
        As SQLAlchemy takes it.

    Raises
    ------
    OptionError
        If the database cannot be opened.
    """

    def __init__(self, url: str) -> None:
        self._reader, self._writer = _engines(url)
        self._changes: queue.SimpleQueue[tuple[Change[Any], Future[Any]] | None]
        self._changes = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._write_all, name="geodl-writer", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """Lend a connection to read with.

        Raises
        ------
        BusyError
            If the database does not answer.
        """
        with _explained(), self._reader.connect() as connection:
            yield connection

    def write(self, change: Change[Value]) -> Value:
        """Make a change; it is durable when this returns.

        Parameters
        ----------
        change
            Called with a connection inside a transaction; what it returns is returned, what it
            raises is raised, and then nothing of it is kept.

        Raises
        ------
        BusyError
            If the database does not take it, or is closed.
        """
        future: Future[Value] = Future()
        with self._closing:
            if self._closed:
                raise BusyError("the server is stopping; send the same request again later")
            self._changes.put((change, future))
        with _explained():
            return future.result()

    def close(self) -> None:
        """Write what waits, and close."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._changes.put(None)
        self._thread.join()
        self._reader.dispose()
        self._writer.dispose()

    def _write_all(self) -> None:
        more = True
        while more:
            taken = [self._changes.get()]
            with contextlib.suppress(queue.Empty):
                while taken[-1] is not None and len(taken) < BATCH:
                    taken.append(self._changes.get_nowait())
            more = taken[-1] is not None
            self._commit([one for one in taken if one is not None])

    def _commit(self, batch: list[tuple[Change[Any], Future[Any]]]) -> None:
        if not batch:
            return
        try:
            with self._writer.begin() as connection:
                answers = [_attempt(connection, change) for change, _ in batch]
        except Exception as error:  # whatever it is, who waits must hear of it
            answers = [(None, error)] * len(batch)
        for (_, future), (value, failure) in zip(batch, answers, strict=True):
            if failure is None:
                future.set_result(value)
            else:
                future.set_exception(failure)


def _attempt(connection: Connection, change: Change[Any]) -> tuple[Any, Exception | None]:
    try:
        with connection.begin_nested():
            return change(connection), None
    except Exception as error:
        if connection.invalidated or not connection.in_transaction():
            raise
        return None, error


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise BusyError(
            f"the server's database does not answer ({_reason(error)}); "
            "send the same request again later"
        ) from error


def _reason(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0]


def _engines(text: str) -> tuple[Engine, Engine]:
    """Return the engine that reads and the one that writes."""
    shown = "of --database"
    try:
        url = make_url(text)
        shown = url.render_as_string(hide_password=True)
        _check_kept(url, shown)
        reader = create_engine(url, pool_size=10, max_overflow=READERS - 10, pool_pre_ping=True)
        writer = create_engine(url, pool_size=1, max_overflow=1, pool_pre_ping=True)
        if url.get_backend_name() == "sqlite":
            _set_up_sqlite(reader, writer)
        METADATA.create_all(writer)
    except (SQLAlchemyError, ImportError) as error:
        raise OptionError(
            f"the database {shown} cannot be opened ({_reason(error)}); give an SQLAlchemy URL "
            "whose driver is installed, or none for a file in the data folder"
        ) from error
    return reader, writer


def _check_kept(url: URL, shown: str) -> None:
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise OptionError(
            f"the database {shown} is in memory and jobs would be lost; name a file, as in "
            "sqlite:////var/lib/geodl/jobs.sqlite"
        )


def _set_up_sqlite(reader: Engine, writer: Engine) -> None:
    event.listen(writer, "connect", _set_pragmas)
    event.listen(writer, "begin", _begin_immediate)
    event.listen(reader, "connect", _set_pragmas)


def _set_pragmas(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # else the driver begins transactions when it likes to
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
