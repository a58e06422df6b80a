"""Detected objects in pixel coordinates of the source raster, whatever their kind.

Objects are kept once; rows of a GeoDataFrame, features of a server and rectangles of a photo are
views of them. How the objects of overlapping windows become one set is in `stitching`. numpy only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from geodl_lab.grid import Window
from geodl_lab.masks import Masks, join

TOUCH = 3
"""Pixels from its window's edge at which a box counts as cut: detectors do not hit it exactly."""


@dataclass(frozen=True)
class Detections:
    """Objects of a raster or window.

    Parameters
    ----------
    boxes
        Left, top, right, bottom in pixels (pixel edges: a full first pixel is 0, 0, 1, 1),
        shape (object, 4), float64; of a rotated box or a mask its upright bounding box.
    label_ids
        Class values, shape (object,), int64.
    scores
        0..1, shape (object,), float64.
    corners
        Of rotated boxes: x, y of the corners in pixels, in ring order, shape (object, 4, 2),
        float64; else None.
    masks
        Pixels of the objects where the model gives them, else None.
    """

    boxes: np.ndarray
    label_ids: np.ndarray
    scores: np.ndarray
    corners: np.ndarray | None = None
    masks: Masks | None = None

    def __post_init__(self) -> None:
        count = len(self.scores)
        fine = self.boxes.shape == (len(self.label_ids), 4) == (count, 4)
        fine &= self.corners is None or self.corners.shape == (count, 4, 2)
        fine &= self.masks is None or len(self.masks) == count
        if not fine:
            raise ValueError(
                f"{self.boxes.shape} boxes, {self.label_ids.shape} labels, {self.scores.shape} "
                "scores and their corners or masks do not belong together"
            )

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.scores)

    @property
    def centres(self) -> np.ndarray:
        """Middle of each box as x, y in pixels, shape (object, 2)."""
        return (self.boxes[:, :2] + self.boxes[:, 2:]) / 2

    def select(self, chosen: np.ndarray) -> Detections:
        """Return the objects of a mask (object,) or of indices."""
        return Detections(
            self.boxes[chosen],
            self.label_ids[chosen],
            self.scores[chosen],
            None if self.corners is None else self.corners[chosen],
            None if self.masks is None else self.masks.select(chosen),
        )

    def moved(self, x: int, y: int) -> Detections:
        """Return the objects shifted by whole pixels."""
        return Detections(
            self.boxes + np.array([x, y, x, y]),
            self.label_ids,
            self.scores,
            None if self.corners is None else self.corners + np.array([x, y]),
            None if self.masks is None else self.masks.moved(x, y),
        )

    def inside(self, area: Window) -> Detections:
        """Return the objects whose middle lies in ``area`` (left and top edge belong to it)."""
        return self.within(area.x, area.y, area.right, area.bottom)

    def within(self, left: float, top: float, right: float, bottom: float) -> Detections:
        """Return the objects whose middle lies between edges in pixels, as `inside`."""
        x, y = self.centres.T
        return self.select((x >= left) & (x < right) & (y >= top) & (y < bottom))

    def clipped(self, area: Window) -> Detections:
        """Return boxes and masks cut off at the edges of ``area``; what is outside is dropped.

        A box without width or height stays where all of it is inside. The corners of a box that
        leans stay as they are: cut off, it would be no rectangle.
        """
        boxes, masks = clip_boxes(self.boxes, np.array(edges(area))), None
        kept = (boxes[:, :2] < boxes[:, 2:]).all(axis=1) | (boxes == self.boxes).all(axis=1)
        if self.masks is not None:
            masks = self.masks.clipped(area)
            kept &= masks.counts > 0
            masks = masks.select(kept)
        return Detections(
            boxes[kept] if masks is None else masks.boxes,
            self.label_ids[kept],
            self.scores[kept],
            None if self.corners is None else _clip_corners(self.corners[kept], area),
            masks,
        )

    def cut_by(self, explored: Window, raster: Window) -> Detections:
        """Return the objects that may go on beyond the pixels looked at, inside the raster."""
        sides = np.array(edges(explored)), np.array(edges(raster))
        return self.select(touching_edges(self.boxes, *sides))

    def sorted(self) -> Detections:
        """Return the objects from top left to bottom right, whatever order they came in."""
        x0, y0, x1, y1 = self.boxes.T
        rest = () if self.corners is None else tuple(self.corners.reshape(-1, 8).T)
        rest += () if self.masks is None else (self.masks.keys,)
        return self.select(np.lexsort((*rest, self.scores, self.label_ids, y1, x1, x0, y0)))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the objects as plain arrays by name, to be stored or sent."""
        arrays = {"boxes": self.boxes, "label_ids": self.label_ids, "scores": self.scores}
        if self.corners is not None:
            arrays["corners"] = self.corners
        return arrays | ({} if self.masks is None else self.masks.to_arrays())

    @staticmethod
    def from_arrays(arrays: dict[str, np.ndarray]) -> Detections:
        """Read what `to_arrays` made; other names are left alone."""
        return Detections(
            arrays["boxes"],
            arrays["label_ids"],
            arrays["scores"],
            arrays.get("corners"),
            Masks.from_arrays(arrays) if "mask_runs" in arrays else None,
        )


def empty() -> Detections:
    """Return no objects."""
    return Detections(np.zeros((0, 4)), np.zeros(0, dtype=np.int64), np.zeros(0))


def concatenate(parts: Iterable[Detections]) -> Detections:
    """Join several sets of objects of one kind; a set of none is of any kind."""
    parts = list(parts)
    parts = [part for part in parts if len(part)] or parts[:1] or [empty()]
    return Detections(
        np.concatenate([p.boxes for p in parts]),
        np.concatenate([p.label_ids for p in parts]),
        np.concatenate([p.scores for p in parts]),
        _all_or_none(np.concatenate, [p.corners for p in parts]),
        _all_or_none(join, [p.masks for p in parts]),
    )


def edges(window: Window) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom in pixels."""
    return window.x, window.y, window.right, window.bottom


def leans(corners: np.ndarray) -> np.ndarray:
    """Mark boxes of corners (box, 4, 2) whose sides do not run along rows and columns, (box,)."""
    low, high = corners.min(axis=1, keepdims=True), corners.max(axis=1, keepdims=True)
    return ((corners != low) & (corners != high)).any(axis=(1, 2))


def _clip_corners(corners: np.ndarray, area: Window) -> np.ndarray:
    left, top, right, bottom = edges(area)
    clipped = np.clip(corners, (left, top), (right, bottom))
    return np.where(leans(corners)[:, None, None], corners, clipped)


def clip_boxes(boxes: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Return boxes (object, 4) cut off at ``limits`` (4,) or (object, 4); outside, without area."""
    low, high = np.tile(limits[..., :2], 2), np.tile(limits[..., 2:], 2)
    return np.clip(boxes, low, high)


def touching_edges(boxes: np.ndarray, windows: np.ndarray, raster: np.ndarray) -> np.ndarray:
    """Mark boxes (object, 4) at an edge of their window that is not the raster's edge.

    ``windows`` (4,) or (object, 4) and ``raster`` (4,) are left, top, right, bottom in pixels.
    """
    sign = np.array([1, 1, -1, -1])
    inner = (windows - raster) * sign > 0
    return (inner & ((boxes - windows) * sign < TOUCH)).any(axis=1)


def _all_or_none(joined: Callable[[list[Any]], Any], parts: list[Any]) -> Any:
    present = [part for part in parts if part is not None]
    if present and len(present) < len(parts):
        raise ValueError("objects with and without corners or masks cannot be joined")
    return joined(present) if present else None
