import dataclasses
import json

import pytest
import torch
from torch import nn

from geodl_lab import open_model
from geodl_lab.errors import ModelError
from geodl_lab.packages.axes import channels_first, from_two_images
from geodl_lab.packages.portable import portable
from geodl_lab.testing import save_onnx


class Difference(nn.Module):
    """Answers the difference of two images."""

    def forward(self, before, after):
        return after - before


class LastIsBand(nn.Module):
    """Answers the first two bands of (N, H, W, C) as (N, H, W, 2)."""

    def forward(self, x):
        return x[..., :2] * 2


class Mean(nn.Module):
    """Answers the mean of each band of (N, H, W, C) as (N, C)."""

    def forward(self, x):
        return x.mean((1, 2))


@dataclasses.dataclass(frozen=True)
class Image:
    """What a graph takes, as a network of ONNX says it."""

    shape: tuple
    channels_first: bool


@dataclasses.dataclass(frozen=True)
class Onnx:
    """A network with its own runtime."""

    image: Image
    maps_last: bool | None = None


class Named(nn.Module):
    """Answers (N, H, W, C) by a name."""

    def forward(self, x):
        return {"values": x * 2}


def traced(module, *inputs):
    return torch.jit.trace(module.eval(), inputs)


def test_two_images_are_the_halves_of_the_channels():
    x = torch.rand(2, 6, 5, 7)
    net = from_two_images(traced(Difference(), x[:, :3], x[:, 3:]))
    assert isinstance(net, torch.jit.ScriptModule) and not net.training
    assert torch.equal(net(x), x[:, 3:] - x[:, :3])


def test_networks_of_one_image_stay():
    net = traced(nn.Conv2d(3, 2, 1), torch.rand(1, 3, 4, 4))
    assert from_two_images(net) is net and from_two_images(nn.Identity()) is not None


@pytest.mark.parametrize("make", [lambda net, x: net.eval(), traced])
def test_maps_are_turned_back_and_nothing_else(make):
    x = torch.rand(2, 3, 5, 7)
    last = x.permute(0, 2, 3, 1)
    net = channels_first(make(LastIsBand(), last), last_in=True, last_out=True)
    assert torch.equal(net(x), x[:, :2] * 2) and not net.training
    net = channels_first(make(Mean(), last), last_in=True, last_out=True)
    assert torch.allclose(net(x), x.mean((2, 3)))
    net = channels_first(make(nn.ReLU(), x), last_in=False, last_out=True)
    assert torch.equal(net(last), x)
    net = channels_first(make(nn.ReLU(), x), last_in=True, last_out=False)
    assert torch.equal(net(x), last)


def test_scripts_that_answer_no_tensor_are_turned():
    x = torch.rand(2, 3, 5, 7)
    net = torch.jit.trace(Named(), x, strict=False)
    net = channels_first(net, last_in=True, last_out=True)
    assert torch.equal(net(x)["values"], x.permute(0, 2, 3, 1) * 2)


def test_programs_that_refuse_another_mode_are_turned():
    program = torch.export.export(LastIsBand(), (torch.rand(1, 5, 7, 3),)).module()
    program.training = False
    x = torch.rand(1, 3, 5, 7)
    net = channels_first(program, last_in=True, last_out=True)
    assert torch.equal(net(x), x[:, :2] * 2) and not net.training


def test_graphs_of_onnx_turn_axes_themselves():
    """Free axes were taken for (N, C, H, W)."""
    taken, right = Image((1, 64, 48, 3), True), Image((1, 3, 64, 48), False)
    for image in (taken, right):
        net = channels_first(Onnx(image), last_in=True, last_out=True)
        assert net == Onnx(right, maps_last=True)
    net = channels_first(Onnx(taken), last_in=False, last_out=True)
    assert net == Onnx(taken, maps_last=True)


class LastAxis(torch.nn.Module):
    """A network of (N, H, W, C) in and, by default, out."""

    def __init__(self, inner, out=True):
        super().__init__()
        self.inner, self.out = inner, out

    def forward(self, x):
        x = self.inner(x.permute(0, 3, 1, 2))
        return x.permute(0, 2, 3, 1) if self.out else x


def test_networks_whose_channels_are_last_are_turned(opened, write_script, tmp_path):
    inner = torch.nn.Conv2d(3, 4, 3, padding=1).eval()
    write_script(tmp_path, LastAxis(inner))
    order = ["b", "y", "x", "c"]
    model = opened(
        tmp_path,
        ("input/input", {"shape": [1, 64, 64, 3], "dim_order": order}),
        ("output/result", {"shape": [1, 64, 64, 4], "dim_order": order}),
    )
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(model.network(x), inner(x), atol=1e-6)


def item(opened, folder, takes, gives):
    """Open an ONNX of 64 x 64 pixels by an item that says the order of its axes."""
    taken, given = ({"b": -1, "y": 64, "x": 64, "c": count} for count in (3, 4))
    return opened(
        folder,
        ("assets/model", {"href": "net.onnx", "roles": ["mlm:model"], "mlm:artifact_type": "onnx"}),
        ("input/input", {"shape": [taken[axis] for axis in takes], "dim_order": list(takes)}),
        ("output/result", {"shape": [given[axis] for axis in gives], "dim_order": list(gives)}),
    )


@pytest.mark.parametrize("free", [(0,), (0, 1, 2, 3)])
def test_onnx_graphs_of_channels_last_open_by_an_item_and_are_written(opened, tmp_path, free):
    inner = torch.nn.Conv2d(3, 4, 3, padding=1).eval()
    save_onnx(LastAxis(inner), tmp_path / "net.onnx", (1, 64, 64, 3), free=free)
    model = item(opened, tmp_path, "byxc", "byxc")
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        expected = inner(x)
    (tmp_path / "out").mkdir()
    for file in ("copy.json", "copy.dlpk"):
        again = open_model(model.save(tmp_path / "out" / file))
        for one in (model, again):
            assert torch.allclose(one.network.placed("cpu", 1)(x), expected, atol=1e-5)
    properties = json.loads((tmp_path / "out" / "copy.json").read_text())["properties"]
    assert properties["mlm:input"][0]["input"]["shape"] == [-1, 64, 64, 3]
    order = properties["mlm:output"][0]["result"]["dim_order"]
    assert order == ["batch", "height", "width", "channel"]


def test_onnx_graphs_may_turn_one_side(opened, tmp_path):
    inner = torch.nn.Conv2d(3, 4, 3, padding=1).eval()
    save_onnx(LastAxis(inner, out=False), tmp_path / "net.onnx", (1, 64, 64, 3))
    model = item(opened, tmp_path, "byxc", "bcyx")
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(model.network.placed("cpu", 1)(x), inner(x), atol=1e-5)
    with pytest.raises(ModelError, match="channels last on one side only and cannot be written"):
        portable(model)
