"""What a server tells of itself: its version, where its tokens are, and which services it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from geodl_lab.server.arcgis import html, words
from geodl_lab.server.arcgis.web import ArcgisError, Parameters, parameters, respond
from geodl_lab.server.context import base_url, caller_of, core_of, page_path

router = APIRouter(tags=["ArcGIS directory"])

FORMATS = ("html", "json", "pjson")
FOLDERS = {"system": "System", "hosted": "Hosted", "stores": "Stores"}
TOOLS = {"name": "System/RasterAnalysisTools", "type": "GPServer"}
KINDS = {"raster": "ImageServer", "features": "FeatureServer"}


def format_of(given: Parameters) -> str:
    """Return ``html`` (also where nothing is said), ``json`` or ``pjson``; raises ArcgisError."""
    name = given.text("f", "html").lower()
    if name not in FORMATS:
        raise ArcgisError(f"f is {name[:50]!r}; possible are {', '.join(FORMATS)}")
    return name


def show(
    given: Parameters,
    values: Mapping[str, Any],
    *,
    title: str,
    links: Mapping[str, str] = {},
    form: str = "",
) -> Response:
    """Return an answer in the format that was asked for.

    Parameters
    ----------
    given
        Of the request.
    values
        The answer.
    title, links, form
        What a page has besides: its title, buttons as words to paths, HTML of a form.
    """
    if format_of(given) != "html":
        return respond(values, given)
    parts = (html.table(values), html.buttons(links), form)
    return html.page(title, *parts, token=given.key_field)


def info_values(base: str) -> dict[str, Any]:
    """Return what a client asks first: the version, and where it gets tokens."""
    return {
        "currentVersion": words.VERSION,
        "fullVersion": words.FULL_VERSION,
        "owningSystemUrl": f"{base}/portal",
        "authInfo": {
            "isTokenBasedSecurity": True,
            "tokenServicesUrl": f"{base}/portal/sharing/rest/generateToken",
            "shortLivedTokenValidity": 60,
        },
    }


@router.get("/rest/info")
@router.post("/rest/info")
async def server_info(request: Request) -> Response:
    """Tell the version, and where tokens are had."""
    return show(await parameters(request), info_values(base_url(request)), title="Server")


@router.get("/rest/services")
@router.post("/rest/services")
async def services(request: Request) -> Response:
    """Tell the folders and the services that are in none."""
    given, path = await parameters(request), page_path(request)
    values = {
        "currentVersion": words.VERSION,
        "folders": list(FOLDERS.values()),
        "services": [TOOLS],
    }
    places = (*FOLDERS.values(), f"{TOOLS['name']}/{TOOLS['type']}")
    links = {place: f"{path}/{place}" for place in places}
    return show(given, values, title="Services", links=links)


@router.get("/rest/services/{folder}")
@router.post("/rest/services/{folder}")
async def folder(request: Request, folder: str) -> Response:
    """Tell the services of a folder."""
    given = await parameters(request)
    name = FOLDERS.get(folder.lower())
    if name is None:
        known = ", ".join(FOLDERS.values())
        raise ArcgisError(f"there is no folder {folder[:100]!r}; there are {known}", code=404)
    found = await run_in_threadpool(LISTS[name], request)
    values = {"currentVersion": words.VERSION, "folders": [], "services": found}
    root = page_path(request).rpartition("/")[0]
    links = {
        one.get("description", one["name"]): f"{root}/{one['name']}/{one['type']}" for one in found
    }
    return show(given, values, title=name, links=links)


def _tools(request: Request) -> list[dict[str, str]]:
    return [TOOLS]


def _hosted(request: Request) -> list[dict[str, str]]:
    seen = core_of(request).catalog.services(caller_of(request))
    return [{"name": f"Hosted/{s.name}", "type": KINDS[s.kind]} for s in seen if s.kind in KINDS]


def _stores(request: Request) -> list[dict[str, str]]:
    """Return the rasters of stores, by the ids of their items; ``description`` is for people."""
    items = [one for one in core_of(request).items(caller_of(request)) if one.store]
    return [
        {"name": f"Stores/{one.id}", "type": "ImageServer", "description": one.store}
        for one in sorted(items, key=lambda one: one.store)
    ]


LISTS = {"System": _tools, "Hosted": _hosted, "Stores": _stores}
