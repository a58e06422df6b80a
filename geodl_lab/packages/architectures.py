"""Architectures that a file of tensors may name: ours, and segmentation-models-pytorch's."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Mapping
from typing import Any

import torch

from geodl_lab import nets
from geodl_lab.errors import ModelError, first_line

SMP = "segmentation_models_pytorch"
SMP_NETS = (
    "DPT", "DeepLabV3", "DeepLabV3Plus", "FPN", "Linknet", "MAnet", "PAN", "PSPNet", "Segformer",
    "UPerNet", "Unet", "UnetPlusPlus",
)  # fmt: skip
PREFIXES = (f"{SMP}.", "smp.", "")
ENCODER = re.compile(r"[\w.-]{1,100}")
"""Names of encoders; a colon or a slash would name a file or a site."""

MAX_NUMBER, MAX_TEXT, MAX_DEPTH = 8192, 4096, 8


def build_architecture(architecture: Mapping[str, Any]) -> torch.nn.Module:
    """Build a network without weights; ours take no memory before the weights are assigned.

    Parameters
    ----------
    architecture
        ``name``: one of `nets.ARCHITECTURES`, or a class of segmentation-models-pytorch, as in
        ``smp.Unet``. ``arguments``: what it is made with, plain JSON.

    Raises
    ------
    ModelError
        If there is none of that name, or it cannot be made so.
    """
    if not isinstance(architecture, Mapping):
        raise ModelError(
            f"the architecture is a {type(architecture).__name__}; give an object with name and "
            "arguments"
        )
    name, arguments = architecture.get("name"), architecture.get("arguments") or {}
    _check_arguments(name, arguments)
    if isinstance(name, str) and name in nets.ARCHITECTURES:
        return _ours(name, arguments)
    for prefix in PREFIXES:
        if isinstance(name, str) and name.removeprefix(prefix) in SMP_NETS:
            return _smp(name.removeprefix(prefix), arguments)
    raise ModelError(
        f"architecture {str(name)[:100]!r} is not known; possible are "
        f"{', '.join(nets.ARCHITECTURES)}, and smp.Unet and others of segmentation-models-pytorch"
    )


def _ours(name: str, arguments: Mapping[str, Any]) -> torch.nn.Module:
    # Without memory: else arguments that lie could take all there is before they are found out.
    with torch.device("meta"):
        return _made(lambda: nets.build(name, dict(arguments)), name)


def _smp(name: str, arguments: Mapping[str, Any]) -> torch.nn.Module:
    """Build a net of segmentation-models-pytorch, which must not fetch weights or open files."""
    try:
        library = importlib.import_module(SMP)
    except Exception as error:  # an import runs anybody's code: whatever it raises, it is not there
        raise ModelError(
            f"architecture 'smp.{name}' needs segmentation-models-pytorch, which is not to be "
            f"imported here ({first_line(error)}); install it, as in pip install geodl-lab[smp]"
        ) from error
    kind = getattr(library, name, None)
    if not isinstance(kind, type):
        raise ModelError(
            f"segmentation-models-pytorch has no {name!r} here; install a newer one, as in pip "
            "install -U geodl-lab[smp]"
        )
    # Of a **kwargs the encoder's library would make files to open, so it gets none.
    named = {
        parameter.name
        for parameter in inspect.signature(kind).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    if unknown := sorted(set(arguments) - named):
        raise ModelError(
            f"architecture 'smp.{name}' has no argument {unknown[0]!r}; possible are "
            f"{', '.join(sorted(named))}"
        )
    encoder = arguments.get("encoder_name", "resnet34")
    if not isinstance(encoder, str) or not ENCODER.fullmatch(encoder):
        raise ModelError(f"encoder_name {encoder!r} is no name; write it as in 'resnet34'")
    return _made(lambda: kind(**{**arguments, "encoder_weights": None}), f"smp.{name}")


def _made(make: Any, name: str) -> torch.nn.Module:
    try:
        return make()
    except Exception as error:  # arguments of a file may make a net raise about anything
        raise ModelError(
            f"architecture {name!r} cannot be made of its arguments ({first_line(error)}); get the "
            "model again"
        ) from error


def _check_arguments(name: Any, arguments: Any) -> None:
    try:
        size = len(json.dumps(arguments, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        size = MAX_TEXT + 1
    if not isinstance(arguments, Mapping) or size > MAX_TEXT or not _fits(arguments, MAX_DEPTH):
        raise ModelError(
            f"the arguments of architecture {str(name)[:100]!r} are no short JSON object of names, "
            f"numbers up to {MAX_NUMBER}, text and lists; get the model again"
        )


def _fits(value: Any, depth: int) -> bool:
    """Tell whether a value of JSON is shallow and its numbers are such as nets have."""
    if isinstance(value, Mapping):
        return depth > 0 and all(_fits(part, depth - 1) for part in value.values())
    if isinstance(value, list | tuple):
        return depth > 0 and all(_fits(part, depth - 1) for part in value)
    return not isinstance(value, int | float) or abs(value) <= MAX_NUMBER
