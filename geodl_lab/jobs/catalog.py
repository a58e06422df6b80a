"""What is published: services with their files, and the items that a portal lists."""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from sqlalchemy import Connection, Row, Table, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from geodl_lab.errors import AccessError
from geodl_lab.jobs.database import Database
from geodl_lab.jobs.job import Caller
from geodl_lab.jobs.tables import ITEMS, SERVICES

ServiceKind = Literal["raster", "features", "folder"]
Kept = TypeVar("Kept", "Service", "Item")


@dataclass(frozen=True, slots=True)
class Service:
    """A published result, or a place that waits for one.

    Parameters
    ----------
    name
        Unique, letters, digits and ``_``.
    kind
        What it serves.
    owner
        As in `Caller`; "" is everybody.
    item
        Id of its item.
    files
        Absolute paths by role, as in `works.Result.files`; empty until a job fills it.
    info
        Plain values, as in `works.Result.values`, and ``job``: id of the job that filled it.
    version
        Counts how often it was filled; for caches.
    created, modified
        Seconds since 1970.
    """

    name: str
    kind: ServiceKind
    owner: str
    item: str
    files: Mapping[str, str] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    version: int = 0
    created: float = 0.0
    modified: float = 0.0


@dataclass(frozen=True, slots=True)
class Item:
    """What a portal lists.

    Parameters
    ----------
    id
        32 hexadecimal digits.
    owner
        As in `Caller`; "" is everybody.
    type
        ``Image Service``, ``Feature Service``, ``Deep Learning Package``, ``Image Collection`` or
        what a client gave.
    title
        For people; of models their name.
    folder
        Of its owner, or "".
    service, model, store, file
        What is behind it, "" for none: the name of a service, the reference of a model, the
        ``NAME/path`` of a raster in a store, the absolute path of an uploaded file.
    properties
        Whatever the client set: tags, description, and so on.
    created, modified
        Seconds since 1970.
    """

    id: str
    owner: str
    type: str
    title: str
    folder: str = ""
    service: str = ""
    model: str = ""
    store: str = ""
    file: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict)
    created: float = 0.0
    modified: float = 0.0


class Catalog:
    """Services and items; what a caller may not see is, to it, not there.

    Parameters
    ----------
    database
        Where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def service(self, name: str, caller: Caller) -> Service:
        """Return a service by name; raises AccessError where there is none to be seen."""
        found = self._find(SERVICES, SERVICES.c.name == name)
        if not found or not caller.may_see(found.owner):
            raise AccessError(f"there is no service {name[:200]!r}; look at the list of services")
        return _service(found)

    def services(self, caller: Caller) -> list[Service]:
        """Return all services that a caller may see, by name."""
        query = select(SERVICES).where(_visible(SERVICES, caller)).order_by(SERVICES.c.name)
        with self._database.read() as connection:
            return [_service(row) for row in connection.execute(query)]

    def is_free(self, name: str) -> bool:
        """Tell whether no service has a name, whoever would own it."""
        return self._find(SERVICES, SERVICES.c.name == name) is None

    def create(self, name: str, kind: ServiceKind, owner: str, item: Item) -> tuple[Service, Item]:
        """Make an empty service and its item; raises AccessError if the name is taken."""
        made = _stamped(dataclasses.replace(item, service=name))
        service = _stamped(Service(name, kind, owner, item.id))

        def change(connection: Connection) -> None:
            add_service(connection, service)
            save_item(connection, made)

        self._database.write(change)
        return service, made

    def item(self, id: str, caller: Caller) -> Item:
        """Return an item; raises AccessError where there is none to be seen."""
        found = self._find(ITEMS, ITEMS.c.id == id)
        if not found or not caller.may_see(found.owner):
            raise AccessError(f"there is no item {id[:200]!r}; look at the list of items")
        return _item(found)

    def items(self, caller: Caller, *, folder: str | None = None) -> list[Item]:
        """Return the items that a caller may see, newest first."""
        query = select(ITEMS).where(_visible(ITEMS, caller))
        if folder is not None:
            query = query.where(ITEMS.c.folder == folder)
        query = query.order_by(ITEMS.c.created.desc(), ITEMS.c.id)
        with self._database.read() as connection:
            return [_item(row) for row in connection.execute(query)]

    def save(self, item: Item) -> None:
        """Keep a new item, or a changed one."""
        self._database.write(lambda connection: save_item(connection, _stamped(item)))

    def delete(self, item: Item) -> None:
        """Remove an item, its service and, later, their files."""

        def change(connection: Connection) -> None:
            connection.execute(delete(ITEMS).where(ITEMS.c.id == item.id))
            connection.execute(delete(SERVICES).where(SERVICES.c.item == item.id))

        self._database.write(change)

    def files(self) -> set[str]:
        """Return the paths of all files that are published, whoever owns them."""
        with self._database.read() as connection:
            named = [
                path
                for files in connection.scalars(select(SERVICES.c.files))
                for path in files.values()
            ]
            uploads = connection.scalars(select(ITEMS.c.file).where(ITEMS.c.file != "")).all()
        return {*named, *uploads}

    def move_to(self, folder: Path) -> None:
        """Name all files below a data folder, which may have been moved, or restored, to here."""

        def change(connection: Connection) -> None:
            for name, files in connection.execute(select(SERVICES.c.name, SERVICES.c.files)).all():
                here = {role: _below(folder, f"services/{name}", at) for role, at in files.items()}
                if here != files:
                    one = update(SERVICES).where(SERVICES.c.name == name)
                    connection.execute(one.values(files=here))
            for id, file in connection.execute(select(ITEMS.c.id, ITEMS.c.file)).all():
                if (moved := _below(folder, f"uploads/{id}", file)) != file:
                    connection.execute(update(ITEMS).where(ITEMS.c.id == id).values(file=moved))

        self._database.write(change)

    def _find(self, table: Table, condition: Any) -> Row[Any] | None:
        with self._database.read() as connection:
            return connection.execute(select(table).where(condition)).first()


def _below(folder: Path, place: str, path: str) -> str:
    """Return where in a data folder a file is that lay at a place (services/NAME) of another."""
    _, found, rest = path.rpartition(f"/{place}/")
    return str(folder / place / rest) if found else path


def new_item_id() -> str:
    """Return the id of a new item."""
    return secrets.token_hex(16)


def add_service(connection: Connection, service: Service) -> None:
    """Keep a new service, in a transaction.

    Raises
    ------
    AccessError
        If its name is taken.
    """
    try:
        with connection.begin_nested():
            connection.execute(insert(SERVICES).values(_plain(service)))
    except IntegrityError as error:
        raise AccessError(taken(service.name)) from error


def fill_service(
    connection: Connection, name: str, files: Mapping[str, str], info: Mapping[str, Any]
) -> None:
    """Let a service name other files, in a transaction.

    Raises
    ------
    AccessError
        If there is no such service any more.
    """
    query = update(SERVICES).where(SERVICES.c.name == name)
    values = {"files": dict(files), "info": dict(info), "modified": time.time()}
    changed = connection.execute(query.values(version=SERVICES.c.version + 1, **values))
    if not changed.rowcount:
        raise AccessError(f"the service {name!r} was deleted meanwhile; send the job again")


def save_item(connection: Connection, item: Item) -> None:
    """Keep a new item, or a changed one, in a transaction."""
    values = _plain(item)
    changed = connection.execute(update(ITEMS).where(ITEMS.c.id == item.id).values(values))
    if not changed.rowcount:
        connection.execute(insert(ITEMS).values(values))


def taken(name: str) -> str:
    """Return what to say of a name that is taken."""
    return f"the name {name!r} is taken by another service; choose another name"


def _stamped(value: Kept) -> Kept:
    now = time.time()
    return dataclasses.replace(value, created=value.created or now, modified=now)


def _visible(table: Table, caller: Caller) -> Any:
    mine = or_(table.c.owner == "", table.c.owner == caller.owner)
    return or_(mine, table.c.owner != "") if caller.admin else mine


def _plain(value: Service | Item) -> dict[str, Any]:
    values = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {name: dict(one) if isinstance(one, Mapping) else one for name, one in values.items()}


def _service(row: Row[Any]) -> Service:
    return Service(**row._mapping)


def _item(row: Row[Any]) -> Item:
    return Item(**row._mapping)
