"""What is published: services with their files, and the items that a portal lists."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from geodl_lab.jobs.job import Caller

ServiceKind = Literal["raster", "features", "folder"]


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


class Catalog(Protocol):
    """Services and items; what a caller may not see is, to it, not there."""

    def service(self, name: str, caller: Caller) -> Service:
        """Return a service by name; raises AccessError where there is none to be seen."""
        ...

    def services(self, caller: Caller) -> list[Service]:
        """Return all services that a caller may see, by name."""
        ...

    def is_free(self, name: str) -> bool:
        """Tell whether no service has a name, whoever would own it."""
        ...

    def create(self, name: str, kind: ServiceKind, owner: str, item: Item) -> tuple[Service, Item]:
        """Make an empty service and its item in one transaction; AccessError if the name is taken."""
        ...

    def item(self, id: str, caller: Caller) -> Item:
        """Return an item; raises AccessError where there is none to be seen."""
        ...

    def items(self, caller: Caller, *, folder: str | None = None) -> list[Item]:
        """Return the items that a caller may see, newest first."""
        ...

    def save(self, item: Item) -> None:
        """Keep a new item, or a changed one."""
        ...

    def delete(self, item: Item) -> None:
        """Remove an item, its service and, later, their files."""
        ...


def new_item_id() -> str:
    """Return the id of a new item."""
    return secrets.token_hex(16)
