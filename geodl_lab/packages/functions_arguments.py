"""Arguments of Python raster functions: defaults, what the caller gives, and what we fix."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from geodl_lab.errors import OptionError
from geodl_lab.options import check_threshold

FIXED: Mapping[str, Any] = {"padding": 0, "batch_size": 1, "exclude_pad_detections": False}
"""What the engine does itself: see `functions`."""

THRESHOLDS = ("threshold", "score_threshold")
NUMBERS = ("numeric", "long", "double", "float", "integer", "gplong", "gpdouble")
BOOLEANS = ("boolean", "gpboolean")
YES, NO = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
RASTERS = ("raster", "rasters")
OURS = ("model", "device")


def scalars(parameters: Sequence[Mapping[str, Any]], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of ``getConfiguration``.

    Parameters
    ----------
    parameters
        As ``getParameterInfo`` lists them.
    given
        As `merged` makes them.

    Returns
    -------
    dict
        One value for each parameter that has one, in its declared type: numbers, booleans, or
        text, in which booleans are ``True`` and ``False``.

    Raises
    ------
    OptionError
        If there is no such argument, or the value is not possible.
    """
    known = {p["name"]: p for p in parameters if _is_scalar(p)}
    renamed = {_known_as(name, known): value for name, value in given.items()}
    unknown = sorted(set(renamed) - {*known, *FIXED, "threshold"})
    if unknown:
        raise OptionError(
            f"there is no argument {', '.join(map(repr, unknown))}; possible are "
            f"{', '.join(sorted({*known, *FIXED, 'threshold'}))}"
        )
    defaults = {name: p.get("value") for name, p in known.items()}
    values = {**defaults, **renamed, **FIXED}
    return {n: _typed(values[n], p) for n, p in known.items() if values[n] is not None}


def merged(before: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments with others over them; each name of a least score is ``threshold``.

    Raises
    ------
    OptionError
        If a threshold is no score.
    """
    named = {"threshold" if name in THRESHOLDS else name: value for name, value in given.items()}
    if "threshold" in named:
        named["threshold"] = number(named["threshold"], "threshold")
        check_threshold(named["threshold"])
    return {**before, **named}


def _is_scalar(parameter: Mapping[str, Any]) -> bool:
    return parameter.get("dataType") not in RASTERS and parameter["name"] not in OURS


def _known_as(name: str, known: Mapping[str, Any]) -> str:
    """Return the function's own name of an argument."""
    if name == "threshold":
        return next((other for other in THRESHOLDS if other in known), name)
    return name


def _typed(value: Any, parameter: Mapping[str, Any]) -> Any:
    """Return a value in the type that a parameter declares."""
    kind = str(parameter.get("dataType")).lower()
    if kind in NUMBERS:
        value = number(value, parameter["name"])
    elif kind in BOOLEANS:
        value = boolean(value, parameter["name"])
    else:
        value = str(value)
    domain = parameter.get("domain")
    if domain and str(value) not in map(str, domain):
        possible = ", ".join(map(str, domain))
        raise OptionError(
            f"argument {parameter['name']} {value!r} is not possible; give one of {possible}"
        )
    return value


def number(value: Any, name: str) -> float:
    """Return a number; whole ones written without a point stay whole.

    Raises
    ------
    OptionError
        If it is none, or not finite.
    """
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise OptionError(f"argument {name} {str(value)[:60]!r} is not possible; give a number")
    written = str(value).lstrip("+-").isdecimal()
    return int(found) if written or isinstance(value, bool) else found


def boolean(value: Any, name: str) -> bool:
    """Return a truth value from any usual word for one.

    Raises
    ------
    OptionError
        If it is none.
    """
    text = str(value).strip().lower()
    if text not in YES + NO:
        raise OptionError(
            f"argument {name} {str(value)[:60]!r} is not possible; give True or False"
        )
    return text in YES
