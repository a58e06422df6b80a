"""Correctness and speed on a CUDA machine, in one call: ``python -m benchmarks.gpu``.

The machine needs torch (2.11 or newer), numpy, scipy, safetensors and Python 3.12. What else the
package imports travels as one archive of at most 40 MB, which ``benchmarks/gpu_site.sh`` makes::

    mkdir -p /tmp/site && tar xJf gpu-site.tar.xz -C /tmp/site
    PYTHONPATH=$PWD:/tmp/site python3 -m benchmarks.gpu --out result.json

It holds rasterio 1.4.3 (22 MB as a wheel; 1.4.4 is 36), pandas (12), pyproj (10), shapely (2.3),
dask (1.5), xarray (1.4) and a dozen small ones: 51 MB as wheels, 33 MB as the archive. pyogrio (33)
stays at home: where it is missing, a stand-in takes its place, as no objects are written here.

``--device cpu`` rehearses the script without a GPU; its numbers say nothing.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import importlib.util
import json
import statistics
import sys
import tempfile
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

PRECISIONS = ("fp32", "bf16", "fp16")


def stand_in_for_pyogrio() -> None:
    """Let the package import where pyogrio, which writes vector files, is not installed."""
    if importlib.util.find_spec("pyogrio"):
        return
    module, errors = types.ModuleType("pyogrio"), types.ModuleType("pyogrio.errors")
    for name in ("DataSourceError", "DataLayerError"):
        setattr(errors, name, type(name, (RuntimeError,), {}))
    module.errors = errors  # type: ignore[attr-defined]
    sys.modules |= {"pyogrio": module, "pyogrio.errors": errors}


class Clock:
    """Measures how long forwards of a module keep the GPU busy.

    The hooks are plain functions: they stay the same ones in the copy of the module that the
    package puts on the device. Forwards may overlap, each on its own thread and stream.
    """

    def __init__(self, net: torch.nn.Module) -> None:
        pairs: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self.pairs = pairs
        local = threading.local()

        def begin(_: Any, arguments: tuple[torch.Tensor, ...]) -> None:
            if arguments[0].is_cuda:
                local.begun = _event()

        def end(_: Any, arguments: tuple[torch.Tensor, ...], answer: Any) -> None:
            if arguments[0].is_cuda:
                pairs.append((local.begun, _event()))

        net.register_forward_pre_hook(begin)
        net.register_forward_hook(end)

    def take(self) -> float | None:
        """Return busy seconds since the last call, or None where no forward was seen."""
        if not self.pairs:
            return None
        torch.cuda.synchronize()
        first = self.pairs[0][0]
        spans = sorted((first.elapsed_time(a), first.elapsed_time(b)) for a, b in self.pairs)
        self.pairs.clear()
        busy, until = 0.0, spans[0][0]
        for begun, ended in spans:
            busy += max(0.0, ended - max(begun, until))
            until = max(until, ended)
        return busy / 1000


class Bench:
    """The net, its package and the folder of the rasters.

    Parameters
    ----------
    place
        Folder for rasters and outputs.
    device
        ``cuda:N``, or ``cpu`` to rehearse.
    """

    def __init__(self, place: Path, device: str) -> None:
        import geodl_lab  # noqa: PLC0415  after the stand-in
        from benchmarks import settled  # noqa: PLC0415

        self.place, self.device = place, device
        self.net = settled.make()
        self.clock = Clock(self.net)
        self.model = geodl_lab.from_torch(
            self.net,
            bands=["red", "green", "blue"],
            classes=[f"class {k}" for k in range(settled.CLASSES)],
        )

    @property
    def precisions(self) -> tuple[str, ...]:
        """Return the number types that the device has."""
        return PRECISIONS if self.device != "cpu" else PRECISIONS[:2]

    def probabilities(self, source: Path, **options: Any) -> np.ndarray:
        """Return probabilities (class, y, x), on the bench's device where no other is named."""
        import geodl_lab  # noqa: PLC0415

        raster = geodl_lab.open_raster(source)
        options = {"device": self.device, **options}
        return raster.dl.probabilities(self.model, **options).values

    def correctness(self, size: int) -> dict[str, Any]:
        """Compare the device with the CPU in fp32, and its bits between ways to run."""
        from benchmarks import scene  # noqa: PLC0415

        source = scene.write_endless(self.place / "check.tif", size)
        truth = self.probabilities(source, device="cpu", precision="fp32")
        answer: dict[str, Any] = {"size": size, "raw_score_difference": self._raw_difference()}
        for precision in self.precisions:
            found = self.probabilities(source, precision=precision)
            answer[precision] = {
                "largest_probability_difference": float(np.abs(found - truth).max()),
                "classes_changed": float((found.argmax(axis=0) != truth.argmax(axis=0)).mean()),
                **self._same_bits(source, precision, found),
            }
        return answer

    def speed(self, size: int, *, seam_tolerance: float | None, repeats: int) -> dict[str, Any]:
        """Time the bare forward and a run from file to file, at every precision and source."""
        from benchmarks import fresh, scene  # noqa: PLC0415

        sources = {
            "uncompressed": scene.write_endless(self.place / "plain.tif", size),
            "deflate": scene.write_scene(self.place / "deflate.tif", size),
        }
        rows = []
        for precision in self.precisions:
            options = {"precision": precision, "seam_tolerance": seam_tolerance}
            limit, recipe = self._limit(sources["uncompressed"], repeats, options)
            for name, source in sources.items():
                if self.device != "cpu":
                    torch.cuda.reset_peak_memory_stats(self.device)
                seconds, busy = self._file(source, repeats, options)
                rows.append({
                    "source": name,
                    "precision": precision,
                    "limit_mpx_s": size**2 / 1e6 / limit,
                    "file_mpx_s": size**2 / 1e6 / seconds,
                    "of_limit": limit / seconds,
                    "busy": busy,
                    "peak_gpu_mb": 0
                    if self.device == "cpu"
                    else torch.cuda.max_memory_allocated(self.device) >> 20,
                    "peak_mb": fresh.peak_mb(),
                    "recipe": recipe,
                })  # fmt: skip
        return {"size": size, "seam_tolerance": seam_tolerance, "rows": rows}

    def _raw_difference(self) -> float:
        """Return the largest difference of a raw score of one 1024 px window, device to CPU."""
        from benchmarks import limit, scene  # noqa: PLC0415

        image = torch.from_numpy(scene.texture(1024)).float()[None] / 255  # (1, 3, 1024, 1024)
        with torch.inference_mode(), limit.numbers(torch.device(self.device).type):
            here = self.net(image)
            there = copy.deepcopy(self.net).to(self.device)(image.to(self.device)).cpu()
        return float((here - there).abs().max())

    def _same_bits(self, source: Path, precision: str, found: np.ndarray) -> dict[str, bool]:
        """Tell whether repeats, two areas, and chunks in reverse order give the same bits."""
        import geodl_lab  # noqa: PLC0415

        again = self.probabilities(source, precision=precision)
        areas = [self._area_equal(source, precision, found, part) for part in (0.25, 0.6)]
        lazy = geodl_lab.open_raster(source, chunks={"y": 1024, "x": 1024}).dl.probabilities(
            self.model, device=self.device, precision=precision
        )
        blocks, edges = lazy.data, [np.cumsum((0, *sizes)) for sizes in lazy.data.chunks]
        turned = np.empty_like(found)
        for index in reversed(list(np.ndindex(*blocks.numblocks))):
            part = tuple(slice(edge[k], edge[k + 1]) for edge, k in zip(edges, index, strict=True))
            turned[part] = blocks.blocks[index].compute(scheduler="synchronous")
        return {
            "same_bits_repeated": bool(np.array_equal(found, again)),
            "same_bits_areas": all(areas),
            "same_bits_reversed": bool(np.array_equal(found, turned)),
        }

    def _area_equal(self, source: Path, precision: str, found: np.ndarray, share: float) -> bool:
        """Compare a corner area, down from the top left by ``share``, with the whole's pixels."""
        from benchmarks.scene import CELL_SIZE, ORIGIN_XY  # noqa: PLC0415

        start, stop = 37, int(share * found.shape[1])
        left, top = (ORIGIN_XY[0] + start * CELL_SIZE, ORIGIN_XY[1] - start * CELL_SIZE)
        right, bottom = (ORIGIN_XY[0] + stop * CELL_SIZE, ORIGIN_XY[1] - stop * CELL_SIZE)
        part = self.probabilities(source, precision=precision, area=(left, bottom, right, top))
        return bool(np.array_equal(part, found[:, start:stop, start:stop]))

    def _limit(self, source: Path, repeats: int, options: dict[str, Any]) -> tuple[float, Any]:
        """Return the median seconds of the bare forward of all windows, and the recipe."""
        import rasterio  # noqa: PLC0415

        from benchmarks import limit  # noqa: PLC0415
        from geodl_lab.planning import plan  # noqa: PLC0415

        with rasterio.open(source) as file:
            planned = plan(self.model, file.shape, device=self.device, **options)
        tensors, net = limit.batches(planned, str(source)), copy.deepcopy(self.net)
        limit.forward(net, planned, tensors[:2])
        seconds = [limit.forward(net, planned, tensors) for _ in range(repeats)]
        self.clock.take()
        return statistics.median(seconds), planned.recipe.as_dict()

    def _file(
        self, source: Path, repeats: int, options: dict[str, Any]
    ) -> tuple[float, float | None]:
        """Return median seconds from file to file and the share of them in forwards."""
        import geodl_lab  # noqa: PLC0415

        def once() -> tuple[float, float | None]:
            begun = time.perf_counter()
            target = self.place / "classes.tif"
            geodl_lab.classify_file(source, target, self.model, device=self.device, **options)
            seconds, forwards = time.perf_counter() - begun, self.clock.take()
            return seconds, None if forwards is None else forwards / seconds

        once()
        return sorted(once() for _ in range(repeats))[repeats // 2]


def main() -> int:
    """Measure what is asked for and print it as JSON and as tables."""
    options = _options()
    if options.keep:
        return _keep(json.loads(Path(options.keep).read_text()))
    if options.device != "cpu" and not torch.cuda.is_available():
        print("no CUDA device: nothing measured")
        return 0
    stand_in_for_pyogrio()
    answer: dict[str, Any] = {"machine": _machine(options.device)}
    with tempfile.TemporaryDirectory(prefix="geodl-gpu-") as folder:
        bench = Bench(Path(folder), options.device)
        steps: dict[str, Callable[[], Any]] = {
            "correctness": lambda: bench.correctness(options.check_size),
            "speed": lambda: bench.speed(
                options.size, seam_tolerance=None, repeats=options.repeats
            ),
            "speed_with_tolerance": lambda: bench.speed(
                options.size, seam_tolerance=options.seam_tolerance, repeats=options.repeats
            ),
        }
        for name, step in steps.items():
            answer[name] = step()
            if options.out:  # after every step: what is measured survives what comes
                Path(options.out).write_text(json.dumps(answer, indent=1))
    print(json.dumps(answer))
    print(_tables(answer))
    return 0


def _keep(answer: dict[str, Any]) -> int:
    """Put what a GPU machine measured into RESULTS.md."""
    from benchmarks import results  # noqa: PLC0415

    results.write("gpu", _tables(answer))
    return 0


def _tables(answer: dict[str, Any]) -> str:
    """Return the answer as Markdown."""
    from benchmarks.results import table  # noqa: PLC0415

    check = answer["correctness"]
    head = ("precision", "largest difference of a probability", "classes changed",
            "same bits: repeated", "areas", "reversed")  # fmt: skip
    lines = [
        (name, f"{row['largest_probability_difference']:.2g}",
         f"{100 * row['classes_changed']:.4f} %", row["same_bits_repeated"],
         row["same_bits_areas"], row["same_bits_reversed"])
        for name, row in check.items() if name in PRECISIONS
    ]  # fmt: skip
    machine = ", ".join(f"{key} {value}" for key, value in answer["machine"].items())
    about = (
        f"{check['size']} x {check['size']} px against the CPU in fp32. Largest difference of a "
        f"raw score in one window: {check['raw_score_difference']:.2g}."
    )
    parts = [machine, about, table(head, lines)]
    head = ("source", "precision", "window", "batch", "computed a px", "limit, Mpx/s",
            "file to file, Mpx/s", "of limit", "GPU in forwards",
            "GPU MiB", "process MiB so far")  # fmt: skip
    for name in ("speed", "speed_with_tolerance"):
        speed = answer[name]
        lines = [
            (row["source"], row["precision"], row["recipe"]["window_yx"], row["recipe"]["batch"],
             row["recipe"]["recompute"], f"{row['limit_mpx_s']:.1f}", f"{row['file_mpx_s']:.1f}",
             f"{row['of_limit']:.2f}", "" if row["busy"] is None else f"{100 * row['busy']:.0f} %",
             row["peak_gpu_mb"], f"{row['peak_mb']:.0f}")
            for row in speed["rows"]
        ]  # fmt: skip
        about = f"{speed['size']} x {speed['size']} px, seam tolerance {speed['seam_tolerance']}"
        parts += [about, table(head, lines)]
    return "\n\n".join(parts)


def _machine(device: str) -> dict[str, Any]:
    """Return the device and the switches of torch that change its bits."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {
        "date": today,
        "device": torch.cuda.get_device_name(device) if device != "cpu" else "cpu",
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "tf32_conv": torch.backends.cudnn.allow_tf32,
        "tf32_matmul": torch.backends.cuda.matmul.allow_tf32,
    }


def _event() -> torch.cuda.Event:
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--size", type=int, default=12288, help="side of the timed raster, px")
    parser.add_argument("--check-size", type=int, default=4096, help="side of the compared one")
    parser.add_argument("--seam-tolerance", type=float, default=0.5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", help="a file for the JSON")
    parser.add_argument("--keep", help="the JSON of a former run, to put into RESULTS.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
