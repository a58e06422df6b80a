"""What a job is: small frozen values, the same for every protocol."""

from __future__ import annotations

import enum
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class State(enum.StrEnum):
    """Where a job stands; each protocol has a table to its own words."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Tell whether nothing can change any more."""
        return self in (State.SUCCEEDED, State.FAILED, State.CANCELLED)


class Level(enum.StrEnum):
    """What kind of message it is."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Parameters
    ----------
    owner
        What stands for the key, in jobs and results; never the key itself.
    admin
        Whether the jobs and results of all keys are visible.
    """

    owner: str
    admin: bool = False

    def may_see(self, owner: str) -> bool:
        """Tell whether what belongs to ``owner`` is visible; what belongs to "" is to everybody."""
        return self.admin or owner in ("", self.owner)


@dataclass(frozen=True, slots=True)
class Message:
    """One line that a job said; never changed, never removed before the job.

    Parameters
    ----------
    level, text
        What it says, one sentence.
    time
        Seconds since 1970.
    """

    level: Level
    text: str
    time: float


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the store knows it.

    Parameters
    ----------
    id
        ``j`` and 32 hexadecimal digits.
    owner
        As in `Caller`.
    recipe
        What is to be done, as `recipes.to_json` gives it.
    request
        What the client sent, for the protocol's own answers: ``protocol``, ``task``,
        ``parameters``; no key and no token.
    state, percent
        Where it stands; 0..100.
    cancelling
        Whether somebody asked to cancel it.
    priority
        Higher goes first; images are 10, jobs 0.
    results
        What came out, in our words: ``service`` (name), ``item`` (id), ``values``.
    attempts
        How often it was begun.
    created, started, finished
        Seconds since 1970; None where that has not happened.
    """

    id: str
    owner: str
    recipe: Mapping[str, Any]
    request: Mapping[str, Any] = field(default_factory=dict)
    state: State = State.PENDING
    percent: float = 0.0
    cancelling: bool = False
    priority: int = 0
    results: Mapping[str, Any] = field(default_factory=dict)
    attempts: int = 0
    created: float = 0.0
    started: float | None = None
    finished: float | None = None


def new_id() -> str:
    """Return an id that nobody can guess."""
    return f"j{secrets.token_hex(16)}"
