"""A server without jobs: a fake core, keys, and a client that speaks to the app."""

import httpx
import pytest

from geodl_lab.jobs.job import State
from geodl_lab.jobs.meters import Meters
from geodl_lab.server.app import make_app
from geodl_lab.server.options import ServerOptions
from geodl_lab.server.tokens import Tokens

KEY, OTHER, ADMIN = "key-of-one", "key-of-another", "key-of-the-admin"


class FakeCore:
    """What the server itself asks of a core."""

    def __init__(self, options=None):
        self.options, self.meters, self.workers_ready, self.closed = options, Meters(), False, False

    def counts(self):
        return {State.PENDING: 3, State.RUNNING: 1}

    def close(self):
        self.closed = True


@pytest.fixture
def app(tmp_path):
    """Makes an app of a fake core; answers it."""

    def make(core=None, **options):
        chosen = ServerOptions(data_dir=tmp_path, **options)
        keys = () if chosen.no_auth else (KEY, OTHER)
        tokens = Tokens(
            keys, admin_key="" if chosen.no_auth else ADMIN, secret=b"s", anybody=chosen.no_auth
        )
        return make_app(core or FakeCore(), chosen, tokens=tokens)

    return make


@pytest.fixture
def ask(anyio_backend_name="asyncio"):
    """Sends one request to an app; answers the response."""
    import asyncio

    def send(app, path, method="GET", *, client=("10.0.0.1", 1), **request):
        async def go():
            transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=client)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
                return await http.request(method, path, **request)

        return asyncio.run(go())

    return send
