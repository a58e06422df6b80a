"""Writes a model as a ``.dlpk``: an Esri model definition and the weights, in one zip.

Standard keys say what they can; the rest stands under ``GeodlLab`` (`emd_ours`). Keys of a package
that was read before are kept. Equal weights files give equal bytes; of a module that is compiled on
the way, TorchScript counts its classes by process, so its file may differ in their names.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geodl_lab.inputs import InputSpec
from geodl_lab.package import ModelPackage
from geodl_lab.packages import emd_ours
from geodl_lab.packages.archives import hash_bytes
from geodl_lab.packages.emd import read_facts
from geodl_lab.packages.emd_inputs import DATES
from geodl_lab.packages.emd_keys import Emd
from geodl_lab.packages.emd_outputs import TYPES
from geodl_lab.packages.portable import portable
from geodl_lab.runtime import Model
from geodl_lab.staging import staged

DATE = 1980, 1, 1, 0, 0, 0
"""The date of every entry, the first that a zip can say: equal content gives equal bytes."""

ESRI_NAMES = {
    "red": "Red",
    "green": "Green",
    "blue": "Blue",
    "nir": "NearInfrared",
    "pan": "Panchromatic",
    "coastal": "CoastalAerosol",
    "rededge": "RedEdge",
    "swir16": "ShortWaveInfrared_1",
    "swir22": "ShortWaveInfrared_2",
}
FRAMEWORKS = {".pt": "PyTorch", ".onnx": "Onnx"}
METRES = {"wkid": 102100, "latestWkid": 3857}
"""The reference system of cell sizes in metres."""

BAND_KEYS = "ExtractBands", "WellKnownBandNames", "Bands", "InputRastersProps", "AllTilesStats"
CELL_KEYS = "CellSize", "MinCellSize", "MaxCellSize"
INPUT_KEYS = (*BAND_KEYS, *CELL_KEYS, *emd_ours.SCALING_KEYS, "NormalizationStats_b", "DoNormalize")
OWN_RUNTIME = "Framework", "InferenceFunction", "ModelConfiguration", "ModelFormat", "GeodlLab"
"""Keys of how the weights ran before they were written anew."""


def write_dlpk(model: Model, target: Path) -> None:
    """Write a model as an Esri package.

    Parameters
    ----------
    model
        What to write.
    target
        The file; an existing one is replaced.

    Raises
    ------
    ModelError
        If the network cannot be written so that it answers alike.
    OutputError
        If the file cannot be written; what was there before stays then.
    """
    files = packed_files(model, stem=_file_name(target.stem))
    with staged(target, overwrite=True) as path, zipfile.ZipFile(path, "w") as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, DATE)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)


def packed_files(model: Model, *, stem: str) -> dict[str, bytes]:
    """Return the files of an Esri package by name.

    Parameters
    ----------
    model
        What to write.
    stem
        Name of the description and the weights, without ending.

    Raises
    ------
    ModelError
        If the network cannot be written so that it answers alike.
    """
    own = getattr(getattr(model.network, "function", None), "content", None)
    if isinstance(own, Mapping):  # a Python function and what it needs: as they came
        return {str(name): bytes(content) for name, content in own.items()}
    files = getattr(model.network, "files", None)
    if files is not None:  # what is not run here: as it came
        return {name: files.read(name) for name in files.members}
    weights = portable(model)
    text = describe(model.package, weights=hash_bytes(weights.content)) | {
        "Framework": FRAMEWORKS[weights.ending],
        "ModelFile": stem + weights.ending,
        "ModelFormat": weights.order,
    }
    content = json.dumps(_plain(text), indent=2, ensure_ascii=False, allow_nan=False, default=str)
    return {stem + ".emd": content.encode(), stem + weights.ending: weights.content}


def describe(package: ModelPackage, *, weights: str) -> dict[str, Any]:
    """Return the keys of an Esri model definition, but those of its files.

    Parameters
    ----------
    package
        What to describe.
    weights
        The sha256 of its weights as they are written.
    """
    before = package.about.get("emd")
    before = dict(before) if isinstance(before, Mapping) else {}
    kept = {key: value for key, value in before.items() if key not in OWN_RUNTIME}
    text = {
        **kept,
        "ModelType": _model_type(package, before),
        "ModelName": package.name,
        "Version": package.version,
        "ModelConfiguration": "geodl_lab",
        "ImageHeight": package.shape_yx[0],
        "ImageWidth": package.shape_yx[1],
        "SupportsVariableTileSize": not package.fixed_window,
        "Classes": [
            {"Value": int(label.value), "Name": label.name, "Color": list(label.rgb)}
            for label in package.classes
        ],
        **_people(package),
        **_context(package),
        **_answers(package),
    }
    if not _says(text, package):
        text = {key: value for key, value in text.items() if key not in INPUT_KEYS}
        text |= _inputs(package.inputs)
    return text | {emd_ours.KEY: emd_ours.write_ours(package, weights=weights)}


def _model_type(package: ModelPackage, before: Mapping[str, Any]) -> str:
    given = before.get("ModelType")
    if isinstance(given, str) and TYPES.get(given) == package.task:
        return given
    if package.decoder is not None and package.decoder.name == "masks":
        return "InstanceDetection"
    names = package.inputs.bands
    if package.task == "classify" and names and all(name.startswith(DATES) for name in names):
        return "ChangeDetection"
    return next(kind for kind, task in TYPES.items() if task == package.task)


def _people(package: ModelPackage) -> dict[str, Any]:
    keys = {"Description": "description", "License": "license", "Attribution": "attribution"}
    return {key: package.about[name] for key, name in keys.items() if package.about.get(name)}


def _context(package: ModelPackage) -> dict[str, Any]:
    """Return what the network cuts off and, where it was not measured, the context it needs."""
    field = package.field
    said = {"ModelPadding": field.crop, "Padding": 0 if field.finite else field.halo}
    return {key: pixels for key, pixels in said.items() if pixels}


def _answers(package: ModelPackage) -> dict[str, Any]:
    if package.decoder is not None:
        return {"Threshold": float(package.decoder.threshold)}
    if package.recognizer is None:
        return {}
    how = package.recognizer
    return {"CropSizeFixed": int(how.fixed_chip), "BlackenAroundFeature": int(how.blacken)}


def _says(text: Mapping[str, Any], package: ModelPackage) -> bool:
    """Tell whether the input keys that a package came with still say what it wants."""
    if "ExtractBands" not in text:
        return False
    return read_facts(Emd("", text), "").inputs == package.inputs


def _inputs(inputs: InputSpec) -> dict[str, Any]:
    """Return bands, cell size and scaling in standard keys, as far as these go."""
    text: dict[str, Any] = {"ExtractBands": list(inputs.positions or range(inputs.count))}
    if inputs.bands and not inputs.positions:
        text["WellKnownBandNames"] = [ESRI_NAMES.get(name, name) for name in inputs.bands]
    if inputs.cell_size is not None:
        size = {"x": inputs.cell_size, "y": inputs.cell_size, "spatialReference": METRES}
        text |= {"MinCellSize": size, "MaxCellSize": size}
    return text | _scaling(inputs)


def _scaling(inputs: InputSpec) -> dict[str, Any]:
    """Return the linear map of each band; what is cut before it, no standard key can say."""
    if inputs.dtype == "uint8" and inputs.mean is None and inputs.std is None and inputs.scale > 0:
        return {"DataRange": [0.0, inputs.scale * 255]}
    zero, span = np.zeros(inputs.count), np.ones(inputs.count)
    zero = zero if inputs.mean is None else np.array(inputs.mean)
    span = span if inputs.std is None else np.array(inputs.std)
    if not (inputs.scale > 0 and (span > 0).all()):
        return {}
    low = _by_position(zero / inputs.scale, inputs.positions, rest=0.0)
    high = _by_position((zero + span) / inputs.scale, inputs.positions, rest=1.0)
    stats = {
        "band_min_values": low,
        "band_max_values": high,
        "scaled_mean_values": [0.0] * len(low),
        "scaled_std_values": [1.0] * len(low),
    }
    return {"IsMultispectral": True, "NormalizationStats": stats}


def _by_position(numbers: np.ndarray, positions: Sequence[int], *, rest: float) -> list[float]:
    """Return numbers of channels as those of all bands of a raster, as ``ExtractBands`` counts."""
    if not positions:
        return [float(number) for number in numbers]
    bands = np.full(max(positions) + 1, rest)
    bands[list(positions)] = numbers
    return [float(number) for number in bands]


def _plain(value: Any) -> Any:
    """Return a value as JSON holds it, which knows no NaN, no infinity and no numpy."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _file_name(stem: str) -> str:
    """Return a name that any file system takes."""
    return re.sub(r"[^\w.-]+", "_", stem).strip(".") or "model"
