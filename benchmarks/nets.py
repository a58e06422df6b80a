"""The nets that are timed: a U-Net on a ResNet-18, the field's work horse, and a one-layer net."""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.nn import functional


class ResNetUnet(nn.Module):
    """U-Net (Ronneberger et al. 2015) on a ResNet-18 encoder (He et al. 2016), random weights.

    14.3 million weights, stride 32, receptive field 288 px on each side of a core.
    """

    def __init__(self, bands: int = 3, classes: int = 6) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.stem = nn.Sequential(nn.Conv2d(bands, 64, 7, 2, 3, bias=False), *_tail(64))
            widths = (64, 64, 128, 256, 512)
            self.stages = nn.ModuleList(
                nn.Sequential(_Residual(a, b, 1 if a == b else 2), _Residual(b, b, 1))
                for a, b in itertools.pairwise(widths)
            )
            sizes = ((512 + 256, 256), (256 + 128, 128), (128 + 64, 64), (64 + 64, 32), (32, 16))
            self.up = nn.ModuleList(
                nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), *_tail(b),
                              nn.Conv2d(b, b, 3, padding=1, bias=False), *_tail(b))
                for a, b in sizes
            )  # fmt: skip
            self.head = nn.Conv2d(16, classes, 3, padding=1)
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to scores (N, K, H, W); H and W are multiples of 32."""
        skips = [self.stem(x)]  # (N, 64, H/2, W/2)
        x = functional.max_pool2d(skips[0], 3, 2, 1)
        for stage in self.stages:
            x = stage(x)
            skips.append(x)
        skips.pop()  # the deepest is x itself
        for block in self.up:
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
            x = block(torch.cat([x, skips.pop()], dim=1) if skips else x)
        return self.head(x)


class OneLayer(nn.Module):
    """One 3 x 3 convolution: what a run costs beside the model."""

    def __init__(self, bands: int = 3, classes: int = 10) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layer = nn.Conv2d(bands, classes, 3, padding=1)
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to scores (N, K, H, W)."""
        return self.layer(x)


class _Residual(nn.Module):
    def __init__(self, source: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(source, width, 3, stride, 1, bias=False), *_tail(width),
            nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width),
        )  # fmt: skip
        self.short: nn.Module = nn.Identity()
        if stride > 1:
            self.short = nn.Sequential(
                nn.Conv2d(source, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.body(x) + self.short(x))


def _tail(width: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(width), nn.ReLU()
