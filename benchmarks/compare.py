"""How far an output is from one forward of the whole raster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio

ROWS = 256
NO_CLASS = 255
NO_SCORE = -9999


def open_values(path: str | Path) -> np.ndarray:
    """Return the values of a .npy (mapped) or a GeoTIFF (read), (channel, y, x) or (y, x)."""
    if Path(path).suffix == ".npy":
        return np.load(path, mmap_mode="r")
    with rasterio.open(path) as file:
        return file.read(1) if file.count == 1 else file.read()


def compare_classes(output: str | Path, truth: str | Path) -> dict[str, int]:
    """Count pixels of another class than the truth's, and pixels without any."""
    classes = open_values(output)
    scores = np.load(truth, mmap_mode="r")
    changed = uncovered = 0
    for part in _strips(scores):
        expected = scores[:, part].argmax(axis=0)
        changed += int((classes[part] != expected).sum())
        uncovered += int((classes[part] == NO_CLASS).sum())
    return {"changed": changed, "uncovered": uncovered}


def compare_scores(output: str | Path, truth: str | Path, *, kind: str) -> dict[str, Any]:
    """Measure the error of ``scores`` or ``probabilities`` (class, y, x) against true scores.

    Returns
    -------
    dict
        ``max_error`` and ``mean_error`` of a probability, ``max_score_error`` (of scores only),
        and ``uncovered`` pixels, which count in no error.
    """
    found, scores = open_values(output), np.load(truth, mmap_mode="r")
    worst = worst_score = total = 0.0
    uncovered = 0
    for part in _strips(scores):
        values, expected = np.asarray(found[:, part]), np.asarray(scores[:, part])
        empty = np.isnan(values).any(axis=0) | (values == NO_SCORE).all(axis=0)
        uncovered += int(empty.sum())
        if kind == "scores":
            worst_score = max(worst_score, _largest(np.abs(values - expected), empty))
            values = softmax(values)
        error = np.where(empty, 0, np.abs(values - softmax(expected)))
        worst, total = max(worst, float(error.max())), total + float(error.sum(dtype=np.float64))
    mean = total / max(1, scores.size - uncovered * len(scores))
    answer = {"max_error": worst, "mean_error": mean, "uncovered": uncovered}
    return {**answer, "max_score_error": worst_score} if kind == "scores" else answer


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return probabilities (class, y, x) in float32, as the nets' scores are."""
    powers = np.exp(scores - scores.max(axis=0))
    return powers / powers.sum(axis=0)


def _largest(error: np.ndarray, empty: np.ndarray) -> float:
    return float(np.where(empty, 0, error).max())


def _strips(scores: np.ndarray) -> list[slice]:
    height = scores.shape[1]
    return [slice(y, min(y + ROWS, height)) for y in range(0, height, ROWS)]
