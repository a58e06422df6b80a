"""The routes of PEKAT VISION's REST protocol, at the root of a port.

Source: PEKAT VISION, "Send image" and the clients that the vendor published. An image is looked at
at once, by a worker of this machine; nothing is stored but each key's last image, in memory.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from geodl_lab.errors import AccessError, BusyError
from geodl_lab.jobs.workers import STOPPING
from geodl_lab.server.context import caller_of, core_of
from geodl_lab.server.pekat.asked import Asked, asked, encoded_image, raw_image
from geodl_lab.server.pekat.desk import Desk, device_of
from geodl_lab.server.pekat.errors import NO_STORE
from geodl_lab.server.pekat.inspection import IMAGE, PICTURES, Inspected, Sent, inspect
from geodl_lab.server.pekat.render import respond

VERSION = "3.17.0+geodl"
"""Below 3.18: from there on clients on this machine send images by shared memory."""

METHODS = ["POST", "PUT"]
"""How images come: clients that upload files use PUT."""

PNG = "image/png"
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_ANSWERS = {
    200: {
        "description": "A context, or a PNG with the context beside it.",
        "content": {"application/json": {}, PNG: {}, "application/octet-stream": {}},
    },
    400: {"description": "The image or a parameter is not usable; the body says why."},
}
_IMAGE: dict[str, Any] = {
    "responses": _ANSWERS, "openapi_extra": _BODY, "response_class": Response
}  # fmt: skip

router = APIRouter(tags=["PEKAT VISION"])


@router.api_route("/analyze_image", methods=METHODS, **_IMAGE)
async def analyze_image(request: Request) -> Response:
    """Look at an image file: PNG, JPEG, BMP, TIFF."""
    async with encoded_image(request, desk_of(request).room) as sent:
        return await _analyzed(request, sent)


@router.api_route("/analyze_raw_Image", methods=METHODS, include_in_schema=False)
@router.api_route("/analyze_raw_image", methods=METHODS, **_IMAGE)
async def analyze_raw_image(request: Request) -> Response:
    """Look at pixels: rows of blue, green, red bytes, of grey ones, or of a Bayer mosaic."""
    async with raw_image(request, desk_of(request).room) as sent:
        return await _analyzed(request, sent)


@router.post("/analyze_image_shared_memory", response_class=Response)
async def analyze_image_shared_memory(request: Request) -> Response:
    """Refuse images in shared memory; ``/version`` says so before."""
    raise AccessError(
        "images are not read from shared memory here; send the pixels to /analyze_raw_image"
    )


@router.get("/ping", response_class=PlainTextResponse)
async def ping() -> Response:
    """Tell that the server answers."""
    return PlainTextResponse("pong", headers=NO_STORE)


@router.get("/version", response_class=PlainTextResponse)
async def version() -> Response:
    """Tell which version of PEKAT VISION this is like."""
    return PlainTextResponse(VERSION, headers=NO_STORE)


@router.get("/last_image", responses={200: {"content": {PNG: {}}}}, response_class=Response)
async def last_image(request: Request) -> Response:
    """Draw the last image of this key again; nothing for what is no kind of picture."""
    kind = request.query_params.get("response_type") or IMAGE
    sent = desk_of(request).last.of(caller_of(request).owner)
    if kind not in PICTURES:
        return Response(b"", media_type=PNG, headers=NO_STORE)
    found = await _inspected(request, sent, Asked(kind))
    if not found.png:
        return respond(found, Asked(kind))
    return Response(found.png, media_type=PNG, headers=NO_STORE)


@router.get("/stop", response_class=PlainTextResponse)
async def stop(request: Request) -> Response:
    """Stop the server, for who has the key that it was started with."""
    desk = desk_of(request)
    if not desk.can_stop:
        raise HTTPException(404, "This server was started without a stop key: it is not stopped so")
    if not desk.may_stop(request.query_params.get("key", "")):
        raise HTTPException(403, "The key is not the one that stops this server.")
    leave = BackgroundTask(os.kill, os.getpid(), signal.SIGTERM)
    return PlainTextResponse("stopping", headers=NO_STORE, background=leave)


def desk_of(request: Request) -> Desk:
    """Return what the project holds."""
    return request.app.state.pekat


async def _analyzed(request: Request, sent: Sent) -> Response:
    wanted = asked(request.query_params)
    found = await _inspected(request, sent, wanted)
    desk_of(request).last.keep(caller_of(request).owner, sent)
    return respond(found, wanted)


async def _inspected(request: Request, sent: Sent, wanted: Asked) -> Inspected:
    """Have a worker of this machine look at an image, before the steps of jobs."""
    core, project = core_of(request), desk_of(request).project.public
    device = device_of(project, scheduler=core.options.scheduler)
    arguments = (sent, project, wanted.response_type, wanted.data)
    try:
        step = await run_in_threadpool(core.compute, inspect, *arguments, device=device)
        found: Inspected = await _unless_gone(request, asyncio.wrap_future(step))
    except asyncio.CancelledError:
        if not request.app.state.stopping:
            raise
        raise BusyError(STOPPING) from None
    return found


async def _unless_gone(request: Request, step: asyncio.Future[Any]) -> Any:
    """Return what a step answers; ClientDisconnect, and it never begins, if nobody waits for it.

    Clients give up after a while and send the image again: theirs would only pile up.
    """
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((step, gone), return_when=asyncio.FIRST_COMPLETED)
        if step.done():
            return step.result()
        raise ClientDisconnect
    finally:
        gone.cancel()
        step.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
