"""Python raster functions of Esri packages, run in a process of their own and only under trust.

Keys and calls as in Esri's raster-deep-learning repository (Apache-2.0) and the wiki of its
raster-functions. What differs, on purpose: windows go to the function one by one (``batch_size`` 1)
and without padding where it can be told so, because the context around a core, and that each object
is found once, is the engine's work. Of arcpy there is ``env`` alone (`functions_worker.stand_in`).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from geodl_lab import settings
from geodl_lab.decoders import Recognizer
from geodl_lab.detections import TOUCH
from geodl_lab.errors import ModelError, OptionError, TrustError
from geodl_lab.inputs import InputSpec
from geodl_lab.package import DEFAULT_COLORS, Field, LabelClass
from geodl_lab.packages.archives import Files, hash_bytes
from geodl_lab.packages.emd_inputs import read_inputs
from geodl_lab.packages.emd_keys import Emd
from geodl_lab.packages.emd_outputs import model_type
from geodl_lab.packages.emd_refusals import WAYS_OUT
from geodl_lab.packages.functions_arguments import THRESHOLDS, merged, scalars
from geodl_lab.packages.functions_network import (
    PIXELS,
    POINT_SIZE,
    FunctionNetwork,
    scaled,
)
from geodl_lab.packages.functions_process import Function, FunctionError
from geodl_lab.packages.wrap import Facts, closed
from geodl_lab.runtime import Model

USUAL = "uint8"
"""Pixel type that a function is tried with where the package says none."""

LARGEST = 2**14
"""Pixels of a block's side that a function may ask for."""

ALONE = 2.0**31
"""Bytes per pixel that are noted of a function: more than there are, because its forwards go one
after the other, so one gets all threads."""


def open_function(
    files: Files, name: str, text: Mapping[str, Any], facts: Facts, *, trust: bool | str
) -> Model:
    """Open a package whose inference is a Python raster function.

    Parameters
    ----------
    files
        The package.
    name
        Its ``.emd``.
    text
        The JSON of the ``.emd``; ``InferenceFunction`` names the Python file.
    facts
        What the ``.emd`` says. Pixels reach the function as they are stored, in ``inputs.dtype``
        or else the raster's own type; only where the function asks for a ``dataRange`` they are
        brought to it first, as ArcGIS does, and are float32.
    trust
        True, or the hash of this package, lets the function run; else the model can only be looked
        at.

    Raises
    ------
    ModelError
        If the file is missing, or the function does not run.
    """
    file = files.find(str(text.get("InferenceFunction")), beside=name)
    facts = dataclasses.replace(facts, sha256=files.sha256)
    if trust is not True and trust != files.sha256:
        reason = (
            f"model {facts.name!r} runs its own Python code ({file!r}), which was not run; if you "
            f"know where it is from, open it with trust=True (sha256 {files.sha256})"
        )
        if way_out := WAYS_OUT.get(str(text.get("Framework")).lower()):
            reason += f"; its code has to bring its framework, because {way_out}"
        return closed(facts, TrustError(reason), files)
    content = {name: files.read(name) for name in files.names if not name.endswith("/")}
    told = {}
    if "BatchSize" in text:  # a batch that the package fixes would have seams inside
        told = {name: json.dumps({**text, "BatchSize": 1}).encode()}
    function = Function(content, name, file, files.sha256, told)
    masks = text.get("ModelType") == "InstanceDetection" or facts.decoder == "masks"
    return _model(FunctionNetwork(function, facts, facts, masks))


def with_arguments(model: Model, arguments: Mapping[str, Any]) -> Model:
    """Return a raster function's model with other arguments.

    Parameters
    ----------
    model
        As `open_function` made it.
    arguments
        By the names in ``model.network.parameters``; those given before are kept. ``threshold``
        and ``score_threshold`` are the same, ``padding`` is the context around a core in pixels;
        ``batch_size`` and ``exclude_pad_detections`` have no effect.

    Raises
    ------
    OptionError
        If there is no such argument, or the value is not possible.
    ModelError
        If the model is no raster function, or does not run with them.
    """
    network = model.network
    if not isinstance(network, FunctionNetwork):
        raise ModelError(
            f"model {model.name!r} is no raster function that runs, so it takes no arguments; "
            "give options of the run, such as threshold= and padding="
        )
    given = merged(network.arguments, arguments)
    return _model(dataclasses.replace(network, facts=network.said, arguments=given))


def _model(network: FunctionNetwork) -> Model:
    """Ask the function what it wants, run it once on nothing, and describe what came out."""
    try:
        network, halo = _configured(network)
        # In the type of a run, so that what the function was told still holds then.
        usual = np.zeros(network.facts.shape, network.facts.inputs.dtype or USUAL)
        x = torch.from_numpy(usual.astype(np.float32) if scaled(network.facts.inputs) else usual)
        # With all cores, as in a run: another number of threads would be another process.
        answer = network.placed("cpu", settings.cores())(x)
    except FunctionError as error:
        raise ModelError(f"model {network.facts.name!r} does not run: {error}") from None
    return _described(network, answer, halo)


def _configured(network: FunctionNetwork) -> tuple[FunctionNetwork, int | None]:
    """Return the network as the function wants it, and the padding that the package asks for."""
    facts, worker = network.facts, network.worker("cpu", settings.cores())
    loaded = worker.load()
    method = "updatePixels" if facts.task in PIXELS else "vectorize"
    if method not in loaded["methods"]:
        raise ModelError(
            f"model {facts.name!r} is made to {facts.task}, but its raster function "
            f"{network.function.file!r} has no {method}; get a package whose ModelType fits"
        )
    parameters = tuple(loaded["parameters"])
    given = scalars(parameters, network.arguments)
    network = dataclasses.replace(network, scalars=given, parameters=parameters)
    pixel_type, dates = np.dtype(facts.inputs.dtype or USUAL).str[1:], _dates(network)
    found = worker.configure(network.asked(pixel_type))
    padding, height, width = _block(found["configuration"], facts)
    inputs = _inputs(facts, found["configuration"], network.function.file, dates)
    if inputs.count != facts.inputs.count:  # it was told of another raster
        fitting = dataclasses.replace(network, facts=dataclasses.replace(facts, inputs=inputs))
        found = worker.configure(fitting.asked(pixel_type))
    if facts.task in PIXELS:  # for others the rim is made for each window: see PlacedFunction
        height, width = height + 2 * padding, width + 2 * padding
    facts = dataclasses.replace(facts, inputs=inputs, window=height, width=width)
    if facts.task in PIXELS and not facts.classes:
        facts = dataclasses.replace(facts, task="regress", classes=_quantities(found["bands"]))
    network = dataclasses.replace(
        network,
        facts=facts,
        padding=padding,
        points=not network.masks and found["geometry"] in (1, 2),
    )
    defaults = {p["name"]: p.get("value") for p in parameters}
    wanted = map(str, (facts.padding, padding, defaults.get("padding")))
    return network, next((int(text) for text in wanted if text.strip("0").isdecimal()), None)


def _described(network: FunctionNetwork, answer: Any, padding: int | None) -> Model:
    """Return the model of a network that has answered once."""
    facts = network.facts
    dense = facts.task in PIXELS
    crop = (facts.window - answer.shape[2]) // 2 if dense else 0
    halo = _halo(network, padding, least=crop if dense else TOUCH + 1)
    facts = dataclasses.replace(
        facts,
        width=None if facts.width == facts.window else facts.width,
        fixed_window=True,
        field=Field(finite=False, halo=halo, crop=crop, memory=ALONE),
        decoder="masks" if network.masks else "boxes",
        decoding=_decoding(network) if facts.task == "detect" else {},
        recognizer=_recognizer(facts),
        about={**facts.about, **_told(network.arguments)},
    )
    if dense and answer.shape[1] != (bands := len(facts.classes) if facts.task == "regress" else 1):
        raise ModelError(
            f"model {facts.name!r} answers {answer.shape[1]} bands; {facts.task} needs {bands}"
        )
    package = closed(facts, ModelError("replaced below")).package
    answers = "values" if facts.task == "classify" else "scores"
    package = dataclasses.replace(package, answers=answers, layout="nchw")
    return Model(package, network, token=_token(network.arguments))


def _halo(network: FunctionNetwork, padding: int | None, *, least: int) -> int:
    """Return the context of a core: as the caller says, or the package, or a quarter window."""
    side, given = min(network.facts.shape[2:]), network.arguments.get("padding")
    quarter = max(side // 4, least)
    if given is None:
        return max(padding, least) if padding and padding < side / 2 else quarter
    if not str(given).isdecimal() or not least <= int(given) < side / 2:
        raise OptionError(
            f"padding {given!r} is not possible with model {network.facts.name!r}; give {least} to "
            f"{(side - 1) // 2} pixels"
        )
    return int(given)


def _block(configuration: Mapping[str, Any], facts: Facts) -> tuple[int, int, int]:
    """Return padding, and height and width inside it, that a function asks for, in pixels."""
    _, _, height, width = facts.shape
    try:
        padding = int(configuration.get("padding") or 0)
        ty = int(configuration.get("ty") or height - 2 * padding)
        tx = int(configuration.get("tx") or width - 2 * padding)
    except (TypeError, ValueError):
        padding = ty = tx = -1
    if padding < 0 or min(ty, tx) < 1 or max(ty, tx) + 2 * padding > LARGEST:
        asked = {key: configuration.get(key) for key in ("tx", "ty", "padding")}
        raise FunctionError(
            f"its getConfiguration asks for blocks of {asked}; possible are pixels, {LARGEST} with "
            "the padding on both sides"
        )
    return padding, ty, tx


def _dates(network: FunctionNetwork) -> int:
    """Return the rasters that a function takes: 1, or 2 for change detection."""
    said = network.facts.about.get("emd") or {}
    kinds = [str(parameter.get("dataType")) for parameter in network.parameters]
    count = sum(kind.startswith("raster") for kind in kinds)
    if count > 1 and said.get("ModelType") != "ChangeDetection":
        raise FunctionError(
            f"{network.function.file!r} takes {count} rasters; possible is one, or two where the "
            "ModelType is ChangeDetection"
        )
    return max(count, 1)


def _inputs(facts: Facts, configuration: Mapping[str, Any], file: str, rasters: int) -> InputSpec:
    """Return the inputs with the bands that the function extracts, scaled only if it asks."""
    inputs, said = facts.inputs, facts.about.get("emd") or {}
    extracted, asked = configuration.get("extractBands"), configuration.get("dataRange")
    text = {"ExtractBands": [*range(inputs.count)], **said, "DataRange": asked or None}
    if inputs.dtype is not None:
        text["InputRastersProps"] = {"PixelType": inputs.dtype}
    if extracted:
        text["ExtractBands"] = extracted
    emd = Emd(f"getConfiguration of {file}", text)
    dates = 2 if said and model_type(emd) == "ChangeDetection" else 1
    wanted = read_inputs(emd, dates=dates, from_learn=False, function=True)
    bands = [*text["ExtractBands"]]
    if rasters > 1 and wanted.count == len(bands):  # of each of the two
        emd = Emd(emd.name, {**text, "ExtractBands": bands * rasters})
        wanted = read_inputs(emd, dates=dates, from_learn=False, function=True)
    if asked:
        changes = {name: getattr(wanted, name) for name in ("dtype", "scale", "mean")}
    else:
        changes = {"scale": 1.0, "mean": None}
    changes |= {"std": None, "low": None, "high": None}
    listed = said.get("ExtractBands", [*range(inputs.count)])
    if (extracted and extracted != listed) or wanted.count != inputs.count:
        changes |= {name: getattr(wanted, name) for name in ("bands", "count", "positions")}
    return dataclasses.replace(inputs, **changes)


def _quantities(bands: int) -> tuple[LabelClass, ...]:
    """Name the bands of a function that names no classes."""
    names = ["value"] if bands == 1 else [f"band_{band}" for band in range(1, bands + 1)]
    return tuple(
        LabelClass(i, name, DEFAULT_COLORS[i % len(DEFAULT_COLORS)]) for i, name in enumerate(names)
    )


def _decoding(network: FunctionNetwork) -> dict[str, Any]:
    """Return the decoder's fields."""
    own = any(parameter["name"] in THRESHOLDS for parameter in network.parameters)
    # What the function keeps by its own threshold is kept: to score just as much is enough there.
    decoding = {"threshold": 0.0, **network.facts.decoding, **({"threshold": 0.0} if own else {})}
    if "threshold" in network.arguments:
        decoding["threshold"] = network.arguments["threshold"]
    if network.points:
        decoding.setdefault("box_size", POINT_SIZE)
    return decoding


def _recognizer(facts: Facts) -> Recognizer | None:
    """Return how labels of chips are read; a function answers confidences, not logits."""
    if facts.task != "recognize":
        return None
    return dataclasses.replace(facts.recognizer or Recognizer(), activation="none")


def _told(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"arguments": dict(arguments)} if arguments else {}


def _token(arguments: Mapping[str, Any]) -> str:
    """Tell models of one package with other arguments apart, wherever they travel."""
    if not arguments:
        return ""
    return hash_bytes(json.dumps(arguments, sort_keys=True, default=str).encode())
