import dataclasses

import torch
from torch import nn

from geodl_lab.packages.adapters import from_channels_last, from_two_images


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


def test_channels_last():
    x = torch.rand(2, 3, 5, 7)
    net = from_channels_last(traced(LastIsBand(), x.permute(0, 2, 3, 1)), scores=True)
    assert torch.equal(net(x), x[:, :2] * 2)
    net = from_channels_last(traced(Mean(), x.permute(0, 2, 3, 1)), scores=False)
    assert torch.allclose(net(x), x.mean((2, 3)))


def test_graphs_of_onnx_turn_axes_themselves():
    """Free axes were taken for (N, C, H, W)."""
    taken, right = Image((1, 64, 48, 3), True), Image((1, 3, 64, 48), False)
    for image in (taken, right):
        assert from_channels_last(Onnx(image), scores=True) == Onnx(right)
