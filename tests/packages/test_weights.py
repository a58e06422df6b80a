"""A file of weights is what its bytes say, whatever it is called."""

import io
import os
import pickle

import pytest
import safetensors.torch
import torch

from geodl_lab import nets
from geodl_lab.errors import ModelError, TrustError
from geodl_lab.packages.archives import Files
from geodl_lab.packages.weights import load_network


def arguments(width, depth):
    convs = {"encoder_convs": [1] * depth, "decoder_convs": [1] * (depth - 1)}
    return {"in_channels": 3, "out_channels": 2, "widths": [width] * depth, **convs}


ARCHITECTURE = {"name": "unet", "arguments": arguments(4, 2)}
X = torch.rand(1, 3, 16, 16)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    network = nets.build("unet", dict(ARCHITECTURE["arguments"])).eval()
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.uniform_()
    return network


def load(folder, name, content, **options):
    (folder / name).write_bytes(content)
    return load_network(Files(folder), name, **options)


def torch_saved(value, **options):
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def checkpoints(state):
    """Ways in which programs save the same tensors."""
    prefixed = {f"module.{key}": value for key, value in state.items()}
    return {
        "a.pth": torch_saved(state),
        "b.pt": torch_saved(dict(state)),
        "c.bin": torch_saved(state, _use_new_zipfile_serialization=False),
        "d.ckpt": torch_saved({"epoch": 3, "state_dict": prefixed}),
        "e.pth": torch_saved({"model_state_dict": {f"model.{k}": v for k, v in state.items()}}),
        "f.ckpt": torch_saved({"state_dict": {f"model.{k}": v for k, v in prefixed.items()}}),
        "g.safetensors": safetensors.torch.save(dict(state)),
        "h.pt": safetensors.torch.save(dict(state)),
    }


def test_tensors_of_every_kind_make_the_same_network(tmp_path, net):
    for name, content in checkpoints(net.state_dict()).items():
        loaded = load(tmp_path, name, content, architecture=ARCHITECTURE)
        assert not loaded.training
        tensors = loaded.state_dict()
        assert all(torch.equal(tensors[key], value) for key, value in net.state_dict().items())
        with torch.no_grad():  # channels last adds in another order
            assert torch.allclose(loaded(X), net(X), atol=1e-5), name


def test_half_precision_is_brought_to_single(tmp_path, net):
    half = {
        key: value.half() if value.is_floating_point() else value
        for key, value in net.state_dict().items()
    }
    loaded = load(tmp_path, "a.pth", torch_saved(half), architecture=ARCHITECTURE)
    assert {t.dtype for t in loaded.state_dict().values()} == {torch.float32, torch.int64}


def test_torchscript_is_told_by_its_content(tmp_path, net):
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(net, X), buffer)
    for name in ("a.pt", "b.safetensors", "c.pth", "d.bin"):
        with torch.no_grad():
            assert torch.allclose(load(tmp_path, name, buffer.getvalue())(X), net(X), atol=1e-5)


def test_an_exported_program_needs_trust(tmp_path):
    class Doubling(torch.nn.Module):
        def forward(self, x):
            return x * 2

    torch.export.save(torch.export.export(Doubling(), (X,)), tmp_path / "a.pt2")
    content = (tmp_path / "a.pt2").read_bytes()
    with pytest.raises(TrustError, match=r"program \(torch.export\).*\(sha256 [0-9a-f]{64}\)"):
        load(tmp_path, "a.pt2", content)
    for name in ("a.pt2", "b.pt"):
        network = load(tmp_path, name, content, trust=True)
        assert torch.equal(network(X), X * 2) and not network.training


class Bomb:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.mknod, (str(self.file),)


def bombs(file):
    return {
        "zip.pth": torch_saved(Bomb(file)),
        "in.pt": torch_saved({"state_dict": {"a": Bomb(file)}}),
        "legacy.bin": torch_saved(Bomb(file), _use_new_zipfile_serialization=False),
        "pickle.ckpt": pickle.dumps(Bomb(file)),
        "old.pt": pickle.dumps(Bomb(file), protocol=2),
        "module.pt": torch_saved(torch.nn.ReLU()),
    }


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize("name", list(bombs("")))
def test_pickles_of_more_than_tensors_are_never_opened(tmp_path, name, trust):
    file = tmp_path / "written"
    with pytest.raises(ModelError, match=r"never opened; save model.state_dict\(\)"):
        load(tmp_path, name, bombs(file)[name], trust=trust, architecture=ARCHITECTURE)
    assert not file.exists()


def test_the_bomb_would_work(tmp_path):
    pickle.loads(pickle.dumps(Bomb(tmp_path / "written")))
    assert (tmp_path / "written").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "fetch .* git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
        (b"<html><body>404", "a web page"),
        (b"<?xml version='1.0'?><Error>", "an XML text"),
        (b"\x89HDF\r\n\x1a\n" + bytes(40), "convert the model to ONNX"),
        (b"\x1c\x00\x00\x00TFL3" + bytes(40), "TensorFlow Lite"),
        (b"\x1f\x8b\x08\x00", "unpack it first"),
        (b"\x7fELF" + bytes(99), "a program; it is never run"),
        (b"random text of someone", "of an unknown kind; possible are .onnx, .pt, .pth"),
        (b"PK\x03\x04 nonsense", "is no whole archive"),
        (bytes(100), "of an unknown kind"),
        ((2).to_bytes(8, "little") + b"{x" + bytes(50), "do not open"),
        (b"\x80\x02", "do not open"),
    ],
)
@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_what_is_no_weights_is_named(tmp_path, content, message, name):
    with pytest.raises(ModelError, match=message):
        load(tmp_path, name, content, architecture=ARCHITECTURE)


def test_an_onnx_file_that_is_something_else_is_named(tmp_path):
    for content, message in ((b"", "empty"), (b"<html>", "a web page"), (b"PK\x03\x04", "archive")):
        with pytest.raises(ModelError, match=message):
            load(tmp_path, "w.onnx", content)


def test_an_archive_of_something_else_is_named(tmp_path):
    target = io.BytesIO()
    with torch.package.PackageExporter(target) as exporter:
        exporter.save_text("a", "b.txt", "text")
    with pytest.raises(ModelError, match="an archive without any weights"):
        load(tmp_path, "w.pt", target.getvalue())


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ([1, 2], "hold no state_dict"),
        ({}, "hold no state_dict"),
        ({"state_dict": {"a": 1}}, "hold no state_dict"),
        ({1: torch.ones(1)}, "hold no state_dict"),
        ({"other.weight": torch.ones(1)}, r"as those of 'unet' \(Missing key"),
    ],
)
def test_checkpoints_of_something_else_are_refused(tmp_path, held, message):
    with pytest.raises(ModelError, match=message):
        load(tmp_path, "w.pth", torch_saved(held), architecture=ARCHITECTURE)


def test_tensors_without_an_architecture_say_what_is_missing(tmp_path, net):
    for name in ("w.pth", "w.safetensors"):
        content = torch_saved(net.state_dict())
        with pytest.raises(ModelError, match="does not say of which architecture"):
            load(tmp_path, name, content)


def test_weights_of_another_size_take_no_memory(tmp_path, net):
    large = {"name": "unet", "arguments": arguments(8192, 20)}  # 50 GiB
    with pytest.raises(ModelError, match="do not open as those of 'unet'"):
        load(tmp_path, "w.pth", torch_saved(net.state_dict()), architecture=large)


@pytest.mark.parametrize(
    "odd",
    [
        lambda w: w.to_sparse(),
        lambda w: w.to("meta"),
        lambda w: w.to(torch.complex64),
    ],
)
def test_tensors_of_unusual_kinds_are_refused(tmp_path, net, odd):
    state = net.state_dict()
    first = next(iter(state))
    content = torch_saved({**state, first: odd(state[first])})
    with pytest.raises(ModelError, match=rf"'net.pth' hold '{first}' as a tensor of an unusual"):
        load(tmp_path, "net.pth", content, architecture=ARCHITECTURE)
