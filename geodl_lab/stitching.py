"""How objects that overlapping windows saw become one set, each object once.

Life of a view: `see` notes where it was seen, `links` finds the views of other windows that may
show the same, `merge` keeps the best of those that saw an object whole and joins fragments.
Groups of linked views do not know of each other, so `finders` merges each as soon as no later
window can touch it, with the same result as all at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geodl_lab.detections import (
    Detections,
    clip_boxes,
    concatenate,
    edges,
    empty,
    leans,
    touching_edges,
)
from geodl_lab.grid import Tile, Window
from geodl_lab.overlaps import areas, box_areas, common, iou, outranked, touching_pairs

SAME = 0.5
"""Least IoU of one object seen whole by two windows, and of what both show in their strip."""

COVERED = 0.7
"""Share of a fragment inside a whole object at which the fragment is that object."""

LEANING = 0.5
"""Factor on both shares for rotated boxes: around a cut-off piece of an object the smallest
rectangle is up to twice as large as the piece."""

ROUNDING = 1e-9
"""Share by which a bound of an area may be too small: it is computed in another way."""

ASKEW = 0.15
"""Radians from which two fragments do not lie along the same straight object."""


@dataclass(frozen=True)
class Views:
    """Objects as single windows saw them.

    Parameters
    ----------
    objects
        In pixels of the raster.
    windows, cores
        What the window of each saw and owned: left, top, right, bottom in pixels, shape
        (view, 4), int64.
    """

    objects: Detections
    windows: np.ndarray
    cores: np.ndarray

    def __len__(self) -> int:
        """Return the number of views."""
        return len(self.objects)

    @property
    def reach(self) -> np.ndarray:
        """Boxes inside their windows: beyond them nothing was seen. Shape (view, 4)."""
        return clip_boxes(self.objects.boxes, self.windows)

    @property
    def depth(self) -> np.ndarray:
        """Pixels from the middle of the box to the nearest core edge; negative outside."""
        x, y = self.objects.centres.T
        left, top, right, bottom = self.cores.T
        return np.minimum.reduce([x - left, y - top, right - x, bottom - y])

    @property
    def owned(self) -> np.ndarray:
        """Mark views whose middle lies in their core: of left and right edge, only left is in."""
        x, y = self.objects.centres.T
        left, top, right, bottom = self.cores.T
        return (x >= left) & (x < right) & (y >= top) & (y < bottom)

    def select(self, chosen: np.ndarray) -> Views:
        """Return the views of a mask (view,) or of indices."""
        return Views(self.objects.select(chosen), self.windows[chosen], self.cores[chosen])

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the views as plain arrays by name, to be stored or sent."""
        return self.objects.to_arrays() | {"windows": self.windows, "cores": self.cores}

    def joined(self, other: Views) -> Views:
        """Return these and other views."""
        return Views(
            concatenate([self.objects, other.objects]),
            np.concatenate([self.windows, other.windows]),
            np.concatenate([self.cores, other.cores]),
        )

    @staticmethod
    def from_arrays(arrays: dict[str, np.ndarray]) -> Views:
        """Read what `to_arrays` made."""
        return Views(Detections.from_arrays(arrays), arrays["windows"], arrays["cores"])


def see(found: Sequence[tuple[Tile, Detections]]) -> Views:
    """Note of all objects in which window they were seen."""
    counts = [len(objects) for _, objects in found]
    windows = np.array([edges(tile.window) for tile, _ in found], dtype=np.int64).reshape(-1, 4)
    cores = np.array([edges(tile.core) for tile, _ in found], dtype=np.int64).reshape(-1, 4)
    objects = concatenate(objects for _, objects in found)
    return Views(objects, np.repeat(windows, counts, axis=0), np.repeat(cores, counts, axis=0))


def links(views: Views, raster: Window) -> np.ndarray:
    """Return the pairs (2, pair) of views of different windows that `merge` compares.

    They are few, so groups of linked views are small: objects that merely touch are not linked,
    else a closed canopy would be one group.
    """
    fragment, labels = _fragments(views, raster), views.objects.label_ids
    seat, owned, windows = _seats(views), views.owned, views.windows

    def related(i: np.ndarray, j: np.ndarray) -> np.ndarray:
        strip = clip_boxes(windows[i], windows[j])
        meet = (seat[i] != seat[j]) & (strip[:, :2] < strip[:, 2:]).all(axis=1)
        same, found = labels[i] == labels[j], np.zeros(len(i), dtype=bool)
        for chosen, rule in (
            (meet & same, _alike),
            (meet & ~(fragment[i] | fragment[j]) & (owned[i] != owned[j]), _shown),
        ):
            open_still = np.flatnonzero(chosen & ~found)
            found[open_still] = rule(views, *_oriented(seat, i[open_still], j[open_still]))
        return found

    return touching_pairs(views.reach, related)


def merge_windows(found: Sequence[tuple[Tile, Detections]], raster: Window) -> Detections:
    """Merge what overlapping windows saw, so that every object is reported once.

    An object that touches an inner edge of its window is a fragment. Of an object that several
    windows saw whole, the view whose middle lies deepest in its window's core counts. Fragments
    inside a whole object are that object; the others are joined where both windows saw the same,
    which rebuilds objects longer than a window. A view has at most one partner in another window,
    the most alike in the strip that both saw, so that objects that overlap stay apart. What a
    window does not own counts for nothing where an owner saw more of it, or saw another class.
    Objects of one window are never compared with each other: that is the model's own non-maximum
    suppression, or the decoder's.

    Parameters
    ----------
    found
        Tiles with the objects that each saw, in pixels of the raster.
    raster
        The raster; its edges do not make fragments.

    Returns
    -------
    Detections
        Each object once, cut off at the raster's edges, in an order that does not depend on that
        of ``found``.
    """
    views = see(found)
    return merge(views, links(views, raster), raster).sorted()


def merge(views: Views, pairs: np.ndarray, raster: Window) -> Detections:
    """Merge views whose `links` (2, pair) are known; see `merge_windows`."""
    fragment, labels = _fragments(views, raster), views.objects.label_ids
    pairs = _oriented(_seats(views), *pairs)
    whole = ~fragment
    partners = _partners(views, pairs[:, labels[pairs[0]] == labels[pairs[1]]])
    lost = _lost_to_deeper(views, partners[:, whole[partners].all(axis=0)])
    lost |= _disowned(views, pairs[:, whole[pairs].all(axis=0)], lost)
    lost |= ~views.owned & (areas(views.objects, np.arange(len(views))) == 0)  # nothing to compare
    mixed = partners[:, fragment[partners[0]] != fragment[partners[1]]]
    piece, cover = np.where(fragment[mixed[0]], mixed, mixed[::-1])
    lost |= _covered(views, piece, cover)
    left = fragment & ~lost
    joined = _joined(views, partners[:, left[partners].all(axis=0)], left)
    return concatenate([views.objects.select(whole & ~lost), joined]).clipped(raster)


def _fragments(views: Views, raster: Window) -> np.ndarray:
    """Mark views that an inner edge of their window cuts, shape (view,)."""
    return touching_edges(views.objects.boxes, views.windows, np.array(edges(raster)))


def _seats(views: Views) -> np.ndarray:
    """Return the number of the window of each view, in raster order, shape (view,)."""
    places = np.unique(views.windows[:, 1::-1], axis=0, return_inverse=True)
    return places[1].reshape(-1)


def _oriented(seat: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Return pairs (2, pair), the view of the earlier window first: areas round alike then."""
    return np.where(seat[i] < seat[j], [i, j], [j, i])


def _likeness(views: Views, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Return how alike pairs are in the strip that both windows saw, 0..1, shape (pair,).

    By IoU; of masks by the share of the smaller, for a window may see one object in two pieces.
    """
    strip, objects = clip_boxes(views.windows[i], views.windows[j]), views.objects
    one, other = areas(objects, i, strip), areas(objects, j, strip)
    least = np.minimum(one, other) if objects.masks is not None else np.maximum(one, other)
    most = box_areas(clip_boxes(clip_boxes(objects.boxes[i], objects.boxes[j]), strip))
    # The others need no exact area.
    near = most >= _share(SAME, objects, i, j) * least * (1 - ROUNDING)
    shared = np.zeros(len(i))
    shared[near] = common(objects, i[near], j[near], strip[near])
    if objects.masks is not None:
        return shared / np.maximum(least, 1)
    either, equal = one + other - shared, (objects.boxes[i] == objects.boxes[j]).all(axis=1)
    return np.where(either > 0, shared / np.where(either > 0, either, 1), equal)


def _alike(views: Views, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    return _likeness(views, i, j) >= _share(SAME, views.objects, i, j)


def _partners(views: Views, pairs: np.ndarray) -> np.ndarray:
    """Keep the pairs in which each is the other's most alike in that window, (2, pair).

    Masks keep all: their pixels tell objects apart.
    """
    alike = _likeness(views, *pairs)
    near = alike >= _share(SAME, views.objects, *pairs)
    pairs, alike = pairs[:, near], alike[near]
    if views.objects.masks is not None:
        return pairs
    one, other = np.hstack([pairs, pairs[::-1]])
    seat = _seats(views)[other]
    order = np.lexsort((_ranks(views)[other], -np.tile(alike, 2), seat, one))
    first = np.ones(len(order), dtype=bool)
    first[1:] = (np.diff(one[order]) != 0) | (np.diff(seat[order]) != 0)
    best = np.zeros(len(order), dtype=bool)
    best[order[first]] = True
    return pairs[:, best.reshape(2, -1).all(axis=0)]


def _ranks(views: Views) -> np.ndarray:
    """Return the place of each view, the deepest first, whatever order they came in, (view,)."""
    rest = views.objects.scores, *views.windows[:, :2].T, *views.objects.boxes.T
    order = np.lexsort((*rest, ~views.owned, -views.depth))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank


def _lost_to_deeper(views: Views, pairs: np.ndarray) -> np.ndarray:
    """Mark views of an object that another window sees deeper in its core, shape (view,).

    Greedy from the deepest view on, so that a chain of look-alikes keeps every second one.
    """
    pairs, rank = pairs[:, iou(views.objects, *pairs) >= SAME], _ranks(views)
    strong, weak = np.where(rank[pairs[0]] < rank[pairs[1]], pairs, pairs[::-1])
    return outranked(strong, weak, len(views))


def _disowned(views: Views, pairs: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """Mark views of what a window does not own and an owner shows, shape (view,).

    Detectors with coarse grids stop short of the edge that cuts an object: such a view seems
    whole. A small object inside a large one keeps the view of its own owner.
    """
    owned = views.owned
    pairs = pairs[:, owned[pairs[0]] != owned[pairs[1]]]
    pairs = pairs[:, ~lost[pairs].any(axis=0)]
    pairs = pairs[:, _shown(views, *pairs)]
    marked = np.zeros(len(views), dtype=bool)
    marked[pairs[~owned[pairs]]] = True
    return marked


def _shown(views: Views, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Mark pairs of whole views, one of them its window's own, where that shows the other.

    Of one class it does if it holds most of the other, of two classes if both are one box.
    """
    weak = np.where(views.owned[i], j, i)
    objects, labels = views.objects, views.objects.label_ids
    least = COVERED * areas(objects, weak)
    most = box_areas(clip_boxes(objects.boxes[i], objects.boxes[j]))
    same = labels[i] == labels[j]
    held, rival = same & (most > 0) & (most >= least * (1 - ROUNDING)), ~same & (most > 0)
    shared = common(objects, i[held], j[held])
    held[held] = (shared > 0) & (shared >= least[held])
    rival[rival] = iou(objects, i[rival], j[rival]) >= SAME
    return held | rival


def _covered(views: Views, piece: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """Mark fragments of objects that some window saw whole, shape (view,)."""
    shared = common(views.objects, piece, cover)
    hidden = shared >= _share(COVERED, views.objects, piece, cover) * areas(views.objects, piece)
    covered = np.zeros(len(views), dtype=bool)
    covered[piece[hidden]] = True
    return covered


def _joined(views: Views, pairs: np.ndarray, left: np.ndarray) -> Detections:
    """Join fragments that are partners; lone ones stay where owned."""
    objects, groups = views.objects, group(pairs, len(views))
    alone = (np.bincount(groups)[groups] == 1) & left
    several = left & ~alone
    chosen, numbers = np.unique(groups[several], return_inverse=True)
    united = _unite(views.select(several), numbers, len(chosen))
    return concatenate([objects.select(alone & views.owned), united])


def _share(share: float, objects: Detections, i: np.ndarray, j: np.ndarray) -> Any:
    """Return the share for each pair: less where one of the two boxes leans."""
    if objects.corners is None:
        return share
    lean = leans(objects.corners)
    return np.where(lean[i] | lean[j], share * LEANING, share)


def group(pairs: np.ndarray, count: int) -> np.ndarray:
    """Return the number of the group that each of ``count`` objects is linked to by pairs."""
    links = coo_array((np.ones(pairs.shape[1], dtype=bool), tuple(pairs)), shape=(count, count))
    return connected_components(links, directed=False)[1]


def _unite(views: Views, numbers: np.ndarray, count: int) -> Detections:
    """Make one object of each group: its hull or its pixels together, its highest score."""
    if not count:
        return empty()
    objects, order = views.objects, np.argsort(numbers, kind="stable")
    first = np.searchsorted(numbers[order], np.arange(count))
    boxes, scores = objects.boxes[order], objects.scores[order]
    low, high = np.minimum.reduceat(boxes, first), np.maximum.reduceat(boxes, first)
    united = Detections(
        np.hstack([low[:, :2], high[:, 2:]]),
        objects.label_ids[order][first],
        np.maximum.reduceat(scores, first),
        None,
        None if objects.masks is None else objects.masks.united(numbers, count),
    )
    if objects.corners is None:
        return united
    limit = float((views.windows[:, 3] - views.windows[:, 1]).max())
    parts = np.split(objects.corners[order], first[1:])
    corners = np.stack([_around(part, limit) for part in parts])
    boxes = np.hstack([corners.min(axis=1), corners.max(axis=1)])
    return Detections(boxes, united.label_ids, united.scores, corners)


def _around(parts: np.ndarray, limit: float) -> np.ndarray:
    """Return the smallest rectangle (4, 2) around the fragments (part, 4, 2) of one object.

    From the largest on, and without those that lie askew to it and that the others cover already:
    the rectangle around a small cut-off piece may reach out of the object. A rectangle that
    reaches more than ``limit`` pixels above all fragments is none of a straight object: that
    becomes upright.
    """
    if not leans(parts).any():
        return upright(parts.reshape(-1, 2))
    shapes = shapely.convex_hull(shapely.linestrings(parts))
    order = np.lexsort((*parts.reshape(-1, 8).T, -shapely.area(shapes)))
    kept, hull = [order[0]], shapes[order[0]]
    for index in order[1:]:
        hidden = shapely.area(shapely.intersection(shapes[index], hull))
        askew = _turn(parts[order[0]], parts[index]) > ASKEW
        if not askew or hidden < COVERED * LEANING * shapely.area(shapes[index]):
            kept.append(index)
            hull = shapely.convex_hull(shapely.union(hull, shapes[index]))
    points = parts[kept].reshape(-1, 2)
    found = rectangle(points)
    return found if found[:, 1].min() >= parts[..., 1].min() - limit else upright(points)


def _turn(one: np.ndarray, other: np.ndarray) -> float:
    """Return the angle in radians between the sides of two rectangles (4, 2), up to pi / 4."""
    sides = one[1] - one[0], other[1] - other[0]
    angle = np.subtract(*(np.arctan2(y, x) for x, y in sides)) % (np.pi / 2)
    return float(min(angle, np.pi / 2 - angle))


def rectangle(points: np.ndarray) -> np.ndarray:
    """Return the corners (4, 2) of the rectangle of least area around points (point, 2)."""
    found = shapely.get_coordinates(shapely.oriented_envelope(shapely.MultiPoint(points)))
    return found[:4] if len(found) == 5 else upright(points)  # on one line there is no rectangle


def upright(points: np.ndarray) -> np.ndarray:
    """Return the corners (4, 2) of the bounding box of points (point, 2)."""
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
