"""Web pages of other hosts: what they may ask, and what browsers are told with every answer."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from geodl_lab.server.errors import refuse
from geodl_lab.server.options import is_loopback

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Content-Range, Content-Length, Content-Disposition, "
    "Accept-Ranges, ETag, Last-Modified, Retry-After, X-Request-Id, ContextBase64utf, context, "
    "ImageLen",
}
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "X-Esri-Authorization, Authorization, X-API-KEY, X-APP-ID, "
    "Range, Content-Type, If-Range, If-None-Match, If-Modified-Since, X-Requested-With",
    "Access-Control-Max-Age": "86400",
}
# A token may stand in the address of a page: it must go nowhere from there.
EVERY = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
PAGE = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
}
"""For HTML: our pages run no scripts and load nothing."""

STRANGER = (
    "Without keys this server answers only programs and pages of this machine; start it with a "
    "key for others."
)


class Origins:
    """Lets pages of any host ask, as the key is what counts; answers what they ask before.

    Parameters
    ----------
    app
        What answers.
    local
        Whether no key is needed, so that pages of other hosts must be kept out: any page that is
        open in a browser of this machine could ask otherwise.
    """

    def __init__(self, app: ASGIApp, *, local: bool = False) -> None:
        self.app, self.local = app, local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app, and add what browsers want to know to its answer."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add(MutableHeaders(scope=message))
            await send(message)

        if self.local and not is_local(Headers(scope=scope)):
            return await refuse(scope, 403, STRANGER)(scope, receive, send)
        if scope["method"] == "OPTIONS":
            return await Response(None, 204, PREFLIGHT)(scope, receive, with_headers)
        return await self.app(scope, receive, with_headers)


def is_local(headers: Headers) -> bool:
    """Tell whether a request is for this machine by name, and of no page of another host."""
    host = re.sub(r":\d+$", "", headers.get("host", ""))
    if not is_loopback(host):  # another name that leads here: a page that means to get in
        return False
    if "origin" in headers:
        return is_loopback(_hostname(headers["origin"]))
    if page := _hostname(headers.get("referer", "")):  # programs send a Referer that is no address
        return is_loopback(page)
    return headers.get("sec-fetch-site") in (None, "same-origin", "same-site", "none")


def _add(headers: MutableHeaders) -> None:
    page = headers.get("content-type", "").startswith("text/html")
    for name, value in {**CORS, **EVERY, **(PAGE if page else {})}.items():
        headers.setdefault(name, value)


def _hostname(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
