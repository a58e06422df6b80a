"""Single parameters as values: text, JSON, numbers and truths; what is none says so by name."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from geodl_lab.errors import OptionError

LONGEST = 200
"""Characters of what a client gave that an error repeats."""

TRUTHS = {"true": True, "t": True, "yes": True, "y": True, "1": True}
FALSEHOODS = {"false": False, "f": False, "no": False, "n": False, "0": False}


def shown(value: Any) -> str:
    """Return what was given as an error repeats it: on one line, and short."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return repr(text if len(text) <= LONGEST else f"{text[:LONGEST]}...")


def json_of(name: str, text: str) -> Any:
    """Return JSON text as plain values.

    Raises
    ------
    OptionError
        If it is no JSON, or holds what JSON does not have: NaN, Infinity, half a letter.
    """
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
        if "\\ud" in text.lower():  # halves of a letter alone cannot be sent back
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except (ValueError, RecursionError) as error:
        raise OptionError(
            f"{name} is no JSON ({error}); it begins with {shown(text[:60])}: write names and "
            'texts in double quotes, as in {"name": "value"}'
        ) from error


def object_of(name: str, given: Any) -> dict[str, Any]:
    """Return a JSON object, given as such or as its text; raises OptionError for anything else."""
    value = json_of(name, given) if isinstance(given, str) else given
    if not isinstance(value, dict):
        raise OptionError(
            f'{name} is {shown(value)}; write a JSON object, as in {{"name": "value"}}'
        )
    return value


def text_of(name: str, given: Any) -> str:
    """Return a text without blanks around it; raises OptionError for anything else."""
    if not isinstance(given, str) or not given.strip():
        raise OptionError(f"{name} is {shown(given)}; write a text")
    return given.strip()


def number_of(name: str, given: Any, *, least: float = -math.inf, most: float = math.inf) -> float:
    """Return a finite number between two bounds, given as such or as text; raises OptionError."""
    try:
        number = math.nan if isinstance(given, bool) else float(given)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or not least <= number <= most:
        bounds = [f"from {least:g}"] * math.isfinite(least) + [f"to {most:g}"] * math.isfinite(most)
        raise OptionError(f"{name} is {shown(given)}; write a number {' '.join(bounds)}".rstrip())
    return number


def whole_of(name: str, given: Any, *, least: int = 0) -> int:
    """Return a whole number, given as such or as text; raises OptionError."""
    number = number_of(name, given, least=least)
    if number != int(number):
        raise OptionError(f"{name} is {shown(given)}; write a whole number from {least}")
    return int(number)


def truth_of(name: str, given: Any) -> bool:
    """Return a truth value, given as such or as text in any case; raises OptionError."""
    if isinstance(given, bool):
        return given
    value = (TRUTHS | FALSEHOODS).get(str(given).strip().lower())
    if value is None:
        raise OptionError(f"{name} is {shown(given)}; write true or false")
    return value


def choice_of(name: str, given: str, choices: tuple[str, ...]) -> str:
    """Return the choice that was meant, in any case; raises OptionError."""
    found = next((one for one in choices if one.lower() == given.lower()), None)
    if found is None:
        raise OptionError(f"{name} is {shown(given)}; possible are {', '.join(choices)}")
    return found


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:20]} is too large")
    return number
