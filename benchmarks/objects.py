"""Objects of painted rectangles: ours, and how many of the true ones come out exactly once."""

from __future__ import annotations

import time
from typing import Any

import geopandas
import numpy as np

import geodl_lab
from benchmarks import fresh, prepare
from benchmarks.scene import CELL_SIZE, ORIGIN_XY, rectangles


def score(found: np.ndarray, size: int) -> dict[str, Any]:
    """Count what was found against the painted rectangles.

    A true object is found when exactly one box meets it and that box is it (IoU 0.9 or more).

    Parameters
    ----------
    found
        Boxes x0, y0, x1, y1 in pixels, shape (object, 4).
    size
        Side of the raster in pixels.
    """
    true, long = rectangles(size)
    common, union = _overlaps(true, found)
    exact = ((common / union) >= 0.9).sum(axis=1) == 1
    once = exact & ((common > 0).sum(axis=1) == 1)
    return {
        "true": len(true),
        "reported": len(found),
        "found": int(once.sum()),
        "long_true": int(long.sum()),
        "long_found": int((once & long).sum()),
    }


def work(*, scene: str, model: str, target: str, size: int) -> dict[str, Any]:
    """Time a run from a raster file to a file of objects."""
    wrapped = prepare.load_model(model)
    begun = time.perf_counter()
    path = geodl_lab.detect_file(scene, target, wrapped, device="cpu")
    seconds = time.perf_counter() - begun
    frame = geopandas.read_parquet(path)
    west, south, east, north = frame.bounds.to_numpy().T
    columns = (west - ORIGIN_XY[0], ORIGIN_XY[1] - north, east - ORIGIN_XY[0], ORIGIN_XY[1] - south)
    return {"seconds": seconds, **score(np.stack(columns, axis=1) / CELL_SIZE, size)}


def _overlaps(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return areas of intersection and union of all pairs, each (len(a), len(b))."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])  # (a, b, 2)
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])  # (a, b, 2)
    common = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (a, b)]
    return common, areas[0][:, None] + areas[1] - common


if __name__ == "__main__":
    fresh.report(work)
