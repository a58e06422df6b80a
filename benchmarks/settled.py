"""The net that all contenders run; nothing here imports geodl_lab, which sets torch up its way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
import torch
from torch import nn

from benchmarks import scene
from benchmarks.nets import ResNetUnet

CLASSES = 6


def make() -> ResNetUnet:
    """Return the U-Net with BatchNorm statistics of the scene, so that no layer fades out.

    With the statistics that torch begins with, the scores of a random net hardly depend on the
    image, seams are as good as invisible, and any tiling looks right.
    """
    net = ResNetUnet(classes=CLASSES)
    image = torch.from_numpy(scene.texture(512)).float()[None] / 255  # (1, 3, 512, 512)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    net.train()
    with torch.no_grad():
        net(image)
    net.eval()
    with torch.inference_mode():
        mean = net(image).mean(dim=(0, 2, 3))
    with torch.no_grad():
        net.head.bias -= mean
    return net


def load(weights: str | Path) -> ResNetUnet:
    """Return the net with stored weights."""
    net = ResNetUnet(classes=CLASSES)
    net.load_state_dict(torch.load(weights, weights_only=True))
    return net.eval()


def warm(net: nn.Module) -> None:
    """Run one small forward, untimed: the first one in a process sets torch's kernels up."""
    with torch.inference_mode():
        net(torch.zeros(1, 3, 256, 256))


def truth(net: nn.Module, source: str | Path) -> np.ndarray:
    """Return the scores (class, y, x) of one forward of the whole raster by the raw net."""
    with rasterio.open(source) as file, torch.inference_mode():
        image = torch.from_numpy(file.read()).float().div_(255)[None]  # (1, 3, H, W)
        return net(image)[0].numpy()
