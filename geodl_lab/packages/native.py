"""Our own format: ``model.json`` beside a safetensors file; no code and no pickle anywhere."""

from __future__ import annotations

from typing import Any

from geodl_lab.decoders import Decoder, Recognizer
from geodl_lab.errors import ModelError
from geodl_lab.inputs import Fit, InputSpec
from geodl_lab.package import Field, LabelClass, ModelPackage
from geodl_lab.packages.archives import Files, hash_bytes
from geodl_lab.packages.native_schema import check_native
from geodl_lab.packages.weights import load_network
from geodl_lab.receptive import measure_field
from geodl_lab.runtime import Model

FORMAT = "geodl-model"
FORMAT_VERSION = 1
ABOUT = ("title", "description", "license", "attribution", "accuracy")


def read_native(files: Files, name: str) -> Model:
    """Open a ``model.json`` and the weights it names.

    Parameters
    ----------
    files
        The package.
    name
        Its ``model.json``.

    Raises
    ------
    ModelError
        If the description or the weights are damaged or do not belong together.
    """
    text = files.read_json(name)
    if text.get("format") != FORMAT or text.get("format_version") != FORMAT_VERSION:
        raise ModelError(
            f"{name!r} is of format {text.get('format')!r} {text.get('format_version')!r}; "
            f"this version reads {FORMAT!r} {FORMAT_VERSION}"
        )
    check_native(text, name)
    weights = files.find(str(text.get("weights")), beside=name)
    network = load_network(files, weights, architecture=text.get("architecture") or {})
    try:
        return Model(_package(text, hash_bytes(files.read(weights)), network), network)
    except (KeyError, TypeError) as error:
        raise ModelError(
            f"{name!r} lacks or misuses the key {error}; compare it with a bundled model's"
        ) from error


def _stored_field(stored: dict[str, Any]) -> Field:
    return Field(**{**stored, "seams": tuple(stored.get("seams", ()))})


def _package(text: dict[str, Any], sha256: str, network: Any) -> ModelPackage:
    inputs = dict(text["input"])
    for key in ("mean", "std", "low", "high"):
        inputs[key] = tuple(inputs[key]) if inputs.get(key) is not None else None
    for key in ("bands", "positions", "other_names"):
        inputs[key] = tuple(inputs.get(key) or ())
    inputs["fit"] = Fit(**inputs["fit"]) if inputs.get("fit") else None
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
        recognizer=Recognizer(**text["recognizer"]) if text.get("recognizer") else None,
        version=str(text["version"]),
        sha256=sha256,
        about={key: text[key] for key in ABOUT if key in text},
    )
