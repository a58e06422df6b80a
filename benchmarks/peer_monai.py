"""MONAI's ``sliding_window_inference`` with the reading and writing that its user adds."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import rasterio
import torch
from monai.inferers import sliding_window_inference

from benchmarks import fresh, settled


def work(
    *,
    scene: str,
    weights: str,
    target: str,
    threads: int,
    roi_size: int = 512,
    sw_batch_size: int = 4,
    scores: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Time a run from file to a GeoTIFF of classes, or store scores (class, y, x).

    roi_size and sw_batch_size have no default in MONAI; 512 and 4 are what its examples take.
    ``options`` are MONAI's own; overlap is 0.25 and mode constant where not given.
    """
    torch.set_num_threads(threads)
    net = settled.load(weights)
    settled.warm(net)
    begun = time.perf_counter()
    with rasterio.open(scene) as file:
        profile = file.profile
        image = torch.from_numpy(file.read()).float().div_(255)[None]  # (1, 3, H, W)
    with torch.inference_mode():
        blended = sliding_window_inference(image, roi_size, sw_batch_size, net, **options)[0]
    if scores:
        np.save(target, blended.numpy())
    else:
        profile.update(count=1, nodata=255, compress="lzw", predictor=1)
        profile.pop("photometric", None)
        with rasterio.open(target, "w", **profile) as file:
            file.write(blended.argmax(dim=0).to(torch.uint8).numpy(), 1)
    return {"seconds": time.perf_counter() - begun, "output": target}


if __name__ == "__main__":
    fresh.report(work)
