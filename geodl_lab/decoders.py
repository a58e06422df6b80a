"""How the answers of a model are read: objects, or labels of a whole image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from geodl_lab.checks import is_above_0, is_list, is_number, is_whole
from geodl_lab.errors import ModelError

DECODERS = ("auto", "boxes", "heatmap", "yolo", "masks")
ACTIVATIONS = ("none", "sigmoid", "softmax")
BOX_UNITS = ("pixels", "window")
YOLO_LAYOUTS = ("channels_first", "channels_last", "objectness")
DEFAULT_THRESHOLD = 0.5
EXCLUSIVE_THRESHOLD, TAG_THRESHOLD = 0.025, 0.5
"""Least score of a label of a whole image, where a package says none (Deepomatic v0.7)."""


@dataclass(frozen=True, slots=True)
class Decoder:
    """How objects are read from the output of a detector.

    Parameters
    ----------
    name
        ``boxes`` (a list of dicts, or dense boxes with scores), ``yolo``, ``masks`` (a list of
        dicts), ``heatmap`` (centre peaks, one channel a class, then optionally log height and log
        width), ``regions`` (connected score regions).
    threshold
        Least score, 0..1; objects score strictly more. With ``thresholds`` it is their least.
    radius
        Pixels around a peak in which no other may stand (heat maps).
    box_size
        Side in pixels of the square drawn around a point; None where the model gives the size.
    size_unit
        Pixels that a size channel of 0 stands for: ``height = size_unit * exp(channel)``.
    activation
        What makes 0..1 of the scores of dense boxes and YOLO: ``none``, ``sigmoid``, ``softmax``.
    nms
        Least IoU of two boxes of one class of one window that are one object; None is the usual
        one: 0.5 for dense boxes and YOLO, and for lists of dicts none at all, because such models
        have done it themselves.
    anchors
        Of dense boxes that are offsets: centre x, centre y, width and height in window pixels, one
        for each box. Offsets are dx, dy in shares of the anchor's size, dw, dh logarithms of it
        (Ren et al. 2015, "Faster R-CNN").
    layout
        Of YOLO: ``channels_first`` (4 + K, box), ``channels_last`` (box, 4 + K) or ``objectness``
        (box, 5 + K) for K classes; "" is told by the shape.
    box_unit
        ``pixels``, or ``window`` for boxes that are shares 0..1 of the window's width and height.
    labels_from
        Label of the first class where objects come with labels: 1, with 0 for the background, or
        0. None is 1, but for rows of six numbers, which do not say it.
    thresholds
        Least score of each class, in their order; of models that answer objects. Empty is
        ``threshold`` for all.
    """

    name: str
    threshold: float = DEFAULT_THRESHOLD
    radius: int = 1
    box_size: float | None = None
    size_unit: float = 1.0
    activation: str = "none"
    nms: float | None = None
    anchors: tuple[tuple[float, ...], ...] = ()
    layout: str = ""
    box_unit: str = "pixels"
    labels_from: int | None = None
    thresholds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "anchors", _anchors(self.anchors))
        object.__setattr__(self, "thresholds", _scores(self.thresholds))
        object.__setattr__(self, "threshold", min(self.thresholds, default=self.threshold))
        if self.thresholds and not self.answers_objects:
            raise ModelError(
                f"thresholds are for decoders that answer objects, not for {self.name!r}; give "
                "one threshold for all classes"
            )
        for option, value, possible in (
            ("decoder", self.name, ("boxes", "yolo", "masks", "heatmap", "regions")),
            ("activation", self.activation, ACTIVATIONS),
            ("layout", self.layout, ("", *YOLO_LAYOUTS)),
            ("box_unit", self.box_unit, BOX_UNITS),
            ("labels_from", self.labels_from, (None, 0, 1)),
        ):
            if value not in possible:
                listed = ", ".join(str(one) for one in possible)
                raise ModelError(f"{option} {value!r} is not one of {listed}")
        if self.anchors and self.box_unit != "pixels":
            raise ModelError(
                f"box_unit {self.box_unit!r} and anchors are not possible together: offsets have "
                "no unit; leave box_unit out"
            )
        if self.nms is not None and not (is_number(self.nms) and 0 < self.nms <= 1):
            raise ModelError(f"nms {self.nms!r} is no IoU; give a number above 0, up to 1 for none")
        if not is_number(self.threshold) or not 0 <= self.threshold <= 1:
            raise ModelError(f"threshold {self.threshold!r} is outside 0..1; give a number in it")
        if not is_whole(self.radius) or self.radius < 1:
            raise ModelError(f"radius {self.radius!r} is not possible; give whole pixels, from 1")
        for name, size in (("box_size", self.box_size), ("size_unit", self.size_unit)):
            if (name, size) != ("box_size", None) and not is_above_0(size):
                raise ModelError(f"{name} {size!r} is not possible; give pixels, above 0")

    @property
    def answers_objects(self) -> bool:
        """Tell whether the model answers objects of its window rather than scores of pixels."""
        return self.name in ("boxes", "yolo", "masks")

    @property
    def sized(self) -> bool:
        """Tell whether the scores come with two channels of log height and log width."""
        return self.name == "heatmap" and self.box_size is None

    @property
    def points(self) -> bool:
        """Tell whether objects are points rather than boxes."""
        return self.box_size is not None


@dataclass(frozen=True, slots=True)
class Recognizer:
    """How the labels of a whole image, or of a chip around an object, are read from its scores.

    Parameters
    ----------
    exclusive
        True: one label is right (classification); False: each may be, by itself (tagging).
    activation
        What makes 0..1 of the scores: ``none``, ``sigmoid``, ``softmax``.
    thresholds
        Least score of each label, in the order of the classes; a label is present if it scores
        strictly more. Empty is the usual one for all: 0.025 if exclusive, else 0.5.
    fixed_chip
        Of objects: True cuts chips of the model's size around their middles, False cuts their
        bounds and resizes them.
    blacken
        Of objects: True makes pixels outside the object's outline 0.
    """

    exclusive: bool = True
    activation: str = "softmax"
    thresholds: tuple[float, ...] = ()
    fixed_chip: bool = False
    blacken: bool = False

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ModelError(
                f"activation {self.activation!r} is not one of {', '.join(ACTIVATIONS)}"
            )
        object.__setattr__(self, "thresholds", _scores(self.thresholds))

    def threshold(self, index: int) -> float:
        """Return the least score of the label at ``index``."""
        if self.thresholds:
            return self.thresholds[index]
        return EXCLUSIVE_THRESHOLD if self.exclusive else TAG_THRESHOLD


def _anchors(anchors: Any) -> tuple[tuple[float, ...], ...]:
    """Return anchors (anchor, 4) as plain numbers."""
    try:
        rows = tuple(tuple(float(side) for side in anchor) for anchor in anchors)
    except (TypeError, ValueError):
        rows = ((),)
    if not all(len(a) == 4 and all(map(math.isfinite, a)) and min(a[2:]) > 0 for a in rows):
        raise ModelError(
            "anchors are no list of boxes; an anchor is cx, cy, width, height in pixels, the last "
            "two above 0, as in anchors=[(8, 8, 16, 16)]"
        )
    return rows


def _scores(numbers: Any) -> tuple[float, ...]:
    """Return scores 0..1 as plain numbers."""
    row = tuple(numbers) if is_list(numbers) else (numbers,)
    if not all(is_number(score) and 0 <= score <= 1 for score in row):
        raise ModelError(f"thresholds {numbers!r} are outside 0..1; give a list of numbers in it")
    return tuple(map(float, row))
