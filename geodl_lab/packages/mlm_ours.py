"""What MLM cannot say, under one property of ours; where both speak, the standard key wins."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from geodl_lab.checks import is_whole
from geodl_lab.decoders import Decoder, Recognizer
from geodl_lab.errors import ModelError
from geodl_lab.inputs import Fit, InputSpec
from geodl_lab.package import Field
from geodl_lab.packages.mlm_values import built, number, texts, typed
from geodl_lab.packages.wrap import Facts

SCALING = ("scale", "mean", "std", "low", "high")
"""Fields of the input that are written to the last bit."""

OURS = "geodl:package"
"""The property for what MLM cannot say; where both speak, the standard key wins."""


def read_ours(properties: Mapping[str, Any], sha256: str) -> dict[str, Any]:
    """Return what only we say; what was measured counts for that very file only."""
    ours = typed(properties.get(OURS, {}), dict, OURS)
    return ours if ours.get("sha256") == sha256 else {k: v for k, v in ours.items() if k != "field"}


def read_name(properties: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """Return the name; ours where the standard one is the same in fewer letters."""
    name = typed(properties.get("mlm:name"), str, "mlm:name")
    exact = ours.get("name")
    return exact if isinstance(exact, str) and plain_name(exact) == name else name


def plain_name(name: str) -> str:
    """Return a name in the letters that ``mlm:name`` takes."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "_.- ") else "-" for c in name)
    kept = kept.strip("_.- ")
    return kept if len(kept) > 2 and kept[0].isalpha() else f"model-{kept}-geodl"


def exact_inputs(inputs: InputSpec, ours: Mapping[str, Any]) -> InputSpec:
    """Take our own numbers where they say the same as the standard ones, to the last bit.

    Raises
    ------
    ModelError
        If ours are damaged.
    """
    told = typed(ours.get("inputs", {}), dict, f"inputs of {OURS}")
    kept: dict[str, Any] = {}
    if inputs.dtype is None and told.get("dtype") is not None:
        kept["dtype"] = typed(told["dtype"], str, f"dtype of {OURS}")
    if inputs.fit is None and told.get("fit") is not None:
        kept["fit"] = built(Fit, typed(told["fit"], dict, "fit"), f"fit of {OURS}")
    if not inputs.other_names and told.get("other_names") is not None:
        kept["other_names"] = tuple(texts(told["other_names"], f"other_names of {OURS}"))
    inputs = built(
        lambda **fields: dataclasses.replace(inputs, **fields), kept, f"inputs of {OURS}"
    )
    if not told.keys() & set(SCALING):
        return inputs
    fields = {key: _read(told, key) for key in SCALING}
    exact = built(
        lambda **fields: dataclasses.replace(inputs, **fields), fields, f"inputs of {OURS}"
    )
    return exact if _alike(inputs, exact) else inputs


def _read(told: Mapping[str, Any], key: str) -> Any:
    """Return a field of the scaling; JSON knows no infinity, so null is an open end."""
    value = told.get(key)
    if key == "scale":
        return _numbers([1.0 if value is None else value], None)[0]
    free = {"low": -math.inf, "high": math.inf}.get(key)
    return None if value is None else _numbers(typed(value, list, f"{key} of {OURS}"), free)


def _numbers(values: list[Any], free: float | None) -> tuple[float, ...]:
    numbers = [free if value is None else number(value) for value in values]
    if None in numbers:
        raise ModelError(
            f"inputs of {OURS} hold {values!r:.100}, which are no numbers; leave it out"
        )
    return tuple(one for one in numbers if one is not None)


def _alike(one: InputSpec, other: InputSpec) -> bool:
    """Tell whether two inputs scale alike but for rounding."""
    with np.errstate(all="ignore"):
        pairs = zip(_ramps(one), _ramps(other), strict=True)
        return all(np.allclose(*pair, rtol=1e-9, atol=1e-12) for pair in pairs)


def _ramps(inputs: InputSpec) -> list[np.ndarray]:
    """Return scale, offset, low and high of each band, shape (band,) each, float64."""
    ones = np.ones(inputs.count)
    std = ones if inputs.std is None else np.asarray(inputs.std, dtype=np.float64)
    mean = 0 * ones if inputs.mean is None else np.asarray(inputs.mean, dtype=np.float64)
    low = ones * -np.inf if inputs.low is None else np.asarray(inputs.low, dtype=np.float64)
    high = ones * np.inf if inputs.high is None else np.asarray(inputs.high, dtype=np.float64)
    return [inputs.scale / std, mean / std, low, high]


def with_ours(facts: Facts, output: Mapping[str, Any], ours: Mapping[str, Any]) -> Facts:
    """Add what MLM cannot say: decoder, recognizer and the measured field.

    Raises
    ------
    ModelError
        If it is damaged.
    """
    if facts.task == "detect":
        decoder = typed(ours.get("decoder", {}), dict, f"decoder of {OURS}")
        masks = "instance-segmentation" in texts(output.get("tasks") or [], "tasks")
        kind = decoder.get("name", "masks" if masks else "auto")
        kept = {key: value for key, value in decoder.items() if key not in ("name", "layout")}
        built(Decoder, {**kept, "name": "boxes"}, f"decoder of {OURS}")
        facts = dataclasses.replace(facts, decoder=kind, decoding=kept)
    if facts.task == "recognize":
        told = dict(typed(ours.get("recognizer", {}), dict, f"recognizer of {OURS}"))
        if isinstance(told.get("thresholds"), list):
            told["thresholds"] = tuple(told["thresholds"])
        flags = [told.get(key, True) for key in ("exclusive", "fixed_chip", "blacken")]
        if not all(isinstance(flag, bool) for flag in flags):
            raise ModelError(f"recognizer of {OURS} is damaged; write true or false")
        recognizer = built(Recognizer, told, f"recognizer of {OURS}")
        facts = dataclasses.replace(facts, recognizer=recognizer)
    field = ours.get("field")
    if field is None:
        return facts
    return dataclasses.replace(facts, field=_field(typed(field, dict, f"field of {OURS}")))


def _field(told: Mapping[str, Any]) -> Field:
    whole = [told.get(key, 1) for key in ("stride", "halo", "crop")]
    numbers = [told.get("memory", 1), *typed(told.get("seams", []), list, f"field of {OURS}")]
    fine = (
        isinstance(told.get("finite"), bool)
        and whole[0] != 0
        and all(is_whole(one) and one >= 0 for one in whole)
        and all(number(one) is not None for one in numbers)
    )
    if not fine:
        raise ModelError(f"field of {OURS} is damaged; leave it out, and it is measured")
    seams = tuple(map(float, told.get("seams", [])))
    return built(Field, {**told, "seams": seams}, f"field of {OURS}")
