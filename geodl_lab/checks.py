"""Of what kind a value is that anybody may have given."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any


def is_whole(value: Any) -> bool:
    """Tell whether it is a whole number, of numpy too; a boolean is none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Tell whether it is a finite number, of numpy too; a boolean is none."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return False
    return is_whole(value) or math.isfinite(value)


def is_above_0(value: Any) -> bool:
    """Tell whether it is a finite number above 0."""
    return is_number(value) and value > 0


def number_of(value: Any) -> float | None:
    """Return a finite number, also one that is written as a text; None of anything else."""
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def is_list(value: Any) -> bool:
    """Tell whether it is a list, a tuple or another sequence; a text is none."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)
