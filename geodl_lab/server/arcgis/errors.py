"""How ArcGIS clients are told what is wrong: an error body, mostly with HTTP 200.

Clients of ArcGIS REST read the body and not the status. What any program must understand (too
fast, too large, busy, broken) keeps its status. A person with a browser gets a page, on which the
same can be sent again with a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs

from fastapi.responses import JSONResponse, Response
from starlette.datastructures import Headers
from starlette.types import Scope

from geodl_lab.server.arcgis import html
from geodl_lab.server.arcgis.web import NO_STORE, ArcgisError

TOKEN_REQUIRED, TOKEN_INVALID = 499, 498
WORDS = {401: (TOKEN_REQUIRED, "Token Required"), 403: (TOKEN_INVALID, "Invalid token")}
"""Code and message of a missing and of a wrong token; clients look for these very words."""

AS_THEY_ARE = (404, 405, 413, 416, 429, 500, 503, 507)


def answer(
    scope: Scope, error: ArcgisError, *, status: int = 200, headers: Mapping[str, str] = {}
) -> Response:
    """Return an error as its body, to a browser as a page."""
    headers = {**NO_STORE, **headers}
    if wants_page(scope):
        parts = (html.table(error.body["error"]), html.buttons({"Send again": ""}))
        return html.page("This did not work", *parts, status=status, headers=headers)
    return JSONResponse(error.body, status, headers=headers)


def wants_page(scope: Scope) -> bool:
    """Tell whether a person asks: a browser that wants no other format."""
    query = parse_qs(scope["query_string"].decode("latin-1"))
    formats = [
        value.lower() for name, values in query.items() if name.lower() == "f" for value in values
    ]
    return "text/html" in Headers(scope=scope).get("accept", "") and set(formats) <= {"html"}


def refuse(scope: Scope, status: int, message: str, headers: Mapping[str, str]) -> Response:
    """Return what the server itself refuses, in this dialect."""
    shown = status if status in AS_THEY_ARE else 200
    return answer(scope, ArcgisError(message, code=status), status=shown, headers=headers)


def refuse_token(scope: Scope, *, given: bool) -> Response:
    """Return that a token is missing, or that the given one is not valid."""
    code, words = WORDS[403 if given else 401]
    return answer(scope, ArcgisError(words, code=code))
