"""Answers as PEKAT's clients read them: a context, or a PNG with the context beside it."""

from __future__ import annotations

import base64
import json

from fastapi.responses import Response

from geodl_lab.errors import OptionError
from geodl_lab.server.pekat.asked import Asked
from geodl_lab.server.pekat.errors import NO_STORE
from geodl_lab.server.pekat.inspection import Inspected

PLAIN, LONGEST = 8 * 1024, 60 * 1024
"""Bytes up to which the header ``context`` is sent too, and which ``ContextBase64utf`` may have:
Python's http.client, and so most clients, refuse a header of 64 KiB."""


def respond(found: Inspected, asked: Asked) -> Response:
    """Return what was found in the form that was asked for.

    Raises
    ------
    OptionError
        If the context is too long for a header.
    """
    text = json.dumps(found.context).encode("ascii")
    if not found.png:
        return Response(text, media_type="application/json", headers=NO_STORE)
    if asked.in_body:
        headers = {**NO_STORE, "ImageLen": str(len(found.png))}
        return Response(found.png + text, media_type="application/octet-stream", headers=headers)
    headers = {**NO_STORE, **context_headers(text)}
    return Response(found.png, media_type="image/png", headers=headers)


def context_headers(text: bytes) -> dict[str, str]:
    """Return the headers that carry a context, JSON in ASCII; raises OptionError if too long."""
    encoded = base64.b64encode(text).decode("ascii")
    if len(encoded) > LONGEST:
        raise OptionError(
            f"the context has {len(encoded)} bytes in base64, more than the {LONGEST} that a "
            "header can hold; add context_in_body to the query, or raise the project's threshold"
        )
    headers = {"ContextBase64utf": encoded}
    return headers if len(text) >= PLAIN else {**headers, "context": text.decode("ascii")}
