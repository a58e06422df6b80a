"""Tokens for those who have a key: the key is the password, and any name will do.

Source: ArcGIS REST API, Generate Token.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from geodl_lab.server.arcgis.values import number_of
from geodl_lab.server.arcgis.web import ArcgisError, parameters, respond
from geodl_lab.server.context import base_url, tokens_of

router = APIRouter(tags=["ArcGIS tokens"])

MINUTES = 60.0
"""How long a token lasts when nothing is said."""


@router.get("/tokens/generateToken")
@router.post("/tokens/generateToken")
@router.get("/tokens")
@router.post("/tokens")
@router.get("/sharing/rest/generateToken")
@router.post("/sharing/rest/generateToken")
async def generate_token(request: Request) -> Response:
    """Give a token that expires, for a key as the password."""
    given = await parameters(request)
    minutes = number_of("expiration", given.text("expiration") or MINUTES, least=0)
    key = given.text("password") or given.text("token")
    caller = tokens_of(request).check(key) if key else None
    if caller is None:
        raise ArcgisError(
            "Unable to generate token.",
            details=("Invalid username or password: the password is an API key of this server.",),
        )
    token, expires = tokens_of(request).issue(caller, minutes or MINUTES)
    ssl = base_url(request).startswith("https:")
    return respond({"token": token, "expires": round(expires * 1000), "ssl": ssl}, given)
