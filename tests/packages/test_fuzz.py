"""Damaged and evil files of every kind: errors of ours only, nothing run, nothing written.

To add a kind, add a row to `SEEDS`: a function that writes a whole package into a folder, and the
names of what is opened and of what is damaged.
"""

import io
import json
import os
import pickle
import shutil
import socket
import zipfile

import hypothesis.strategies as st
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings

from geodl_lab import nets, open_model
from geodl_lab.errors import GeodlError, ModelError
from geodl_lab.packages.zips import Zip, pack

ARGUMENTS = {
    "in_channels": 1, "out_channels": 2, "widths": [4, 4], "encoder_convs": [1, 1],
    "decoder_convs": [1],
}  # fmt: skip
NATIVE = {
    "format": "geodl-model",
    "format_version": 1,
    "name": "fuzzed",
    "version": "1.0.0",
    "task": "classify",
    "architecture": {"name": "unet", "arguments": ARGUMENTS},
    "weights": "w.safetensors",
    "input": {"bands": ["red"], "dtype": "uint8", "scale": 0.5, "mean": [0.5], "std": [0.25]},
    "window": 32,
    "classes": [
        {"value": 0, "name": "a", "color": "#112233"},
        {"value": 1, "name": "b", "color": "#445566"},
    ],
    "decoder": None,
    "field": {"finite": True, "stride": 2, "halo": 8, "crop": 0, "memory": 99.0, "seams": [0.1]},
}
EMD = {
    "Framework": "PyTorch",
    "ModelType": "ImageClassification",
    "ModelFile": "net.pt",
    "ImageHeight": 32,
    "ImageWidth": 32,
    "ExtractBands": [0],
    "Classes": [
        {"Value": 0, "Name": "a", "Color": [1, 2, 3]},
        {"Value": 1, "Name": "b", "Color": [4, 5, 6]},
    ],
}


def network():
    torch.manual_seed(0)
    return nets.build("unet", ARGUMENTS).eval()


def native(folder, weights="w.safetensors"):
    (folder / "model.json").write_text(json.dumps({**NATIVE, "weights": weights}))
    state = network().state_dict()
    if weights.endswith(".safetensors"):
        safetensors.torch.save_file(dict(state), folder / weights)
    else:
        torch.save(state, folder / weights, _use_new_zipfile_serialization=weights != "old.pt")


def emd(folder):
    (folder / "a.emd").write_text(json.dumps(EMD))
    torch.jit.save(torch.jit.trace(network(), torch.zeros(1, 1, 32, 32)), folder / "net.pt")


def dlpk(folder):
    emd(folder)
    with zipfile.ZipFile(folder / "m.dlpk", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a.emd", "net.pt"):
            archive.write(folder / name, name)


# What is written, what is opened, what is damaged.
SEEDS = {
    "model.json": (native, "model.json", "model.json"),
    "safetensors": (native, "model.json", "w.safetensors"),
    "pth": (lambda folder: native(folder, "w.pth"), "model.json", "w.pth"),
    "legacy": (lambda folder: native(folder, "old.pt"), "model.json", "old.pt"),
    "emd": (emd, "a.emd", "a.emd"),
    "torchscript": (emd, "a.emd", "net.pt"),
    "dlpk": (dlpk, "m.dlpk", "m.dlpk"),
}


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """A whole package of every kind."""
    made = {}
    for kind, (write, _, _) in SEEDS.items():
        made[kind] = tmp_path_factory.mktemp(kind)
        write(made[kind])
    return made


@pytest.fixture(autouse=True)
def sealed(monkeypatch):
    """Fail where anything asks the network."""

    def refuse(*arguments):
        raise AssertionError("a model file reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@st.composite
def damages(draw):
    """A function of bytes that damages them: cuts, flips, puts in, or makes all garbage."""
    kind, place = draw(st.sampled_from(["cut", "flip", "put", "all"])), draw(st.floats(0, 1))
    noise = draw(st.binary(min_size=1, max_size=40))

    def damage(content):
        at = int(place * len(content))
        if kind == "cut":
            return content[:at]
        if kind == "all":
            return noise
        return content[:at] + noise + content[at + (len(noise) if kind == "flip" else 0) :]

    return damage


def opened(folder, name, **options):
    """Open it: a model, or an error of ours; anything else fails the test by itself."""
    listed = sorted(os.listdir(folder))
    try:
        return open_model(folder / name, **options)
    except GeodlError as error:
        text = str(error)
        assert text and "\n" not in text and len(text) < 2000
        return error
    finally:
        assert sorted(os.listdir(folder)) == listed


@pytest.mark.parametrize("kind", SEEDS)
def test_whole_files_open(kind, seeds):
    model = opened(seeds[kind], SEEDS[kind][1])
    assert not isinstance(model, GeodlError), model


@pytest.mark.parametrize("kind", SEEDS)
def test_damaged_files_are_refused_in_one_sentence(kind, seeds, tmp_path_factory):
    _, main, damaged = SEEDS[kind]
    folder = tmp_path_factory.mktemp("damaged") / "package"
    shutil.copytree(seeds[kind], folder)
    whole = (folder / damaged).read_bytes()

    @settings(max_examples=40)
    @given(damages())
    def fuzz(damage):
        (folder / damaged).write_bytes(damage(whole))
        opened(folder, main)

    fuzz()
    assert os.listdir(folder.parent) == ["package"]


@pytest.mark.parametrize("kind", ["torchscript", "pth"])
def test_damage_within_a_whole_archive_is_refused(kind, seeds, tmp_path):
    """Its checksums are right, so that the readers of what is in it see the damage."""
    _, main, damaged = SEEDS[kind]
    folder = tmp_path / "package"
    shutil.copytree(seeds[kind], folder)
    archive = Zip((folder / damaged).read_bytes(), damaged)
    files = {name: archive.read(name) for name in archive.names}
    inner = [name for name in files if name.endswith((".pkl", ".py", "version", "byteorder"))]

    @settings(max_examples=60)
    @given(st.sampled_from(inner), damages())
    def fuzz(name, damage):
        (folder / damaged).write_bytes(pack({**files, name: damage(files[name])}).read())
        opened(folder, main)

    fuzz()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from([10**30, -1, 0, 1e300, "../x", "unet", "w.safetensors"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner,
                                                                max_size=3),
    max_leaves=5,
)  # fmt: skip


def paths(value, path=()):
    """Every place in a JSON value."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        if isinstance(inner, dict | list):
            yield from paths(inner, (*path, key))
        else:
            yield (*path, key)


def replaced(value, path, new):
    if not path:
        return new
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[path[0]] = replaced(value[path[0]], path[1:], new)
    return changed


@pytest.mark.parametrize(
    ("kind", "text", "examples"),
    [("model.json", NATIVE, 150), ("emd", EMD, 30)],  # an .emd that opens is run, which takes time
    ids=["model.json", "emd"],
)
def test_wrong_values_of_every_key_are_refused(kind, text, examples, seeds, tmp_path):
    folder = tmp_path / "package"
    shutil.copytree(seeds[kind], folder)

    @settings(max_examples=examples)
    @given(st.sampled_from(sorted(paths(text), key=str)), JSON)
    def fuzz(path, value):
        (folder / SEEDS[kind][2]).write_text(json.dumps(replaced(text, path, value)))
        opened(folder, SEEDS[kind][1])

    fuzz()


@pytest.mark.parametrize("name", ["model.json", "a.emd"])
@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, '{"window": ' + "9" * 10_000 + "}", "NaN", "{}"]
)
def test_json_without_end_is_refused(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    assert isinstance(opened(tmp_path, name), ModelError)


class Bomb:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.mknod, (str(self.file),)


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize("kind", ["safetensors", "torchscript", "pth", "legacy"])
def test_pickles_that_would_run_do_not(kind, trust, seeds, tmp_path):
    folder, file = tmp_path / "package", tmp_path / "written"
    shutil.copytree(seeds[kind], folder)
    zipped, legacy = io.BytesIO(), io.BytesIO()
    torch.save(Bomb(file), zipped)
    torch.save(Bomb(file), legacy, _use_new_zipfile_serialization=False)
    for bomb in (pickle.dumps(Bomb(file)), zipped.getvalue(), legacy.getvalue()):
        (folder / SEEDS[kind][2]).write_bytes(bomb)
        assert isinstance(opened(folder, SEEDS[kind][1], trust=trust), ModelError)
    assert os.listdir(tmp_path) == ["package"]
