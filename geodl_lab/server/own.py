"""Routes of our own, for what no protocol has: a key's jobs, the models' cards, stores and files.

`geodl_lab.job_client` and the app read them; jobs are submitted, cancelled and their results had
by the ArcGIS face.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from geodl_lab.errors import AccessError
from geodl_lab.jobs.catalog import Item
from geodl_lab.jobs.core import Core
from geodl_lab.jobs.job import Caller, Job, Message
from geodl_lab.server.context import caller_of, core_of

router = APIRouter(tags=["Our own"])

NO_STORE = {"Cache-Control": "no-store"}
SHARES = "/fileShares"
"""What stands before NAME/path where a task names a file of a store."""

Limit = Annotated[int, Query(ge=1, le=200, description="Most jobs.")]
Kinds = Annotated[list[str], Query(description="Only jobs of these kinds, such as classify.")]


@router.get("/jobs")
async def list_jobs(request: Request, limit: Limit = 50, kind: Kinds = []) -> Response:  # noqa: B006  never changed
    """Tell the jobs of a key, newest first; of the admin's all."""
    core, caller = core_of(request), caller_of(request)
    found = await run_in_threadpool(core.jobs, caller, kinds=tuple(kind), limit=limit)
    return JSONResponse({"jobs": [job_values(one) for one in found]}, headers=NO_STORE)


@router.get("/jobs/{id}")
async def one_job(request: Request, id: str) -> Response:
    """Tell where a job stands, and all that it said, oldest first."""
    values = await run_in_threadpool(_job_with_messages, core_of(request), caller_of(request), id)
    return JSONResponse(values, headers=NO_STORE)


@router.get("/models")
async def list_models(request: Request) -> Response:
    """Tell the cards of all models."""
    cards = await run_in_threadpool(core_of(request).model_cards)
    return JSONResponse({"models": cards}, headers=NO_STORE)


@router.get("/stores")
async def list_stores(request: Request) -> Response:
    """Tell the stores by name, and the rasters that lie in each."""
    core = core_of(request)
    rasters = await run_in_threadpool(core.stored_rasters)
    stores = [
        {"name": name, "rasters": [_raster(one) for one in rasters if _store_of(one) == name]}
        for name in sorted(core.options.stores)
    ]
    return JSONResponse({"stores": stores}, headers=NO_STORE)


@router.api_route("/stores/{path:path}", methods=["GET", "HEAD"], response_class=Response)
async def stored_file(request: Request, path: str) -> Response:
    """Answer a raster of a store, whole or by ranges."""
    core = core_of(request)
    rasters = await run_in_threadpool(core.stored_rasters)
    if path not in {one.store for one in rasters}:
        raise AccessError(f"there is no raster {path[:200]!r} in the stores; /stores lists them")
    file = await run_in_threadpool(core.store_path, path)
    headers = {"Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff"}
    return FileResponse(file, media_type="application/octet-stream", headers=headers)


def job_values(job: Job, messages: Sequence[Message] | None = None) -> dict[str, Any]:
    """Return a job as plain values; ``seconds`` is how long it has been running, or ran."""
    values = {
        "id": job.id,
        "kind": str(job.recipe["kind"]),
        "task": str(job.request.get("task", "")),
        "state": job.state.value,
        "percent": round(job.percent, 1),
        "cancelling": job.cancelling,
        "created": job.created,
        "started": job.started,
        "finished": job.finished,
        "seconds": _seconds(job),
        "parameters": dict(job.request.get("parameters") or {}),
        "service": job.results.get("service", ""),
    }
    if messages is not None:
        values["messages"] = [
            {"level": one.level.value, "text": one.text, "time": one.time} for one in messages
        ]
    return values


def _job_with_messages(core: Core, caller: Caller, id: str) -> dict[str, Any]:
    job = core.job(id, caller)
    return job_values(job, core.messages(job))


def _seconds(job: Job) -> float | None:
    if job.started is None:
        return None
    return round(max(0.0, (job.finished or time.time()) - job.started), 3)


def _raster(item: Item) -> dict[str, Any]:
    return {
        "name": PurePosixPath(item.store).name,
        "uri": f"{SHARES}/{item.store}",
        "item": item.id,
    }


def _store_of(item: Item) -> str:
    return item.store.partition("/")[0]
