"""The app: all faces, and what every request passes before it reaches one."""

from __future__ import annotations

import importlib
import re
import warnings
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException

from geodl_lab._version import __version__
from geodl_lab.errors import GeodlError
from geodl_lab.jobs.core import Core
from geodl_lab.server import errors, health, own, start
from geodl_lab.server.arcgis.web import ArcgisError
from geodl_lab.server.auth import OPEN, OPTIONAL, Authentication
from geodl_lab.server.bodies import BodyLimits
from geodl_lab.server.deepomatic.errors import FieldError
from geodl_lab.server.limits import Buckets
from geodl_lab.server.options import ServerOptions
from geodl_lab.server.origins import Origins
from geodl_lab.server.paths import Heads, Paths
from geodl_lab.server.pekat.desk import Desk
from geodl_lab.server.proxied import Proxied
from geodl_lab.server.requests import Faults, Requests
from geodl_lab.server.tokens import Tokens

DAY = 86_400.0

# The faces: module with a `router`, and where it is. `/server` and `/portal` are other names of
# `/arcgis` (`paths.ALIASES`).
FACES = (
    ("geodl_lab.server.arcgis.routes", "/arcgis"),
    ("geodl_lab.server.pekat.routes", ""),
    ("geodl_lab.server.deepomatic.routes", "/v0.7"),
)

ABOUT = (
    "Deep learning on rasters as jobs. A key is needed for all but a few paths: as the header "
    "`X-API-KEY`, `Authorization: Bearer KEY` or `X-Esri-Authorization: Bearer KEY`, or as the "
    "parameter `token`. `/server/...` and `/portal/...` are other names of `/arcgis/...`."
)
SECURITY: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-KEY"},
    "esri": {"type": "apiKey", "in": "header", "name": "X-Esri-Authorization"},
    "token": {"type": "apiKey", "in": "query", "name": "token"},
}
COMMON = {
    "413": "The request is too large.",
    "429": "Too many requests came with this key; Retry-After says when to go on.",
    "503": "The server is busy or stopping; Retry-After says when to go on.",
}


class App(FastAPI):
    """FastAPI with an OpenAPI document that says what holds for all routes."""

    def openapi(self) -> dict[str, Any]:
        """Return the document, made once."""
        if not self.openapi_schema:
            self.openapi_schema = _openapi(self)
        return self.openapi_schema


def make_app(core: Core, options: ServerOptions, *, tokens: Tokens) -> FastAPI:
    """Return the app of a server.

    Parameters
    ----------
    core
        What the faces call.
    options
        Limits, and whether anybody is let in.
    tokens
        Keys and tokens.
    """
    app = App(
        title="geodl-lab", version=__version__, description=ABOUT,
        docs_url=None, redoc_url=None, redirect_slashes=False,
    )  # fmt: skip
    app.state.core, app.state.tokens, app.state.options = core, tokens, options
    app.state.metrics, app.state.stopping = health.Metrics(), False
    app.state.pekat = Desk(options.project, stop_key=options.pekat_stop_key)
    for router, prefix in faces():
        if prefix or not options.tls:  # PEKAT's clients, which are at the root, speak no https
            app.include_router(router, prefix=prefix)
    app.include_router(own.router)
    app.include_router(start.router)
    app.include_router(health.router)  # last: a face at the root has its own /ping and /version
    add_handlers(app)
    add_layers(app, options, tokens)
    return app


def faces() -> list[tuple[APIRouter, str]]:
    """Return the routes of each face, and where they are."""
    return [(importlib.import_module(module).router, prefix) for module, prefix in FACES]


def add_handlers(app: FastAPI) -> None:
    """Add what words errors."""
    app.add_exception_handler(ArcgisError, errors.on_arcgis)
    app.add_exception_handler(FieldError, errors.on_deepomatic)
    app.add_exception_handler(GeodlError, errors.on_ours)
    app.add_exception_handler(HTTPException, errors.on_http)
    app.add_exception_handler(RequestValidationError, errors.on_invalid)


def add_layers(app: FastAPI, options: ServerOptions, tokens: Tokens) -> None:
    """Add what a request passes; the last one added is the first that it meets."""
    quota = Buckets(options.upload_quota / DAY, options.upload_quota)
    pace = Buckets(options.rate_limit)
    app.add_middleware(Proxied)
    app.add_middleware(Heads)
    pekat = tokens.also(options.project.api_key or "")
    app.add_middleware(Authentication, tokens=tokens, buckets=pace, quota=quota, pekat=pekat)
    app.add_middleware(BodyLimits, max_form=options.max_form, max_upload=options.max_upload)
    app.add_middleware(Paths)
    app.add_middleware(Faults)
    app.add_middleware(Origins, local=tokens.anybody is not None)
    app.add_middleware(Requests, metrics=app.state.metrics)


def _openapi(app: FastAPI) -> dict[str, Any]:
    with warnings.catch_warnings():  # one function for GET and POST: ids are made unique below
        warnings.filterwarnings("ignore", message="Duplicate Operation ID")
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
    document.setdefault("components", {})["securitySchemes"] = SECURITY
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(operation, path, method)
    return document


def _complete(operation: dict[str, Any], path: str, method: str) -> None:
    """Add to what a route says of itself what holds for all of its kind."""
    name = re.sub(r"\W+", "_", path).strip("_")
    operation["operationId"] = f"{method}_{name}"
    operation["security"] = _security(path)
    for status, words in COMMON.items():
        operation["responses"].setdefault(status, {"description": words})
    parameters = operation.setdefault("parameters", [])
    said = {one["name"] for one in parameters if one["in"] == "path"}
    parameters += [
        {"name": one, "in": "path", "required": True, "schema": {"type": "string"}}
        for one in re.findall(r"{(\w+)}", path)
        if one not in said
    ]


def _security(path: str) -> list[dict[str, list[str]]]:
    ways: list[dict[str, list[str]]] = [{name: []} for name in SECURITY]
    if path in OPEN:
        return []
    return [{}, *ways] if path in OPTIONAL else ways
