"""What users have in the portal: items, folders, services made for results to come.

Source: ArcGIS REST API, Users, groups and content. A folder is an item of a type of its own.
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from geodl_lab.errors import AccessError
from geodl_lab.jobs.catalog import Item, ServiceKind, new_item_id
from geodl_lab.jobs.core import Core
from geodl_lab.jobs.job import Caller
from geodl_lab.server.arcgis import downloads
from geodl_lab.server.arcgis.items import (
    FEATURES,
    FOLDER,
    IMAGES,
    is_listed,
    item_answer,
    item_url,
    properties_of,
    title_of,
    user_name,
)
from geodl_lab.server.arcgis.references import service_name
from geodl_lab.server.arcgis.values import choice_of, object_of
from geodl_lab.server.arcgis.web import ArcgisError, Parameters, parameters, respond
from geodl_lab.server.context import base_url, caller_of, core_of

router = APIRouter(tags=["ArcGIS portal"])

ITEM = "/sharing/rest/content/items/{id}"
USER = "/sharing/rest/content/users/{user}"
OWN = USER + "/items/{id}"
IN_FOLDER = USER + "/{folder}"
KINDS: dict[str, tuple[ServiceKind, str]] = {
    "imageService": ("raster", IMAGES),
    "featureService": ("features", FEATURES),
}


@router.get(ITEM)
@router.post(ITEM)
async def one_item(request: Request, id: str) -> Response:
    """Tell of an item."""
    given = await parameters(request)
    item = await run_in_threadpool(item_of, request, id)
    files = await run_in_threadpool(_files, request, item)
    return respond(item_answer(item, base_url(request)) | files, given)


def _files(request: Request, item: Item) -> dict[str, Any]:
    """Return where the files of an item's service are had."""
    if not item.service:
        return {}
    service = core_of(request).catalog.service(item.service, caller_of(request))
    return downloads.listed(service, f"{base_url(request)}/arcgis/rest/services")


@router.get(ITEM + "/groups")
@router.post(ITEM + "/groups")
async def item_groups(request: Request, id: str) -> Response:
    """Tell that an item is in no group."""
    await run_in_threadpool(item_of, request, id)
    return respond({"admin": [], "member": [], "other": []}, await parameters(request))


@router.get(USER)
@router.post(USER)
async def user_content(request: Request, user: str) -> Response:
    """Tell the items and folders of a user."""
    given = await parameters(request)
    return respond(await run_in_threadpool(_content, request, user, ""), given)


@router.post(USER + "/createService")
async def create_service(request: Request, user: str) -> Response:
    """Make an empty service, and its item, for a job to fill."""
    given = await parameters(request)
    return respond(await run_in_threadpool(_created, request, user, "", given), given)


@router.post(IN_FOLDER + "/createService")
async def create_service_in(request: Request, user: str, folder: str) -> Response:
    """Make an empty service, and its item in a folder, for a job to fill."""
    given = await parameters(request)
    return respond(await run_in_threadpool(_created, request, user, folder, given), given)


@router.post(USER + "/createFolder")
async def create_folder(request: Request, user: str) -> Response:
    """Make a folder."""
    given = await parameters(request)
    return respond(await run_in_threadpool(_new_folder, request, user, given), given)


@router.get(OWN)
@router.post(OWN)
@router.get(IN_FOLDER + "/items/{id}")
@router.post(IN_FOLDER + "/items/{id}")
async def own_item(request: Request, user: str, id: str) -> Response:
    """Tell of an item and with whom it is shared: nobody."""
    given = await parameters(request)
    item = await run_in_threadpool(item_of, request, id)
    sharing = {"access": "private", "groups": []}
    return respond({"item": item_answer(item, base_url(request)), "sharing": sharing}, given)


@router.post(OWN + "/update")
@router.post(IN_FOLDER + "/items/{id}/update")
async def update_item(request: Request, user: str, id: str) -> Response:
    """Change what is said of an item."""
    given = await parameters(request)
    await run_in_threadpool(_update, request, id, given)
    return respond({"success": True, "id": id}, given)


@router.post(OWN + "/delete")
@router.post(IN_FOLDER + "/items/{id}/delete")
async def delete_item(request: Request, user: str, id: str) -> Response:
    """Remove an item and its service."""
    given = await parameters(request)
    await run_in_threadpool(_delete, request, id)
    return respond({"success": True, "itemId": id}, given)


@router.post(USER + "/deleteItems")
async def delete_items(request: Request, user: str) -> Response:
    """Remove several items; tells of each whether it is gone."""
    given = await parameters(request)
    wanted = [one.strip() for one in given.text("items").split(",") if one.strip()]
    results = [await run_in_threadpool(_tried, request, id) for id in wanted]
    return respond({"results": results}, given)


@router.post(IN_FOLDER + "/delete")
async def delete_folder(request: Request, user: str, folder: str) -> Response:
    """Remove a folder and all that is in it."""
    given = await parameters(request)
    found = await run_in_threadpool(_remove_folder, request, user, folder)
    return respond({"success": True, "folder": found}, given)


@router.get(IN_FOLDER)
@router.post(IN_FOLDER)
async def folder_content(request: Request, user: str, folder: str) -> Response:
    """Tell the items of a folder."""
    given = await parameters(request)
    return respond(await run_in_threadpool(_content, request, user, folder), given)


def item_of(request: Request, id: str) -> Item:
    """Return an item that the caller may see; raises ArcgisError."""
    try:
        item = core_of(request).item(id.lower(), caller_of(request))
    except AccessError as error:
        raise _no_item(id) from error
    if not is_listed(item):
        raise _no_item(id)
    return item


def own(request: Request, id: str) -> Item:
    """Return an item that the caller may change; raises ArcgisError."""
    item, caller = item_of(request, id), caller_of(request)
    if item.model:
        raise ArcgisError(
            f"the item {id} is the model {item.model!r}; UninstallDeepLearningModel removes it",
            code=403,
        )
    if not item.owner or not caller.may_see(item.owner):
        raise ArcgisError(f"the item {id} belongs to the server and cannot be changed", code=403)
    return item


def checked_user(request: Request, user: str) -> Caller:
    """Return who asks, whose content this must be; raises ArcgisError."""
    caller = caller_of(request)
    if user not in (user_name(caller.owner), "self"):
        raise ArcgisError(
            f"the content of {user[:100]!r} is not yours; this key's user is "
            f"{user_name(caller.owner)!r}",
            code=403,
        )
    return caller


def folder_id(core: Core, caller: Caller, folder: str) -> str:
    """Return the id of a folder, by id or title, "" for none; raises ArcgisError."""
    if folder in ("", "/"):
        return ""
    folders = _folders(core, caller)
    found = next((one.id for one in folders if folder in (one.id, one.title)), None)
    if found is None:
        raise ArcgisError(f"there is no folder {folder[:100]!r}; createFolder makes one", code=404)
    return found


def upload_folder(core: Core, item: Item) -> Path:
    """Return the folder of the file that was sent for an item; it may not be there."""
    return core.options.data_dir / "uploads" / item.id


def _no_item(id: str) -> ArcgisError:
    return ArcgisError(
        f"Item does not exist or is inaccessible: there is no item {id[:100]!r} for this key; "
        "search tells which there are",
        code=400,
    )


def _folders(core: Core, caller: Caller) -> list[Item]:
    own = core.catalog.items(Caller(caller.owner))
    return [one for one in own if one.type == FOLDER and one.owner == caller.owner]


def _content(request: Request, user: str, folder: str) -> dict[str, Any]:
    core, caller = core_of(request), checked_user(request, user)
    inside = folder_id(core, caller, folder)
    own = core.catalog.items(Caller(caller.owner), folder=inside)
    items = [one for one in own if is_listed(one) and one.owner == caller.owner]
    folders = [_folder_answer(one) for one in _folders(core, caller)]
    current = next((one for one in folders if one["id"] == inside), None)
    return {
        "username": user_name(caller.owner),
        "total": len(items),
        "start": 1,
        "num": len(items),
        "nextStart": -1,
        "currentFolder": current,
        "items": [item_answer(one, base_url(request)) for one in items],
        "folders": folders,
    }


def _folder_answer(item: Item) -> dict[str, Any]:
    return {
        "username": user_name(item.owner),
        "id": item.id,
        "title": item.title,
        "created": round(item.created * 1000),
    }


def _created(request: Request, user: str, folder: str, given: Parameters) -> dict[str, Any]:
    core, caller = core_of(request), checked_user(request, user)
    wanted = object_of("createParameters", given.text("createParameters", "{}"))
    name = service_name("createParameters", wanted.get("name") or given.text("name"))
    output = choice_of("outputType", given.text("outputType", "featureService"), tuple(KINDS))
    kind, type_ = KINDS[output]
    if not core.catalog.is_free(name):
        raise ArcgisError(f"the name {name!r} is taken; give the service another")
    item = Item(
        new_item_id(),
        caller.owner,
        type_,
        title_of(given.text("title"), name),
        folder=folder_id(core, caller, folder),
        properties=properties_of(given),
    )
    service, item = core.catalog.create(name, kind, caller.owner, item)
    url = item_url(item, base_url(request))
    return {
        "success": True,
        "itemId": item.id,
        "serviceItemId": item.id,
        "name": service.name,
        "serviceurl": url,
        "encodedServiceURL": url,
        "type": type_,
        "size": -1,
        "isView": False,
    }


def _new_folder(request: Request, user: str, given: Parameters) -> dict[str, Any]:
    core, caller = core_of(request), checked_user(request, user)
    title = title_of(given.text("title"), "")
    if not title:
        raise ArcgisError("a folder needs a title; send title=...")
    if any(one.title == title for one in _folders(core, caller)):
        raise ArcgisError(f"there is a folder {title!r} already; give another title")
    item = Item(new_item_id(), caller.owner, FOLDER, title)
    core.catalog.save(item)
    return {"success": True, "folder": _folder_answer(item)}


def _update(request: Request, id: str, given: Parameters) -> None:
    item = own(request, id)
    changed = dataclasses.replace(
        item,
        title=title_of(given.text("title"), item.title),
        properties=dict(item.properties) | properties_of(given),
    )
    core_of(request).catalog.save(changed)


def _delete(request: Request, id: str) -> None:
    _remove(core_of(request), own(request, id))


def _remove(core: Core, item: Item) -> None:
    core.catalog.delete(item)
    shutil.rmtree(upload_folder(core, item), ignore_errors=True)


def _tried(request: Request, id: str) -> dict[str, Any]:
    try:
        _delete(request, id)
    except ArcgisError as error:
        return {"itemId": id, "success": False, "error": error.body["error"]}
    return {"itemId": id, "success": True}


def _remove_folder(request: Request, user: str, folder: str) -> dict[str, Any]:
    core, caller = core_of(request), checked_user(request, user)
    inside = folder_id(core, caller, folder)
    found = next(one for one in _folders(core, caller) if one.id == inside)
    for item in core.catalog.items(Caller(caller.owner), folder=inside):
        if item.owner == caller.owner:
            _remove(core, item)
    core.catalog.delete(found)
    return _folder_answer(found)
