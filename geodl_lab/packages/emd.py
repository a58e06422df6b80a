"""Esri model definitions (``.emd``): a JSON description beside the weights.

Keys as in Esri's raster-deep-learning repository (Apache-2.0); unknown ones are ignored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from geodl_lab.errors import ModelError, TrustError
from geodl_lab.package import Field, InputSpec, LabelClass, ModelPackage
from geodl_lab.packages.native import hash_file, inside, read_json
from geodl_lab.receptive import measure_field, measure_memory
from geodl_lab.runtime import Model

BANDS = {"nearinfrared": "nir", "nir": "nir"}
STORED_MAX = 255
"""Largest stored value: a ``DataRange`` of 0..1 is stored bytes divided by this."""


def read_emd(path: Path, *, trust: bool) -> Model:
    """Open an ``.emd`` of a pixel classifier with TorchScript weights.

    Parameters
    ----------
    path
        The ``.emd`` file.
    trust
        True runs the weights' program; TorchScript is code.

    Raises
    ------
    ModelError
        If the description is damaged or of a kind that this version does not run.
    TrustError
        If the weights are a program and are not trusted.
    """
    text = read_json(path)
    if text.get("ModelType") != "ImageClassification":
        raise ModelError(
            f"{path.name!r} is of ModelType {text.get('ModelType')!r}; this version runs "
            "'ImageClassification'"
        )
    weights = inside(path.parent, str(text.get("ModelFile")))
    if weights.suffix != ".pt":
        raise ModelError(
            f"{path.name!r} has the weights {weights.name!r}; this version runs TorchScript (.pt)"
        )
    if not trust:
        raise TrustError(
            f"{weights.name!r} is a program (TorchScript) and was not run; if you know where "
            f"it is from, open it with trust=True (sha256 {hash_file(weights)})"
        )
    network = _load(weights)
    try:
        return Model(_package(text, path, weights, network), network)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path.name!r} lacks or misuses the key {error}") from error


def _load(weights: Path) -> Any:
    try:
        return torch.jit.load(str(weights), map_location="cpu").eval()
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"the weights {weights.name!r} do not open; get the model again"
        ) from error


def _package(text: dict[str, Any], path: Path, weights: Path, network: Any) -> ModelPackage:
    inputs = _inputs(text)
    window = int(text["ImageHeight"])
    return ModelPackage(
        name=str(text.get("ModelName") or path.stem),
        task="classify",
        inputs=inputs,
        classes=tuple(_label(label) for label in text["Classes"]),
        window=window,
        field=_field(text, network, inputs.count, window),
        fixed_window=True,
        version=str(text.get("Version", "1.0.0")),
        sha256=hash_file(weights),
        about={
            "description": text.get("Description", ""),
            "license": text.get("License", ""),
            "attribution": text.get("Attribution", ""),
        },
    )


def _inputs(text: dict[str, Any]) -> InputSpec:
    names = tuple(BANDS.get(n.lower(), n.lower()) for n in text.get("WellKnownBandNames", ()))
    low, high = text.get("DataRange", (0, STORED_MAX))
    if low != 0:
        raise ModelError(f"DataRange {[low, high]} does not begin at 0; this version needs 0")
    cell = text.get("CellSize")
    return InputSpec(names, len(text["ExtractBands"]), "uint8", high / STORED_MAX, cell_size=cell)


def _field(text: dict[str, Any], network: Any, channels: int, window: int) -> Field:
    """Take the padding the package states; a net of one size has no field to measure."""
    if "ModelPadding" not in text:
        return measure_field(network, channels, window=window)
    padding = int(text["ModelPadding"])
    memory = measure_memory(network, torch.zeros(1, channels, window, window))
    return Field(finite=False, halo=padding, crop=padding, memory=memory)


def _label(label: dict[str, Any]) -> LabelClass:
    color = "#{:02x}{:02x}{:02x}".format(*label["Color"][:3])
    return LabelClass(int(label["Value"]), str(label["Name"]), color)
