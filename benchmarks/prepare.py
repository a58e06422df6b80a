"""What all contenders share: the net with settled weights, the wrapped model, and the truth."""

from __future__ import annotations

import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from torch import nn

import geodl_lab
from benchmarks import fresh, scene
from benchmarks.nets import OneLayer, ResNetUnet
from geodl_lab.testing import RegionDetector

CLASSES = 6


def settled_net() -> ResNetUnet:
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


def load_net(weights: str | Path) -> ResNetUnet:
    """Return the net with stored weights."""
    net = ResNetUnet(classes=CLASSES)
    net.load_state_dict(torch.load(weights, weights_only=True))
    return net.eval()


def load_model(path: str | Path) -> Any:
    """Return a wrapped model that `wrap` stored; its receptive field is not measured again."""
    return pickle.loads(Path(path).read_bytes())


def wrap(net: nn.Module, classes: int, path: Path) -> float:
    """Wrap a net, store it, and return the seconds that wrapping took."""
    begun = time.perf_counter()
    model = geodl_lab.from_torch(
        net, bands=["red", "green", "blue"], classes=[f"class {k}" for k in range(classes)]
    )
    seconds = time.perf_counter() - begun
    path.write_bytes(pickle.dumps(model))
    return seconds


def warm(net: nn.Module) -> None:
    """Run one small forward, untimed: the first one in a process sets torch's kernels up."""
    with torch.inference_mode():
        net(torch.zeros(1, 3, 256, 256))


def truth(net: nn.Module, source: str | Path) -> np.ndarray:
    """Return the scores (class, y, x) of one forward of the whole raster by the raw net."""
    with rasterio.open(source) as file, torch.inference_mode():
        image = torch.from_numpy(file.read()).float().div_(255)[None]  # (1, 3, H, W)
        return net(image)[0].numpy()


def work(*, folder: str, size: int, threads: int) -> dict[str, Any]:
    """Make scene, weights, model and true scores in ``folder``."""
    torch.set_num_threads(threads)
    place = Path(folder)
    net = settled_net()
    torch.save(net.state_dict(), place / "weights.pt")
    seconds = wrap(net, CLASSES, place / "unet.pickle")
    scene.write_scene(place / "scene.tif", size)
    np.save(place / "truth.npy", truth(net, place / "scene.tif"))
    return {"wrap_seconds": seconds}


def work_small(*, folder: str) -> dict[str, Any]:
    """Make the one-layer model and the detector in ``folder``."""
    place = Path(folder)
    wrap(OneLayer(classes=10), 10, place / "onelayer.pickle")
    detector = geodl_lab.from_torch(
        RegionDetector(), task="detect", bands=["red", "green", "blue"], classes=["rectangle"]
    )
    (place / "detector.pickle").write_bytes(pickle.dumps(detector))
    return {}


if __name__ == "__main__":
    fresh.report(lambda **task: work(**task) if "size" in task else work_small(**task))
