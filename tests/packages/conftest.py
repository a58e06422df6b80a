"""Small Esri packages for tests: a description of ours beside tiny weights."""

import io
import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from geodl_lab.packages.archives import open_files
from geodl_lab.packages.emd import read_emd

CLASSES = [
    {"Value": 1, "Name": "field", "Color": [0, 128, 0]},
    {"Value": 4, "Name": "road", "Color": [120, 120, 120]},
]
TEXT = {
    "Framework": "PyTorch",
    "ModelConfiguration": "Tiny",
    "ModelType": "ImageClassification",
    "ModelFile": "tiny.pt",
    "ImageHeight": 32,
    "ImageWidth": 32,
    "ExtractBands": [0, 1, 2],
    "DataRange": [0, 1],
    "Classes": CLASSES,
}


def torchscript(module, *shape):
    """The bytes of a traced module."""
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(module.eval(), torch.rand(shape)), buffer)
    return buffer.getvalue()


def scores(bands=3, classes=2, size=1):
    """The bytes of a convolution with seeded weights."""
    torch.manual_seed(0)
    net = nn.Conv2d(bands, classes, size, padding=size // 2)
    return torchscript(net, 1, bands, 16, 16)


def write(folder, weights=None, *, weights_name="tiny.pt", drop=(), **keys):
    """Write a package; keys replace those of ``TEXT``."""
    text = {key: value for key, value in {**TEXT, **keys}.items() if key not in drop}
    folder.mkdir(exist_ok=True)
    (folder / "tiny.emd").write_text(json.dumps(text))
    (folder / weights_name).write_bytes(scores() if weights is None else weights)
    return folder / "tiny.emd"


def read(path, *, trust=True):
    """Open a package with the reader alone."""
    return read_emd(open_files(path), path.name, trust=trust)


@pytest.fixture(scope="session")
def esri():
    """What writes and reads such packages."""
    return SimpleNamespace(
        text=TEXT, classes=CLASSES, torchscript=torchscript, scores=scores, write=write, read=read
    )
