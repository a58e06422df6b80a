"""The tables of a server: jobs, what they said, services and items."""

from __future__ import annotations

import enum

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Double,
    Enum,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

from geodl_lab.jobs.job import Level, State

METADATA = MetaData()


def _values(kind: type[enum.StrEnum]) -> list[str]:
    return [one.value for one in kind]


def _words(kind: type[enum.StrEnum]) -> Enum:
    """Keep the words of an enumeration as text: the same in every database."""
    return Enum(kind, native_enum=False, length=20, values_callable=_values)


JOBS = Table(
    "jobs",
    METADATA,
    # Jobs of one moment keep the order in which they were accepted.
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("owner", String(200), nullable=False),
    Column("admin", Boolean, nullable=False),
    Column("lane", String(20), nullable=False),
    Column("recipe", JSON, nullable=False),
    Column("request", JSON, nullable=False),
    Column("state", _words(State), nullable=False),
    Column("percent", Double, nullable=False),
    Column("cancelling", Boolean, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("results", JSON, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created", Double, nullable=False),
    Column("started", Double),
    Column("finished", Double),
    Index("jobs_waiting", "state", "lane", "priority", "number"),
    Index("jobs_finished", "finished"),
)

MESSAGES = Table(
    "messages",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("job", String(40), nullable=False, index=True),
    Column("level", _words(Level), nullable=False),
    Column("text", Text, nullable=False),
    Column("time", Double, nullable=False),
)

SERVICES = Table(
    "services",
    METADATA,
    Column("name", String(200), primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("owner", String(200), nullable=False),
    Column("item", String(40), nullable=False),
    Column("files", JSON, nullable=False),
    Column("info", JSON, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created", Double, nullable=False),
    Column("modified", Double, nullable=False),
)

ITEMS = Table(
    "items",
    METADATA,
    Column("id", String(40), primary_key=True),
    Column("owner", String(200), nullable=False, index=True),
    Column("type", String(200), nullable=False),
    Column("title", Text, nullable=False),
    Column("folder", String(200), nullable=False),
    Column("service", String(200), nullable=False),
    Column("model", Text, nullable=False),
    Column("store", Text, nullable=False),
    Column("file", Text, nullable=False),
    Column("properties", JSON, nullable=False),
    Column("created", Double, nullable=False),
    Column("modified", Double, nullable=False),
)
