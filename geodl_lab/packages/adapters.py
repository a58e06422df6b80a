"""Networks of TorchScript that take their input in another form, brought to (N, C, H, W)."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import nn


class ChannelsLast(nn.Module):
    """Feeds (N, H, W, C) to a network.

    Parameters
    ----------
    network
        The network.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> Any:
        """Map (N, C, H, W) to what the network answers."""
        return self.network(x.permute(0, 2, 3, 1).contiguous())


class ScoresLast(ChannelsLast):
    """Feeds (N, H, W, C) to a network that answers scores (N, H, W, K)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to (N, K, H, W)."""
        return self.network(x.permute(0, 2, 3, 1).contiguous()).permute(0, 3, 1, 2)


class TwoImages(ChannelsLast):
    """Feeds the first and the second half of the channels to a network that compares two images."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, 2 * C, H, W) to what the network answers to (N, C, H, W), twice."""
        half = x.shape[1] // 2
        return self.network(x[:, :half].contiguous(), x[:, half:].contiguous())


def from_channels_last(network: Any, *, scores: bool) -> Any:
    """Return a network of (N, C, H, W) around one of (N, H, W, C).

    Parameters
    ----------
    network
        TorchScript, or a network of ONNX, whose ``image`` says what its graph takes.
    scores
        True where it answers scores of pixels (N, H, W, K).
    """
    if hasattr(network, "image"):
        return dataclasses.replace(network, image=_turned(network.image))
    return _scripted(ScoresLast(network) if scores else ChannelsLast(network))


def from_two_images(network: Any) -> Any:
    """Return a network of (N, 2 * C, H, W) around a TorchScript that takes two images, else it."""
    if not isinstance(network, torch.jit.ScriptModule) or _inputs(network) != 2:
        return network
    return _scripted(TwoImages(network))


def _turned(image: Any) -> Any:
    """Return an input that was taken for (N, C, H, W) as the (N, H, W, C) that it is."""
    if not image.channels_first:
        return image
    batch, *axes = image.shape
    height, width, bands = axes  # as the graph says them
    return dataclasses.replace(image, channels_first=False, shape=(batch, bands, height, width))


def _inputs(network: Any) -> int:
    """Return the inputs of a forward that have no default."""
    arguments = network.forward.schema.arguments[1:]
    return sum(not argument.has_default_value() for argument in arguments)


def _scripted(module: nn.Module) -> Any:
    return torch.jit.script(module.eval()).eval()
