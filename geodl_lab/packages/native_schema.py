"""What may stand under each key of a ``model.json``: checked before anything is made of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from geodl_lab.checks import is_number, is_whole
from geodl_lab.errors import ModelError
from geodl_lab.json_fields import short

MAX_SIDE = 2**15
"""Largest window in pixels; a square of this side is beyond every device."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value: what it is called, and the test of it."""

    called: str
    fits: Callable[[Any], bool]


def _whole(value: Any) -> bool:
    return is_whole(value) and abs(value) < 2**31


def _number(value: Any) -> bool:
    return _whole(value) or (isinstance(value, float) and is_number(value))


TEXT = Kind("text", lambda value: isinstance(value, str))
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
WHOLE = Kind("a whole number", _whole)
NUMBER = Kind("a number", _number)
COUNT = Kind("a whole number from 0", lambda value: _whole(value) and value >= 0)
SIDE = Kind(f"whole pixels, 1..{MAX_SIDE}", lambda value: _whole(value) and 0 < value <= MAX_SIDE)

# A list holds the kind of its items, a dict the kinds of its keys; "?" may be null or left out,
# the others left out only: what must be there, the values that are made say.
FIT = {"kind": TEXT, "height": SIDE, "width": SIDE}
INPUT = {
    "bands": [TEXT], "count": COUNT, "dtype?": TEXT, "scale": NUMBER, "mean?": [NUMBER],
    "std?": [NUMBER], "cell_size?": NUMBER, "low?": [NUMBER], "high?": [NUMBER], "fit?": FIT,
    "positions": [COUNT], "other_names": [TEXT],
}  # fmt: skip
FIELD = {
    "finite": FLAG, "stride": SIDE, "halo": COUNT, "crop": COUNT, "memory": NUMBER,
    "seams": [NUMBER],
}  # fmt: skip
DECODER = {
    "name": TEXT, "threshold": NUMBER, "radius": WHOLE, "box_size?": NUMBER, "size_unit": NUMBER,
    "activation": TEXT, "nms?": NUMBER, "anchors": [[NUMBER]], "layout": TEXT,
    "box_unit": TEXT, "labels_from?": WHOLE, "thresholds": [NUMBER],
}  # fmt: skip
RECOGNIZER = {
    "exclusive": FLAG, "activation": TEXT, "thresholds": [NUMBER], "fixed_chip": FLAG,
    "blacken": FLAG,
}  # fmt: skip
MODEL = {
    "name": TEXT, "version": TEXT, "task": TEXT, "weights": TEXT, "window": SIDE, "input": INPUT,
    "classes": [{"value": WHOLE, "name": TEXT, "color": TEXT}], "field?": FIELD,
    "decoder?": DECODER, "recognizer?": RECOGNIZER,
}  # fmt: skip


def check_native(text: dict[str, Any], name: str) -> None:
    """Check the values of a ``model.json`` that a model is made of.

    Parameters
    ----------
    text
        What it holds; keys that no model is made of are for people and may hold anything.
    name
        Of the file.

    Raises
    ------
    ModelError
        If a value is of another kind, by the path of its key.
    """
    known = {key.removesuffix("?") for key in MODEL}
    _check({key: value for key, value in text.items() if key in known}, MODEL, name, "")


def _check(value: Any, kind: Any, name: str, path: str) -> None:
    if isinstance(kind, Kind):
        if not kind.fits(value):
            raise _wrong(value, kind.called, name, path)
    elif isinstance(kind, list):
        if not isinstance(value, list):
            raise _wrong(value, "a list", name, path)
        for index, item in enumerate(value):
            _check(item, kind[0], name, f"{path}[{index}]")
    else:
        _check_object(value, kind, name, path)


def _check_object(value: Any, kinds: dict[str, Any], name: str, path: str) -> None:
    if not isinstance(value, dict):
        raise _wrong(value, "an object", name, path)
    plain = {key.removesuffix("?"): kind for key, kind in kinds.items()}
    for key, part in value.items():
        where = f"{path}.{key}".lstrip(".")
        if key not in plain:
            raise ModelError(
                f"{name!r} has the key {where[:100]!r}, which is not known; possible are "
                f"{', '.join(plain)}"
            )
        if part is not None or f"{key}?" not in kinds:
            _check(part, plain[key], name, where)


def _wrong(value: Any, called: str, name: str, path: str) -> ModelError:
    return ModelError(
        f"{name!r} lacks or misuses the key {path!r}: it holds {short(value)}, and {called} "
        "is needed; compare it with a bundled model's"
    )
