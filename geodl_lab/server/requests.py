"""Each request: its id, its line in the log, and an answer also when the server has a fault."""

from __future__ import annotations

import logging
import re
import secrets
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from geodl_lab.server.errors import BROKEN, refuse
from geodl_lab.server.health import Metrics
from geodl_lab.server.logs import REQUEST

LOG = logging.getLogger("geodl_lab.server")
QUIET = frozenset(["/health", "/metrics"])
"""What is asked every few seconds: written at level debug."""

LONGEST = 300
"""Characters of a path that are written."""

_JOB = re.compile(r"/(j[0-9a-f]{32})(?:/|$)")
_ID = re.compile(r"[\w.\-]{1,64}", re.ASCII)


class Requests:
    """Gives each request an id, and writes a line when it is answered.

    The id is the client's ``X-Request-Id`` if it sends a usable one. The query is never written:
    tokens may stand in it.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app between the begin and the end of a request."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        scope.setdefault("state", {})
        begun, status, id = time.monotonic(), 0, _id(Headers(scope=scope))
        ours = REQUEST.set(id)

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = id
            await send(message)

        try:
            await self.app(scope, receive, seen)
        finally:
            seconds = time.monotonic() - begun
            self.metrics.count_request(scope["method"], status, seconds)
            _write(scope, status, seconds)
            REQUEST.reset(ours)


class Faults:
    """Answers a fault of ours in one plain sentence; the log has the rest, under the same id."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app, and answer if it raises."""
        started = False

        async def seen(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, seen)
        except ClientDisconnect:
            LOG.debug("the client went away")
        except Exception:
            if scope["type"] != "http":
                raise
            LOG.exception("a fault of the server", extra={"path": scope["path"][:LONGEST]})
            if started:  # half an answer is out: only a closed connection tells the client
                raise ConnectionAbortedError("the answer broke off") from None
            sentence = BROKEN.format(id=REQUEST.get())
            await refuse(scope, 500, sentence)(scope, receive, send)


def _write(scope: Scope, status: int, seconds: float) -> None:
    path = scope["path"]
    job, caller = _JOB.search(path), scope.get("state", {}).get("caller")
    level = logging.DEBUG if path in QUIET else logging.INFO
    LOG.log(level, "request", extra={
        "method": scope["method"], "path": path[:LONGEST], "status": status,
        "ms": round(1000 * seconds, 1), "client": (scope.get("client") or ("",))[0],
        "owner": caller.owner if caller else "", "job": job[1] if job else "",
    })  # fmt: skip


def _id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if _ID.fullmatch(given) else secrets.token_hex(8)
