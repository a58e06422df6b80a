"""Networks whose channels are the last axis, brought to (N, C, H, W)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


def channels_first(network: Any, *, last_in: bool, last_out: bool) -> Any:
    """Return a network as one of channels first.

    Parameters
    ----------
    network
        A module of torch, or a `geodl_lab.runtime.Network`.
    last_in, last_out
        True where its input, and where its output, is (N, H, W, C).

    Returns
    -------
    torch.nn.Module or geodl_lab.runtime.Network
        Maps (N, C, H, W) to (N, K, H, W); the network itself where nothing is to be turned.
    """
    if not last_in and not last_out:
        return network
    if hasattr(network, "placed"):
        return TurnedNetwork(network, last_in, last_out)
    return TurnedModule(network, last_in, last_out).eval()


class TurnedModule(nn.Module):
    """A module of torch and the turns around it; parameters as of `channels_first`."""

    def __init__(self, network: Any, last_in: bool, last_out: bool) -> None:
        super().__init__()
        self.network, self.last_in, self.last_out = network, last_in, last_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to (N, K, H, W)."""
        if self.last_in:
            x = x.permute(0, 2, 3, 1).contiguous()  # (N, H, W, C)
        x = self.network(x)
        if self.last_out:
            x = x.permute(0, 3, 1, 2)  # (N, K, H, W)
        return x


@dataclass(frozen=True)
class TurnedNetwork:
    """A network with its own runtime and the turns around it; as of `channels_first`."""

    network: Any
    last_in: bool
    last_out: bool

    def placed(self, device: str, threads: int) -> Callable[[torch.Tensor], Any]:
        """Return the forward on a device, (N, C, H, W) to (N, K, H, W)."""
        return TurnedModule(self.network.placed(device, threads), self.last_in, self.last_out)
