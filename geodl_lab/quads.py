"""Areas that convex polygons with four corners share, for many pairs at once. numpy only.

shapely does the same one pair at a time, which takes minutes for a million rotated boxes.
"""

from __future__ import annotations

import numpy as np


def is_convex(corners: np.ndarray) -> np.ndarray:
    """Mark rings (polygon, 4, 2) that turn one way at every corner, shape (polygon,)."""
    sides = np.roll(corners, -1, axis=1) - corners
    turns = np.sign(_cross(sides, np.roll(sides, -1, axis=1)))
    return np.asarray(np.abs(turns.sum(axis=1)) == corners.shape[1])


def ring_areas(corners: np.ndarray) -> np.ndarray:
    """Return the areas of rings (polygon, 4, 2) in square pixels, shape (polygon,)."""
    return np.abs(_signed_areas(corners))


def convex_overlap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the area that each pair of polygons shares.

    The corners of what they share are corners of one inside the other, and crossings of sides;
    put in order around their middle, they give the area.

    Parameters
    ----------
    one, other
        Convex rings, shape (pair, 4, 2).

    Returns
    -------
    numpy.ndarray
        Shape (pair,), in square pixels.
    """
    middle = one.mean(axis=1, keepdims=True)  # small numbers keep the digits of the crossings
    one, other = _one_way(one - middle), _one_way(other - middle)
    crossings, real = _crossings(one, other)
    points = np.concatenate([one, other, crossings], axis=1)  # (pair, 24, 2)
    real = np.concatenate([_inside(one, other), _inside(other, one), real], axis=1)
    count = np.maximum(real.sum(axis=1), 1)
    centre = (points * real[..., None]).sum(axis=1) / count[:, None]
    points = points - centre[:, None]
    angles = np.where(real, np.arctan2(points[..., 1], points[..., 0]), np.inf)
    order = np.argsort(angles, axis=1)
    ring = np.take_along_axis(points, order[..., None], axis=1)
    # What is no corner is put upon the first one, where it adds no area.
    ring = np.where(np.take_along_axis(real, order, axis=1)[..., None], ring, ring[:, :1])
    return np.maximum(_signed_areas(ring), 0)  # of less than three corners, 0


def _signed_areas(ring: np.ndarray) -> np.ndarray:
    return _cross(ring, np.roll(ring, -1, axis=1)).sum(axis=1) / 2


def _one_way(corners: np.ndarray) -> np.ndarray:
    """Return the rings, all turning from x towards y."""
    return np.where((_signed_areas(corners) < 0)[:, None, None], corners[:, ::-1], corners)


def _inside(points: np.ndarray, ring: np.ndarray) -> np.ndarray:
    """Mark points (pair, 4, 2) inside rings or on them, shape (pair, 4)."""
    sides = np.roll(ring, -1, axis=1) - ring
    away = points[:, :, None] - ring[:, None]  # (pair, point, side, 2)
    return np.asarray((_cross(sides[:, None], away) >= -1e-9).all(axis=2))


def _crossings(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where each side of one crosses each of the other (pair, 16, 2), and if (pair, 16)."""
    sides, others = (np.roll(ring, -1, axis=1) - ring for ring in (one, other))
    gap = other[:, None] - one[:, :, None]  # (pair, side, side, 2)
    turn = _cross(sides[:, :, None], others[:, None])
    crossing = np.abs(turn) > 1e-12
    safe = np.where(crossing, turn, 1.0)
    along, across = _cross(gap, others[:, None]) / safe, _cross(gap, sides[:, :, None]) / safe
    crossing &= (along >= 0) & (along <= 1) & (across >= 0) & (across <= 1)
    places = one[:, :, None] + along[..., None] * sides[:, :, None]
    return places.reshape(-1, 16, 2), crossing.reshape(-1, 16)


def _cross(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]
