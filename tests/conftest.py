"""Shared by all tests: quick hypothesis profiles and models that are opened once."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import tempfile
import threading

import hypothesis
import pytest
import safetensors.torch
import torch

from geodl_lab import from_torch, nets, settings
from geodl_lab.testing import RandomNet

hypothesis.settings.register_profile("default", deadline=None, max_examples=25)
hypothesis.settings.load_profile("default")

# Models that the person who runs the tests has installed are none of their business.
os.environ["GEODL_MODELS"] = os.path.join(tempfile.gettempdir(), "geodl-lab-tests-no-models")

NETS = {
    "batchnorm": {"stride": 4, "norm": "batch"},
    "groupnorm": {"stride": 4, "norm": "group"},
    "stride32": {"stride": 32, "norm": "batch"},
}


@pytest.fixture(autouse=True, scope="module")
def same_environment():
    """Take back what a server set for its own process, such as that GDAL reads no sidecars."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True)
def small_windows(monkeypatch):
    """Keep windows small, so that small rasters have seams."""
    monkeypatch.setattr(settings, "MEMORY_BUDGET", 2**23)


@pytest.fixture(scope="session", params=NETS)
def random_model(request):
    """A random net of each kind, as a model."""
    return from_torch(RandomNet(**NETS[request.param]), bands=3, classes=list("abcd"), window=64)


@pytest.fixture(scope="session")
def finite_model():
    """A random net with a finite field."""
    return from_torch(RandomNet(), bands=3, classes=list("abcd"), window=64)


@pytest.fixture
def models_folder(tmp_path, monkeypatch):
    """An empty folder of installed models."""
    monkeypatch.setenv("GEODL_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def package(tmp_path):
    """Writes a tiny model that opens at once, as a folder; answers the folder."""

    def write(folder="package", *, weight=1.0, **said):
        arguments = {
            "in_channels": 1, "out_channels": 2, "widths": [4, 4],
            "encoder_convs": [1, 1], "decoder_convs": [1],
        }  # fmt: skip
        folder = tmp_path / folder
        folder.mkdir(parents=True)
        tensors = nets.build("unet", arguments).state_dict()
        tensors = {name: torch.full_like(tensor, weight) for name, tensor in tensors.items()}
        safetensors.torch.save_file(tensors, folder / "w.safetensors")
        text = {
            "format": "geodl-model", "format_version": 1, "name": "tiny", "version": "1.0",
            "task": "classify", "architecture": {"name": "unet", "arguments": arguments},
            "weights": "w.safetensors", "input": {"bands": ["red"], "scale": 1 / 255},
            "window": 64, "field": {"finite": True, "stride": 2, "halo": 6},
            "classes": [
                {"value": 0, "name": "land", "color": "#00aa00"},
                {"value": 1, "name": "water", "color": "#0000aa"},
            ],
            **said,
        }  # fmt: skip
        (folder / "model.json").write_text(json.dumps(text))
        return folder

    return write


@pytest.fixture
def disk(tmp_path):
    """Makes a disk of a given size."""
    mounted = []

    def mount(size):
        folder = tmp_path / f"disk{size}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("CANNOT MOUNT HERE: a full disk was not tested")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


class Web(http.server.ThreadingHTTPServer):
    """A web server on loopback: bytes to answer by path, or functions that answer."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Answers)
        self.host = f"127.0.0.1:{self.server_port}"
        self.url = f"http://{self.host}"
        self.pages, self.asked = {}, []

    def handle_error(self, request, client_address):
        """Say nothing of clients that hang up."""


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.form = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.server.asked.append(self.path)
        page = self.server.pages.get(self.path.partition("?")[0])
        if page is None:
            self.send_error(404)
        elif callable(page):
            page(self)
        else:
            self.answer(page)

    do_POST = do_GET

    def answer(self, body, *, status=200, **headers):
        """Answer bytes with headers, whose names have ``_`` for ``-``."""
        self.send_response(status)
        for name, value in {"Content_Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def web():
    """A web server on loopback."""
    with Web() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
