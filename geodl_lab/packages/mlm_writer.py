"""Models as STAC items of the Machine Learning Model extension v1.4, their weights beside them."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import torch

from geodl_lab.errors import ModelError, OutputError
from geodl_lab.inputs import InputSpec
from geodl_lab.package import LabelClass, ModelPackage
from geodl_lab.packages.archives import hash_bytes
from geodl_lab.packages.mlm_assets import ROLE
from geodl_lab.packages.mlm_ours import OURS, SCALING, plain_name
from geodl_lab.packages.portable import Portable, portable
from geodl_lab.packages.scaling import STEPS
from geodl_lab.runtime import Model
from geodl_lab.staging import staged

STAC_VERSION = "1.1.0"
EXTENSIONS = [
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in ("mlm/v1.4.0", "file/v2.1.0", "version/v1.2.0")
]
TASKS = {
    "classify": "semantic-segmentation",
    "detect": "object-detection",
    "regress": "regression",
    "recognize": "scene-classification",
}
FILES: Mapping[str, tuple[str, str, str]] = {
    ".safetensors": ("safetensors.torch.save_file", "PyTorch", "mlm:weights"),
    ".pt": ("torch.jit.save", "PyTorch", "mlm:compiled"),
    ".onnx": ("onnx.save", "ONNX", "mlm:compiled"),
}
"""Of each kind of file: ``mlm:artifact_type``, ``mlm:framework`` and a further role."""

ARCHITECTURES = {"unet": "U-Net"}
SHOWN = {"title": "title", "description": "description", "citation": "sci:citation"}
SPDX = re.compile(r"[\w.+-]+")


def write_mlm(model: Model, path: Path) -> None:
    """Write a model as a STAC item and its weights beside it, of the same name.

    Parameters
    ----------
    model
        Any that can be written, see `geodl_lab.packages.portable.portable`.
    path
        A ``.json``; it and the weights that it names are overwritten, other files are not.

    Raises
    ------
    ModelError
        If the model cannot be written.
    OutputError
        If the folder cannot be written to, or the weights would destroy another file.
    """
    weights = portable(model, allow_architecture=True)
    beside = path.with_name(path.stem + weights.ending)
    text = _text(_item(model, weights, beside.name))
    _check_free(beside, weights.content, path)
    with staged(path, overwrite=True) as item, staged(beside, overwrite=True) as file:
        file.write_bytes(weights.content)  # in place first, so an item never lacks its weights
        item.write_text(text + "\n", encoding="utf-8")


def _text(item: dict[str, Any]) -> str:
    try:
        return json.dumps(item, indent=2, default=_plain, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"the model's description cannot be written as JSON ({error}); use text and finite "
            "numbers only"
        ) from error


def _item(model: Model, weights: Portable, file: str) -> dict[str, Any]:
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": EXTENSIONS,
        "id": plain_name(model.name),
        "geometry": None,
        "properties": _properties(model, weights),
        "links": [],
        "assets": {"model": _asset(weights, file, model.package.inputs)},
    }


def _asset(weights: Portable, file: str, inputs: InputSpec) -> dict[str, Any]:
    artifact, framework, role = FILES[weights.ending]
    # STAC 1.1 allows bands of an item only where an asset names them, too.
    bands = {"bands": [{"name": name} for name in inputs.bands]} if inputs.bands else {}
    return bands | {
        "href": f"./{quote(file)}",
        "type": f"application/octet-stream; framework={framework.lower()}",
        "title": file,
        "roles": [ROLE, role],
        "mlm:artifact_type": artifact,
        "file:size": len(weights.content),
        "file:checksum": f"1220{hash_bytes(weights.content)}",  # multihash: sha2-256, 32 bytes
    }


def _properties(model: Model, weights: Portable) -> dict[str, Any]:
    package, framework = model.package, FILES[weights.ending][1]
    properties: dict[str, Any] = {
        # The whole of time, as in the examples of the extension: what a model was trained on is
        # not known here.
        "datetime": None,
        "start_datetime": "1900-01-01T00:00:00Z",
        "end_datetime": "9999-12-31T23:59:59Z",
        "version": package.version,
        "mlm:name": plain_name(package.name),
        "mlm:architecture": "unknown",
        "mlm:tasks": [_task(package)],
        "mlm:framework": framework,
        "mlm:accelerator": None,
        "mlm:input": [_input(package, weights.order)],
        "mlm:output": [_output(package, weights.order)],
        OURS: _ours(package, weights),
    }
    version = re.match(r"\d+\.\d+\.\d+", torch.__version__)
    if framework == "PyTorch" and version:
        properties["mlm:framework_version"] = version[0]
    if weights.architecture:
        name, arguments = weights.architecture["name"], weights.architecture["arguments"]
        properties["mlm:architecture"] = ARCHITECTURES.get(name, name)
        properties["mlm:hyperparameters"] = arguments
    if package.inputs.bands:
        properties["bands"] = [_band(name, package.inputs) for name in package.inputs.bands]
    if package.inputs.cell_size is not None:
        properties["gsd"] = package.inputs.cell_size
    return properties | _shown(package.about)


def _task(package: ModelPackage) -> str:
    if package.decoder is not None and package.decoder.name == "masks":
        return "instance-segmentation"
    return TASKS[package.task]


def _band(name: str, inputs: InputSpec) -> dict[str, Any]:
    return {"name": name} | ({} if inputs.dtype is None else {"data_type": inputs.dtype})


def _shown(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is told to people, in the words of STAC."""
    shown: dict[str, Any] = {
        key: str(about[told]) for told, key in SHOWN.items() if about.get(told)
    }
    if about.get("license"):
        spdx = SPDX.fullmatch(str(about["license"]))
        shown["license"] = str(about["license"]) if spdx else "other"
    if about.get("attribution"):
        shown["providers"] = [{"name": str(about["attribution"])}]
    return shown


def _input(package: ModelPackage, order: str) -> dict[str, Any]:
    sides = package.shape_yx if package.fixed_window else (-1, -1)
    return {
        "name": "image",
        "bands": list(package.inputs.bands),
        "input": {
            **_map([-1, package.inputs.count, *sides], order),
            "data_type": "float32",
        },
        "value_scaling": _scaling(package.inputs),
        "resize_type": None,
        "pre_processing_function": None,
    }


def _scaling(inputs: InputSpec) -> list[dict[str, Any]] | None:
    """Return scaling as Value Scaling Objects: one for all bands where they agree."""
    if not inputs.scale:
        raise ModelError(
            "the model scales by 0, so all pixels are equal to it; give scale= another number"
        )
    bands = [_band_scaling(inputs, band) for band in range(inputs.count)]
    bands = bands[:1] if all(band == bands[0] for band in bands) else bands
    return None if bands == [{"type": None}] else bands


def _band_scaling(inputs: InputSpec, band: int) -> dict[str, Any]:
    low = -math.inf if inputs.low is None else inputs.low[band]
    high = math.inf if inputs.high is None else inputs.high[band]
    steps: list[dict[str, Any]] = []
    if -math.inf < low < high < math.inf:
        steps.append({"type": "clip", "minimum": low, "maximum": high})
    else:
        steps += [{"type": "clip-min", "minimum": low}] if low > -math.inf else []
        steps += [{"type": "clip-max", "maximum": high}] if high < math.inf else []
    mean = 0.0 if inputs.mean is None else inputs.mean[band] / inputs.scale
    std = (1.0 if inputs.std is None else inputs.std[band]) / inputs.scale
    if mean:
        steps.append({"type": "z-score", "mean": mean, "stddev": std})
    elif std != 1:
        steps.append({"type": "scale", "value": std})
    if len(steps) > 1:
        return {"type": "processing", "format": STEPS, "expression": steps}
    return steps[0] if steps else {"type": None}


def _output(package: ModelPackage, order: str) -> dict[str, Any]:
    output: dict[str, Any] = {
        "name": {"classify": "classes", "detect": "objects", "regress": "values"}.get(
            package.task, "labels"
        ),
        "tasks": [_task(package)],
        "result": _result(package, order),
        "post_processing_function": None,
    }
    if package.task != "regress":
        output["classification:classes"] = labels_of(package.classes)
    return output


def _result(package: ModelPackage, axes: str) -> dict[str, Any]:
    channels, crop = len(package.classes), package.field.crop
    if package.task == "recognize":
        shape, order = [-1, channels], ["batch", "class"]
    elif package.decoder is not None and package.decoder.answers_objects:
        shape, order = [-1, -1, -1], ["batch", "object", "value"]
    else:
        # A network of two classes may answer one channel, a detector one or two more.
        certain = package.task == "regress" or (package.task == "classify" and channels != 2)
        sides = [side - 2 * crop for side in package.shape_yx] if package.fixed_window else [-1, -1]
        return {
            **_map([-1, channels if certain else -1, *sides], axes), "data_type": "float32",
        }  # fmt: skip
    return {"shape": shape, "dim_order": order, "data_type": "float32"}


def _map(sizes: Sequence[int], order: str) -> dict[str, Any]:
    """Return the shape of a map, sizes (N, C, H, W), in the order of a network's axes."""
    names = ("batch", "channel", "height", "width")
    places = ["NCHW".index(axis) for axis in order]
    return {"shape": [sizes[i] for i in places], "dim_order": [names[i] for i in places]}


def labels_of(classes: tuple[LabelClass, ...]) -> list[dict[str, Any]]:
    """Return classes in the words of the classification extension."""
    return [
        {
            "value": int(label.value),
            "name": re.sub(r"[^0-9A-Za-z_-]", "_", label.name) or "_",
            "title": label.name,
            "description": label.name,
            "color_hint": label.color[1:].upper(),
        }
        for label in classes
    ]


def _ours(package: ModelPackage, weights: Portable) -> dict[str, Any]:
    """Return what MLM cannot say, and the numbers that its words do not hold to the last bit."""
    inputs = {key: getattr(package.inputs, key) for key in ("dtype", *SCALING)}
    inputs["other_names"] = package.inputs.other_names or None
    for key in ("low", "high"):
        if inputs[key] is not None:  # JSON knows no infinity: null is an open end
            inputs[key] = [number if math.isfinite(number) else None for number in inputs[key]]
    if package.inputs.fit is not None:
        inputs["fit"] = dataclasses.asdict(package.inputs.fit)
    values = [int(label.value) for label in package.classes]
    optional = {
        "decoder": package.decoder and dataclasses.asdict(package.decoder),
        "recognizer": package.recognizer and dataclasses.asdict(package.recognizer),
        "values": None if values == sorted(values) else values,
        "quantities": [dataclasses.asdict(label) for label in package.classes]
        if package.task == "regress"
        else None,
    }
    return {
        "name": package.name,
        "sha256": hash_bytes(weights.content),
        "window": list(package.shape_yx),
        "field": dataclasses.asdict(package.field),
        "inputs": {key: value for key, value in inputs.items() if value is not None},
        "about": {key: value for key, value in package.about.items() if key != "asset"},
    } | {key: value for key, value in optional.items() if value is not None}


def _plain(value: Any) -> Any:
    """Return a number of numpy as Python's, anything else as text."""
    return value.item() if hasattr(value, "item") else str(value)


def _check_free(weights: Path, content: bytes, path: Path) -> None:
    """Refuse to overwrite a file that is not the weights of the item that is overwritten."""
    if not weights.is_file() or weights.read_bytes() == content:
        return
    try:
        assets = json.loads(path.read_text(encoding="utf-8"))["assets"].values()
        ours = any(asset["href"] == f"./{quote(weights.name)}" for asset in assets)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        ours = False
    if not ours:
        raise OutputError(
            f"{str(weights)!r} exists and does not belong to {path.name!r}, so the weights cannot "
            "be written there; choose another name"
        )
