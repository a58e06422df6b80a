"""A result takes its place: its files move, then one transaction changes job and service together.

Before that transaction nobody sees anything of it, after it everybody sees all of it.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from geodl_lab.errors import AccessError, CancelledError, OptionError
from geodl_lab.jobs import catalog as catalogs
from geodl_lab.jobs import store as stores
from geodl_lab.jobs.catalog import Catalog, Item, Service, ServiceKind, new_item_id
from geodl_lab.jobs.database import Database
from geodl_lab.jobs.job import Caller, Job, Level, Message, State
from geodl_lab.jobs.recipes import Change, Classify, Detect, Export, Output, Recipe, Recognize
from geodl_lab.jobs.works import RESULT, Result

KINDS: dict[type, ServiceKind] = {
    Classify: "raster",
    Change: "raster",
    Detect: "features",
    Recognize: "features",
    Export: "folder",
}
"""What each recipe with an output makes, as its page says."""

ITEM_TYPES: dict[ServiceKind, str] = {
    "raster": "Image Service",
    "features": "Feature Service",
    "folder": "Training Samples",
}

NAME = re.compile(r"[A-Za-z0-9_]{1,120}")
"""What the name of a service may be; it is a folder."""


@dataclass(frozen=True)
class Place:
    """Where a result goes.

    Parameters
    ----------
    service
        Name of the service.
    kind
        What it serves.
    item
        The item to be filled; None makes a new one.
    output
        What the client asked for.
    """

    service: str
    kind: ServiceKind
    item: Item | None
    output: Output


def find_place(recipe: Recipe, job: Job, catalog: Catalog, caller: Caller) -> Place | None:
    """Return the place of a recipe's result, None if it has none.

    Raises
    ------
    AccessError
        If the name is taken, or the item is not to be had or serves something else.
    OptionError
        If the name is not possible.
    """
    if (kind := KINDS.get(type(recipe))) is None:
        return None
    output = Output(service=recipe.location) if isinstance(recipe, Export) else _output(recipe)
    if output.item:
        item, service = _existing(output.item, kind, catalog, caller)
        return Place(service.name, kind, item, output)
    name = output.service or job.id
    if not NAME.fullmatch(name):
        raise OptionError(
            f"the name {name[:200]!r} is not possible; use letters, digits and _, 120 at most"
        )
    if not catalog.is_free(name):
        raise AccessError(catalogs.taken(name))
    return Place(name, kind, None, output)


def publish(
    database: Database, job: Job, result: Result, *, place: Place | None, folder: Path, words: str
) -> None:
    """Let a job succeed, and its result be seen.

    Parameters
    ----------
    database
        Of jobs and services.
    job
        A running job.
    result
        What it made.
    place
        Where that goes; None keeps its values with the job only.
    folder
        The folder of all services; files go to ``<service>/<job's id>`` in it.
    words
        The job's last message.

    Raises
    ------
    AccessError
        If the name was taken meanwhile, or the service deleted.
    CancelledError
        If somebody cancelled the job.
    """
    if place is None:
        database.write(_Success(job, result, None, {}, words))
        return
    target = folder / place.service / job.id
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    try:
        files = _moved(result, target)
        database.write(_Success(job, result, place, files, words))
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    for older in set(target.parent.iterdir()) - {target}:
        os.utime(older)  # its time to go begins now: somebody may be reading it


@dataclass(frozen=True)
class _Success:
    """The change of the database."""

    job: Job
    result: Result
    place: Place | None
    files: Mapping[str, str]
    words: str

    def __call__(self, connection: Connection) -> None:
        item = self._fill(connection) if self.place else None
        results: dict[str, Any] = {"values": dict(self.result.values)}
        if self.place and item:
            results |= {"service": self.place.service, "item": item.id}
        if not stores.end(connection, self.job.id, State.SUCCEEDED, results):
            raise CancelledError("the job was cancelled before its result was published")
        stores.say(connection, self.job.id, [Message(Level.INFO, self.words, time.time())])

    def _fill(self, connection: Connection) -> Item:
        place = self.place
        assert place is not None
        item, now = place.item or self._new_item(place), time.time()
        if place.item is None:
            service = Service(place.service, place.kind, item.owner, item.id, created=now)
            catalogs.add_service(connection, service)
            catalogs.save_item(connection, item)
        info = {**self.result.values, "job": self.job.id}
        catalogs.fill_service(connection, place.service, self.files, info)
        return item

    def _new_item(self, place: Place) -> Item:
        now = time.time()
        return Item(
            new_item_id(),
            self.job.owner,
            ITEM_TYPES[place.kind],
            place.output.title or place.service,
            folder=place.output.folder,
            service=place.service,
            created=now,
            modified=now,
        )


def done_message(pixels: int, seconds: float) -> str:
    """Return the last message of a job that succeeded."""
    words = f"The job is done after {seconds:.1f} s."
    if pixels:
        millions = pixels / 1e6
        words = (
            f"The job is done: {millions:.3g} million pixels in {seconds:.1f} s, "
            f"{millions / max(seconds, 1e-9):.3g} million a second."
        )
    return words


def _output(recipe: Recipe) -> Output:
    assert isinstance(recipe, Classify | Change | Detect | Recognize)
    return recipe.output


def _existing(id: str, kind: ServiceKind, catalog: Catalog, caller: Caller) -> tuple[Item, Service]:
    item = catalog.item(id, caller)
    if not item.service:
        raise AccessError(f"the item {id!r} is no service; name one that is, or none")
    service = catalog.service(item.service, caller)
    if service.kind != kind:
        raise AccessError(
            f"the item {id!r} is for {service.kind} and this job makes {kind}; name another item"
        )
    return item, service


def _moved(result: Result, target: Path) -> dict[str, str]:
    """Move the files of a result and bring them to the disk; return where they are then."""
    moved = {role: str(target / Path(name).name) for role, name in result.files.items()}
    for path in {one for name in result.files.values() for one in _with_beside(Path(name))}:
        os.rename(path, target / path.name)
    for path in [*target.rglob("*"), target]:
        _sync(path)
    return moved


def _with_beside(path: Path) -> list[Path]:
    return list(path.parent.iterdir()) if path.parent.name == RESULT else [path]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
