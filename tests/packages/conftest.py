"""Small packages for tests: items of the MLM extension, and Esri packages, written by hand."""

import copy
import io
import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from geodl_lab import open_model
from geodl_lab.packages.archives import open_files
from geodl_lab.packages.emd import read_emd
from geodl_lab.testing import RandomNet

Z_SCORES = [
    {"type": "z-score", "mean": mean, "stddev": std}
    for mean, std in ((0.28, 0.24), (0.26, 0.23), (0.27, 0.25))
]

BASIC = {
    "type": "Feature",
    "stac_version": "1.1.0",
    "stac_extensions": ["https://stac-extensions.github.io/mlm/v1.4.0/schema.json"],
    "id": "fields",
    "geometry": None,
    "properties": {
        "datetime": None,
        "start_datetime": "2015-06-23T00:00:00Z",
        "end_datetime": "2024-08-27T23:59:59Z",
        "description": "Parcels of land",
        "license": "CC-BY-4.0",
        "providers": [{"name": "A survey"}, {"name": "An office", "roles": ["host"]}],
        "mlm:name": "Fields-4",
        "mlm:architecture": "RandomNet",
        "mlm:tasks": ["segmentation", "semantic-segmentation"],
        "mlm:framework": "PyTorch",
        "mlm:framework_version": "2.6.0",
        "mlm:batch_size_suggestion": 16,
        "mlm:accelerator": "cuda",
        "mlm:accelerator_constrained": False,
        "mlm:pretrained": False,
        "mlm:pretrained_source": None,
        "mlm:total_parameters": 1000,
        "mlm:input": [
            {
                "name": "three bands",
                "bands": ["B02", "B03", {"name": "B04"}],
                "input": {
                    "shape": [-1, 3, 64, 64],
                    "dim_order": ["batch", "channel", "height", "width"],
                    "data_type": "float32",
                },
                "value_scaling": Z_SCORES,
                "resize_type": None,
                "pre_processing_function": None,
            }
        ],
        "mlm:output": [
            {
                "name": "parcels",
                "tasks": ["semantic-segmentation"],
                "result": {
                    "shape": [-1, 4, 64, 64],
                    "dim_order": ["batch", "class", "height", "width"],
                    "data_type": "float32",
                },
                "classification:classes": [
                    {"value": 0, "name": "none", "color_hint": "808080"},
                    {"value": 1, "name": "field", "title": "A field", "color_hint": "00FF00"},
                    {"value": 2, "name": "edge", "description": "Between two"},
                    {"value": 5, "description": "Water", "color_hint": [0, 0, 255]},
                ],
                "post_processing_function": None,
            }
        ],
        "bands": [
            {"name": "B02", "eo:common_name": "blue", "data_type": "uint16", "gsd": 10},
            {"name": "B03", "eo:common_name": "green", "data_type": "uint16", "gsd": 10},
            {"name": "B04", "eo:common_name": "red", "data_type": "uint16", "gsd": 10},
        ],
    },
    "links": [],
    "assets": {
        "code": {"href": "https://example.com/code", "roles": ["mlm:source_code"]},
        "model": {
            "href": "./net.pt",
            "type": "application/octet-stream; framework=pytorch",
            "roles": ["mlm:model", "mlm:compiled"],
            "mlm:artifact_type": "torch.jit.save",
        },
    },
}

PREFIXES = {"input": "properties/mlm:input/0", "output": "properties/mlm:output/0"}


def _changed(*changes):
    """The basic item with (path, value) changes; keys and indices joined by '/', ... takes out."""
    item = copy.deepcopy(BASIC)
    for path, value in changes:
        first, _, rest = path.partition("/")
        *parents, last = (f"{PREFIXES[first]}/{rest}" if first in PREFIXES else path).split("/")
        place = item
        for part in parents:
            place = place[int(part) if isinstance(place, list) else part]
        if value is ...:
            del place[last]
        else:
            place[int(last) if isinstance(place, list) else last] = value
    return item


def _write_item(folder, *changes):
    path = folder / "item.json"
    path.write_text(json.dumps(_changed(*changes)))
    return path


def _write_script(folder, network=None):
    if network is None:  # torch.jit.script does not know the forward of a random one
        script = torch.jit.trace(RandomNet().eval(), torch.rand(1, 3, 64, 64))
    else:
        script = torch.jit.script(network.eval())
    script.save(folder / "net.pt")


def _opened(folder, *changes, trust=True):
    return open_model(_write_item(folder, *changes), trust=trust)


@pytest.fixture(scope="session")
def basic():
    """An item of the TorchScript network in `folder`."""
    return BASIC


@pytest.fixture(scope="session")
def changed():
    """Makes the basic item with changes."""
    return _changed


@pytest.fixture(scope="session")
def write_item():
    """Writes the changed item into a folder; gives its path."""
    return _write_item


@pytest.fixture(scope="session")
def write_script():
    """Writes a network as TorchScript; a random one of three bands and four classes by default."""
    return _write_script


@pytest.fixture(scope="session")
def opened():
    """Opens the changed item in a folder."""
    return _opened


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder with one TorchScript network."""
    path = tmp_path_factory.mktemp("mlm")
    _write_script(path)
    return path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A folder with a network of one convolution, which is measured in no time."""
    path = tmp_path_factory.mktemp("tiny")
    _write_script(path, torch.nn.Conv2d(3, 4, 3, padding=1))
    return path


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
