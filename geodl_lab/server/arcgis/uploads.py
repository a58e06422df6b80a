"""Files that clients send for an item: at once, or in parts that are put together at the end.

Source: ArcGIS REST API, Add Item, Add Part and Commit. A file is whole or it is not there.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from starlette.concurrency import run_in_threadpool

from geodl_lab.checkpoints import sync
from geodl_lab.errors import OutputError
from geodl_lab.jobs.catalog import Item, new_item_id
from geodl_lab.server.arcgis.content import (
    IN_FOLDER,
    ITEM,
    OWN,
    USER,
    checked_user,
    folder_id,
    upload_folder,
)
from geodl_lab.server.arcgis.content import item_of as visible_item
from geodl_lab.server.arcgis.content import own as own_item
from geodl_lab.server.arcgis.items import PACKAGE, properties_of, title_of
from geodl_lab.server.arcgis.values import truth_of, whole_of
from geodl_lab.server.arcgis.web import (
    NO_STORE,
    ArcgisError,
    Parameters,
    parameters,
    received,
    respond,
)
from geodl_lab.server.context import core_of

router = APIRouter(tags=["ArcGIS portal"])

TYPES = {
    ".dlpk": PACKAGE, ".zip": PACKAGE, ".tif": "Image", ".tiff": "Image", ".png": "Image",
    ".jpg": "Image", ".jpeg": "Image", ".jp2": "Image",
}  # fmt: skip
"""What can be sent: the ending of a file's name, and the type of its item."""

MOST_PARTS = 10_000


@router.post(USER + "/addItem")
async def add_item(request: Request, user: str) -> Response:
    """Keep a file as an item, or an item whose file comes in parts."""
    async with received(request) as given:
        return respond(await run_in_threadpool(_added, request, user, "", given), given)


@router.post(IN_FOLDER + "/addItem")
async def add_item_in(request: Request, user: str, folder: str) -> Response:
    """Keep a file as an item of a folder."""
    async with received(request) as given:
        return respond(await run_in_threadpool(_added, request, user, folder, given), given)


@router.post(OWN + "/addPart")
@router.post(IN_FOLDER + "/items/{id}/addPart")
async def add_part(request: Request, user: str, id: str) -> Response:
    """Keep a part of a file."""
    async with received(request) as given:
        await run_in_threadpool(_keep_part, request, id, given)
    return respond({"success": True, "itemId": id, "id": id}, given)


@router.post(OWN + "/commit")
@router.post(IN_FOLDER + "/items/{id}/commit")
async def commit(request: Request, user: str, id: str) -> Response:
    """Put the parts of a file together."""
    given = await parameters(request)
    await run_in_threadpool(_commit, request, id, given)
    return respond({"success": True, "itemId": id, "id": id}, given)


@router.get(OWN + "/status")
@router.post(OWN + "/status")
@router.get(IN_FOLDER + "/items/{id}/status")
@router.post(IN_FOLDER + "/items/{id}/status")
async def status(request: Request, user: str, id: str) -> Response:
    """Tell whether an item has its file."""
    given = await parameters(request)
    item = await run_in_threadpool(own_item, request, id)
    state = "partial" if "fileName" in item.properties and not item.file else "completed"
    return respond({"status": state, "statusMessage": state, "itemId": id}, given)


@router.get(ITEM + "/data")
@router.post(ITEM + "/data")
async def data(request: Request, id: str) -> Response:
    """Give the file of an item."""
    item = await run_in_threadpool(visible_item, request, id)
    if not item.file or not Path(item.file).is_file():
        raise ArcgisError(f"the item {id} has no file; its url tells where its data is", code=404)
    return FileResponse(item.file, filename=Path(item.file).name, headers=NO_STORE)


def save(source: IO[bytes], target: Path) -> None:
    """Write a file from a stream, whole or not at all; raises OutputError."""
    _write([source], target)


def file_name(given: str) -> str:
    """Return the name of a file, without folders and without signs; raises ArcgisError.

    Its ending must be one of `TYPES`.
    """
    base = re.split(r"[\\/]", given)[-1]
    name = re.sub(r"[^\w.-]+", "_", base, flags=re.ASCII).strip("._")[-100:].lstrip("._-")
    if Path(name).suffix.lower() not in TYPES:
        raise ArcgisError(
            f"the file {given[:100]!r} cannot be an item; send one that ends in {', '.join(TYPES)}"
        )
    return name


def _added(request: Request, user: str, folder: str, given: Parameters) -> dict[str, Any]:
    core, caller = core_of(request), checked_user(request, user)
    file, parts = given.files.get("file"), truth_of("multipart", given.text("multipart", "false"))
    if file is None and not parts:
        raise ArcgisError("addItem has no file; send one as the field 'file' of a form")
    name = file_name(given.text("fileName") or (file.filename or "" if file else ""))
    item = Item(
        new_item_id(),
        caller.owner,
        given.text("type") or TYPES[Path(name).suffix.lower()],
        title_of(given.text("title"), Path(name).stem),
        folder=folder_id(core, caller, folder),
        properties=properties_of(given) | {"fileName": name},
    )
    if file is not None:
        target = _folder(request, item) / name
        save(file.file, target)
        item = dataclasses.replace(item, file=str(target))
    core.catalog.save(item)
    return {"success": True, "id": item.id, "folder": item.folder}


def _keep_part(request: Request, id: str, given: Parameters) -> None:
    item, file = _unfinished(request, id), given.files.get("file")
    number = whole_of("partNum", given.text("partNum"), least=1)
    if file is None or number > MOST_PARTS:
        raise ArcgisError(f"a part is a file with a partNum of 1 to {MOST_PARTS}; send both")
    save(file.file, _folder(request, item) / f"part-{number}")


def _commit(request: Request, id: str, given: Parameters) -> None:
    item = _unfinished(request, id)
    folder = _folder(request, item)
    found = {int(path.name[5:]): path for path in folder.glob("part-*") if path.name[5:].isdigit()}
    missing = [number for number in range(1, max(found, default=1) + 1) if number not in found]
    if missing:
        raise ArcgisError(f"part {missing[0]} of the item {id} is missing; send it with addPart")
    target = folder / str(item.properties["fileName"])
    _join([found[number] for number in sorted(found)], target)
    properties = dict(item.properties) | properties_of(given)
    core_of(request).catalog.save(
        dataclasses.replace(item, file=str(target), properties=properties)
    )
    for path in found.values():
        path.unlink(missing_ok=True)


def _unfinished(request: Request, id: str) -> Item:
    item = own_item(request, id)
    if "fileName" not in item.properties or item.file:
        raise ArcgisError(
            f"the item {id} waits for no parts; addItem with multipart=true makes one"
        )
    return item


def _folder(request: Request, item: Item) -> Path:
    return upload_folder(core_of(request), item)


def _join(parts: Iterable[Path], target: Path) -> None:
    streams = [path.open("rb") for path in parts]
    try:
        _write(streams, target)
    finally:
        for stream in streams:
            stream.close()


def _write(sources: Iterable[IO[bytes]], target: Path) -> None:
    beside = target.with_name(f".{uuid.uuid4().hex}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as stream:
            for source in sources:
                shutil.copyfileobj(source, stream, 2**20)
        sync(beside)
        os.replace(beside, target)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise OutputError(f"the file could not be kept ({error.strerror}); make room") from error
