"""Detected objects in pixel coordinates, and how boxes of overlapping windows become one set.

Objects are kept once, in pixels of the source raster; rows of a GeoDataFrame, features of a server
and rectangles of a photo are views of them. numpy only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from geodl_lab.grid import Tile, Window

SAME = 0.5
"""Least IoU of one object seen whole by two windows, and least overlap of its fragments."""

TOUCH = 3
"""Pixels from its window's edge at which a box counts as cut: detectors do not hit it exactly."""

COVERED = 0.7
"""Share of a fragment inside a whole box at which the fragment is that object."""


@dataclass(frozen=True)
class Detections:
    """Objects of a raster or window.

    Parameters
    ----------
    boxes
        Left, top, right, bottom in pixels (pixel edges: a full first pixel is 0, 0, 1, 1),
        shape (object, 4), float64.
    label_ids
        Class values, shape (object,), int64.
    scores
        0..1, shape (object,), float64.
    """

    boxes: np.ndarray
    label_ids: np.ndarray
    scores: np.ndarray

    def __post_init__(self) -> None:
        if not self.boxes.shape == (len(self.label_ids), 4) == (len(self.scores), 4):
            raise ValueError(
                f"{self.boxes.shape} boxes, {self.label_ids.shape} labels and "
                f"{self.scores.shape} scores do not belong together"
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
        return Detections(self.boxes[chosen], self.label_ids[chosen], self.scores[chosen])

    def inside(self, area: Window) -> Detections:
        """Return the objects whose middle lies in ``area`` (left and top edge belong to it)."""
        return self.within(area.x, area.y, area.right, area.bottom)

    def within(self, left: float, top: float, right: float, bottom: float) -> Detections:
        """Return the objects whose middle lies between edges in pixels, as `inside`."""
        x, y = self.centres.T
        return self.select((x >= left) & (x < right) & (y >= top) & (y < bottom))

    def meeting(self, area: Window) -> Detections:
        """Return the objects whose box has a pixel in ``area``."""
        left, top, right, bottom = self.boxes.T
        return self.select(
            (left < area.right) & (right > area.x) & (top < area.bottom) & (bottom > area.y)
        )

    def clipped(self, area: Window) -> Detections:
        """Return boxes cut off at the edges of ``area``; those outside it are dropped."""
        low, high = np.array([area.x, area.y]), np.array([area.right, area.bottom])
        boxes = np.hstack(
            [np.clip(self.boxes[:, :2], low, high), np.clip(self.boxes[:, 2:], low, high)]
        )
        cut = Detections(boxes, self.label_ids, self.scores)
        return cut.select((boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3]))

    def cut_by(self, explored: Window, raster: Window) -> Detections:
        """Return the objects that may go on beyond the pixels looked at, inside the raster."""
        edges = np.array(_edges(explored)), np.array(_edges(raster))
        return self.select(_touching(self.boxes, *edges))

    def sorted(self) -> Detections:
        """Return the objects from top left to bottom right, whatever order they came in."""
        x0, y0, x1, y1 = self.boxes.T
        return self.select(np.lexsort((self.scores, self.label_ids, y1, x1, x0, y0)))


def empty() -> Detections:
    """Return no objects."""
    return Detections(np.zeros((0, 4)), np.zeros(0, dtype=np.int64), np.zeros(0))


def concatenate(parts: Iterable[Detections]) -> Detections:
    """Join several sets of objects."""
    parts = [empty(), *parts]
    return Detections(
        np.concatenate([p.boxes for p in parts]),
        np.concatenate([p.label_ids for p in parts]),
        np.concatenate([p.scores for p in parts]),
    )


def merge_windows(found: Sequence[tuple[Tile, Detections]], raster: Window) -> Detections:
    """Merge what overlapping windows saw, so that every object is reported once.

    A box that touches an inner edge of its window is a fragment. Of an object that several
    windows saw whole, the view whose middle lies deepest in its window's core counts. Fragments
    inside a whole box are that object; the others are joined by contact in the strip that both
    windows saw, which rebuilds objects longer than a window. Boxes of one window are never
    compared with each other: that is the model's own non-maximum suppression.

    Parameters
    ----------
    found
        Tiles with the objects that each saw, boxes in pixels of the raster.
    raster
        The raster; its edges do not make fragments.

    Returns
    -------
    Detections
        Each object once, cut off at the raster's edges, in an order that does not depend on that
        of ``found``.
    """
    views = _views(found, raster)
    whole = views.select(~views.fragment)
    fragments = views.select(views.fragment)
    whole = whole.select(~_outranked(whole))
    fragments = fragments.select(~_covered(fragments, whole))
    return concatenate([whole.objects, _joined(fragments)]).clipped(raster).sorted()


@dataclass(frozen=True)
class _Views:
    """Objects as single windows saw them.

    ``windows`` and ``cores`` are left, top, right, bottom in pixels, shape (view, 4);
    ``window_ids`` number the windows; ``fragment`` says that an inner window edge cuts the box.
    """

    objects: Detections
    windows: np.ndarray
    cores: np.ndarray
    window_ids: np.ndarray
    fragment: np.ndarray

    def select(self, chosen: np.ndarray) -> _Views:
        return _Views(
            self.objects.select(chosen),
            self.windows[chosen],
            self.cores[chosen],
            self.window_ids[chosen],
            self.fragment[chosen],
        )

    @property
    def depth(self) -> np.ndarray:
        """Pixels from the middle of the box to the nearest core edge; negative outside."""
        x, y = self.objects.centres.T
        left, top, right, bottom = self.cores.T
        return np.minimum.reduce([x - left, y - top, right - x, bottom - y])


def _views(found: Sequence[tuple[Tile, Detections]], raster: Window) -> _Views:
    counts = [len(objects) for _, objects in found]
    windows = np.array([_edges(tile.window) for tile, _ in found], dtype=float).reshape(-1, 4)
    cores = np.array([_edges(tile.core) for tile, _ in found], dtype=float).reshape(-1, 4)
    ids = np.repeat(np.arange(len(found)), counts)
    objects = concatenate(objects for _, objects in found)
    fragment = _touching(objects.boxes, windows[ids], np.array(_edges(raster)))
    return _Views(objects, windows[ids], cores[ids], ids, fragment)


def _touching(boxes: np.ndarray, windows: np.ndarray, raster: np.ndarray) -> np.ndarray:
    """Mark boxes (object, 4) at an edge of their window that is not the raster's edge."""
    sign = np.array([1, 1, -1, -1])
    inner = (windows - raster) * sign > 0
    return (inner & ((boxes - windows) * sign < TOUCH)).any(axis=1)


def _outranked(views: _Views) -> np.ndarray:
    """Mark views of an object that another window sees deeper in its core, shape (view,).

    Greedy from the deepest view on, so that a chain of look-alikes keeps every second one.
    """
    order = np.lexsort((views.window_ids, *views.objects.boxes.T, -views.depth))
    rank = np.empty(len(order), dtype=int)
    rank[order] = np.arange(len(order))
    rivals: dict[int, list[int]] = {}
    for a, b in _pairs(views, views):
        if rank[a] < rank[b] and _iou(views.objects.boxes[a], views.objects.boxes[b]) >= SAME:
            rivals.setdefault(b, []).append(a)
    lost = np.zeros(len(order), dtype=bool)
    for b in sorted(rivals, key=lambda view: rank[view]):
        lost[b] = any(not lost[a] for a in rivals[b])
    return lost


def _covered(fragments: _Views, whole: _Views) -> np.ndarray:
    """Mark fragments of objects that some window saw whole, shape (fragment,)."""
    covered = np.zeros(len(fragments.objects), dtype=bool)
    for a, b in _pairs(fragments, whole):
        box = fragments.objects.boxes[a]
        covered[a] |= _overlap(box, whole.objects.boxes[b]) >= COVERED * _area(box)
    return covered


def _joined(fragments: _Views) -> Detections:
    """Join fragments that agree in the strip both windows saw; lone ones stay where owned."""
    boxes = fragments.objects.boxes
    parent = np.arange(len(boxes))
    for a, b in _pairs(fragments, fragments):
        strip = _clip(fragments.windows[a], fragments.windows[b])
        one, other = _clip(boxes[a], strip), _clip(boxes[b], strip)
        if _overlap(one, other) > SAME * min(_area(one), _area(other)):
            parent[_root(parent, a)] = _root(parent, b)
    roots = np.array([_root(parent, index) for index in range(len(parent))], dtype=int)
    owned = fragments.depth >= 0
    groups = [np.flatnonzero(roots == root) for root in np.unique(roots)]
    kept = [group for group in groups if len(group) > 1 or owned[group[0]]]
    return Detections(
        np.array([[*boxes[g, :2].min(0), *boxes[g, 2:].max(0)] for g in kept]).reshape(-1, 4),
        np.array([fragments.objects.label_ids[g[0]] for g in kept], dtype=np.int64),
        np.array([fragments.objects.scores[g].max() for g in kept], dtype=float),
    )


def _pairs(one: _Views, other: _Views) -> Iterator[tuple[int, int]]:
    """Yield indices of boxes that touch, of one class, seen by different windows.

    A sweep over left edges: only boxes whose columns meet are compared.
    """
    order = np.argsort(other.objects.boxes[:, 0], kind="stable")
    boxes = other.objects.boxes[order]
    widest = (boxes[:, 2] - boxes[:, 0]).max(initial=0)
    for a, (left, top, right, bottom) in enumerate(one.objects.boxes):
        first, last = np.searchsorted(boxes[:, 0], [left - widest, right + 1e-9])
        near = boxes[first:last]
        hits = order[first:last][
            (near[:, 2] >= left) & (near[:, 1] <= bottom) & (near[:, 3] >= top)
        ]
        same = other.objects.label_ids[hits] == one.objects.label_ids[a]
        apart = other.window_ids[hits] != one.window_ids[a]
        for b in hits[same & apart]:
            yield a, int(b)


def _root(parent: np.ndarray, index: int) -> int:
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = int(parent[index])
    return index


def _edges(window: Window) -> tuple[int, int, int, int]:
    return window.x, window.y, window.right, window.bottom


def _clip(box: np.ndarray, limits: np.ndarray) -> np.ndarray:
    return np.concatenate([np.maximum(box[:2], limits[:2]), np.minimum(box[2:], limits[2:])])


def _area(box: np.ndarray) -> float:
    return float(max(box[2] - box[0], 0) * max(box[3] - box[1], 0))


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    return _area(_clip(one, other))


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    common = _overlap(one, other)
    return common / max(_area(one) + _area(other) - common, 1e-12)
