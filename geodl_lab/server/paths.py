"""Requests as routes want them: one spelling of each path, a host that is one, HEAD for all."""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from geodl_lab.server.errors import refuse

ALIASES = {"server": "arcgis", "portal": "arcgis"}
"""Other names of the first part of a path."""

MOST_HEADERS = 2**16
"""Bytes of all headers of a request."""

HOST = re.compile(r"([\w.\-]+|\[[0-9a-f:.]+\])(:\d{1,5})?", re.IGNORECASE | re.ASCII)
"""What a Host header may be: it goes into the URLs of answers."""


class Paths:
    """Gives each request the path that its route has.

    Slashes at the end go (esri-leaflet asks for ``.../ImageServer/``, and a redirect would lose
    the body of a POST), aliases become the name, and a path with characters that no name has is
    refused.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app with the path of the route, or refuse."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        scope = {**scope, "path": canonical(scope["path"])}
        if _header_bytes(scope) > MOST_HEADERS:
            words = f"The headers have more than {MOST_HEADERS} bytes; send fewer or shorter ones."
            return await refuse(scope, 431, words)(scope, receive, send)
        if fault := _fault(scope):
            return await refuse(scope, 400, fault)(scope, receive, send)
        return await self.app(scope, receive, send)


class Heads:
    """Answers HEAD as GET without a body, where no route does it itself."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app; once more as GET if it has no HEAD."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            return await self.app(scope, receive, send)
        refused = False

        async def unless_refused(message: Message) -> None:
            nonlocal refused
            refused = refused or message.get("status") == 405
            if not refused:
                await send(message)

        await self.app(scope, receive, unless_refused)
        if refused:  # uvicorn sends no body to a HEAD, whatever comes
            await self.app({**scope, "method": "GET"}, receive, send)


def canonical(path: str) -> str:
    """Return the one spelling of a path."""
    first, slash, rest = path.strip("/").partition("/")
    return f"/{ALIASES.get(first, first)}{slash}{rest}"


def _header_bytes(scope: Scope) -> int:
    return sum(len(name) + len(value) for name, value in scope["headers"])


def _fault(scope: Scope) -> str:
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in scope["path"]):
        return "The path holds control characters; leave them out."
    if b"%00" in scope["query_string"]:
        return "The query holds a zero character; leave it out."
    host = Headers(scope=scope).get("host", "localhost")
    return "" if HOST.fullmatch(host) else "The Host header is not the name of a host."
