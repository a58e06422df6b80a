"""The architectures of the bundled models, by name.

A package written by us stores weights as safetensors (no code, no pickle) and names the
architecture here that they belong to. Nets of pixels are fully convolutional with BatchNorm, so
their receptive field is finite and the halo can be measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn


def conv_block(in_channels: int, out_channels: int, convs: int) -> nn.Sequential:
    """3x3 convolutions with BatchNorm and ReLU, same height and width."""
    layers: list[nn.Module] = []
    for index in range(convs):
        source = in_channels if index == 0 else out_channels
        layers += [
            nn.Conv2d(source, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class NormalizedDifference(nn.Module):
    """Append (a - b) / (a + b) of two input bands, such as NDVI, as one more channel.

    Parameters
    ----------
    pairs
        Positions (a, b) of the bands, zero-based. Bands must be scaled to 0..1.
    """

    def __init__(self, pairs: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.pairs = [tuple(pair) for pair in pairs]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to (N, C + len(pairs), H, W)."""
        extra = [
            (x[:, a : a + 1] - x[:, b : b + 1]) / (x[:, a : a + 1] + x[:, b : b + 1] + 1e-3)
            for a, b in self.pairs
        ]
        return torch.cat([x, *extra], dim=1)


class Unet(nn.Module):
    """A small U-Net with nearest-neighbour upsampling (Ronneberger et al. 2015).

    Parameters
    ----------
    in_channels, out_channels
        Bands in, score channels out.
    widths
        Channels a level; the stride of the net is ``patch * 2 ** (len(widths) - 1)`` pixels.
    encoder_convs, decoder_convs
        3x3 convolutions a level, finest level first (the decoder has one level less).
    differences
        Band pairs whose normalized difference is added to the input.
    patch
        Side in pixels of the squares that are folded into channels before the first convolution
        and unfolded after the last: the output stays at full resolution, and no convolution runs
        there, which is much cheaper. 1 folds nothing.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        widths: Sequence[int] = (16, 32, 64, 96),
        encoder_convs: Sequence[int] = (2, 2, 2, 2),
        decoder_convs: Sequence[int] = (2, 2, 2),
        differences: Sequence[Sequence[int]] = (),
        patch: int = 1,
    ) -> None:
        super().__init__()
        self.differences = NormalizedDifference(differences)
        self.fold, self.unfold = nn.PixelUnshuffle(patch), nn.PixelShuffle(patch)
        sources = [(in_channels + len(differences)) * patch**2, *widths[:-1]]
        self.encoder = nn.ModuleList(map(conv_block, sources, widths, encoder_convs))
        self.decoder = nn.ModuleList(
            conv_block(coarse + fine, fine, convs)
            for fine, coarse, convs in zip(widths[:-1], widths[1:], decoder_convs, strict=True)
        )
        self.pool = nn.MaxPool2d(2)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.head = nn.Conv2d(widths[0], out_channels * patch**2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) bands to (N, K, H, W) scores; H and W multiples of the stride."""
        x = self.fold(self.differences(x))  # (N, (C + D) * patch**2, H / patch, W / patch)
        skips: list[torch.Tensor] = []
        for level, block in enumerate(self.encoder):
            x = block(self.pool(x) if level else x)
            skips.append(x)
        x = skips.pop()
        for block in reversed(self.decoder):
            x = block(torch.cat([self.up(x), skips.pop()], dim=1))
        return self.unfold(self.head(x))  # (N, K, H, W)


class Classifier(nn.Module):
    """Scores of a whole picture: the encoder of a `Unet`, the mean of its features, one layer.

    Parameters
    ----------
    in_channels, out_channels
        Bands in, labels out.
    widths, encoder_convs, patch
        As of `Unet`, whose trained encoder fits.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        widths: Sequence[int] = (32, 64, 112, 160),
        encoder_convs: Sequence[int] = (2, 2, 2, 2),
        patch: int = 2,
    ) -> None:
        super().__init__()
        self.fold, self.pool = nn.PixelUnshuffle(patch), nn.MaxPool2d(2)
        sources = [in_channels * patch**2, *widths[:-1]]
        self.encoder = nn.ModuleList(map(conv_block, sources, widths, encoder_convs))
        self.head = nn.Linear(widths[-1], out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) bands to (N, K) scores; H and W multiples of the stride."""
        x = self.fold(x)  # (N, C * patch**2, H / patch, W / patch)
        for level, block in enumerate(self.encoder):
            x = block(self.pool(x) if level else x)
        return self.head(x.mean(dim=(2, 3)))  # (N, K)


ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {"unet": Unet, "classifier": Classifier}


def build(name: str, arguments: dict[str, Any]) -> nn.Module:
    """Make the architecture ``name`` with untrained weights; it keeps both as ``architecture``.

    Raises
    ------
    KeyError
        If no architecture has that name.
    """
    network: Any = ARCHITECTURES[name](**arguments)
    network.architecture = {"name": name, "arguments": arguments}
    return network
