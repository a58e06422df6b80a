"""Parameters in, answers out, as ArcGIS REST has them: forms and queries in, HTTP 200 out.

Every answer says ``no-store``: QGIS 3.22 otherwise keeps it on disk and never asks again.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import UploadFile

from geodl_lab.local_server import PROXIED

NO_STORE = {"Cache-Control": "no-store"}


class ArcgisError(Exception):
    """What is answered instead of an answer.

    Parameters
    ----------
    message
        One sentence that says what to do.
    code
        As in an HTTP status; 498 and 499 are about tokens.
    details
        More sentences.
    """

    def __init__(self, message: str, *, code: int = 400, details: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.code, self.details = code, details

    @property
    def body(self) -> dict[str, Any]:
        """The JSON body."""
        return {"error": {"code": self.code, "message": str(self), "details": list(self.details)}}


class Parameters(dict[str, str]):
    """Parameters by name; names are found in any case, "" counts as absent."""

    def __init__(self, given: Mapping[str, str], files: Mapping[str, UploadFile] = {}) -> None:
        super().__init__({name.lower(): value for name, value in given.items() if value != ""})
        self.files = dict(files)
        self.named = dict(given)
        self.proxied = False
        """Whether Jupyter adds the key, so that a page needs no field for it."""

    @property
    def key_field(self) -> str | None:
        """What a page's field for the key holds; None is no field."""
        return None if self.proxied else self.text("token")

    def text(self, name: str, default: str = "") -> str:
        """Return a parameter as text, without blanks around it."""
        return self.get(name.lower(), default).strip()

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a parameter as a truth value: true, True, t, yes, y, 1 are true."""
        text = self.text(name).lower()
        return default if not text else text in ("true", "t", "yes", "y", "1")


async def parameters(request: Request) -> Parameters:
    """Return query and form together; the form wins. Files that came with it are let go."""
    async with received(request) as given:
        return given


@contextlib.asynccontextmanager
async def received(request: Request) -> AsyncIterator[Parameters]:
    """Give query and form together, with files that are open as long as the block runs."""
    given: dict[str, str] = dict(request.query_params)
    files: dict[str, UploadFile] = {}
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
        form = await request.form()
        given |= {name: value for name, value in form.items() if isinstance(value, str)}
        files = {name: value for name, value in form.items() if isinstance(value, UploadFile)}
    try:
        found = Parameters(given, files)
        found.proxied = PROXIED in request.headers
        yield found
    finally:
        await request.close()


def respond(values: Any, given: Parameters) -> Response:
    """Return an answer as JSON, indented for ``f=pjson``."""
    if given.text("f").lower() == "pjson":
        text = json.dumps(values, indent=2, ensure_ascii=False)
        return Response(text, media_type="application/json", headers=NO_STORE)
    return JSONResponse(values, headers=NO_STORE)
