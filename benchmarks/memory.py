"""Peak memory from file to file at growing sizes: a one-layer net, 10 classes, a made-up source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rasterio

from benchmarks import fresh
from benchmarks.scene import write_endless

SIZES = (5_000, 20_000, 40_000)


def measure(place: Path, sizes: tuple[int, ...] = SIZES) -> list[dict[str, Any]]:
    """Classify rasters of ``sizes`` pixels a side, each in a fresh process."""
    rows = []
    for size in sizes:
        source = write_endless(place / "endless.tif", size)
        target = place / "endless_classes.tif"
        row = fresh.run(
            "ours", mode="file", scene=source, model=place / "onelayer.pickle", target=target,
            seam_tolerance=None, threads=fresh.cores(),
        )  # fmt: skip
        if "error" not in row:
            with rasterio.open(target) as file:
                row["overviews"] = len(file.overviews(1))
                row["cog"] = file.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG"
        target.unlink(missing_ok=True)
        rows.append({"size": size, **row})
        print(f"memory: {rows[-1]}", flush=True)
    return rows
