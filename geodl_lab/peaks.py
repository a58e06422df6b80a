"""Objects as peaks of centre heat maps (Zhou et al. 2019, "Objects as Points").

A pixel is an object if its score is above the threshold and none within ``radius`` rows and
columns is higher; of equal ones the first in reading order counts. A chunk decides on its own
pixels; near its rim the merger asks the pixels above the threshold of the chunks around.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import ndimage

from geodl_lab.decoders import Decoder
from geodl_lab.detections import Detections
from geodl_lab.errors import ModelError
from geodl_lab.grid import Window
from geodl_lab.regions import logit, probability

LARGEST = 8.0
"""Bound of a size channel, a natural logarithm: exp(8) is about 3000 units."""


@dataclass(frozen=True)
class PeakFinder:
    """Finds peaks of heat maps.

    Parameters
    ----------
    decoder, values
        Threshold, radius and box; class values in channel order.
    """

    decoder: Decoder
    values: tuple[int, ...]

    def summarise(self, chunk: Window, seen: np.ndarray) -> dict[str, np.ndarray]:
        """Find the peaks that the logits (channel, y, x) of a chunk alone allow.

        Returns
        -------
        dict of numpy.ndarray
            Of peaks ``peaks`` (peak, 3): class, row and column in raster pixels, int64,
            ``logits`` (peak,), float32, and ``halves`` (peak, 2): half height and width in
            pixels, float64; of the pixels above the threshold near the rim ``rim`` and
            ``rim_logits``, alike.
        """
        scores = np.nan_to_num(seen[: len(self.values)], nan=-np.inf, posinf=np.inf, neginf=-np.inf)
        origin = np.array([0, chunk.y, chunk.x])
        above = scores > logit(self.decoder.threshold)
        peaks = self._peaks(scores, above)
        rim = np.argwhere(above & _near_rim(chunk, self.decoder.radius))
        return {
            "peaks": peaks + origin,
            "logits": scores[tuple(peaks.T)],
            "halves": self._halves(seen, peaks),
            "rim": rim + origin,
            "rim_logits": scores[tuple(rim.T)],
        }

    def merger(self, area: Window) -> PeakMerger:
        """Return what merges the chunks that cover ``area``."""
        return PeakMerger(self, area)

    def _peaks(self, scores: np.ndarray, above: np.ndarray) -> np.ndarray:
        """Return class, row and column of peaks in the chunk, shape (peak, 3)."""
        if not above.any():
            return np.zeros((0, 3), dtype=np.int64)
        side = 2 * self.decoder.radius + 1
        edge: dict[str, Any] = {"mode": "constant", "cval": -np.inf}
        along = ndimage.maximum_filter1d(scores, side, axis=2, **edge)
        highest = ndimage.maximum_filter1d(along, side, axis=1, **edge)
        places = np.argwhere(above & (scores == highest))
        return places[_first_of_equals(places, scores, along, self.decoder.radius)]

    def _halves(self, seen: np.ndarray, peaks: np.ndarray) -> np.ndarray:
        if self.decoder.box_size is not None:
            return np.full((len(peaks), 2), self.decoder.box_size / 2)
        sizes = seen[len(self.values) :, peaks[:, 1], peaks[:, 2]].T.astype(np.float64)
        if np.isnan(sizes).any():
            raise ModelError(
                "the model answers a NaN size at a peak; possible are logarithms of height and "
                "width: check its weights, or say one size for all, as in box_size=10"
            )
        return self.decoder.size_unit * np.exp(np.clip(sizes, -LARGEST, LARGEST)) / 2

    @property
    def largest_half(self) -> float:
        """Pixels that a box reaches above its peak at most."""
        if self.decoder.box_size is not None:
            return self.decoder.box_size / 2
        return self.decoder.size_unit * float(np.exp(LARGEST)) / 2


@dataclass(frozen=True)
class _Pixels:
    """Class, row, column (pixel, 3), logits (pixel,), and of peaks half sizes (pixel, 2)."""

    places: np.ndarray
    logits: np.ndarray
    halves: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))

    def select(self, chosen: np.ndarray) -> _Pixels:
        halves = self.halves[chosen] if len(self.halves) else self.halves
        return _Pixels(self.places[chosen], self.logits[chosen], halves)

    def joined(self, other: _Pixels) -> _Pixels:
        return _Pixels(
            np.concatenate([self.places, other.places]),
            np.concatenate([self.logits, other.logits]),
            np.concatenate([self.halves, other.halves]),
        )


class PeakMerger:
    """Strikes out peaks that a pixel of another chunk outdoes.

    Parameters
    ----------
    finder
        Radius and class values.
    area
        The pixels that will be fed.
    """

    def __init__(self, finder: PeakFinder, area: Window) -> None:
        self.floor = -np.inf
        self._finder, self._area = finder, area
        places, logits = np.zeros((0, 3), dtype=np.int64), np.zeros(0, dtype=np.float32)
        self._waiting = _Pixels(places, logits, np.zeros((0, 2)))
        self._rim = _Pixels(places, logits)

    def feed(self, chunk: Window, summary: dict[str, np.ndarray]) -> Detections:
        """Take the peaks of the next chunk; return those that no later pixel can outdo."""
        fresh = _Pixels(summary["peaks"], summary["logits"], summary["halves"])
        peaks = self._waiting.joined(fresh)
        rim = self._rim.joined(_Pixels(summary["rim"], summary["rim_logits"]))
        peaks = peaks.select(~_outdone(peaks, rim, self._finder.decoder.radius))
        waits = self._awaits(peaks.places, chunk)
        self._waiting = peaks.select(waits)
        self._rim = rim.select(self._awaits(rim.places, chunk))
        last = chunk.right == self._area.right
        self._raise_floor(chunk.bottom if last else chunk.y)
        return self._objects(peaks.select(~waits))

    def finish(self) -> Detections:
        """Return the objects that are left: none, once the whole area was fed."""
        peaks, self._waiting = self._waiting, self._waiting.select(np.zeros(0, dtype=int))
        self.floor = np.inf
        return self._objects(peaks)

    def _awaits(self, places: np.ndarray, chunk: Window) -> np.ndarray:
        """Mark places (pixel, 3) within the radius of pixels of the area that are not yet fed."""
        radius = self._finder.decoder.radius
        bottom, right = places[:, 1] + radius, places[:, 2] + radius
        below = (bottom >= chunk.bottom) & (chunk.bottom < self._area.bottom)
        beside = (bottom >= chunk.y) & (right >= chunk.right) & (chunk.right < self._area.right)
        return below | beside

    def _raise_floor(self, row: int) -> None:
        first = self._waiting.places[:, 1].min(initial=row)
        self.floor = float(first) - self._finder.largest_half

    def _objects(self, peaks: _Pixels) -> Detections:
        k, y, x = peaks.places.T
        halves = peaks.halves[:, ::-1]  # width, height
        centres = np.stack([x + 0.5, y + 0.5], axis=1)
        values = np.array(self._finder.values, dtype=np.int64)
        boxes = np.hstack([centres - halves, centres + halves])
        return Detections(boxes, values[k], probability(peaks.logits))


def _first_of_equals(
    places: np.ndarray, scores: np.ndarray, along: np.ndarray, radius: int
) -> np.ndarray:
    """Mark peaks (peak, 3) that no equal pixel precedes in reading order, shape (peak,).

    ``along`` is the highest score (class, y, x) within the radius in the same row.
    """
    k, y, x = places.T
    own, first = scores[k, y, x], np.ones(len(places), dtype=bool)
    for back in range(1, radius + 1):
        first &= (y < back) | (along[k, np.maximum(y - back, 0), x] < own)
        first &= (x < back) | (scores[k, y, np.maximum(x - back, 0)] < own)
    return first


def _outdone(peaks: _Pixels, others: _Pixels, radius: int) -> np.ndarray:
    """Mark peaks that a pixel within ``radius`` outdoes: higher, or equal and earlier in reading.

    Row by row around the peaks, so that the cost is the radius and not its square.
    """
    low = np.minimum(peaks.places.min(axis=0, initial=0), others.places.min(axis=0, initial=0))
    high = np.maximum(peaks.places.max(axis=0, initial=0), others.places.max(axis=0, initial=0))
    _, height, width = high - low + 2 * radius + 1  # so far apart, rows do not reach each other
    step = np.array([height * width, width, 1])
    keys, known = (peaks.places - low) @ step, (others.places - low) @ step
    order = np.argsort(known)
    known, logits = known[order], np.append(others.logits[order], np.float32(-np.inf))
    lost = np.zeros(len(keys), dtype=bool)
    for row in range(-radius, radius + 1):
        first, last = keys + row * width - radius, keys + row * width + radius
        if row <= 0:  # before the peak in reading order
            lost |= _highest(known, logits, first, last if row else keys - 1) >= peaks.logits
        if row >= 0:
            lost |= _highest(known, logits, first if row else keys + 1, last) > peaks.logits
    return lost


def _highest(
    known: np.ndarray, logits: np.ndarray, first: np.ndarray, last: np.ndarray
) -> np.ndarray:
    """Return the highest logit from one key to another, -inf where there is none, (pair,)."""
    start, stop = np.searchsorted(known, first), np.searchsorted(known, last, side="right")
    spans = np.stack([start, stop], axis=1).ravel()
    return np.where(start < stop, np.maximum.reduceat(logits, spans)[::2], -np.inf)


def _near_rim(chunk: Window, radius: int) -> np.ndarray:
    """Mark pixels (y, x) of a chunk within ``radius`` of its rim."""
    near = np.ones(chunk.shape_yx, dtype=bool)
    near[radius : chunk.height - radius, radius : chunk.width - radius] = False
    return near
