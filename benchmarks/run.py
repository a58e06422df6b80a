"""Measure everything that needs no GPU: ``python -m benchmarks.run`` (`make bench`)."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import chart, fresh, large, memory, results, scene, speed

PICTURE = fresh.ROOT / "docs" / "images" / "benchmark.png"
OBJECTS_SIZE = 4096


def main() -> None:
    """Run the parts asked for, print their tables, and keep them unless told not to."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="geodl-bench-", dir=options.work) as folder:
        place = Path(folder)
        for part in options.parts:
            text = f"{results.stamp()}\n\n{PARTS[part](place, options)}"
            print(f"\n{text}\n", flush=True)
            if not options.dry:
                results.write(part, text)


def run_speed(place: Path, options: argparse.Namespace) -> str:
    """Measure limit, ours and peers; draw the picture."""
    measured = speed.measure(place, size=options.size, repeats=options.repeats)
    chart.draw(measured, place / "benchmark.png" if options.dry else PICTURE)
    return results.speed_tables(measured)


def run_large(place: Path, options: argparse.Namespace) -> str:
    """Measure ours against the limit on a larger raster."""
    rows = large.measure(place, size=options.large_size, repeats=options.repeats)
    return results.large_table(rows, options.large_size)


def run_objects(place: Path, options: argparse.Namespace) -> str:
    """Measure ours and SAHI on painted rectangles."""
    _small_models(place)
    source = scene.write_rectangles(place / "rectangles.tif", OBJECTS_SIZE)
    both = {"scene": source, "size": OBJECTS_SIZE}
    slices = {"slice_height": 512, "slice_width": 512}
    once = {"perform_standard_pred": False}
    model, target = place / "detector.pickle", place / "objects.parquet"
    rows = [
        ("ours, file to file", fresh.run("objects", model=model, target=target, **both)),
        ("SAHI, 512 px, no whole-image pass", fresh.run("peer_sahi", **both, **slices, **once)),
        ("SAHI, its slices, no whole-image pass", fresh.run("peer_sahi", **both, **once)),
        ("SAHI, its defaults", fresh.run("peer_sahi", **both)),
    ]
    return results.object_table(rows, OBJECTS_SIZE)


def run_memory(place: Path, options: argparse.Namespace) -> str:
    """Measure peak memory at growing sizes."""
    _small_models(place)
    return results.memory_table(memory.measure(place, tuple(options.memory_sizes)))


def run_scaling(place: Path, options: argparse.Namespace) -> str:
    """Measure one and two dask workers."""
    row = fresh.run("scaling", folder=place, size=options.scaling_size, repeats=options.repeats)
    return results.scaling_table(row)


def run_precision(place: Path, options: argparse.Namespace) -> str:
    """Measure the agreement of bf16 with fp32."""
    return results.precision_table(fresh.run("precision"))


def _small_models(place: Path) -> None:
    if not (place / "detector.pickle").exists():
        made = fresh.run("prepare", folder=place)
        if "error" in made:
            raise RuntimeError(f"the small models could not be made: {made['error']}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--size", type=int, default=3072, help="side of the speed raster, px")
    parser.add_argument("--large-size", type=int, default=6144, help="side of the large raster")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory-sizes", type=int, nargs="+", default=list(memory.SIZES))
    parser.add_argument("--scaling-size", type=int, default=8192)
    parser.add_argument("--work", help="folder for some gigabytes of scratch")
    parser.add_argument("--dry", action="store_true", help="print only; keep no table, no picture")
    options = parser.parse_args()
    if options.size % 32:
        parser.error(f"--size {options.size}: give a multiple of 32, the net's stride")
    return options


PARTS: dict[str, Callable[[Path, argparse.Namespace], str]] = {
    "speed": run_speed,
    "large": run_large,
    "objects": run_objects,
    "memory": run_memory,
    "scaling": run_scaling,
    "precision": run_precision,
}

if __name__ == "__main__":
    main()
