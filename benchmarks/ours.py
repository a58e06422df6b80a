"""geodl_lab on a raster: from file to file, lazily, or to probabilities."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch

import geodl_lab
from benchmarks import fresh, prepare, settled
from geodl_lab.planning import plan


def to_file(scene: str, model: Any, target: str, seam_tolerance: float | None) -> None:
    """Classify from file to file."""
    geodl_lab.classify_file(scene, target, model, device="cpu", seam_tolerance=seam_tolerance)


def lazily(scene: str, model: Any, target: str, seam_tolerance: float | None) -> None:
    """Classify a dask-backed raster and compute the result into memory."""
    raster = geodl_lab.open_raster(scene, chunks={"y": 1024, "x": 1024})
    classes = raster.dl.classify(model, device="cpu", seam_tolerance=seam_tolerance)
    np.save(target, classes.compute().values)


def probabilities(scene: str, model: Any, target: str, seam_tolerance: float | None) -> None:
    """Store probabilities (class, y, x)."""
    raster = geodl_lab.open_raster(scene)
    found = raster.dl.probabilities(model, device="cpu", seam_tolerance=seam_tolerance)
    np.save(target, found.values)


MODES = {"file": to_file, "lazy": lazily, "probabilities": probabilities}


def work(
    *, mode: str, scene: str, model: str, target: str, seam_tolerance: float | None, threads: int
) -> dict[str, Any]:
    """Time one mode."""
    torch.set_num_threads(threads)
    wrapped = prepare.load_model(model)
    with rasterio.open(scene) as file:
        shape_yx = file.shape
    recipe = plan(wrapped, shape_yx, device="cpu", seam_tolerance=seam_tolerance).recipe
    settled.warm(wrapped.network)
    begun = time.perf_counter()
    MODES[mode](scene, wrapped, target, seam_tolerance)
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "recipe": recipe.as_dict(), "output": str(Path(target))}


if __name__ == "__main__":
    fresh.report(work)
