"""The tables of a server: jobs, what they said, services, items and documents."""

from __future__ import annotations

import enum

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Dialect,
    Double,
    Enum,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

from geodl_lab.jobs.job import Level, State

METADATA = MetaData()


def _storable(text: str | None) -> str | None:
    """Return a text as every database takes it: JSON can hold halves of characters, and NUL."""
    return text and text.encode("utf-8", "replace").decode().replace("\0", "")


class Line(TypeDecorator[str]):
    """A short text, up to a number of characters."""

    impl, cache_ok = String, True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return what is stored of a value."""
        return _storable(value)


class Words(TypeDecorator[str]):
    """A text of any length."""

    impl, cache_ok = Text, True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return what is stored of a value."""
        return _storable(value)


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
    Column("id", Line(40), nullable=False, unique=True),
    Column("owner", Line(200), nullable=False),
    Column("admin", Boolean, nullable=False),
    Column("lane", Line(20), nullable=False),
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
    Column("job", Line(40), nullable=False, index=True),
    Column("level", _words(Level), nullable=False),
    Column("text", Words, nullable=False),
    Column("time", Double, nullable=False),
)

SERVICES = Table(
    "services",
    METADATA,
    Column("name", Line(200), primary_key=True),
    Column("kind", Line(20), nullable=False),
    Column("owner", Line(200), nullable=False),
    Column("item", Line(40), nullable=False),
    Column("files", JSON, nullable=False),
    Column("info", JSON, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created", Double, nullable=False),
    Column("modified", Double, nullable=False),
)

ITEMS = Table(
    "items",
    METADATA,
    Column("id", Line(40), primary_key=True),
    Column("owner", Line(200), nullable=False, index=True),
    Column("type", Line(200), nullable=False),
    Column("title", Words, nullable=False),
    Column("folder", Line(200), nullable=False),
    Column("service", Line(200), nullable=False),
    Column("model", Words, nullable=False),
    Column("store", Words, nullable=False),
    Column("file", Words, nullable=False),
    Column("properties", JSON, nullable=False),
    Column("created", Double, nullable=False),
    Column("modified", Double, nullable=False),
)

DOCUMENTS = Table(
    "documents",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("kind", Line(40), nullable=False),
    Column("owner", Line(200), nullable=False),
    Column("content", JSON, nullable=False),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
    Index("documents_of", "kind", "owner", "id"),
    sqlite_autoincrement=True,  # else the number of the last one is given again
)
