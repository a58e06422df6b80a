"""What an Esri model definition says of its network's answer: task, classes, thresholds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from geodl_lab.errors import ModelError
from geodl_lab.package import DEFAULT_COLORS, LabelClass
from geodl_lab.packages.emd_keys import Emd

TYPES = {
    "ImageClassification": "classify",
    "ChangeDetection": "classify",
    "ObjectDetection": "detect",
    "InstanceDetection": "detect",
    "ObjectClassification": "recognize",
    "ImageRegression": "regress",
}
"""Model types that run here, and their task; ``ImageRegression`` is ours."""

MISPRINTS = {"objectiondetection": "ObjectDetection"}
"""As in a page of Esri's raster-deep-learning, whose readers copied it."""


def model_type(emd: Emd) -> str:
    """Return the model type as `TYPES` spells it; one that is not there stays as it is."""
    given = str(emd.required("ModelType", f"the task, one of {', '.join(TYPES)}"))
    known = {name.lower(): name for name in TYPES} | MISPRINTS
    return known.get(given.strip().lower(), given)


def read_classes(emd: Emd, task: str, *, background: bool) -> tuple[LabelClass, ...]:
    """Return the classes in the order of the network's channels.

    Parameters
    ----------
    emd
        The description.
    task
        Of the model; all but ``regress`` need classes.
    background
        True where channel 0 is a background that the description leaves out: arcgis.learn's pixel
        classifiers answer class 0 first, whatever ``Classes`` lists.

    Raises
    ------
    ModelError
        If classes are missing or damaged.
    """
    if task != "regress":
        emd.required("Classes", "value, name and color of each class")
    parts = emd.sections("Classes") or []
    if not parts and task == "regress":
        return (LabelClass(0, "value", DEFAULT_COLORS[0]),)
    if not parts:
        raise emd.wrong("Classes", "a list of at least one class")
    classes = tuple(_class(part, index) for index, part in enumerate(parts))
    if background and all(label.value for label in classes):
        return LabelClass(0, "Background", "#000000"), *classes
    return classes


def read_threshold(emd: Emd) -> dict[str, float]:
    """Return the least score of objects as an option of `geodl_lab.decoders.Decoder`."""
    threshold = emd.number("Threshold")
    return {} if threshold is None else {"threshold": threshold}


def _class(part: Emd, index: int) -> LabelClass:
    part.required("Value", "the number that is written for the class")
    value = part.whole("Value")
    assert value is not None
    color = part.items("Color")
    shown = DEFAULT_COLORS[index % len(DEFAULT_COLORS)] if color is None else _hex(part, color)
    try:
        return LabelClass(value, part.word("Name") or f"Class {value}", shown)
    except ModelError as error:
        raise ModelError(f"{part.name!r}: {error}") from error


def _hex(part: Emd, color: Sequence[Any]) -> str:
    numbers = part.numbers("Color") or ()
    if len(color) < 3 or not all(0 <= level <= 255 for level in numbers):
        raise part.wrong("Color", "[red, green, blue], each 0 to 255,")
    return "#{:02x}{:02x}{:02x}".format(*(math.floor(level + 0.5) for level in numbers[:3]))
