"""geoai's ``predict_geotiff``: from file to file."""

from __future__ import annotations

import sys
import time
import types
from typing import Any

import numpy as np
import torch

from benchmarks import fresh, settled


def _import_predict() -> Any:
    """Import geoai's engine without geoai's maps: its utils pull two dozen packages in."""
    stub = types.ModuleType("geoai.utils")
    stub.get_device = lambda: torch.device("cpu")  # type: ignore[attr-defined]
    sys.modules["geoai.utils"] = stub
    from geoai.inference import predict_geotiff  # noqa: PLC0415  after the stub

    return predict_geotiff


def work(
    *, scene: str, weights: str, target: str, threads: int, scores: bool = False, **options: Any
) -> dict[str, Any]:
    """Time a run to classes, or store scores (class, y, x) as float32.

    ``options`` are geoai's own: tile_size, overlap, batch_size; what is not given has its default.
    """
    predict = _import_predict()
    torch.set_num_threads(threads)
    net = settled.load(weights)
    settled.warm(net)
    if not scores:
        options |= {
            "postprocess_fn": lambda blended: blended.argmax(axis=0).astype(np.uint8),
            "output_dtype": "uint8",
            "output_nodata": 255,
        }
    begun = time.perf_counter()
    predict(net, scene, target, num_classes=settled.CLASSES, device="cpu", verbose=False, **options)
    return {"seconds": time.perf_counter() - begun, "output": target}


if __name__ == "__main__":
    fresh.report(work)
