"""Our own format: ``model.json`` beside a safetensors file; no code and no pickle anywhere."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from geodl_lab import nets
from geodl_lab.errors import ModelError, first_line
from geodl_lab.package import Decoder, Field, InputSpec, LabelClass, ModelPackage
from geodl_lab.receptive import measure_field
from geodl_lab.runtime import Model

FORMAT = "geodl-model"
FORMAT_VERSION = 1
ABOUT = ("title", "description", "license", "attribution", "accuracy")


def read_native(path: Path) -> Model:
    """Open a ``model.json`` and the weights it names.

    Parameters
    ----------
    path
        The ``model.json`` file.

    Raises
    ------
    ModelError
        If the description or the weights are damaged or do not belong together.
    """
    text = read_json(path)
    if text.get("format") != FORMAT or text.get("format_version") != FORMAT_VERSION:
        raise ModelError(
            f"{str(path)!r} is of format {text.get('format')!r} {text.get('format_version')!r}; "
            f"this version reads {FORMAT!r} {FORMAT_VERSION}"
        )
    weights = inside(path.parent, str(text.get("weights")))
    network = _network(text, weights)
    try:
        return Model(_package(text, weights, network), network)
    except (KeyError, TypeError) as error:
        raise ModelError(
            f"{str(path)!r} lacks or misuses the key {error}; compare it with a bundled model's"
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; errors name the line.

    Raises
    ------
    ModelError
        If the file is missing or no JSON object.
    """
    try:
        text = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise ModelError(
            f"{str(path)!r} is no valid JSON: line {error.lineno}, column {error.colno}: "
            f"{error.msg}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{str(path)!r} cannot be read: {error}") from error
    if not isinstance(text, dict):
        raise ModelError(f"{str(path)!r} holds a {type(text).__name__}; a JSON object is needed")
    return text


def inside(folder: Path, name: str) -> Path:
    """Return a file of a package, given with either kind of slash; never one outside.

    Raises
    ------
    ModelError
        If the file lies outside the folder or is missing.
    """
    path = (folder / name.replace("\\", "/")).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ModelError(f"the model names the file {name!r} outside its own folder")
    if not path.is_file():
        raise ModelError(f"the model's file {name!r} is missing in {str(folder)!r}")
    return path


def hash_file(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _network(text: dict[str, Any], weights: Path) -> torch.nn.Module:
    architecture = text.get("architecture") or {}
    name = architecture.get("name")
    if name not in nets.ARCHITECTURES:
        raise ModelError(
            f"architecture {name!r} is not known; possible are {', '.join(nets.ARCHITECTURES)}"
        )
    try:
        network = nets.build(name, architecture.get("arguments") or {})
        network.load_state_dict(safetensors.torch.load_file(weights))
    except (RuntimeError, TypeError, safetensors.SafetensorError) as error:
        raise ModelError(
            f"the weights {weights.name!r} do not open as those of {name!r} ({first_line(error)}); "
            "get the model again"
        ) from error
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)


def _stored_field(stored: dict[str, Any]) -> Field:
    return Field(**{**stored, "seams": tuple(stored.get("seams", ()))})


def _package(text: dict[str, Any], weights: Path, network: torch.nn.Module) -> ModelPackage:
    inputs = dict(text["input"])
    for key in ("bands", "mean", "std"):
        inputs[key] = tuple(inputs[key]) if inputs.get(key) is not None else inputs.get(key)
    spec, window = InputSpec(**inputs), int(text["window"])
    stored = text.get("field")
    field = _stored_field(stored) if stored else measure_field(network, spec.count, window=window)
    return ModelPackage(
        name=str(text["name"]),
        task=str(text["task"]),
        inputs=spec,
        classes=tuple(LabelClass(**label) for label in text["classes"]),
        window=window,
        field=field,
        decoder=Decoder(**text["decoder"]) if text.get("decoder") else None,
        version=str(text["version"]),
        sha256=hash_file(weights),
        about={key: text[key] for key in ABOUT if key in text},
    )
