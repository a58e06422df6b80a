"""One table from what went wrong to an HTTP status, and the dialect that words it by path."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Scope

from geodl_lab.errors import (
    AccessError,
    BusyError,
    CancelledError,
    GeodlError,
    OutputError,
    TrustError,
)
from geodl_lab.server.arcgis import errors as arcgis
from geodl_lab.server.arcgis.web import ArcgisError
from geodl_lab.server.deepomatic import errors as deepomatic
from geodl_lab.server.pekat import errors as pekat

STATUS: tuple[tuple[type[Exception], int], ...] = (
    (AccessError, 404),
    (BusyError, 503),
    (CancelledError, 409),
    (OutputError, 507),
    (TrustError, 403),
    (GeodlError, 400),
)
"""The first that fits; what is not here is a fault of ours."""

RETRY = {429: "1", 503: "5"}
"""Seconds after which the same request may be sent again, by status."""

BROKEN = "The server made a mistake; its log says more under the id {id}."


def refuse(scope: Scope, status: int, message: str, *, headers: Mapping[str, str] = {}) -> Response:
    """Return a refusal in the dialect of the path that was asked."""
    if status in RETRY:
        headers = {"Retry-After": RETRY[status], **headers}
    if is_arcgis(scope):
        return arcgis.refuse(status, message, headers)
    if pekat.is_pekat(scope):
        return pekat.refuse(status, message, headers)
    if is_deepomatic(scope):
        return deepomatic.refuse(status, message, headers)
    return JSONResponse({"error": {"code": status, "message": message}}, status, headers)


def refuse_token(scope: Scope, *, given: bool) -> Response:
    """Return that a key or token is missing, or that the given one is not valid."""
    if is_arcgis(scope):
        if _is_for_a_person(scope):
            return arcgis.ask_for_key(scope["path"], given=given)
        return arcgis.refuse_token(given, is_file="/download" in scope["path"])
    if pekat.is_pekat(scope):
        return pekat.refuse_token(given)
    if is_deepomatic(scope):
        return deepomatic.refuse_token(given)
    if given:
        return refuse(scope, 403, "The key or token is not valid; ask the operator for one.")
    words = "A key is needed; send it as the header X-API-KEY, or as Authorization: Bearer KEY."
    return refuse(scope, 401, words, headers={"WWW-Authenticate": "Bearer"})


def is_arcgis(scope: Scope) -> bool:
    """Tell whether a request is one of ArcGIS REST."""
    if pekat.is_pekat(scope):  # its port knows no other dialect
        return False
    return scope["path"] == "/arcgis" or scope["path"].startswith("/arcgis/")


def is_deepomatic(scope: Scope) -> bool:
    """Tell whether a request is one of Deepomatic v0.7."""
    return scope["path"] == "/v0.7" or scope["path"].startswith("/v0.7/")


def _is_for_a_person(scope: Scope) -> bool:
    """Tell whether a browser shows the answer, as far as it says so."""
    asked = parse_qs(scope["query_string"].decode("latin-1")).get("f", ["html"])
    return asked[0].lower() == "html" and "text/html" in Headers(scope=scope).get("accept", "")


def on_arcgis(request: Request, error: Exception) -> Response:
    """Answer an error that a face of ArcGIS raised."""
    assert isinstance(error, ArcgisError)
    return arcgis.answer(error)


def on_deepomatic(request: Request, error: Exception) -> Response:
    """Answer an error that the face of Deepomatic raised."""
    assert isinstance(error, deepomatic.FieldError)
    return deepomatic.answer(error)


def on_ours(request: Request, error: Exception) -> Response:
    """Answer an error of the package by the table."""
    status = next(status for kind, status in STATUS if isinstance(error, kind))
    if is_arcgis(request.scope) and status == 404:
        return arcgis.answer(ArcgisError(str(error), code=404))
    return refuse(request.scope, status, str(error))


def on_http(request: Request, error: Exception) -> Response:
    """Answer what the framework, or a route by its exception, refuses."""
    assert isinstance(error, HTTPException)
    words = {404: f"There is nothing at {request.url.path}.", 405: "This method is not possible."}
    own = str(error.detail) not in ("Not Found", "Method Not Allowed")
    message = str(error.detail) if own else words[error.status_code]
    return refuse(request.scope, error.status_code, message, headers=error.headers or {})


def on_invalid(request: Request, error: Exception) -> Response:
    """Answer parameters that do not fit what a route declares."""
    assert isinstance(error, RequestValidationError)
    faults = (f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors())
    return refuse(request.scope, 400, "; ".join(faults))
