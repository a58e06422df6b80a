"""A server without jobs: a fake core, keys, and a client that speaks to the app."""

import asyncio
import warnings

import httpx
import pytest
from fastapi import Request
from fastapi.responses import HTMLResponse

from geodl_lab import errors
from geodl_lab.jobs.job import State
from geodl_lab.jobs.meters import Meters
from geodl_lab.server.app import make_app
from geodl_lab.server.arcgis.web import ArcgisError
from geodl_lab.server.context import tokens_of, visitor_of
from geodl_lab.server.options import ServerOptions
from geodl_lab.server.tokens import Tokens

KEY, OTHER, ADMIN = "key-of-one", "key-of-another", "key-of-the-admin"


class FakeCore:
    """What the server itself asks of a core."""

    def __init__(self, options=None):
        self.options, self.meters, self.workers_ready = options, Meters(), False

    def counts(self):
        return {State.PENDING: 3, State.RUNNING: 1}

    def close(self):
        pass


async def echo(request: Request):
    """What a route sees of a request."""
    caller = visitor_of(request)
    form = {name: str(value) for name, value in (await request.form()).items()}
    return {
        "owner": caller.owner if caller else None,
        "admin": bool(caller and caller.admin),
        "form": form,
        "path": request.url.path,
        "base": str(request.base_url),
    }


async def upload(request: Request):
    """Count the bytes of a body as they come."""
    return {"bytes": sum([len(piece) async for piece in request.stream()])}


def fail(request: Request, kind: str):
    """Raise an error by name."""
    if kind == "arcgis":
        raise ArcgisError("The raster is not there.", details=("Name another.",))
    if kind == "token":
        return {"token": tokens_of(request).issue(visitor_of(request))[0]}
    raise getattr(errors, kind, RuntimeError)("token=hush, the sentence")


def page():
    return HTMLResponse("<p>hello")


@pytest.fixture
def app(tmp_path):
    """Makes an app of a fake core with some routes; answers it."""

    def make(**options):
        chosen = ServerOptions(data_dir=tmp_path, **options)
        keys = {} if chosen.no_auth else {"keys": (KEY, OTHER), "admin_key": ADMIN}
        tokens = Tokens(**{"keys": (), **keys}, secret=b"s", anybody=chosen.no_auth)
        made = make_app(FakeCore(), chosen, tokens=tokens)
        for path in ("/echo", "/arcgis/echo", "/arcgis/sharing/rest/portals/self"):
            made.api_route(path, methods=["GET", "POST"])(echo)
        for path in ("/fail/{kind}", "/arcgis/fail/{kind}"):
            made.get(path)(fail)
        made.post("/upload")(upload)
        made.get("/page")(page)
        return made

    return make


@pytest.fixture
def ask():
    """Sends one request to an app; answers the response."""

    def send(app, path, method="GET", *, client=("127.0.0.1", 1), key=None, **request):
        if key:
            request["headers"] = {"X-API-KEY": key, **request.get("headers", {})}

        async def go():
            transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=client)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
                return await http.request(method, path, **request)

        with warnings.catch_warnings():  # starlette leaves closing small uploads to the collector
            warnings.simplefilter("ignore", ResourceWarning)
            return asyncio.run(go())

    return send
