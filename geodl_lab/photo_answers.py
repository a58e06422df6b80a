"""What a model says of a photo: labels of the whole, and regions with labels, for every task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from geodl_lab.package import LabelClass


@dataclass(frozen=True, slots=True)
class Scored:
    """A label with its score.

    Parameters
    ----------
    label_id, label
        Class value and name.
    score, threshold
        0..1.
    predicted
        Whether the score is above the threshold, as float32.
    """

    label_id: int
    label: str
    score: float
    threshold: float
    predicted: bool


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a photo with its labels.

    Parameters
    ----------
    id
        From 0, in the order of the answer.
    x0, y0, x1, y1
        Edges of its upright box in pixels of the whole photo, y downwards.
    labels
        The best first.
    angle
        Degrees by which a rotated box is turned, clockwise on the screen; 0 for upright ones.
    area
        Pixels of its mask, or None.
    outline
        Corners (x, y) of a mask's outline or a rotated box in pixels; empty for upright boxes.
    """

    id: int
    x0: float
    y0: float
    x1: float
    y1: float
    labels: tuple[Scored, ...]
    angle: float = 0.0
    area: float | None = None
    outline: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class PhotoAnswer:
    """What a model says of a photo.

    Parameters
    ----------
    shape_yx
        Height and width of the whole photo in pixels.
    labels
        Of the whole photo (or of the area asked for), the best first; empty for detectors.
    regions
        Of detectors, the best first.
    classes
        Class values (y, x) of models that classify pixels, or None.
    fill
        The value of ``classes`` that means no data.
    scores
        Of models that classify pixels or answer score maps: (y, x) float32, the greatest
        probability of a class that is not background; or None.
    legend
        Classes with names and colours.
    """

    shape_yx: tuple[int, int]
    labels: tuple[Scored, ...] = ()
    regions: tuple[Region, ...] = ()
    classes: np.ndarray | None = None
    fill: int | None = None
    scores: np.ndarray | None = None
    legend: tuple[LabelClass, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """Return labels and regions as plain values, as a job keeps them."""
        raise NotImplementedError
