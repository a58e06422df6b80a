"""Networks that take their input in another form, brought to (N, C, H, W)."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import nn


class Turned(nn.Module):
    """A network whose channels are the last axis, and the turns around it.

    Parameters
    ----------
    network
        A module of torch.
    last_in
        True where its input is (N, H, W, C).
    last_out
        True where maps that it answers are (N, H, W, K).
    """

    def __init__(self, network: Any, last_in: bool, last_out: bool) -> None:
        super().__init__()
        self.network, self.last_in, self.last_out = network, last_in, last_out

    def forward(self, x: torch.Tensor) -> Any:
        """Map (N, C, H, W) to what the network answers, of maps (N, K, H, W)."""
        if self.last_in:
            x = x.permute(0, 2, 3, 1).contiguous()  # (N, H, W, C)
        answer: Any = self.network(x)
        if self.last_out and isinstance(answer, torch.Tensor) and answer.dim() == 4:
            return answer.permute(0, 3, 1, 2)  # (N, K, H, W)
        return answer


class TwoImages(nn.Module):
    """Feeds the first and the second half of the channels to a network that compares two images.

    Parameters
    ----------
    network
        A module of torch.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, 2 * C, H, W) to what the network answers to (N, C, H, W), twice."""
        half = x.shape[1] // 2
        return self.network(x[:, :half].contiguous(), x[:, half:].contiguous())


def channels_first(network: Any, *, last_in: bool, last_out: bool) -> Any:
    """Return a network as one of channels first.

    Parameters
    ----------
    network
        A module of torch, or a network of ONNX, whose ``image`` says what its graph takes and which
        turns axes itself.
    last_in, last_out
        As of `Turned`.

    Returns
    -------
    torch.nn.Module or geodl_lab.runtime.Network
        The network itself where nothing is to be turned; of TorchScript one of TorchScript.
    """
    if not last_in and not last_out:
        return network
    if hasattr(network, "image"):
        image = _turned(network.image) if last_in else network.image
        return dataclasses.replace(network, image=image, maps_last=last_out)
    return _around(network, Turned(network, last_in, last_out))


def from_two_images(network: Any) -> Any:
    """Return a network of (N, 2 * C, H, W) around a TorchScript that takes two images, else it.

    Graphs of ONNX are made so when they are read, see `geodl_lab.packages.onnx_graph.join_images`.
    """
    if not isinstance(network, torch.jit.ScriptModule) or _inputs(network) != 2:
        return network
    return _around(network, TwoImages(network))


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


def _around(network: Any, module: nn.Module) -> Any:
    """Return a module around a network, in evaluation mode, as TorchScript if that is some."""
    module.training = False  # not .eval(): exported programs, which answer already, refuse it
    return torch.jit.script(module) if isinstance(network, torch.jit.ScriptModule) else module
