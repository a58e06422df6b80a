"""Objects as connected regions (8 neighbours) of a score map, whatever their size.

A chunk is labelled alone; of its regions travel box, class, best score, and on the chunk's rim
which pixel belongs to which. The merger joins by contact over the rims.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geodl_lab.decoders import Decoder
from geodl_lab.detections import Detections
from geodl_lab.grid import Window

IN_PLANE = np.zeros((3, 3, 3), dtype=bool)
IN_PLANE[1] = True  # neighbours: the eight around a pixel, none in another class


@dataclass(frozen=True)
class RegionFinder:
    """Finds connected regions of pixels above the threshold.

    The score of an object is its highest; the box holds its pixels.

    Parameters
    ----------
    decoder, values
        Threshold; class values in channel order.
    """

    decoder: Decoder
    values: tuple[int, ...]

    def summarise(self, chunk: Window, seen: np.ndarray) -> dict[str, np.ndarray]:
        """Label the logits (class, y, x) of a chunk.

        Returns
        -------
        dict of numpy.ndarray
            Of regions ``boxes`` (region, 4) in raster pixels, int64, ``classes`` (region,), int64,
            ``logits`` (region,), float32; of the rim ``top``, ``bottom`` (columns), ``left``,
            ``right`` (rows): class, place in pixels and region of each pixel, (pixel, 3), int64.
        """
        labels, count = ndimage.label(seen > logit(self.decoder.threshold), IN_PLANE)
        regions = labels.astype(np.int64) - 1  # (class, y, x), -1 is none
        k, y, x = np.nonzero(labels)
        owners = regions[k, y, x]
        rim = {"top": regions[:, 0], "bottom": regions[:, -1]}
        sides = {"left": regions[:, :, 0], "right": regions[:, :, -1]}
        low, high = np.full((count, 2), np.iinfo(np.int64).max), np.zeros((count, 2), np.int64)
        for axis, places in enumerate((x + chunk.x, y + chunk.y)):
            np.minimum.at(low[:, axis], owners, places)
            np.maximum.at(high[:, axis], owners, places + 1)
        logits, classes = np.full(count, -np.inf, np.float32), np.zeros(count, np.int64)
        np.maximum.at(logits, owners, seen[k, y, x])
        classes[owners] = k
        return {
            "boxes": np.hstack([low, high]),
            "classes": classes,
            "logits": logits,
            **{name: _rim(line, chunk.x) for name, line in rim.items()},
            **{name: _rim(line, chunk.y) for name, line in sides.items()},
        }

    def merger(self, area: Window) -> RegionMerger:
        """Return what merges the chunks that cover ``area``."""
        return RegionMerger(self.values, area)


class RegionMerger:
    """Joins regions by contact and keeps those that reach the rim of what was fed.

    Parameters
    ----------
    values
        Class values in channel order.
    area
        The pixels that will be fed.
    """

    def __init__(self, values: tuple[int, ...], area: Window) -> None:
        self.floor = -np.inf
        self._values, self._area = np.array(values, dtype=np.int64), area
        self._regions = _Regions(np.zeros((0, 4), int), np.zeros(0, int), np.zeros(0, np.float32))
        # Rim pixels of what was fed, as in a summary, with the place in `_regions` of each.
        self._above = self._below = self._left = np.zeros((0, 3), dtype=np.int64)

    def feed(self, chunk: Window, summary: dict[str, np.ndarray]) -> Detections:
        """Take the regions of the next chunk; return those that no later chunk can touch."""
        if chunk.x == self._area.x:
            self._above, self._below, self._left = self._below, self._below[:0], self._left[:0]
        known = len(self._regions.classes)
        top, bottom, left, right = (
            summary[name] + np.array([0, 0, known]) for name in ("top", "bottom", "left", "right")
        )
        regions = self._regions.joined(_Regions.from_arrays(summary))
        pairs = np.hstack([_contacts(self._above, top), _contacts(self._left, left)])
        last, lowest = chunk.right == self._area.right, chunk.bottom == self._area.bottom
        self._below = np.concatenate([self._below, bottom[:0] if lowest else bottom])
        self._left = right[:0] if last else right
        self._above = self._above[:0] if last else self._above[self._above[:, 1] >= chunk.right - 1]
        self.floor = float(chunk.bottom if last else chunk.y)
        return self._settle(*regions.united(pairs))

    def finish(self) -> Detections:
        """Return the objects that are left: none, once the whole area was fed."""
        regions, self._regions = self._regions, self._regions.select(np.zeros(0, dtype=int))
        self.floor = np.inf
        return regions.objects(self._values)

    def _settle(self, regions: _Regions, places: np.ndarray) -> Detections:
        """Keep the regions on the rim; ``places`` says where each region went, (region,)."""
        waits = np.zeros(len(regions.classes), dtype=bool)
        lines = self._above, self._below, self._left
        for line in lines:
            waits[places[line[:, 2]]] = True
        places = (np.cumsum(waits) - 1)[places]
        self._above, self._below, self._left = (
            np.column_stack([line[:, :2], places[line[:, 2]]]) for line in lines
        )
        self._regions = regions.select(waits)
        self.floor = min(self.floor, float(self._regions.boxes[:, 1].min(initial=2**62)))
        return regions.select(~waits).objects(self._values)


@dataclass(frozen=True)
class _Regions:
    """Boxes (region, 4), class indices (region,) and best logits (region,)."""

    boxes: np.ndarray
    classes: np.ndarray
    logits: np.ndarray

    @staticmethod
    def from_arrays(arrays: dict[str, np.ndarray]) -> _Regions:
        return _Regions(arrays["boxes"], arrays["classes"], arrays["logits"])

    def select(self, chosen: np.ndarray) -> _Regions:
        return _Regions(self.boxes[chosen], self.classes[chosen], self.logits[chosen])

    def joined(self, other: _Regions) -> _Regions:
        return _Regions(
            np.concatenate([self.boxes, other.boxes]),
            np.concatenate([self.classes, other.classes]),
            np.concatenate([self.logits, other.logits]),
        )

    def united(self, pairs: np.ndarray) -> tuple[_Regions, np.ndarray]:
        """Return one region for each group linked by pairs (2, pair), and the group of each."""
        size = len(self.classes)
        links = coo_array((np.ones(pairs.shape[1], dtype=bool), tuple(pairs)), shape=(size, size))
        count, groups = connected_components(links, directed=False) if size else (0, pairs[0])
        boxes = np.tile(np.array([2**62, 2**62, 0, 0]), (count, 1))
        np.minimum.at(boxes[:, :2], groups, self.boxes[:, :2])
        np.maximum.at(boxes[:, 2:], groups, self.boxes[:, 2:])
        logits, classes = np.full(count, -np.inf, np.float32), np.zeros(count, np.int64)
        np.maximum.at(logits, groups, self.logits)
        classes[groups] = self.classes
        return _Regions(boxes, classes, logits), groups

    def objects(self, values: np.ndarray) -> Detections:
        scores = probability(self.logits)
        return Detections(self.boxes.astype(np.float64), values[self.classes], scores)


def logit(value: float) -> float:
    """Return the logit of a probability; infinite at 0 and 1."""
    with np.errstate(divide="ignore"):
        return float(np.log(value) - np.log1p(-value))


def probability(logits: np.ndarray) -> np.ndarray:
    """Return the probability of logits, float64."""
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


def _rim(line: np.ndarray, start: int) -> np.ndarray:
    """List the pixels with a region of one side (class, place): class, place, region."""
    k, place = np.nonzero(line >= 0)
    return np.stack([k, place + start, line[k, place]], axis=1)


def _contacts(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return pairs of regions of one class whose rims meet, corners too, shape (2, pair)."""
    stride = max(one[:, 1].max(initial=0), other[:, 1].max(initial=0)) + 3
    keys, wanted = (line[:, 0] * stride + line[:, 1] + 1 for line in (one, other))
    order, pairs = np.argsort(keys), [np.zeros((2, 0), dtype=np.int64)]
    for shift in (-1, 0, 1):
        place = np.searchsorted(keys, wanted + shift, sorter=order)
        place = order[np.minimum(place, len(keys) - 1)] if len(keys) else place[:0]
        hit = np.flatnonzero(keys[place] == (wanted + shift)[: len(place)])
        pairs.append(np.stack([one[place[hit], 2], other[hit, 2]]))
    return np.unique(np.hstack(pairs), axis=1)
