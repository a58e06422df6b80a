"""PEKAT's face over a core that computes here, with a tiny model."""

import asyncio
import io
import json
from concurrent.futures import Future

import httpx
import numpy as np
import pytest
from PIL import Image

from geodl_lab.errors import BusyError
from geodl_lab.jobs.meters import Meters
from geodl_lab.jobs.worker import run_step
from geodl_lab.server.app import make_app
from geodl_lab.server.options import ServerOptions
from geodl_lab.server.pekat.app import make_pekat_app
from geodl_lab.server.tokens import Tokens

KEY, PROJECT_KEY, STOP_KEY = "key-of-one", "key-of-the-project", "key-to-stop"


class HereCore:
    """A core whose worker is this process."""

    def __init__(self, options):
        self.options, self.meters, self.workers_ready = options, Meters(), True
        self.devices, self.crash = [], None

    def counts(self):
        return {}

    def compute(self, function, *args, device="auto", priority=10):
        self.devices.append(device)
        future = Future()
        try:
            if self.crash:
                raise self.crash
            future.set_result(run_step(function, *args).get())
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture
def crash():
    """What a core says whose worker died."""
    return BusyError("the worker was killed; send the same request again")


@pytest.fixture
def pixels():
    """A photo (y, x, 3) whose three bands differ."""
    return np.random.default_rng(3).integers(0, 256, (40, 60, 3), dtype=np.uint8)


@pytest.fixture
def png(pixels):
    """The photo as a file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def made(tmp_path, package):
    """Makes the app of a main port and that of a PEKAT port for a project; answers both."""

    def make(*, scheduler="", no_auth=False, tls=False, stop_key=STOP_KEY, **project):
        file = tmp_path / "project.json"
        model = project.pop("model", None) or str(package(f"p{len(list(tmp_path.iterdir()))}"))
        file.write_text(json.dumps({"model": model, **project}))
        options = ServerOptions(
            data_dir=tmp_path, pekat_project=file, pekat_port=0, pekat_stop_key=stop_key,
            no_auth=no_auth, self_signed=tls, scheduler=scheduler, upload_quota=10_000,
        )  # fmt: skip
        tokens = Tokens(() if no_auth else (KEY,), secret=b"s", anybody=no_auth)
        main = make_app(HereCore(options.core), options, tokens=tokens)
        return main, make_pekat_app(main, options, tokens=tokens)

    return make


@pytest.fixture
def port(made):
    """Makes the app of a PEKAT port that asks for no key."""
    return lambda **project: made(**{"api_key": None, **project})[1]


@pytest.fixture
def talk():
    """Sends some requests to one app, one after the other; answers the responses."""

    def send(app, *requests):
        async def go():
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
                return [
                    await http.request(method, path, **dict(*more))
                    for method, path, *more in requests
                ]

        return asyncio.run(go())

    return send
