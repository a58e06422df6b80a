"""Esri feature sets, as raster functions answer them, to the dicts of objects that `boxes` reads.

Rings are x, y in pixels of the block, y downwards, from the corner inside the padding
(github.com/Esri/raster-deep-learning, ``prf_utils.py``). ``Confidence`` is 0..1 or 0..100, a number
or text: both are written by functions of Esri.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geodl_lab.package import LabelClass

LABELS = ("class", "classname", "label", "classvalue", "value")
"""Names of the attribute that holds the class, in lower case, the likeliest first."""

SCORES = ("confidence", "score")
FAR = 1e9
"""Pixels from which a coordinate is none."""

SQUARE = 1e-3
"""Pixels, or share of a side, by which corners may miss those of a rectangle."""


class FeatureError(ValueError):
    """A feature set is none, or does not fit the model."""


@dataclass(frozen=True)
class Reader:
    """Reads feature sets of one model.

    Parameters
    ----------
    form
        What objects become: ``boxes`` (rotated ones too), ``points`` or ``masks``.
    classes
        Classes of the model; where there is only one, every object is of it, because functions
        that find what a text names answer that text.
    shape_yx
        Height and width of the block inside its padding, in pixels.
    point_size
        Side in pixels of the square that stands for a point.
    """

    form: str
    classes: tuple[LabelClass, ...]
    shape_yx: tuple[int, int]
    point_size: float = 1.0

    def read(self, features: Any) -> dict[str, np.ndarray]:
        """Return the objects of a feature set.

        Returns
        -------
        dict
            ``labels`` (object,) from 1, ``scores`` (object,) 0..1; ``boxes`` (object, 8), the
            corners x, y in block pixels, or (object, 4) for points and masks; ``masks``
            (object, y, x) bool, for masks only.

        Raises
        ------
        FeatureError
            If it is no feature set, or holds what the model's classes do not name.
        """
        found = list(itertools.chain.from_iterable(map(self._objects, _listed(features))))
        labels = np.array([label for label, _, _ in found], dtype=np.int64)
        scores = np.array([score for _, score, _ in found], dtype=np.float64)
        read = {"labels": labels, "scores": scores}
        return read | getattr(self, f"_{self.form}")([shape for _, _, shape in found])

    def labels(self, features: Any) -> np.ndarray:
        """Return scores (class,) of a feature set that labels one chip: its first feature's."""
        scores = np.zeros(len(self.classes))
        for feature in _listed(features)[:1]:
            attributes = _attributes(feature)
            scores[self._label(attributes) - 1] = _score(attributes)
        return scores

    def _objects(self, feature: Any) -> list[tuple[int, float, list[np.ndarray]]]:
        """Return label, score and rings of one feature; of many points one each."""
        attributes, shapes = _attributes(feature), _shapes(feature.get("geometry"))
        if not shapes:
            return []
        label, score = self._label(attributes), _score(attributes)
        return [(label, score, shape) for shape in shapes]

    def _label(self, attributes: Mapping[str, Any]) -> int:
        """Return the label of a feature, from 1."""
        if len(self.classes) == 1:
            return 1
        given = next((attributes[key] for key in LABELS if key in attributes), None)
        by_name = {label.name: i for i, label in enumerate(self.classes, 1)}
        by_value = {str(label.value): i for i, label in enumerate(self.classes, 1)}
        label = by_name.get(str(given)) or by_value.get(_whole_text(given))
        if label is None:
            raise FeatureError(
                f"an object is of the class {given!r}, possible are {', '.join(by_name)}"
            )
        return label

    def _boxes(self, shapes: Sequence[list[np.ndarray]]) -> dict[str, np.ndarray]:
        # Corners throughout: objects with and without cannot be merged with each other.
        return {"boxes": np.array([corners(np.concatenate(s)) for s in shapes]).reshape(-1, 8)}

    def _points(self, shapes: Sequence[list[np.ndarray]]) -> dict[str, np.ndarray]:
        centres = np.array([ring[0] for (ring, *_) in shapes]).reshape(-1, 2)
        half = self.point_size / 2
        return {"boxes": np.hstack([centres - half, centres + half])}

    def _masks(self, shapes: Sequence[list[np.ndarray]]) -> dict[str, np.ndarray]:
        masks = np.zeros((len(shapes), *self.shape_yx), dtype=bool)
        boxes = np.zeros((len(shapes), 4))
        for mask, box, rings in zip(masks, boxes, shapes, strict=True):
            points = np.concatenate(rings)
            box[:] = [*points.min(axis=0), *points.max(axis=0)]
            fill(mask, rings)
        return {"masks": masks, "boxes": boxes}


def corners(ring: np.ndarray) -> np.ndarray:
    """Return the corners (4, 2) of a rectangle's ring (point, 2), or of the box around another."""
    closed = len(ring) == 5 and np.array_equal(ring[0], ring[-1])
    points = ring[:4] if closed else ring
    if len(points) == 4:
        sides = np.diff(points, axis=0, append=points[:1])
        size = max(1.0, float(np.abs(sides).max()))
        askew = np.abs((sides * np.roll(sides, 1, axis=0)).sum(axis=1)).max()
        if askew <= SQUARE * size**2:
            return points
    (x0, y0), (x1, y1) = ring.min(axis=0), ring.max(axis=0)
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


def fill(mask: np.ndarray, rings: Sequence[np.ndarray]) -> None:
    """Mark the pixels (y, x) whose middle lies inside an odd number of rings: holes stay out."""
    y, x = (np.arange(size) + 0.5 for size in mask.shape)
    for ring in rings:
        for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            rows = np.flatnonzero((y0 <= y) != (y1 <= y))
            crossed = x0 + (y[rows] - y0) * (x1 - x0) / (y1 - y0 or 1)
            mask[rows] ^= x >= crossed[:, None]


def _listed(features: Any) -> list[Any]:
    if not isinstance(features, Mapping) or not isinstance(features.get("features"), list):
        raise FeatureError("it answered no feature set: needed is JSON with a list of 'features'")
    return features["features"]


def _attributes(feature: Any) -> dict[str, Any]:
    attributes = feature.get("attributes") if isinstance(feature, Mapping) else None
    if not isinstance(attributes, Mapping):
        raise FeatureError("an object has no attributes, needed are its class and Confidence")
    return {str(key).lower(): value for key, value in attributes.items()}


def _shapes(geometry: Any) -> list[list[np.ndarray]]:
    """Return the rings (point, 2) of each object of a geometry; a point is a ring of one."""
    if geometry is None:
        return []
    if not isinstance(geometry, Mapping):
        raise FeatureError(f"an object has the geometry {str(geometry)[:40]!r}, which is none")
    if "x" in geometry:
        return [[_ring([[geometry["x"], geometry.get("y")]])]]
    if "points" in geometry:
        return [[ring[None]] for ring in _ring(geometry["points"])]
    if "paths" in geometry:
        raise FeatureError("an object is a line; possible are polygons and points")
    rings = geometry.get("rings") or []
    if not isinstance(rings, list):
        raise FeatureError(f"an object has the rings {str(rings)[:40]!r}, which are none")
    shape = [ring for ring in map(_ring, rings) if len(ring)]
    return [shape] if shape else []


def _ring(points: Any) -> np.ndarray:
    """Return x and y of points (point, 2); a height after them is left out."""
    try:
        ring = np.array([[float(side) for side in point[:2]] for point in points]).reshape(-1, 2)
    except (TypeError, ValueError, OverflowError):
        ring = np.full((1, 2), np.nan)
    if not (np.abs(ring) < FAR).all():
        raise FeatureError("an object has coordinates that are no pairs of numbers")
    return ring


def _score(attributes: Mapping[str, Any]) -> float:
    """Return the score 0..1 of a feature; one without is sure."""
    given = next((attributes[key] for key in SCORES if key in attributes), 1.0)
    try:
        score = float(given)
    except (TypeError, ValueError, OverflowError):
        score = math.nan
    if not 0 <= score <= 100:
        raise FeatureError(f"an object has the Confidence {given!r}, possible is 0..1 or 0..100")
    # Functions that count in percent drop what is below their threshold, so below 1 % too.
    return score / 100 if score > 1 else score


def _whole_text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
