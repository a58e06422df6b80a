"""From scores to answers: heads reduce a window on its device, finders read objects from scores.

A head is one call on the network's output of one batch. A finder is fed the finished core blocks
of a dense detector in raster order and keeps only the border pixels that the next blocks need.
Because a score belongs to one core, a peak or a region is unique however the raster is cut.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

from geodl_lab.detections import Detections, concatenate, empty
from geodl_lab.errors import ModelError
from geodl_lab.grid import Window
from geodl_lab.package import NODATA, Decoder, ModelPackage


class Head(Protocol):
    """Reduces scores on the device to what travels back."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        ...

    @property
    def fill(self) -> float:
        """Value where the raster has no data."""
        ...

    @property
    def channels(self) -> int:
        """Number of bands of the result."""
        ...

    def __call__(self, scores: torch.Tensor) -> torch.Tensor:
        """Map scores (N, K, H, W) to (N, channels, H, W)."""
        ...


@dataclass(frozen=True)
class ClassHead:
    """Class value of the best score; nodata where the best probability is below a threshold.

    Parameters
    ----------
    values
        Class values in channel order.
    threshold
        Least probability 0..1, or None for the best class whatever its probability.
    """

    values: tuple[int, ...]
    threshold: float | None = None
    dtype: np.dtype[Any] = np.dtype("uint8")
    fill: float = NODATA
    channels: int = 1

    def __call__(self, scores: torch.Tensor) -> torch.Tensor:
        """Map scores (N, K, H, W) to class values (N, 1, H, W), uint8."""
        scores = _with_background(scores, len(self.values))
        table = torch.tensor(self.values, dtype=torch.uint8, device=scores.device)
        best, index = scores.max(dim=1, keepdim=True)  # (N, 1, H, W) each
        sure = best.isfinite()  # a net that answers NaN has no class to offer
        if self.threshold is not None:
            sure &= scores.softmax(dim=1).amax(dim=1, keepdim=True) >= self.threshold
        return torch.where(sure, table[index], NODATA)


@dataclass(frozen=True)
class ProbabilityHead:
    """Softmax probabilities, one channel a class; NaN is nodata."""

    channels: int
    dtype: np.dtype[Any] = np.dtype("float32")
    fill: float = np.nan

    def __call__(self, scores: torch.Tensor) -> torch.Tensor:
        """Map scores (N, K, H, W) to probabilities (N, K, H, W), float32."""
        return _with_background(scores, self.channels).softmax(dim=1)


@dataclass(frozen=True)
class EntropyHead:
    """Shannon entropy of the class probabilities in nat; NaN is nodata."""

    classes: int
    channels: int = 1
    dtype: np.dtype[Any] = np.dtype("float32")
    fill: float = np.nan

    def __call__(self, scores: torch.Tensor) -> torch.Tensor:
        """Map scores (N, K, H, W) to entropies (N, 1, H, W), float32."""
        share = _with_background(scores, self.classes).softmax(dim=1)
        return torch.special.entr(share).sum(dim=1, keepdim=True)


@dataclass(frozen=True)
class ValueHead:
    """The values of a regression as they are; NaN is nodata."""

    channels: int
    dtype: np.dtype[Any] = np.dtype("float32")
    fill: float = np.nan

    def __call__(self, scores: torch.Tensor) -> torch.Tensor:
        """Return values (N, K, H, W), float32."""
        return scores


@dataclass(frozen=True)
class LogitHead:
    """Logits of a dense detector, one channel a class, and its size channels as they are.

    Parameters
    ----------
    classes
        Number of classes without background.
    channels
        ``classes``, or ``classes + 2`` with log height and log width.
    """

    classes: int
    channels: int
    dtype: np.dtype[Any] = np.dtype("float32")
    fill: float = -np.inf

    def __call__(self, scores: torch.Tensor) -> torch.Tensor:
        """Map scores (N, K, H, W) to (N, channels, H, W); a background channel is taken off."""
        if scores.shape[1] != self.classes + 1 or self.channels != self.classes:
            return scores
        others = functional.log_softmax(scores, dim=1)[:, 1:]
        return torch.special.logit(others.exp().clamp(1e-7, 1 - 1e-7))


def read_boxes(answer: Any, package: ModelPackage, window: Window) -> Detections:
    """Read one image's dict of boxes and move it from window to raster pixels.

    Parameters
    ----------
    answer
        ``boxes`` (object, 4) as x0, y0, x1, y1 in window pixels, ``labels`` (object,) counted
        from 1 (0 is background), ``scores`` (object,) 0..1.
    package
        Classes and threshold.
    window
        Where the image lies in the raster.

    Raises
    ------
    ModelError
        If keys are missing or labels are not among the classes.
    """
    missing = {"boxes", "labels", "scores"} - set(answer)
    if missing:
        raise ModelError(
            f"model {package.name!r} answers {sorted(answer)} for an image; "
            f"{sorted(missing)} is missing; possible is a dict of boxes, labels, scores"
        )
    boxes, labels, scores = (
        torch.as_tensor(answer[key]).detach().to("cpu", torch.float64).numpy()
        for key in ("boxes", "labels", "scores")
    )
    assert package.decoder is not None
    boxes = boxes.reshape(-1, 4)
    if not (np.isfinite(boxes).all() and (boxes[:, :2] <= boxes[:, 2:]).all()):
        raise ModelError(
            f"model {package.name!r} answers a box that is none: x0, y0, x1, y1 must be numbers "
            "with x0 <= x1 and y0 <= y1"
        )
    kept = (scores > package.decoder.threshold) & (labels > 0)
    index = labels[kept].astype(np.int64) - 1
    if index.size and index.max() >= len(package.classes):
        raise ModelError(
            f"model {package.name!r} answers label {index.max() + 1} but names "
            f"{len(package.classes)} classes; name as many classes as the model has"
        )
    values = np.array([label.value for label in package.classes], dtype=np.int64)
    offset = np.array([window.x, window.y, window.x, window.y])
    return Detections(boxes[kept] + offset, values[index], scores[kept])


@dataclass
class PeakFinder:
    """Objects as peaks of centre heat maps (Zhou et al. 2019, "Objects as Points").

    A pixel is an object if its score is above the threshold and none within ``radius`` rows and
    columns is higher (of equal ones the first in reading order counts).

    Parameters
    ----------
    decoder, values
        Threshold, radius and box; class values in channel order.
    area
        The pixels that will be fed, row of cores by row of cores.
    """

    decoder: Decoder
    values: tuple[int, ...]
    area: Window
    _above: np.ndarray | None = None
    _left: np.ndarray | None = None
    _found: list[Detections] = field(default_factory=list)

    def feed(self, core: Window, scores: np.ndarray) -> None:
        """Take the logits (channel, y, x) of the next core block; blocks come row by row."""
        margin = 2 * self.decoder.radius
        first_column, first_row = core.x == self.area.x, core.y == self.area.y
        if self._above is None:
            shape = (len(scores), margin, self.area.width)
            self._above = np.full(shape, -np.inf, dtype=np.float32)
        columns = slice(core.x - self.area.x, core.right - self.area.x)
        block = np.concatenate([self._above[:, :, columns], scores], axis=1)
        if first_column or self._left is None:
            self._left = np.full((*block.shape[:2], margin), -np.inf, dtype=np.float32)
        block = np.concatenate([self._left, block], axis=2)
        origin = Window(core.y - margin, core.x - margin, *block.shape[1:])
        self._found.append(self._peaks(block, origin, self._decided(core, first_row, first_column)))
        self._left = block[:, :, block.shape[2] - margin :].copy()
        self._above[:, :, columns] = block[:, block.shape[1] - margin :, margin:]

    def finish(self) -> Detections:
        """Return all objects, top left to bottom right."""
        return concatenate(self._found).sorted()

    def _decided(self, core: Window, first_row: bool, first_column: bool) -> Window:
        """Return the pixels whose whole neighbourhood is known now."""
        radius = self.decoder.radius
        y = core.y if first_row else core.y - radius
        x = core.x if first_column else core.x - radius
        bottom = core.bottom if core.bottom == self.area.bottom else core.bottom - radius
        right = core.right if core.right == self.area.right else core.right - radius
        return Window(y, x, max(0, bottom - y), max(0, right - x))

    def _peaks(self, block: np.ndarray, origin: Window, decided: Window) -> Detections:
        radius, classes = self.decoder.radius, len(self.values)
        if not (decided and np.isfinite(block[:classes]).any()):
            return empty()
        side = 2 * radius + 1
        logits = torch.from_numpy(block[:classes])
        highest = functional.max_pool2d(logits, side, stride=1, padding=radius).numpy()
        limit = _logit(self.decoder.threshold)
        rows, columns = decided.relative_to(origin).slices_yx
        inside = np.zeros(block.shape[1:], dtype=bool)
        inside[rows, columns] = True
        k, y, x = np.nonzero((block[:classes] > limit) & (block[:classes] == highest) & inside)
        first = _first_of_equals(block, k, y, x, radius)
        return self._boxes(block, origin, k[first], y[first], x[first])

    def _boxes(
        self, block: np.ndarray, origin: Window, k: np.ndarray, y: np.ndarray, x: np.ndarray
    ) -> Detections:
        if self.decoder.box_size is not None:
            half = np.full((2, len(k)), self.decoder.box_size / 2)
        else:
            sizes = block[len(self.values) :, y, x].astype(np.float64)
            half = self.decoder.size_unit * np.exp(np.clip(sizes, -8, 8)) / 2  # height, width
        cy, cx = origin.y + y + 0.5, origin.x + x + 0.5
        boxes = np.stack([cx - half[1], cy - half[0], cx + half[1], cy + half[0]], axis=1)
        scores = 1 / (1 + np.exp(-block[k, y, x].astype(np.float64)))
        return Detections(boxes, np.array(self.values, dtype=np.int64)[k], scores)


@dataclass
class RegionFinder:
    """Objects as connected regions (8 neighbours) of pixels above the threshold.

    The score of an object is its highest; the box holds its pixels. Regions grow over block
    borders by union-find, so an object may be longer than a window.

    Parameters
    ----------
    decoder, values, area
        As in `PeakFinder`.
    """

    decoder: Decoder
    values: tuple[int, ...]
    area: Window
    _parent: list[int] = field(default_factory=lambda: [0])
    _boxes: list[list[float]] = field(default_factory=lambda: [[0.0] * 4])
    _scores: list[float] = field(default_factory=lambda: [0.0])
    _classes: list[int] = field(default_factory=lambda: [0])
    _rows: dict[int, np.ndarray] = field(default_factory=dict)
    _left: np.ndarray | None = None
    _y: int | None = None

    def feed(self, core: Window, scores: np.ndarray) -> None:
        """Take the logits (class, y, x) of the next core block; blocks come row by row."""
        if self._y != core.y:  # a new row of blocks: what was the bottom row is now above
            self._y, self._left = core.y, None
            blank = np.zeros((len(scores), self.area.width + 2), dtype=np.int64)
            self._rows = {0: self._rows.get(1, blank), 1: blank.copy()}
        labels = np.stack([self._label(core, k, plane) for k, plane in enumerate(scores)])
        start = core.x - self.area.x  # the stored rows have one blank column on each side
        above = self._rows[0][:, start : start + core.width + 2]
        for shift in range(3):
            self._join(above[:, shift : shift + core.width], labels[:, 0])
        if self._left is not None:
            for rows, lefts in ((slice(None), slice(None)), (slice(1, None), slice(None, -1)),
                                (slice(None, -1), slice(1, None))):  # fmt: skip
                self._join(self._left[:, lefts], labels[:, rows, 0])
        self._left = labels[:, :, -1]
        self._rows[1][:, start + 1 : start + 1 + core.width] = labels[:, -1]

    def finish(self) -> Detections:
        """Return all objects, top left to bottom right."""
        roots = [i for i in range(1, len(self._parent)) if self._root(i) == i]
        boxes = np.array([self._boxes[i] for i in roots], dtype=float).reshape(-1, 4)
        values = np.array([self.values[self._classes[i]] for i in roots], dtype=np.int64)
        scores = 1 / (1 + np.exp(-np.array([self._scores[i] for i in roots], dtype=float)))
        return Detections(boxes, values, scores).sorted()

    def _label(self, core: Window, k: int, logits: np.ndarray) -> np.ndarray:
        """Give the regions of one block numbers, counting on from the blocks before."""
        labels, count = ndimage.label(logits > _logit(self.decoder.threshold), np.ones((3, 3)))
        if not count:
            return labels.astype(np.int64)
        first = len(self._parent)
        numbers = np.arange(1, count + 1)
        self._scores += ndimage.maximum(logits, labels, numbers).tolist()
        for rows, columns in ndimage.find_objects(labels):
            x, y = core.x + columns.start, core.y + rows.start
            self._boxes.append([x, y, core.x + columns.stop, core.y + rows.stop])
        self._parent += range(first, first + count)
        self._classes += [k] * count
        return np.where(labels > 0, labels.astype(np.int64) + (first - 1), 0)

    def _join(self, one: np.ndarray, other: np.ndarray) -> None:
        touching = (one > 0) & (other > 0)
        pairs = np.unique(np.stack([one[touching], other[touching]], axis=1), axis=0)
        for a, b in pairs.tolist():
            low, high = sorted((self._root(a), self._root(b)))
            if low != high:
                self._parent[high] = low
                mine, theirs = self._boxes[low], self._boxes[high]
                self._boxes[low] = [
                    *map(min, mine[:2], theirs[:2]),
                    *map(max, mine[2:], theirs[2:]),
                ]
                self._scores[low] = max(self._scores[low], self._scores[high])

    def _root(self, index: int) -> int:
        while self._parent[index] != index:
            self._parent[index] = self._parent[self._parent[index]]
            index = self._parent[index]
        return index


def make_finder(package: ModelPackage, area: Window) -> PeakFinder | RegionFinder:
    """Return the finder that a dense detector's decoder names, for the pixels of ``area``."""
    assert package.decoder is not None
    kind = PeakFinder if package.decoder.name == "heatmap" else RegionFinder
    return kind(package.decoder, tuple(label.value for label in package.classes), area)


def _with_background(scores: torch.Tensor, classes: int) -> torch.Tensor:
    """Give a one-channel net of two classes its second score: the logit against 0."""
    if scores.shape[1] == 1 and classes == 2:
        return torch.cat([torch.zeros_like(scores), scores], dim=1)
    return scores


def _first_of_equals(
    block: np.ndarray, k: np.ndarray, y: np.ndarray, x: np.ndarray, radius: int
) -> np.ndarray:
    """Mark peaks that no equal pixel precedes in reading order within ``radius``, shape (peak,)."""
    first = np.ones(len(k), dtype=bool)
    padded = np.pad(block, ((0, 0), (radius, radius), (radius, radius)), constant_values=-np.inf)
    for dy in range(-radius, 1):
        for dx in range(-radius, radius + 1 if dy else 0):
            first &= padded[k, y + radius + dy, x + radius + dx] < block[k, y, x]
    return first


def _logit(probability: float) -> float:
    with np.errstate(divide="ignore"):
        return float(np.log(probability) - np.log1p(-probability))
