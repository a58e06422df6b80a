"""Statistics of a whole raster, from a coarse look at it, made once and kept.

A picture is stretched by these and never by its own pixels, so that neighbours on a map agree.
"""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from geodl_lab.server.arcgis.image_files import FileId
from geodl_lab.server.arcgis.image_reads import Pixels, read_samples, read_view
from geodl_lab.server.arcgis.image_sources import EMPTY, ImageSource, grid_of
from geodl_lab.server.arcgis.image_views import View

LOOK = 1024
"""Largest side in pixels of the coarse look; a raster that is no larger is seen exactly."""

SAMPLES = 16
"""Squares a side that are looked at in a larger raster without overviews, each of 64 pixels."""

BINS = 256
LARGEST = 1e100
"""Numbers beyond this, and infinite ones, are left out: their squares cannot be summed."""


@dataclass(frozen=True)
class Statistics:
    """Of one band; all zero where it has no data at all.

    Parameters
    ----------
    smallest, largest, mean, deviation
        Of the values seen.
    low, high
        The 2nd and the 98th percentile.
    counts
        Pixels seen in each of 256 equal steps of value.
    first, last
        The values at which these steps begin and end; of bytes -0.5 and 255.5.
    """

    smallest: float = 0.0
    largest: float = 0.0
    mean: float = 0.0
    deviation: float = 0.0
    low: float = 0.0
    high: float = 0.0
    counts: tuple[int, ...] = (0,) * BINS
    first: float = 0.0
    last: float = 0.0

    @property
    def json(self) -> dict[str, Any]:
        """As ArcGIS writes it."""
        return {
            "min": self.smallest, "max": self.largest, "mean": self.mean,
            "standardDeviation": self.deviation, "count": sum(self.counts),
        }  # fmt: skip

    @property
    def histogram(self) -> dict[str, Any]:
        """As ArcGIS writes it."""
        counts = list(self.counts)
        return {"size": len(counts), "min": self.first, "max": self.last, "counts": counts}

    def clipped(self, low: float, high: float) -> tuple[float, float]:
        """Return the values below and above which these per cent of the pixels lie."""
        if not sum(self.counts):
            return self.smallest, self.largest
        share = np.cumsum(self.counts) / sum(self.counts)
        edges = np.linspace(self.first, self.last, len(self.counts) + 1)
        bottom = edges[np.searchsorted(share, low / 100, side="right")]
        top = edges[np.searchsorted(share, 1 - high / 100) + 1]
        return max(self.smallest, float(bottom)), min(self.largest, float(top))


def statistics_of(source: ImageSource) -> tuple[Statistics, ...]:
    """Return statistics of each band of a raster."""
    if source.file is None:
        return (Statistics(),) * len(EMPTY.numbers)
    with _lock(source.file):  # twenty tiles ask at once: the first looks, the others wait
        return _kept(source.file)


def of_pixels(pixels: Pixels) -> tuple[Statistics, ...]:
    """Return statistics of each band of what was read."""
    return tuple(map(_of_band, pixels.values, pixels.valid))


@functools.lru_cache(512)
def _lock(_file: FileId) -> threading.Lock:
    return threading.Lock()


@functools.lru_cache(512)
def _kept(file: FileId) -> tuple[Statistics, ...]:
    """Look band by band: a raster of many bands is never read as a whole."""
    source = ImageSource("", "", file, grid_of(file))
    return tuple(_of_band(*_look(source, band)) for band in range(len(source.grid.numbers)))


def _look(source: ImageSource, band: int) -> tuple[np.ndarray, np.ndarray]:
    """Return values and validity (y, x) of a band along its own rows, coarsely."""
    height, width = source.grid.shape_yx
    shrink = max(1.0, max(height, width) / LOOK)
    if shrink > 4 and not source.grid.has_overviews:
        sampled = read_samples(source, band, count=SAMPLES, side=LOOK // SAMPLES)
        return sampled.values[0], sampled.valid[0]
    shape = (max(1, round(height / shrink)), max(1, round(width / shrink)))
    pixels = read_view(source, View(source.box, source.grid.crs, shape), (band,))
    return pixels.values[0], pixels.valid[0]


def _of_band(values: np.ndarray, valid: np.ndarray) -> Statistics:
    seen = values[valid]
    if seen.dtype.kind == "f":
        seen = seen.astype(np.float64)
        seen = seen[np.abs(seen) < LARGEST]
    if not seen.size:
        return Statistics()
    first, last = float(seen.min()), float(seen.max())
    if seen.dtype == np.uint8:
        first, last = -0.5, 255.5
    counts = np.histogram(seen, BINS, (first, last if last > first else first + 1))[0]
    low, high = np.percentile(seen, (2, 98))
    return Statistics(
        float(seen.min()), float(seen.max()), float(seen.mean(dtype=float)),
        float(seen.std(dtype=float)), float(low), float(high), tuple(map(int, counts)), first, last,
    )  # fmt: skip
