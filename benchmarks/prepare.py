"""What is made once for all contenders: scene, weights, wrapped models, and the truth."""

from __future__ import annotations

import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import geodl_lab
from benchmarks import fresh, nets, scene, settled
from geodl_lab.testing import RegionDetector


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


def work(*, folder: str, size: int, threads: int) -> dict[str, Any]:
    """Make scene, weights, model and true scores in ``folder``."""
    torch.set_num_threads(threads)
    place = Path(folder)
    net = settled.make()
    torch.save(net.state_dict(), place / "weights.pt")
    seconds = wrap(net, settled.CLASSES, place / "unet.pickle")
    scene.write_scene(place / "scene.tif", size)
    np.save(place / "truth.npy", settled.truth(net, place / "scene.tif"))
    return {"wrap_seconds": seconds}


def work_small(*, folder: str) -> dict[str, Any]:
    """Make the one-layer model and the detector in ``folder``."""
    place = Path(folder)
    wrap(nets.OneLayer(classes=10), 10, place / "onelayer.pickle")
    detector = geodl_lab.from_torch(
        RegionDetector(), task="detect", bands=["red", "green", "blue"], classes=["rectangle"]
    )
    (place / "detector.pickle").write_bytes(pickle.dumps(detector))
    return {}


if __name__ == "__main__":
    fresh.report(lambda **task: work(**task) if "size" in task else work_small(**task))
