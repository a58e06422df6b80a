"""Classes of features: which column says them, their values, names and colours."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
import pandas

from geodl_lab.checks import number_of
from geodl_lab.errors import OptionError
from geodl_lab.package import LabelClass

VALUE_FIELDS = ("classvalue", "value", "label_id")
"""Columns that hold the class value where none is named, lower case: Esri's tool's, and ours."""

SERVED = {"class": "label", "classvalue": "label_id", "confidence": "score"}
"""Our columns by the names under which the server's layers show them, lower case."""

NAME_FIELDS = ("classname", "label", "name")
"""Columns that hold the name of the class, lower case."""

LARGEST = 65535
"""Largest class value: label rasters have at most 16 bits."""


def feature_classes(
    frame: pandas.DataFrame, field: str = ""
) -> tuple[np.ndarray, tuple[LabelClass, ...]]:
    """Return the class value of each row, and the classes by value.

    Parameters
    ----------
    frame
        The features' columns.
    field
        The column that decides: whole numbers are values; texts are names, whose values count
        from 1 in alphabetical order. Our own columns may be called as they are `SERVED`. "" takes
        `VALUE_FIELDS`, and else all rows are of class 1.

    Raises
    ------
    OptionError
        If there is no such column, or it holds what cannot be a class.
    """
    column = _column(frame, field)
    if column is None:
        return np.ones(len(frame), np.int64), (label_class(1, "1"),) if len(frame) else ()
    entries = frame[column].tolist()
    if frame[column].isna().any() or "" in entries:
        raise OptionError(
            f"column {column!r} has features without a class; fill them in, or leave them out"
        )
    numbers = [number_of(entry) for entry in entries]
    if None in numbers:
        return _named([str(entry) for entry in entries], frame)
    values = np.array([_whole(number, column) for number in numbers], np.int64)
    return values, _valued(values, frame, column)


def label_class(value: int, name: str, color: str = "") -> LabelClass:
    """Return a class; without a colour it gets one that its value decides."""
    hue = (value * 0.381966) % 1.0  # the golden ratio keeps neighbours apart
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.75, 0.9))
    return LabelClass(value, name, color or f"#{red:02x}{green:02x}{blue:02x}")


def check_folders(classes: tuple[LabelClass, ...], format: str) -> None:
    """Refuse names of classes that cannot name folders.

    Raises
    ------
    OptionError
        If one cannot, or two are the same but for case.
    """
    seen: set[str] = set()
    for label in classes:
        name = label.name
        bad = not name.strip() or name != name.strip() or name.startswith(".") or len(name) > 100
        if bad or any(char in '/\\:*?"<>|' or ord(char) < 32 for char in name):
            raise OptionError(
                f"{format} makes a folder for each class, and {name!r} cannot be a folder's name; "
                "rename the class"
            )
        if format == "Imagenet" and len(name.split()) > 1:
            raise OptionError(
                f"Imagenet puts folders of classes into map.txt, where blanks part names, and "
                f"{name!r} holds one; rename the class, such as {'_'.join(name.split())!r}"
            )
        if name.casefold() in seen:
            raise OptionError(f"two classes are called {name!r}; {format} needs different names")
        seen.add(name.casefold())


def _column(frame: pandas.DataFrame, field: str) -> str | None:
    lower = {str(column).casefold(): str(column) for column in frame.columns[::-1]}
    if field:
        if field in frame.columns:
            return field
        for name in (field.casefold(), SERVED.get(field.casefold())):
            if name in lower:
                return lower[name]
        known = ", ".join(lower.values()) or "none at all"
        raise OptionError(f"the features have no column {field!r}; they have {known}")
    return next((lower[name] for name in VALUE_FIELDS if name in lower), None)


def _whole(number: float | None, column: str) -> int:
    if number is None or number != int(number) or not 0 <= number <= LARGEST:
        raise OptionError(
            f"column {column!r} has the class value {number}; possible are whole numbers from 0 to "
            f"{LARGEST}"
        )
    return int(number)


def _named(entries: list[str], frame: pandas.DataFrame) -> tuple[np.ndarray, Any]:
    names = sorted(set(entries))
    values = {name: index for index, name in enumerate(names, 1)}
    rows = np.array([values[entry] for entry in entries], np.int64)
    colors = _colors(frame, rows)
    return rows, tuple(label_class(values[n], n, colors.get(values[n], "")) for n in names)


def _valued(values: np.ndarray, frame: pandas.DataFrame, column: str) -> tuple[LabelClass, ...]:
    lower = {str(name).casefold(): str(name) for name in frame.columns if name != column}
    named = next((lower[name] for name in NAME_FIELDS if name in lower), None)
    first = {int(value): row for row, value in reversed(list(enumerate(values.tolist())))}
    texts = {} if named is None else {v: frame[named].iloc[row] for v, row in first.items()}
    colors = _colors(frame, values)
    return tuple(
        label_class(value, _text(texts.get(value)) or str(value), colors.get(value, ""))
        for value in sorted(first)
    )


def _text(entry: Any) -> str:
    return entry.strip() if isinstance(entry, str) else ""


def _colors(frame: pandas.DataFrame, values: np.ndarray) -> dict[int, str]:
    """Return colours of classes where the columns red, green and blue say them."""
    lower = {str(name).casefold(): str(name) for name in frame.columns}
    if not {"red", "green", "blue"} <= lower.keys():
        return {}
    found: dict[int, str] = {}
    columns = [frame[lower[name]].tolist() for name in ("red", "green", "blue")]
    for value, *parts in zip(values.tolist(), *columns, strict=True):
        rgb = [number_of(part) for part in parts]
        if value not in found and all(part is not None and 0 <= part <= 255 for part in rgb):
            found[value] = "#" + "".join(f"{round(part or 0):02x}" for part in rgb)
    return found
