"""Scaling of every kind, brought to one clip of stored values and one linear map per band.

Every linear step is ``(value - mean) / std``, and steps of that form one after another are again
of that form; a clip between them is a clip of the stored values with other bounds. So the engine
needs one formula (`geodl_lab.inputs.InputSpec`) for any chain.

The words are those of the STAC Machine Learning Model extension v1.4, "Value Scaling Object".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geodl_lab.checks import is_list, number_of
from geodl_lab.errors import ModelError
from geodl_lab.json_fields import short

STEPS = "geodl:steps"
"""Format of a ``processing`` step that is a list of the other ones, carried out in order."""

SCALINGS: Mapping[str, tuple[str, ...]] = {
    "min-max": ("minimum", "maximum"),
    "z-score": ("mean", "stddev"),
    "clip": ("minimum", "maximum"),
    "clip-min": ("minimum",),
    "clip-max": ("maximum",),
    "offset": ("value",),
    "scale": ("value",),
}
"""Kinds of a step, and the numbers that each needs."""


@dataclass(frozen=True, slots=True)
class Ramp:
    """``(clip(value, low, high) - mean) / std`` of one band.

    Parameters
    ----------
    low, high
        Bounds in stored values; infinite where open.
    mean, std
        In stored values; ``std`` is not 0.
    """

    low: float = -math.inf
    high: float = math.inf
    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        with np.errstate(over="ignore", under="ignore"):
            mean, std = np.float32(self.mean), np.float32(self.std)
        if not (np.isfinite(mean) and np.isfinite(std)) or abs(std) < np.finfo(np.float32).tiny:
            raise ModelError(
                f"scaling by a mean of {self.mean!r} and a deviation of {self.std!r} is not "
                "possible; the deviation, or maximum - minimum, must be a number other than 0"
            )

    def linear(self, mean: float, std: float) -> Ramp:
        """Return this and then ``(value - mean) / std``."""
        return Ramp(self.low, self.high, self.mean + mean * self.std, self.std * std)

    def clip(self, low: float, high: float) -> Ramp:
        """Return this and then ``min(max(value, low), high)``."""
        ends = sorted(bound * self.std + self.mean for bound in (low, high))
        low, high = (min(max(bound, ends[0]), ends[1]) for bound in (self.low, self.high))
        return Ramp(low, high, self.mean, self.std)


def canonical(steps: Sequence[Any] | None, count: int) -> dict[str, Any]:
    """Bring the scaling of all bands to the fields of an `geodl_lab.inputs.InputSpec`.

    Parameters
    ----------
    steps
        One item for all bands, or one a band; None scales nothing. An item is a Value Scaling
        Object of MLM v1.4, None, or a list of such objects, carried out in order.
    count
        Number of bands.

    Returns
    -------
    dict
        ``low``, ``high``, ``scale``, ``mean`` and ``std``, in stored values (float64).

    Raises
    ------
    ModelError
        If a step is unknown, is code, lacks a number, or makes all values equal.
    """
    if steps is None:
        steps = [None]
    if not is_list(steps) or len(steps) not in (1, count):
        given = f"{len(steps)} steps" if is_list(steps) else short(steps)
        raise ModelError(
            f"scaling of {count} bands is given as {given}; give a list of one step for all, or "
            "of one for each band"
        )
    ramps = [_ramp(item) for item in steps]
    return _fields(ramps * count if len(ramps) == 1 else ramps)


def _fields(ramps: Sequence[Ramp]) -> dict[str, Any]:
    low, high = tuple(ramp.low for ramp in ramps), tuple(ramp.high for ramp in ramps)
    mean, std = tuple(ramp.mean for ramp in ramps), tuple(ramp.std for ramp in ramps)
    plain = not any(mean) and len(set(std)) == 1
    return {
        "low": None if all(bound == -math.inf for bound in low) else low,
        "high": None if all(bound == math.inf for bound in high) else high,
        "scale": 1 / std[0] if plain else 1.0,
        "mean": mean if any(mean) else None,
        "std": None if plain or set(std) == {1.0} else std,
    }


def _ramp(item: Any) -> Ramp:
    ramp = Ramp()
    for step in item if is_list(item) else [item]:
        ramp = _after(ramp, step)
    return ramp


def _after(ramp: Ramp, step: Any) -> Ramp:
    """Return a ramp and then one more step."""
    kind = step.get("type") if isinstance(step, Mapping) else step
    if kind is None:
        return ramp
    if kind == "processing" and step is not kind:
        return _after_processing(ramp, step)
    if not isinstance(kind, str) or kind not in SCALINGS or step is kind:
        raise ModelError(
            f"scaling {short(step)} is of no kind that is known; possible are objects of type "
            f"{', '.join(SCALINGS)}"
        )
    numbers = [_number(step, key) for key in SCALINGS[kind]]
    if kind in ("min-max", "clip") and not numbers[0] < numbers[1]:
        raise ModelError(f"scaling {short(step)} needs a minimum below its maximum")
    return _STEPS[kind](ramp, *numbers)


_STEPS: Mapping[str, Callable[..., Ramp]] = {
    "min-max": lambda ramp, low, high: ramp.linear(low, high - low),
    "z-score": Ramp.linear,
    "clip": Ramp.clip,
    "clip-min": lambda ramp, low: ramp.clip(low, math.inf),
    "clip-max": lambda ramp, high: ramp.clip(-math.inf, high),
    "offset": lambda ramp, value: ramp.linear(value, 1.0),
    "scale": lambda ramp, value: ramp.linear(0.0, value),
}


def _after_processing(ramp: Ramp, step: Mapping[str, Any]) -> Ramp:
    expression, kind = step.get("expression"), step.get("format")
    if kind is None and expression is None:
        return ramp
    if kind == STEPS and isinstance(expression, list | tuple):
        for one in expression:
            if isinstance(one, Mapping) and one.get("type") == "processing":
                raise ModelError(f"scaling {short(step)} holds a list in a list; write one list")
            ramp = _after(ramp, one)
        return ramp
    raise ModelError(
        f"scaling by the {kind!r} expression {short(expression)} is code, which is never run from "
        f"a description; write it as a list of {', '.join(SCALINGS)} under the format {STEPS!r}"
    )


def _number(step: Mapping[str, Any], key: str) -> float:
    value = step.get(key)
    number = None if isinstance(value, str) else number_of(value)
    if number is None:
        raise ModelError(f"scaling {short(step)} needs {key!r} as a number")
    return number
