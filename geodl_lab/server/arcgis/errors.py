"""How ArcGIS clients are told what is wrong: an error body, mostly with HTTP 200.

Clients of ArcGIS REST read the body and not the status. What any program must understand (too
fast, too large, busy, broken) keeps its status.
"""

from __future__ import annotations

from collections.abc import Mapping

from fastapi.responses import JSONResponse, Response

from geodl_lab.server.arcgis import html
from geodl_lab.server.arcgis.web import NO_STORE, ArcgisError

TOKEN_REQUIRED, TOKEN_INVALID = 499, 498
WORDS = {401: (TOKEN_REQUIRED, "Token Required"), 403: (TOKEN_INVALID, "Invalid token")}
"""Code and message of a missing and of a wrong token; clients look for these very words."""

AS_THEY_ARE = (404, 405, 413, 416, 429, 500, 503, 507)


def answer(error: ArcgisError, *, status: int = 200, headers: Mapping[str, str] = {}) -> Response:
    """Return an error as its body."""
    return JSONResponse(error.body, status, headers={**NO_STORE, **headers})


def refuse(status: int, message: str, headers: Mapping[str, str]) -> Response:
    """Return what the server itself refuses, in this dialect."""
    shown = status if status in AS_THEY_ARE else 200
    return answer(ArcgisError(message, code=status), status=shown, headers=headers)


def refuse_token(given: bool, *, is_file: bool = False) -> Response:
    """Return that a token is missing, or that the given one is not valid.

    Who asks for a file (GDAL, curl) takes whatever comes with HTTP 200 for it.
    """
    status = 403 if given else 401
    code, words = WORDS[status]
    return answer(ArcgisError(words, code=code), status=status if is_file else 200)


def ask_for_key(path: str, *, given: bool) -> Response:
    """Return a page on which a person enters a key, to go on to where they wanted."""
    title = "This key is not valid" if given else "A key is needed"
    return html.page(title, html.buttons({"Go on": path}), status=401)
