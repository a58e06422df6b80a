"""Browsers that come by Jupyter's proxy, which adds our key to whatever they ask.

The key then says nothing of the page that made a browser ask: any page of the web could have one
that is logged in to Jupyter submit a job. So only pages of ours may ask. What we answer has the
proxy's prefix in its links.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from geodl_lab.local_server import PROXIED
from geodl_lab.server.errors import refuse

PREFIX = "X-Forwarded-Prefix"
START = frozenset(["/", "/health"])
"""What any page may lead to: it changes nothing, and nobody else can read the answer."""

STRANGER = (
    "This address was not opened from a page of this server; open its start page in Jupyter's "
    "launcher, and go on from there."
)


class Proxied:
    """Lets requests with a key that Jupyter added in only from pages of the same address.

    A browser says so itself (Fetch Metadata, https://www.w3.org/TR/fetch-metadata/); one that does
    not, as the address is neither https nor of this machine, by Origin or Referer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app below the proxy's prefix, or refuse."""
        if scope["type"] != "http" or PROXIED not in (headers := Headers(scope=scope)):
            return await self.app(scope, receive, send)
        if scope["path"] not in START and not is_own_page(headers):
            return await refuse(scope, 403, STRANGER)(scope, receive, send)

        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":  # else forms say that nobody sent them
                MutableHeaders(scope=message)["Referrer-Policy"] = "same-origin"
            await send(message)

        await self.app({**scope, "root_path": prefix_of(headers)}, receive, with_policy)


def is_own_page(headers: Headers) -> bool:
    """Tell whether a page of the address that is asked made a browser ask, or a program asks."""
    if site := headers.get("sec-fetch-site"):
        return site == "same-origin"
    page = headers.get("origin", "null")
    page = headers.get("referer", "") if page == "null" else page
    if page:
        return _place(page) == headers.get("host", "").lower()
    return "cookie" not in headers  # a program gives Jupyter its token itself


def prefix_of(headers: Headers) -> str:
    """Return the path of the proxy, which comes before ours; "" if it says none that is one."""
    prefix = headers.get(PREFIX, "").rstrip("/")
    return prefix if re.fullmatch(r"(/[\w.~@%+-]+)+", prefix, re.ASCII) else ""


def _place(address: str) -> str:
    try:
        return urlsplit(address).netloc.lower()
    except ValueError:
        return ""
