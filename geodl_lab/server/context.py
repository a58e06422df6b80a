"""What a request comes with: the core, who asks, and where the client sees us."""

from __future__ import annotations

from fastapi import Request

from geodl_lab.jobs.core import Core
from geodl_lab.jobs.job import Caller
from geodl_lab.server.tokens import Tokens


def core_of(request: Request) -> Core:
    """Return the server's core."""
    return request.app.state.core


def caller_of(request: Request) -> Caller:
    """Return who asks, as the key said (`auth` has seen to that)."""
    return request.state.caller


def visitor_of(request: Request) -> Caller | None:
    """Return who asks where no key is needed, or None if none came."""
    return request.state.caller


def tokens_of(request: Request) -> Tokens:
    """Return the server's keys and tokens."""
    return request.app.state.tokens


def page_path(request: Request) -> str:
    """Return the path that a browser sees, a proxy's prefix with it; without a final slash."""
    return str(request.scope.get("root_path", "")) + request.url.path.rstrip("/")


def base_url(request: Request) -> str:
    """Return scheme, host, port and a proxy's prefix as the client used them; no final slash."""
    return str(request.base_url).rstrip("/")
