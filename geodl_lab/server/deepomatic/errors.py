"""Refusals of Deepomatic v0.7: HTTP statuses, and JSON with ``error`` and ``detail``.

Source: docs.deepomatic.com; the client's own tests want ``error`` where inputs are empty.
``detail`` is a sentence, or the faults by field.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi.responses import Response
from starlette.types import Scope

from geodl_lab.errors import GeodlError

NOT_FOUND = "Not found."
MOST_BODY = 300 * 2**20
"""Bytes of a request that brings an image."""


class FieldError(Exception):
    """What is answered instead of an answer.

    Parameters
    ----------
    message
        One sentence that says what to do.
    field
        The field that is not possible, "" for none.
    status
        Of HTTP.
    """

    def __init__(self, message: str, *, field: str = "", status: int = 400) -> None:
        super().__init__(message)
        self.field, self.status = field, status


@contextlib.contextmanager
def about(field: str) -> Iterator[None]:
    """Say of what the package refuses that it is in a field."""
    try:
        yield
    except GeodlError as error:
        raise FieldError(str(error), field=field) from None


def is_inference(scope: Scope) -> bool:
    """Tell whether a request brings an image, which may be larger than a form."""
    path = str(scope["path"])
    return path.startswith("/v0.7/") and path.endswith("/inference")


def answer(error: FieldError) -> Response:
    """Return the answer of an error."""
    if not error.field:
        return refuse(error.status, str(error))
    return respond(
        {"error": str(error), "detail": {error.field: [str(error)]}}, status=error.status
    )


def refuse(status: int, message: str, headers: Mapping[str, str] = {}) -> Response:
    """Return a refusal that a layer below the routes makes."""
    detail = NOT_FOUND if status == 404 else message
    return respond({"error": message, "detail": detail}, status=status, headers=headers)


def refuse_token(given: bool) -> Response:
    """Return that a key is missing, or that the given one is not valid."""
    words = "Authentication credentials not provided; send a key as the header X-API-KEY."
    if given:
        words = "The key in X-API-KEY is not valid; ask the operator for one."
    return refuse(401, words, {"WWW-Authenticate": "Bearer"})


def respond(values: Any, *, status: int = 200, headers: Mapping[str, str] = {}) -> Response:
    """Return an answer as JSON, which no proxy or browser keeps."""
    text = json.dumps(values, allow_nan=False)
    headers = {"Cache-Control": "no-store", **headers}
    return Response(text, status, headers, media_type="application/json")
