"""What is known of a written chip, as plain values that go to JSON and back."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class BandStats:
    """Statistics of a band over pixels with data.

    Parameters
    ----------
    count
        Pixels.
    min, max, mean
        Of their values.
    m2
        Sum of the squares of their differences from the mean.
    """

    count: int = 0
    min: float = math.inf
    max: float = -math.inf
    mean: float = 0.0
    m2: float = 0.0

    @property
    def std(self) -> float:
        """Standard deviation."""
        return math.sqrt(self.m2 / self.count) if self.count else 0.0

    def plus(self, other: BandStats) -> BandStats:
        """Return the statistics of both together, by the formula of Chan, Golub and LeVeque."""
        count = self.count + other.count
        if not count:
            return self
        apart = other.mean - self.mean
        mean = self.mean + apart * other.count / count
        m2 = self.m2 + other.m2 + apart * apart * self.count * other.count / count
        return BandStats(count, min(self.min, other.min), max(self.max, other.max), mean, m2)


@dataclass(frozen=True, slots=True)
class Found:
    """An object in a chip.

    Parameters
    ----------
    value
        Its class.
    box
        Left, top, right, bottom in pixels of the chip.
    area
        In CRS units squared, inside the chip.
    """

    value: int
    box: tuple[float, float, float, float]
    area: float


@dataclass(frozen=True, slots=True)
class Chip:
    """A written chip.

    Parameters
    ----------
    index
        Its number among the places of its raster.
    shape
        Bands, height and width.
    label
        Its one class; None if it has none or several.
    files
        Names of its files by what they are: ``images``, ``images2``, ``labels``,
        ``labels2/NAME``; the image itself first.
    objects
        What it shows.
    pixels
        Pixels of each class value that it holds.
    stats, stats2
        Of its bands, and of the bands of the second raster.
    """

    index: int
    shape: tuple[int, int, int]
    files: dict[str, list[str]]
    label: int | None = None
    objects: tuple[Found, ...] = ()
    pixels: dict[int, int] | None = None
    stats: tuple[BandStats, ...] = ()
    stats2: tuple[BandStats, ...] = ()


def band_stats(values: np.ndarray, valid: np.ndarray) -> tuple[BandStats, ...]:
    """Return the statistics of each band of values (band, y, x) where ``valid`` (y, x)."""
    return tuple(_stats(band[valid].astype(np.float64)) for band in values)


def add_stats(all: Sequence[Sequence[BandStats]]) -> tuple[BandStats, ...]:
    """Return the statistics of the bands of many chips together."""
    total: list[BandStats] = []
    for stats in all:
        total = total or [BandStats() for _ in stats]
        total = [one.plus(other) for one, other in zip(total, stats, strict=True)]
    return tuple(total)


def chips_json(chips: Sequence[Chip]) -> str:
    """Return records as JSON."""
    return json.dumps([dataclasses.asdict(chip) for chip in chips])


def chips_from(text: str) -> list[Chip]:
    """Return the records that `chips_json` made."""
    return [_chip(values) for values in json.loads(text)]


def _chip(values: dict[str, Any]) -> Chip:
    pixels, found = values["pixels"], values["objects"]
    return Chip(
        **values
        | {
            "shape": tuple(values["shape"]),
            "pixels": pixels and {int(value): count for value, count in pixels.items()},
            "objects": tuple(Found(f["value"], tuple(f["box"]), f["area"]) for f in found),
            "stats": tuple(BandStats(**stats) for stats in values["stats"]),
            "stats2": tuple(BandStats(**stats) for stats in values["stats2"]),
        }
    )


def _stats(values: np.ndarray) -> BandStats:
    if not len(values):
        return BandStats()
    mean = float(values.mean())
    m2 = float(np.square(values - mean).sum())
    return BandStats(len(values), float(values.min()), float(values.max()), mean, m2)
