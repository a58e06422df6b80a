"""How far answers in bf16 are from those in fp32, on this CPU: the bundled scene and its models."""

from __future__ import annotations

from typing import Any

import numpy as np

import geodl_lab
from benchmarks import fresh

MODELS = {"naip-landcover": ("red", "green", "blue", "nir"), "aerial-landcover": None}


def work() -> dict[str, Any]:
    """Compare the two precisions on the bundled NAIP scene, model by model."""
    scene = geodl_lab.open_raster(geodl_lab.demo_scene())
    rows = []
    for name, bands in MODELS.items():
        raster = scene if bands else scene[:3]
        shares = {
            precision: raster.dl.probabilities(name, precision=precision, device="cpu").values
            for precision in ("fp32", "bf16")
        }
        fine, coarse = shares["fp32"], shares["bf16"]
        known = np.isfinite(fine).all(axis=0)
        changed = fine.argmax(axis=0)[known] != coarse.argmax(axis=0)[known]
        error = np.abs(fine - coarse)[:, known]
        rows.append([name, float(changed.mean()), float(error.max()), float(error.mean())])
    return {"rows": rows}


if __name__ == "__main__":
    fresh.report(work)
