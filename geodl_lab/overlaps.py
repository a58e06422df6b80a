"""Which objects overlap, and by how much: pairs from a spatial index, areas by the objects' shape.

The shape is that of `Detections`: pixels where there are masks, polygons where there are corners,
else boxes. Objects are named by their index, so that a pair is two numbers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import shapely

from geodl_lab.detections import Detections, clip_boxes
from geodl_lab.masks import Masks, ragged
from geodl_lab.quads import convex_overlap, is_convex, ring_areas

BATCH = 50_000
"""Objects or pairs that are looked at together: bounds the memory."""

RUNS = 2_000_000
"""Runs of pixels that are looked at together, or those of one pair."""

Related = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Tells of two arrays of indices (pair,) which pairs matter, shape (pair,), bool."""


def touching_pairs(boxes: np.ndarray, related: Related) -> np.ndarray:
    """Return the related pairs i < j of boxes that touch.

    Parameters
    ----------
    boxes
        Left, top, right, bottom in pixels, shape (object, 4).
    related
        Tells which pairs matter.

    Returns
    -------
    numpy.ndarray
        Shape (2, pair), int64.
    """
    shapes = _diagonals(boxes)
    tree, pairs = shapely.STRtree(shapes), [np.zeros((2, 0), dtype=np.int64)]
    for start in range(0, len(boxes), BATCH):
        j, i = tree.query(shapes[start : start + BATCH])  # touching envelopes are met too
        i, j = i[i < j + start], j[i < j + start] + start
        kept = related(i, j)
        pairs.append(np.stack([i[kept], j[kept]]))
    return np.concatenate(pairs, axis=1)


def iou(objects: Detections, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Return intersection over union of pairs of objects, shape (pair,)."""
    both = common(objects, i, j)
    either = areas(objects, i) + areas(objects, j) - both
    equal = (objects.boxes[i] == objects.boxes[j]).all(axis=1)  # decides where there is no area
    return np.where(either > 0, both / np.where(either > 0, either, 1), equal)


def common(
    objects: Detections, i: np.ndarray, j: np.ndarray, limits: np.ndarray | None = None
) -> np.ndarray:
    """Return the area in square pixels that two objects share, inside ``limits`` (pair, 4)."""
    if objects.masks is not None:
        return _common_pixels(objects.masks, i, j, limits)
    if objects.corners is None:
        shared = clip_boxes(objects.boxes[i], objects.boxes[j])
        return box_areas(shared if limits is None else clip_boxes(shared, limits))
    shared = _common_turned(objects.corners, i, j)
    if limits is not None:
        beyond = [_reach_out(objects, k, limits) for k in (i, j)]
        cut = np.flatnonzero(beyond[0] & beyond[1] & (shared > 0))
        shapes = _polygons(objects.corners[i[cut]]), _polygons(objects.corners[j[cut]])
        shared[cut] = shapely.area(_cut(shapely.intersection(*shapes), limits[cut]))
    return shared


def areas(objects: Detections, i: np.ndarray, limits: np.ndarray | None = None) -> np.ndarray:
    """Return the area in square pixels of objects, inside ``limits`` (object, 4)."""
    if objects.masks is None and objects.corners is None:
        return box_areas(
            objects.boxes[i] if limits is None else clip_boxes(objects.boxes[i], limits)
        )
    masks, corners = objects.masks, objects.corners
    sizes = _turned_areas(corners[i]) if masks is None else masks.areas[i]  # type: ignore[index]
    if limits is not None:
        cut = np.flatnonzero(_reach_out(objects, i, limits))
        sizes[cut] = _areas_inside(objects, i[cut], limits[cut])
    return sizes


def _areas_inside(objects: Detections, i: np.ndarray, limits: np.ndarray) -> np.ndarray:
    if objects.masks is not None:
        owners, _, start, stop = _runs_of(objects.masks, i, limits)
        return np.bincount(owners, stop - start, minlength=len(i))
    assert objects.corners is not None
    corners, (x0, y0, x1, y1) = objects.corners[i], limits.T
    rings = np.stack([[x0, x1, x1, x0], [y0, y0, y1, y1]], axis=-1).transpose(1, 0, 2)
    sizes, convex = np.zeros(len(i)), is_convex(corners)
    sizes[convex] = convex_overlap(corners[convex], rings[convex].astype(np.float64))
    sizes[~convex] = shapely.area(_cut(_polygons(corners[~convex]), limits[~convex]))
    return sizes


def outranked(strong: np.ndarray, weak: np.ndarray, count: int) -> np.ndarray:
    """Mark what a greedy choice from the strongest on leaves out, shape (object,), bool.

    An object is left out if one that is kept outranks it.

    Parameters
    ----------
    strong, weak
        Indices of rivals, the first outranking the second, shape (pair,); ranks have no circles.
    count
        Number of objects.
    """
    lost, waiting = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    waiting[weak] = True
    while len(weak):
        beaten = weak[~waiting[strong]]  # those outranked by one that is kept
        lost[beaten], waiting[weak] = True, False
        open_still = ~lost[weak] & ~lost[strong]
        strong, weak = strong[open_still], weak[open_still]
        waiting[weak] = True
    return lost


def suppress(objects: Detections, limit: float, *, block: int = 512) -> Detections:
    """Keep the best of objects of one class that overlap by an IoU above ``limit``.

    Greedy non-maximum suppression, block by block in the order of scores, so that a heap of boxes
    at one place costs a block squared and not all of them squared.
    """
    objects = objects.select(np.lexsort((*objects.boxes.T, -objects.scores)))
    shapes = _diagonals(objects.boxes)
    trees: list[_Tree] = []
    for start in range(0, len(objects), block):
        fresh = np.arange(start, min(start + block, len(objects)))
        for kept, tree in trees:
            j, i = tree.query(shapes[fresh])
            fresh = np.delete(fresh, j[_over(objects, kept[i], fresh[j], limit)])
        i, j = touching_pairs(objects.boxes[fresh], _of_one_class(objects.label_ids[fresh]))
        over = _over(objects, fresh[i], fresh[j], limit)
        fresh = fresh[~outranked(i[over], j[over], len(fresh))]
        trees = _planted(trees, fresh, shapes)
    kept = np.concatenate([np.zeros(0, dtype=np.int64), *(kept for kept, _ in trees)])
    return objects.select(np.sort(kept))


_Tree = tuple[np.ndarray, shapely.STRtree]
"""Indices of objects and the spatial index of them."""


def _planted(trees: list[_Tree], fresh: np.ndarray, shapes: np.ndarray) -> list[_Tree]:
    """Add a tree of fresh objects; trees of like size become one, so that they stay few.

    Each at least twice the next: an object is planted a logarithm of times, not in every block.
    """
    trees = trees.copy()
    while trees and len(trees[-1][0]) < 2 * len(fresh):
        fresh = np.concatenate([trees.pop()[0], fresh])
    return [*trees, (fresh, shapely.STRtree(shapes[fresh]))] if len(fresh) else trees


def _over(objects: Detections, i: np.ndarray, j: np.ndarray, limit: float) -> np.ndarray:
    """Mark pairs of one class with an IoU above ``limit``, shape (pair,)."""
    over = objects.label_ids[i] == objects.label_ids[j]
    over[over] = iou(objects, i[over], j[over]) > limit
    return over


def _of_one_class(labels: np.ndarray) -> Related:
    return lambda i, j: labels[i] == labels[j]


def _diagonals(boxes: np.ndarray) -> np.ndarray:
    """Return the diagonals of boxes (object, 4), shape (object,): an index sees envelopes."""
    return shapely.linestrings(boxes.reshape(-1, 2, 2))


def box_areas(boxes: np.ndarray) -> np.ndarray:
    """Return the areas of boxes (box, 4) in square pixels; of one turned inside out, 0."""
    return np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)


def _reach_out(objects: Detections, i: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Mark objects that are not inside ``limits`` (object, 4): the others need no cutting."""
    boxes = objects.boxes[i]
    if objects.corners is not None:
        boxes = np.hstack([objects.corners[i].min(axis=1), objects.corners[i].max(axis=1)])
    return (clip_boxes(boxes, limits) != boxes).any(axis=1)


def _polygons(corners: np.ndarray) -> np.ndarray:
    """Return convex polygons of corners (object, 4, 2): crossed or flat ones are no error."""
    return shapely.convex_hull(shapely.linestrings(corners))


def _cut(shapes: np.ndarray, limits: np.ndarray) -> np.ndarray:
    return shapely.intersection(shapes, shapely.box(*limits.T))


def _turned_areas(corners: np.ndarray) -> np.ndarray:
    sizes, convex = ring_areas(corners), is_convex(corners)
    sizes[~convex] = shapely.area(_polygons(corners[~convex]))
    return sizes


def _common_turned(corners: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Return the area that pairs of polygons with four corners share; crossed ones as hulls."""
    shared = np.zeros(len(i))
    convex = is_convex(corners)
    for start in range(0, len(i), BATCH):
        one, other = i[start : start + BATCH], j[start : start + BATCH]
        plain = convex[one] & convex[other]
        part = shared[start : start + BATCH]
        part[plain] = convex_overlap(corners[one[plain]], corners[other[plain]])
        shapes = _polygons(corners[one[~plain]]), _polygons(corners[other[~plain]])
        part[~plain] = shapely.area(shapely.intersection(*shapes))
    return shared


def _common_pixels(
    masks: Masks, i: np.ndarray, j: np.ndarray, limits: np.ndarray | None
) -> np.ndarray:
    parts = [np.zeros(0)]
    runs = np.cumsum(masks.counts[i] + masks.counts[j])
    cuts = np.flatnonzero(np.diff(runs // RUNS)) + 1
    for start, stop in itertools.pairwise([0, *cuts.tolist(), len(i)]):
        batch = slice(start, stop)
        inside = None if limits is None else limits[batch]
        parts.append(_shared_runs(masks, i[batch], j[batch], inside))
    return np.concatenate(parts)


def _shared_runs(
    masks: Masks, i: np.ndarray, j: np.ndarray, limits: np.ndarray | None
) -> np.ndarray:
    """Join the runs of both objects of a pair row by row, and sum what they share."""
    pair, y, start, stop = _runs_of(masks, i, limits)
    other_pair, other_y, other_start, other_stop = _runs_of(masks, j, None)
    low = min(y.min(initial=0), other_y.min(initial=0))
    high = max(y.max(initial=0), other_y.max(initial=0)) + 1 - low
    rows, other_rows = pair * high + y - low, other_pair * high + other_y - low
    first = np.searchsorted(other_rows, rows)
    counts = np.searchsorted(other_rows, rows, side="right") - first
    there, here = ragged(first, counts), np.repeat(np.arange(len(rows)), counts)
    shared = np.minimum(stop[here], other_stop[there]) - np.maximum(start[here], other_start[there])
    return np.bincount(pair[here], np.maximum(shared, 0), minlength=len(i))


def _runs_of(
    masks: Masks, chosen: np.ndarray, limits: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return place in ``chosen``, row, first and one past last column of runs inside limits."""
    counts = masks.counts[chosen]
    owners = np.repeat(np.arange(len(chosen)), counts)
    y, start, stop = masks.runs[ragged(masks.offsets[chosen], counts)].T.astype(np.int64)
    if limits is None:
        return owners, y, start, stop
    left, top, right, bottom = limits[owners].T.astype(np.int64)
    start, stop = np.maximum(start, left), np.minimum(stop, right)
    inside = (y >= top) & (y < bottom) & (start < stop)
    return owners[inside], y[inside], start[inside], stop[inside]
