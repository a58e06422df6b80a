"""Shared by all tests: quick hypothesis profiles and models that are opened once."""

from __future__ import annotations

import os
import subprocess
import tempfile

import hypothesis
import pytest

from geodl_lab import from_torch, settings
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
