"""The small portal that clients ask before and beside their tasks: itself, its users, a search.

Source: ArcGIS REST API, Portal directory; of it what the ArcGIS API for Python 2.4.4 asks.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from geodl_lab.jobs.catalog import Item
from geodl_lab.server.arcgis import words
from geodl_lab.server.arcgis.items import is_listed, item_answer, search, user_name
from geodl_lab.server.arcgis.values import whole_of
from geodl_lab.server.arcgis.web import ArcgisError, Parameters, parameters, respond
from geodl_lab.server.context import base_url, caller_of, core_of, visitor_of

router = APIRouter(tags=["ArcGIS portal"])

NAME = "geodl-lab"
ID = "geodllab00000001"
PRIVILEGES = (
    "portal:user:createItem", "portal:user:viewOrgItems", "portal:publisher:publishFeatures",
    "portal:publisher:publishServerServices", "premium:publisher:createImagery",
    "premium:publisher:rasteranalysis",
)  # fmt: skip
MOST = 100
"""Items that one answer of a search holds."""


@router.get("/sharing/rest")
@router.post("/sharing/rest")
async def root(request: Request) -> Response:
    """Tell the portal's version."""
    return respond({"currentVersion": words.PORTAL_VERSION}, await parameters(request))


@router.get("/sharing/rest/info")
@router.post("/sharing/rest/info")
async def info(request: Request) -> Response:
    """Tell where tokens are had."""
    base = base_url(request)
    auth = {
        "tokenServicesUrl": f"{base}/portal/sharing/rest/generateToken",
        "isTokenBasedSecurity": True,
    }
    answer = {"owningSystemUrl": f"{base}/portal", "authInfo": auth}
    return respond(answer, await parameters(request))


@router.get("/sharing/rest/portals/self")
@router.post("/sharing/rest/portals/self")
@router.get("/sharing/rest/portals/{id}")
@router.post("/sharing/rest/portals/{id}")
async def portal_self(request: Request) -> Response:
    """Tell what the portal is, where its tools are, and who asks."""
    return respond(_self(request), await parameters(request))


@router.get("/sharing/rest/portals/self/isServiceNameAvailable")
@router.post("/sharing/rest/portals/self/isServiceNameAvailable")
@router.get("/sharing/rest/portals/{id}/isServiceNameAvailable")
@router.post("/sharing/rest/portals/{id}/isServiceNameAvailable")
async def is_name_free(request: Request) -> Response:
    """Tell whether no service has a name."""
    given = await parameters(request)
    free = await run_in_threadpool(core_of(request).catalog.is_free, given.text("name"))
    return respond({"available": free}, given)


@router.get("/sharing/rest/community/self")
@router.post("/sharing/rest/community/self")
async def who_asks(request: Request) -> Response:
    """Tell who asks."""
    return respond(user_answer(caller_of(request).owner), await parameters(request))


@router.get("/sharing/rest/community/users/{user}")
@router.post("/sharing/rest/community/users/{user}")
async def one_user(request: Request, user: str) -> Response:
    """Tell of a user; of others than who asks only the name."""
    check_name(user)
    return respond(user_answer(user), await parameters(request))


@router.get("/sharing/rest/community/groups")
@router.post("/sharing/rest/community/groups")
async def groups(request: Request) -> Response:
    """Tell that there are no groups."""
    given = await parameters(request)
    return respond(_page([], given), given)


@router.get("/sharing/rest/search")
@router.post("/sharing/rest/search")
async def search_items(request: Request) -> Response:
    """Tell the items that a query means, newest first."""
    given = await parameters(request)
    found = await run_in_threadpool(_found, request, given.text("q"))
    base = base_url(request)
    return respond(_page([item_answer(one, base) for one in found], given), given)


def user_answer(owner: str) -> dict[str, Any]:
    """Return a user: one a key."""
    name = user_name(owner)
    return {
        "username": name,
        "fullName": name,
        "firstName": name,
        "lastName": "",
        "email": "",
        "level": "2",
        "role": "org_publisher",
        "userType": "arcgisonly",
        "userLicenseTypeId": "creatorUT",
        "access": "private",
        "provider": "arcgis",
        "privileges": list(PRIVILEGES),
        "groups": [],
        "tags": [],
        "orgId": ID,
        "created": 0,
        "modified": 0,
    }


def check_name(user: str) -> None:
    """Refuse what is no name of a user; raises ArcgisError."""
    if not user.replace("_", "").replace("-", "").isalnum() or len(user) > 100:
        raise ArcgisError(f"{user[:100]!r} is no user; community/self tells yours", code=404)


def _self(request: Request) -> dict[str, Any]:
    base = base_url(request)
    tools = f"{base}/arcgis/rest/services/System/RasterAnalysisTools/GPServer"
    answer = {
        "id": ID,
        "name": NAME,
        "portalName": NAME,
        "description": "Deep learning on rasters.",
        "isPortal": True,
        "portalMode": "singletenant",
        "allSSL": base.startswith("https:"),
        "supportsHostedServices": True,
        "currentVersion": words.PORTAL_VERSION,
        "portalHostname": f"{base.partition('://')[2]}/portal",
        "access": "private",
        "culture": "en",
        "units": "metric",
        "helperServices": {"rasterAnalytics": {"url": tools}},
    }
    caller = visitor_of(request)
    if caller is None:
        return answer
    return answer | {"user": user_answer(caller.owner)}


def _found(request: Request, query: str) -> list[Item]:
    return search(filter(is_listed, core_of(request).items(caller_of(request))), query)


def _page(found: list[dict[str, Any]], given: Parameters) -> dict[str, Any]:
    start = whole_of("start", given.text("start", "1"), least=1)
    number = min(MOST, whole_of("num", given.text("num", "10")))
    end = start + number
    return {
        "query": given.text("q"),
        "total": len(found),
        "start": start,
        "num": number,
        "nextStart": end if end <= len(found) else -1,
        "results": found[start - 1 : end - 1],
    }
