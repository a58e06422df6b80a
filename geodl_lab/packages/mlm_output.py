"""The output of a STAC MLM item: the task and the classes."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from geodl_lab.errors import ModelError
from geodl_lab.package import DEFAULT_COLORS, LabelClass, make_classes
from geodl_lab.packages.mlm_input import Shape, refuse_code
from geodl_lab.packages.mlm_ours import OURS
from geodl_lab.packages.mlm_values import built, objects, only, short, texts, typed

BY_SHAPE = "by shape"
TASKS: Mapping[str, str] = {
    "semantic-segmentation": "classify",
    "segmentation": "classify",
    "classification": BY_SHAPE,
    "scene-classification": "recognize",
    "object-detection": "detect",
    "detection": "detect",
    "instance-segmentation": "detect",
    "regression": "regress",
}
"""Values of ``mlm:tasks``, and what each is here; 'by shape' is told by the output's shape."""


def read_output(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the one entry of ``mlm:output``; of a detector's several the one with classes.

    Raises
    ------
    ModelError
        If there are others, or one is made by code.
    """
    outputs = objects(properties.get("mlm:output"), "mlm:output")
    for output in outputs:
        refuse_code(output, "post_processing_function")
    detect = [output for output in outputs if _kinds(output.get("tasks")) == {"detect"}]
    named = [output for output in detect if output.get("classification:classes")]
    if len(outputs) > 1 and detect == outputs and named:
        return named[0]
    return only(outputs, "mlm:output")


def _kinds(tasks: Any) -> set[str]:
    """Return what tasks are here; those without a counterpart are left out."""
    return {TASKS[task] for task in texts(tasks or [], "tasks") if task in TASKS}


def read_task(properties: Mapping[str, Any], output: Mapping[str, Any], result: Shape) -> str:
    """Return the task, one of `geodl_lab.package.TASKS`.

    Raises
    ------
    ModelError
        If it has no counterpart here, or contradicts the output's shape.
    """
    stated = output.get("tasks") or properties.get("mlm:tasks")
    kinds, pixels = _kinds(stated), {"h", "w"} <= set(result.axes)
    if BY_SHAPE in kinds:
        kinds = kinds - {BY_SHAPE} or {"classify" if pixels else "recognize"}
    if len(kinds) != 1:
        raise ModelError(
            f"the tasks {short(stated)} are not one that can be run; possible are "
            f"{', '.join(TASKS)}"
        )
    task = kinds.pop()
    single = {result.size("h"), result.size("w")} == {1}
    if (task in ("classify", "regress") and not pixels) or (
        task == "recognize" and pixels and not single
    ):
        raise ModelError(
            f"the task {short(stated)} and the output's dimensions {list(result.sizes)} contradict "
            "each other: pixels need height and width, whole images have none; correct the item"
        )
    return task


def read_classes(
    output: Mapping[str, Any], result: Shape, task: str, ours: Mapping[str, Any]
) -> tuple[LabelClass, ...]:
    """Return the classes in the order of the channels; of values, what each channel is.

    Raises
    ------
    ModelError
        If there are none, or which channel is which is not certain.
    """
    told = output.get("classification:classes", output.get("classification_classes"))
    rows = objects(told or [], "classification:classes")
    if task == "regress":
        return _quantities(output, result, ours)
    if not rows:
        raise ModelError("the item names no classes; name them in classification:classes")
    if task == "detect":
        rows = [row for row in rows if not _is_background(row)]
    labels = tuple(_label(row, index) for index, row in enumerate(rows))
    values = [label.value for label in labels]
    if values != sorted(values) and values != ours.get("values"):
        raise ModelError(
            f"the classes are not in the order of their values ({values}), so which channel is "
            "which is not certain; list them in the order of the channels, values ascending"
        )
    if task == "detect" and 0 in values:
        raise ModelError(
            "a class of objects has the value 0, which is the background; count classes from 1"
        )
    return labels


def _is_background(row: Mapping[str, Any]) -> bool:
    return row.get("value") == 0 and str(row.get("name", "")).lower().strip("_ ") in (
        "background", "bg",
    )  # fmt: skip


def _label(row: Mapping[str, Any], index: int) -> LabelClass:
    told = (row.get(key) for key in ("title", "name", "description"))
    name = next((one for one in told if isinstance(one, str) and one), None)
    color = row.get("color_hint", row.get("color-hint"))
    if isinstance(color, list):  # v1.0 wrote red, green and blue
        with contextlib.suppress(TypeError, ValueError):
            color = "".join(f"{channel:02x}" for channel in color)
    if color is None:
        color = DEFAULT_COLORS[index % len(DEFAULT_COLORS)]
    value = typed(row.get("value"), int, "value of a class")
    if name is None:
        raise ModelError(f"the class of value {value} has no name; give it one")
    return LabelClass(value, name, f"#{str(color).lstrip('#').lower()}")


def _quantities(
    output: Mapping[str, Any], result: Shape, ours: Mapping[str, Any]
) -> tuple[LabelClass, ...]:
    """Return the quantities that a network answers; MLM has no place for their names."""
    count = result.size("c") or 1
    if count > len(DEFAULT_COLORS) * 30:
        raise ModelError(f"the output has {count} channels; possible are up to 240")
    told = ours.get("quantities")
    if isinstance(told, list) and len(told) == count:
        return tuple(
            built(LabelClass, typed(one, dict, f"quantities of {OURS}"), f"quantities of {OURS}")
            for one in told
        )
    name = typed(output.get("name", "value"), str, "name of mlm:output")
    return make_classes([name] if count == 1 else [f"{name}_{i + 1}" for i in range(count)])
