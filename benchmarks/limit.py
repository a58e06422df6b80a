"""The limit: the bare forward of the windows of a plan, on tensors that are ready in memory."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import rasterio
import torch
from rasterio.windows import Window
from torch import nn

from benchmarks import fresh, prepare, settled
from geodl_lab.planning import Plan, plan

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def batches(planned: Plan, source: str) -> list[torch.Tensor]:
    """Read the windows of a plan as float tensors (N, C, H, W), N the plan's batch."""
    recipe = planned.recipe
    tiles = list(planned.grid.tiles())
    tiles += tiles[-1:] * (-len(tiles) % recipe.batch)
    with rasterio.open(source) as file:
        images = [_read(file, tile.window) for tile in tiles]
    groups = [np.stack(images[k : k + recipe.batch]) for k in range(0, len(images), recipe.batch)]
    tensors = [torch.from_numpy(group).to(recipe.device).float().div_(255) for group in groups]
    if recipe.layout != "channels_last":
        return tensors
    return [x.contiguous(memory_format=torch.channels_last) for x in tensors]


def forward(net: nn.Module, planned: Plan, tensors: list[torch.Tensor]) -> float:
    """Return the seconds of all forwards, in as many threads as the recipe leaves cores for."""
    recipe = planned.recipe
    net = net.to(recipe.device)
    if recipe.layout == "channels_last":
        net = net.to(memory_format=torch.channels_last)
    dtype = AUTOCAST.get(recipe.precision)
    kind = torch.device(recipe.device).type

    def one(x: torch.Tensor) -> None:
        autocast = torch.autocast(kind, dtype=dtype, enabled=dtype is not None)
        with torch.inference_mode(), numbers(kind), autocast:
            net(x)

    workers = fresh.cores() // recipe.threads if kind == "cpu" else 1
    with ThreadPoolExecutor(
        max(1, workers), initializer=_begin, initargs=(recipe.threads,)
    ) as pool:
        begun = time.perf_counter()
        list(pool.map(one, tensors))
        if kind != "cpu":
            torch.cuda.synchronize()
        return time.perf_counter() - begun


def numbers(kind: str) -> contextlib.AbstractContextManager[None]:
    """Return cuDNN's settings that geodl_lab computes with: no TF32 in what is called fp32."""
    if kind == "cpu":
        return contextlib.nullcontext()
    return torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False)


def work(
    *, scene: str, model: str, weights: str, seam_tolerance: float | None, threads: int
) -> dict[str, Any]:
    """Time the forwards of one plan."""
    torch.set_num_threads(threads)
    net = settled.load(weights)
    with rasterio.open(scene) as file:
        shape_yx = file.shape
    planned = plan(prepare.load_model(model), shape_yx, device="cpu", seam_tolerance=seam_tolerance)
    tensors = batches(planned, scene)
    settled.warm(net)
    return {"seconds": forward(net, planned, tensors), "recipe": planned.recipe.as_dict()}


def _begin(threads: int) -> None:
    torch.get_num_threads()  # the first question sets a thread to the process's default
    torch.set_num_threads(threads)


def _read(file: Any, window: Any) -> np.ndarray:
    """Return stored values (band, y, x); zeros where a window reaches over the rim."""
    rim = Window(window.x, window.y, window.width, window.height)
    over = min(window.x, window.y) < 0 or window.right > file.width or window.bottom > file.height
    return file.read(window=rim, boundless=True, fill_value=0) if over else file.read(window=rim)


if __name__ == "__main__":
    fresh.report(work)
