"""Ours against the bare forward on a raster too large for a whole-image truth, or for patience."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from benchmarks import fresh
from benchmarks.scene import write_scene

TOLERANCES = (None, 4.3)
"""Exact, and the tolerance at which the speed part found our error no worse than a peer's."""


def measure(place: Path, *, size: int, repeats: int) -> list[dict[str, Any]]:
    """Return a row a tolerance: seconds of limit and ours, and the median of the rounds' ratios."""
    prepared = fresh.run("prepare", folder=place, size=1024, threads=fresh.cores())
    if "error" in prepared:
        raise RuntimeError(f"the net could not be made: {prepared['error']}")
    task = {
        "scene": write_scene(place / "large.tif", size),
        "model": place / "unet.pickle",
        "threads": fresh.cores(),
    }
    return [_row(place, {**task, "seam_tolerance": bound}, repeats) for bound in TOLERANCES]


def _row(place: Path, task: dict[str, Any], repeats: int) -> dict[str, Any]:
    limits, ours = [], []
    for _ in range(repeats):
        limits.append(fresh.run("limit", weights=place / "weights.pt", **task))
        ours.append(fresh.run("ours", mode="file", target=place / "large_classes.tif", **task))
        print(f"large: {limits[-1]}, {ours[-1]}", flush=True)
    pairs = zip(limits, ours, strict=True)
    return {
        "recipe": ours[0]["recipe"],
        "limit": statistics.median(run["seconds"] for run in limits),
        "ours": statistics.median(run["seconds"] for run in ours),
        "ratio": statistics.median(a["seconds"] / b["seconds"] for a, b in pairs),
        "peak_mb": max(run["peak_mb"] for run in ours),
    }
