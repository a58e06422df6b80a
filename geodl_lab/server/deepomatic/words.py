"""Words of Deepomatic v0.7 for what we have: states, dates, pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from fastapi import Request

from geodl_lab.jobs.job import State
from geodl_lab.json_fields import whole
from geodl_lab.server.context import base_url
from geodl_lab.server.deepomatic.errors import about

STATUS = {
    State.PENDING: "pending",
    State.RUNNING: "pending",
    State.SUCCEEDED: "success",
    State.FAILED: "error",
    State.CANCELLED: "error",
}
"""A task's ``status``; clients know no others."""

Row = dict[str, Any]
"""An answer, or one of a list."""

LIMIT, MOST = 100, 1000
"""Results of a page where none is said, and at most."""


@dataclass(frozen=True, slots=True)
class Window:
    """What part of a list is asked for.

    Parameters
    ----------
    offset, limit
        First result and how many.
    """

    offset: int = 0
    limit: int = LIMIT


def window_of(request: Request) -> Window:
    """Return the window that a query asks for; raises FieldError."""
    query = request.query_params
    with about("offset"):
        offset = whole(query.get("offset") or 0, "offset", 0)
    with about("limit"):
        limit = whole(query.get("limit") or LIMIT, "limit", 1)
    return Window(offset, min(limit, MOST))


def page(request: Request, count: int, results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a page of a list, whose neighbours are absolute addresses.

    Parameters
    ----------
    request
        With the window; what else it asks for stays in the addresses.
    count
        Results of the whole list.
    results
        Those of the window.
    """
    window = window_of(request)
    after = window.offset + window.limit
    later = _address(request, after, window.limit) if after < count else None
    before = max(0, window.offset - window.limit)
    earlier = _address(request, before, window.limit) if window.offset else None
    # The vendor's client reads `prev`, which the vendor's server never sent.
    return {"count": count, "next": later, "previous": earlier, "prev": earlier,
            "results": list(results)}  # fmt: skip


def date(seconds: float) -> str:
    """Return a time in seconds since 1970 as ISO 8601, UTC, with microseconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _address(request: Request, offset: int, limit: int) -> str:
    kept = [
        (name, value)
        for name, value in request.query_params.multi_items()
        if name not in ("offset", "limit", "token")
    ]
    query = urlencode([*kept, ("offset", offset), ("limit", limit)])
    return f"{base_url(request)}{request.url.path}?{query}"
