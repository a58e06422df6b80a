"""How PEKAT clients are told what is wrong: JSON like a context, with the status.

pekat-vision-sdk reads no status and takes any JSON for a context: ``error`` says it is none, and
``result`` is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

NO_STORE = {"Cache-Control": "no-store"}
FACE, OURS = "geodl_face", "pekat"
"""What a scope says whose whole listener speaks PEKAT's protocol."""

ANALYZE = frozenset(
    {
        "/analyze_image",
        "/analyze_raw_image",
        "/analyze_raw_Image",  # as the vendor's page once prints it
        "/analyze_image_shared_memory",
    }
)
MOST_BYTES = 300 * 2**20
"""Of one image: what 100 million pixels of three bytes take, and a little."""

PATHS = ANALYZE | {"/ping", "/version", "/last_image", "/stop"}

KEY_NEEDED = "A key is needed; send it as api_key=KEY in the query, or as the header X-API-KEY."
KEY_WRONG = "The key is not valid; ask the operator for one."


class Face:
    """Marks all requests of a listener as PEKAT's, so that each error is worded for its clients."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app."""
        scope[FACE] = OURS
        await self.app(scope, receive, send)


def is_pekat(scope: Scope) -> bool:
    """Tell whether a request is one of PEKAT's protocol."""
    return scope["path"] in PATHS or scope.get(FACE) == OURS


def is_analysis(scope: Scope) -> bool:
    """Tell whether a request brings an image, kept nowhere, which may be larger than a form."""
    return scope["path"] in ANALYZE


def refuse(status: int, message: str, headers: Mapping[str, str]) -> Response:
    """Return what is refused, in this dialect."""
    return JSONResponse(body(status, message), status, headers={**NO_STORE, **headers})


def refuse_token(given: bool) -> Response:
    """Return that a key is missing, or that the given one is not valid."""
    return refuse(401, KEY_WRONG if given else KEY_NEEDED, {"WWW-Authenticate": "Bearer"})


def body(status: int, message: str) -> dict[str, Any]:
    """Return the body of an error."""
    return {
        "error": True,
        "processing": False,
        "code": status,
        "message": message,
        "errors": [message],
    }
