"""Documents: what a protocol keeps beside jobs and services, as a number, an owner and JSON."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, insert, select, update

from geodl_lab.errors import AccessError
from geodl_lab.jobs.database import Database
from geodl_lab.jobs.given_files import Given, sync_folder, write_files
from geodl_lab.jobs.job import Caller, new_id
from geodl_lab.jobs.tables import DOCUMENTS

Value = TypeVar("Value")

MOST_ID = 2**63 - 1
"""Greatest number that the databases know."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document.

    Parameters
    ----------
    id
        Its number, never given again.
    kind
        What it is; its protocol's word.
    owner
        As in `Caller`.
    values
        What it says, JSON.
    created, updated
        Seconds since 1970.
    """

    id: int
    kind: str
    owner: str
    values: Mapping[str, Any]
    created: float
    updated: float


class Transaction:
    """Changes that are kept all or none; made by `Documents.write`.

    Every method raises AccessError where there is no such document to be seen.

    Parameters
    ----------
    connection
        Inside a transaction, or to read with.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.deleted: list[tuple[str, int]] = []

    def add(self, kind: str, owner: str, values: Mapping[str, Any]) -> Document:
        """Keep a new document."""
        now = time.time()
        row = {"kind": kind, "owner": owner, "content": dict(values), "created": now}
        made = self._connection.execute(insert(DOCUMENTS).values(**row, updated=now))
        assert made.inserted_primary_key is not None
        return Document(made.inserted_primary_key[0], kind, owner, dict(values), now, now)

    def get(self, kind: str, id: int, caller: Caller) -> Document:
        """Return a document."""
        query = select(DOCUMENTS).where(_is(kind, id))
        row = self._connection.execute(query).first() if 0 < id <= MOST_ID else None
        if row is None or not caller.may_see(row.owner):
            raise AccessError(f"there is no {kind} {id}; list those that there are")
        return _document(row)

    def list(
        self, kind: str, caller: Caller, *, offset: int = 0, limit: int | None = None, **equal: Any
    ) -> tuple[int, list[Document]]:
        """Return how many documents there are, and some of them, the oldest first.

        Parameters
        ----------
        kind, caller
            Which, and who asks.
        offset, limit
            Those that are returned; None is all.
        equal
            What their values hold: numbers or text by key.
        """
        where = and_(
            DOCUMENTS.c.kind == kind, _seen_by(caller), *(_holds(*one) for one in equal.items())
        )
        count = self._connection.execute(select(func.count()).where(where)).scalar_one()
        query = select(DOCUMENTS).where(where).order_by(DOCUMENTS.c.id)
        query = query.offset(offset) if limit is None else query.offset(offset).limit(limit)
        return count, [_document(row) for row in self._connection.execute(query)]

    def update(self, kind: str, id: int, caller: Caller, values: Mapping[str, Any]) -> Document:
        """Replace some of a document's values."""
        now, known = time.time(), self.get(kind, id, caller)
        content = {**known.values, **values}
        change = update(DOCUMENTS).where(_is(kind, id)).values(content=content, updated=now)
        self._connection.execute(change)
        return Document(id, kind, known.owner, content, known.created, now)

    def delete(self, kind: str, id: int, caller: Caller) -> None:
        """Remove a document; its files go once the transaction is kept."""
        self.get(kind, id, caller)
        self._connection.execute(delete(DOCUMENTS).where(_is(kind, id)))
        self.deleted.append((kind, id))


class Documents:
    """All documents of a server, with files.

    Parameters
    ----------
    database
        Where they are.
    folder
        For their files, in ``<kind>/<id>``.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        self._database, self._folder = database, folder

    def write(self, change: Callable[[Transaction], Value]) -> Value:
        """Make several changes in one transaction; none is kept if ``change`` raises."""

        def changed(connection: Connection) -> tuple[Value, list[tuple[str, int]]]:
            transaction = Transaction(connection)
            return change(transaction), transaction.deleted

        value, deleted = self._database.write(changed)
        for kind, id in deleted:
            shutil.rmtree(self.folder(kind, id), ignore_errors=True)
        return value

    def add(
        self,
        kind: str,
        owner: str,
        values: Mapping[str, Any],
        *,
        files: Mapping[str, Given] | None = None,
    ) -> Document:
        """Keep a new document with its files, which are on the disk before it can be seen.

        Raises
        ------
        OptionError, OutputError
            If a file's name is not possible, or the disk is full.
        """
        rough = self._folder / kind / f".{new_id()}"
        if files:
            write_files(rough, files)

        def change(transaction: Transaction) -> Document:
            made = transaction.add(kind, owner, values)
            if files:
                place = self.folder(kind, made.id)
                shutil.rmtree(place, ignore_errors=True)  # of a transaction that was not kept
                rough.rename(place)
                sync_folder(place.parent)
            return made

        try:
            return self.write(change)
        finally:
            shutil.rmtree(rough, ignore_errors=True)

    def get(self, kind: str, id: int, caller: Caller) -> Document:
        """Return a document; raises AccessError where there is none to be seen."""
        with self._database.read() as connection:
            return Transaction(connection).get(kind, id, caller)

    def list(
        self, kind: str, caller: Caller, *, offset: int = 0, limit: int | None = None, **equal: Any
    ) -> tuple[int, list[Document]]:
        """Return how many documents there are, and some of them, as `Transaction.list`."""
        with self._database.read() as connection:
            return Transaction(connection).list(kind, caller, offset=offset, limit=limit, **equal)

    def update(self, kind: str, id: int, caller: Caller, values: Mapping[str, Any]) -> Document:
        """Replace some of a document's values; raises AccessError."""
        return self.write(lambda transaction: transaction.update(kind, id, caller, values))

    def delete(self, kind: str, id: int, caller: Caller) -> None:
        """Remove a document and its files; raises AccessError."""
        self.write(lambda transaction: transaction.delete(kind, id, caller))

    def folder(self, kind: str, id: int) -> Path:
        """Return the folder of a document's files, which is there if it came with any."""
        return self._folder / kind / str(id)


def _is(kind: str, id: int) -> ColumnElement[bool]:
    return and_(DOCUMENTS.c.kind == kind, DOCUMENTS.c.id == id)


def _seen_by(caller: Caller) -> ColumnElement[bool]:
    """Return what `Caller.may_see` says, for the database."""
    if caller.admin:
        return DOCUMENTS.c.id > 0
    return DOCUMENTS.c.owner.in_(["", caller.owner])


def _holds(key: str, value: Any) -> ColumnElement[bool]:
    found = DOCUMENTS.c.content[key]
    same: ColumnElement[bool] = (
        found.as_integer() == value if isinstance(value, int) else found.as_string() == value
    )
    return same


def _document(row: Row[Any]) -> Document:
    return Document(row.id, row.kind, row.owner, row.content, row.created, row.updated)
