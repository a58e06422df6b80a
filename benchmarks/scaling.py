"""The same lazy result on one and on two dask worker processes, one core each."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from distributed import Client, LocalCluster, WorkerPlugin

import geodl_lab
from benchmarks import fresh
from benchmarks.scene import write_endless
from geodl_lab.testing import RandomNet


class Pin(WorkerPlugin):
    """Bind each worker process to one core: one thread each, whatever a library would start."""

    def __init__(self, cores: list[int]) -> None:
        self.cores = cores

    def setup(self, worker: Any) -> None:
        """Bind all threads of the worker; later ones inherit it."""
        core = self.cores[int(worker.name) % len(self.cores)]
        for thread in os.listdir("/proc/self/task"):
            os.sched_setaffinity(int(thread), {core})


def lazy_result(path: Path, width: int) -> xr.DataArray:
    """Return the classes of a raster file, not computed yet."""
    model = geodl_lab.from_torch(
        RandomNet(width=width), bands=["red", "green", "blue"], classes=["a", "b", "c", "d"]
    )
    raster = geodl_lab.open_raster(path, chunks={"y": 2048, "x": 2048})
    return raster.dl.classify(model, device="cpu")


def timed(result: xr.DataArray, small: xr.DataArray, workers: int) -> tuple[float, np.ndarray]:
    """Return seconds and values of a computation on ``workers`` processes."""
    cores = sorted(os.sched_getaffinity(0))
    cluster = LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
    )
    with cluster, Client(cluster) as client:
        client.wait_for_workers(workers)
        client.register_plugin(Pin(cores))
        client.run(small.compute, scheduler="synchronous")  # imports and kernels, untimed
        begun = time.perf_counter()
        values = result.compute().values
        return time.perf_counter() - begun, values


def work(*, folder: str, size: int = 8192, width: int = 8, repeats: int = 3) -> dict[str, Any]:
    """Time one and two workers in turns and compare their bits with those of this process."""
    if fresh.cores() < 2:
        raise RuntimeError("two workers need two cores")
    place = Path(folder)
    result = lazy_result(write_endless(place / "scaling.tif", size), width)
    small = lazy_result(write_endless(place / "small.tif", 512), width)
    seconds: dict[int, list[float]] = {1: [], 2: []}
    outputs = []
    for _ in range(repeats):
        for workers, taken in seconds.items():
            spent, values = timed(result, small, workers)
            taken.append(spent)
            outputs.append(values)
    local = result.compute().values
    ratios = [one / two for one, two in zip(seconds[1], seconds[2], strict=True)]
    return {
        "megapixels": size**2 / 1e6,
        "tasks": result.data.npartitions,
        "one": statistics.median(seconds[1]),
        "two": statistics.median(seconds[2]),
        "ratio": statistics.median(ratios),
        "same_bits": all(np.array_equal(values, local) for values in outputs),
    }


if __name__ == "__main__":
    fresh.report(work)
