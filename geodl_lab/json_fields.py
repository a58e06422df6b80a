"""Values of plain JSON, each checked, with the field named in the message.

Numbers and booleans may be text, as clients send them in forms. Every function takes what was
given and where, such as ``preprocessing.inputs[0].image``, and raises `ModelError`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from geodl_lab.checks import number_of
from geodl_lab.errors import ModelError


def plain_object(given: Any, where: str, possible: set[str]) -> Mapping[str, Any]:
    """Return an object that has no other keys than the possible ones."""
    if not isinstance(given, Mapping):
        raise ModelError(f"{where} is a {type(given).__name__}; possible is a JSON object")
    unknown = sorted(map(str, set(given) - possible))
    if unknown:
        listed = ", ".join(sorted(possible))
        raise ModelError(f"{where} has the unknown key {short(unknown[0])}; possible are {listed}")
    return given


def plain_list(given: Any, where: str) -> Sequence[Any]:
    """Return a list that is not empty."""
    if not isinstance(given, list | tuple) or not given:
        raise ModelError(f"{where} is {short(given)}; possible is a list that is not empty")
    return given


def choice(keys: Mapping[str, Any], key: str, possible: tuple[str, ...], where: str) -> str:
    """Return one of some words; the first where it is left out."""
    value = keys.get(key, possible[0])
    if value not in possible:
        listed = ", ".join(possible)
        raise ModelError(f"{where}.{key} is {short(value)}; possible are {listed}")
    return str(value)


def text(given: Any, where: str, *, empty: bool = False) -> str:
    """Return a name; ``empty`` lets it be ""."""
    if not isinstance(given, str) or not (given or empty):
        raise ModelError(f"{where} is {short(given)}; possible is a name")
    return given


def flag(given: Any, where: str) -> bool:
    """Return a boolean, also one that is written as text."""
    known = {"True": True, "true": True, "False": False, "false": False}
    if not isinstance(given, bool) and not (isinstance(given, str) and given in known):
        raise ModelError(f"{where} is {short(given)}; possible are true and false")
    return given if isinstance(given, bool) else known[given]


def number(given: Any, where: str, *, above: float = -math.inf) -> float:
    """Return a finite number, also one that is written as text."""
    found = number_of(given)
    if found is None or found <= above:
        least = "" if above == -math.inf else f" above {above:g}"
        raise ModelError(f"{where} is {short(given)}; possible is a number{least}")
    return found


def score(given: Any, where: str) -> float:
    """Return a number from 0 to 1."""
    found = number(given, where)
    if not 0 <= found <= 1:
        raise ModelError(f"{where} is {found:g}; possible are numbers from 0 to 1")
    return found


def whole(given: Any, where: str, least: int) -> int:
    """Return a whole number below 2**31."""
    found = number(given, where)
    if found != int(found) or not least <= found < 2**31:
        raise ModelError(
            f"{where} is {short(given)}; possible are whole numbers from {least} to {2**31 - 1}"
        )
    return int(found)


def short(given: Any) -> str:
    """Return a value as it is shown in messages."""
    return repr(given)[:80]
