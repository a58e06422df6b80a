"""Where jobs are kept: each change is on the disk when its method returns."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from geodl_lab.errors import BusyError
from geodl_lab.jobs.database import Database
from geodl_lab.jobs.job import Caller, Job, Level, Message, State
from geodl_lab.jobs.tables import JOBS, MESSAGES

PROGRESS_SECONDS = 0.5
"""Progress of a job is written no more often than this."""

_FIELDS = [JOBS.c[field.name] for field in dataclasses.fields(Job)]
_UNFINISHED = (State.PENDING, State.RUNNING)
_WAITING = select(func.count()).select_from(JOBS).where(JOBS.c.state == State.PENDING)


CANCELLED = "The job was cancelled."


@dataclass(frozen=True)
class End:
    """How a job ends.

    Parameters
    ----------
    id
        The job's.
    state
        Final.
    message
        The last one.
    results
        Of a job that succeeded.
    """

    id: str
    state: State
    message: Message
    results: Mapping[str, Any] = field(default_factory=dict)


class Store:
    """Jobs and their messages.

    Parameters
    ----------
    database
        Where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._written: dict[str, float] = {}

    def add(self, job: Job, *, lane: str, admin: bool, limit: int) -> None:
        """Keep a new job, which waits in a lane.

        Raises
        ------
        BusyError
            If ``limit`` jobs wait already.
        """
        values = {**_values(job), "lane": lane, "admin": admin}

        def change(connection: Connection) -> None:
            waiting = connection.execute(_WAITING).scalar_one()
            if waiting >= limit:
                raise BusyError(
                    f"{waiting} jobs wait and the server takes no more than {limit}; "
                    "send the same request again later"
                )
            connection.execute(insert(JOBS).values(values))
            say(connection, job.id, (Message(Level.INFO, "The job is queued.", job.created),))

        self._database.write(change)

    def get(self, id: str) -> Job | None:
        """Return a job, or None where there is none."""
        with self._database.read() as connection:
            row = connection.execute(select(*_FIELDS).where(JOBS.c.id == id)).first()
        return None if row is None else _job(row)

    def newest(self, caller: Caller, *, kinds: Sequence[str] = (), limit: int) -> list[Job]:
        """Return the last jobs that a caller may see, of some kinds of recipes or all."""
        query = select(*_FIELDS).order_by(JOBS.c.number.desc()).limit(limit)
        if not caller.admin:
            query = query.where(JOBS.c.owner == caller.owner)
        if kinds:
            query = query.where(JOBS.c.recipe["kind"].as_string().in_(kinds))
        with self._database.read() as connection:
            return [_job(row) for row in connection.execute(query)]

    def caller(self, job: Job) -> Caller:
        """Return who asked for a job."""
        with self._database.read() as connection:
            admin = connection.scalar(select(JOBS.c.admin).where(JOBS.c.id == job.id))
        return Caller(job.owner, admin=bool(admin))

    def messages(self, id: str) -> list[Message]:
        """Return all that a job said, oldest first."""
        columns = (MESSAGES.c.level, MESSAGES.c.text, MESSAGES.c.time)
        query = select(*columns).where(MESSAGES.c.job == id).order_by(MESSAGES.c.number)
        with self._database.read() as connection:
            return [Message(*row) for row in connection.execute(query)]

    def say(self, id: str, level: Level, *texts: str) -> None:
        """Add messages to a job."""
        now = time.time()
        messages = [Message(level, text, now) for text in texts]
        if messages:
            self._database.write(lambda connection: say(connection, id, messages))

    def progress(self, id: str, percent: float) -> None:
        """Write how far a running job is, unless that was written a moment ago."""
        now = time.monotonic()
        if now - self._written.get(id, -PROGRESS_SECONDS) < PROGRESS_SECONDS:
            return
        self._written[id] = now
        values = update(JOBS).where(JOBS.c.id == id, JOBS.c.state == State.RUNNING)
        self._database.write(lambda connection: connection.execute(values.values(percent=percent)))

    def claim(self, lane: str, most: int = 1) -> list[Job]:
        """Take the jobs of a lane that are to run next, which then are running."""
        best = (
            select(*_FIELDS)
            .where(JOBS.c.state == State.PENDING, JOBS.c.lane == lane)
            .order_by(JOBS.c.priority.desc(), JOBS.c.number)
            .limit(most)
        )

        def change(connection: Connection) -> list[Job]:
            return [_begun(connection, _job(row)) for row in connection.execute(best).all()]

        with self._database.read() as connection:  # nothing to take costs no wait for the disk
            if connection.execute(best.limit(1)).first() is None:
                return []
        return self._database.write(change)

    def cancelling(self, ids: Sequence[str]) -> list[str]:
        """Return which of some jobs somebody asked to cancel."""
        query = select(JOBS.c.id).where(JOBS.c.id.in_(ids), JOBS.c.cancelling)
        with self._database.read() as connection:
            return list(connection.scalars(query))

    def cancel(self, id: str) -> Job | None:
        """Ask a job to stop: one that waits is cancelled, one that runs is marked."""

        def change(connection: Connection) -> None:
            ended = {"state": State.CANCELLED, "cancelling": True, "finished": time.time()}
            if _set(connection, id, ended, State.PENDING):
                text = "The job was cancelled before it began."
                say(connection, id, (Message(Level.INFO, text, time.time()),))
            else:
                _set(connection, id, {"cancelling": True}, State.RUNNING)

        self._database.write(change)
        return self.get(id)

    def end(self, id: str, state: State, messages: Iterable[Message] = ()) -> None:
        """Let a running job be failed or cancelled, with its last messages."""

        def change(connection: Connection) -> None:
            if end(connection, id, state):
                say(connection, id, messages)

        self._written.pop(id, None)
        self._database.write(change)

    def end_all(self, ends: Sequence[End]) -> dict[str, State]:
        """Let running jobs end, in one transaction; return the state of each that did.

        What succeeded is cancelled if somebody asked for that meanwhile.
        """

        def change(connection: Connection) -> dict[str, State]:
            states = ((one, _end_one(connection, one)) for one in ends)
            return {one.id: state for one, state in states if state is not None}

        return self._database.write(change)

    def release(self, *ids: str, lane: str = "") -> None:
        """Let running jobs wait again, in their old place; they go on from finished parts.

        With ``lane`` they wait in another lane.
        """
        values = {"state": State.PENDING} | ({"lane": lane} if lane else {})

        def change(connection: Connection) -> None:
            for id in ids:
                _set(connection, id, values, State.RUNNING)

        self._database.write(change)

    def running(self) -> list[Job]:
        """Return the jobs that are marked as running, oldest first."""
        query = select(*_FIELDS).where(JOBS.c.state == State.RUNNING).order_by(JOBS.c.number)
        with self._database.read() as connection:
            return [_job(row) for row in connection.execute(query)]

    def counts(self) -> dict[State, int]:
        """Return how many jobs are in each state."""
        query = select(JOBS.c.state, func.count()).group_by(JOBS.c.state)
        with self._database.read() as connection:
            found = {state: count for state, count in connection.execute(query)}
        return {state: found.get(state, 0) for state in State}

    def finished(self) -> list[tuple[str, float]]:
        """Return id and end (seconds since 1970) of all jobs that can not change, oldest first."""
        query = (
            select(JOBS.c.id, JOBS.c.finished)
            .where(JOBS.c.state.not_in(_UNFINISHED))
            .order_by(JOBS.c.finished)
        )
        with self._database.read() as connection:
            return [(row.id, row.finished or 0.0) for row in connection.execute(query)]

    def remove(self, id: str) -> None:
        """Forget a finished job and its messages."""

        def change(connection: Connection) -> None:
            gone = delete(JOBS).where(JOBS.c.id == id, JOBS.c.state.not_in(_UNFINISHED))
            if connection.execute(gone).rowcount:
                connection.execute(delete(MESSAGES).where(MESSAGES.c.job == id))

        self._database.write(change)


def say(connection: Connection, id: str, messages: Iterable[Message]) -> None:
    """Add messages to a job, in a transaction."""
    rows = [{"job": id, **dataclasses.asdict(message)} for message in messages]
    if rows:
        connection.execute(insert(MESSAGES), rows)


def end(
    connection: Connection, id: str, state: State, results: Mapping[str, Any] | None = None
) -> bool:
    """Let a running job end, in a transaction; False, and nothing, if it does not run any more.

    A job that somebody cancels cannot succeed.
    """
    values: dict[str, Any] = {"state": state, "finished": time.time()}
    if state is State.SUCCEEDED:
        return _set(
            connection,
            id,
            values | {"percent": 100.0, "results": dict(results or {})},
            State.RUNNING,
            cancelling=False,
        )
    return _set(connection, id, values, State.RUNNING)


def _begun(connection: Connection, job: Job) -> Job:
    """Mark a waiting job as running."""
    started = job.started or time.time()
    begun = dataclasses.replace(
        job, state=State.RUNNING, attempts=job.attempts + 1, started=started
    )
    names = ("state", "attempts", "started")
    _set(connection, job.id, {name: getattr(begun, name) for name in names})
    return begun


def _end_one(connection: Connection, one: End) -> State | None:
    """Let one job end; None if it does not run any more."""
    state, message = one.state, one.message
    done = end(connection, one.id, state, one.results)
    if not done and state is State.SUCCEEDED:
        state = State.CANCELLED
        message = dataclasses.replace(message, level=Level.INFO, text=CANCELLED)
        done = end(connection, one.id, state)
    if not done:
        return None
    say(connection, one.id, (message,))
    return state


def _set(
    connection: Connection, id: str, values: Mapping[str, Any], *states: State, **where: Any
) -> bool:
    query = update(JOBS).where(JOBS.c.id == id)
    if states:
        query = query.where(JOBS.c.state.in_(states))
    for name, value in where.items():
        query = query.where(JOBS.c[name] == value)
    return connection.execute(query.values(**values)).rowcount > 0


def _values(job: Job) -> dict[str, Any]:
    values = {field.name: getattr(job, field.name) for field in dataclasses.fields(Job)}
    return values | {name: dict(values[name]) for name in ("recipe", "request", "results")}


def _job(row: Row[Any]) -> Job:
    return Job(**row._mapping)
