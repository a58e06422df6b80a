"""The app of a PEKAT port: the same core, PEKAT's protocol alone."""

from __future__ import annotations

from fastapi import FastAPI

from geodl_lab.server.app import add_handlers, add_layers
from geodl_lab.server.options import ServerOptions
from geodl_lab.server.pekat.errors import Face
from geodl_lab.server.pekat.routes import router
from geodl_lab.server.tokens import Tokens


def make_pekat_app(main: FastAPI, options: ServerOptions, *, tokens: Tokens) -> FastAPI:
    """Return the app of a PEKAT port.

    Parameters
    ----------
    main
        The server's app, whose state it shares.
    options
        Limits, and the project.
    tokens
        The server's keys; the project's own is added, and ``null`` lets everybody in.
    """
    app = FastAPI(title="geodl-lab PEKAT", openapi_url=None, redirect_slashes=False)
    app.state = main.state
    app.include_router(router)
    add_handlers(app)
    key = options.project.api_key
    add_layers(app, options, tokens.also(key or "", anybody=key is None))
    app.add_middleware(Face)
    return app
