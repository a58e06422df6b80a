"""Esri model definitions (``.emd``), alone beside their weights or in a ``.dlpk``.

Keys as in Esri's public samples (raster-deep-learning, Apache-2.0) and as arcgis.learn writes
them; `geodl_lab.packages.emd_keys.KEYS` says what each does here.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from geodl_lab.errors import ModelError
from geodl_lab.packages import emd_ours
from geodl_lab.packages.archives import Files, hash_bytes
from geodl_lab.packages.axes import channels_first, from_two_images
from geodl_lab.packages.emd_inputs import cell_size_range, read_inputs
from geodl_lab.packages.emd_keys import KEYS, Emd
from geodl_lab.packages.emd_outputs import TYPES, model_type, read_classes, read_threshold
from geodl_lab.packages.emd_refusals import (
    IN_ARCGIS,
    elsewhere,
    foreign,
    is_learn,
    refusal,
    runnable_weights,
    unknown_type,
)
from geodl_lab.packages.functions import open_function
from geodl_lab.packages.weights import load_network
from geodl_lab.packages.wrap import Facts, closed, wrap
from geodl_lab.runtime import Model

__all__ = ["KEYS", "read_emd", "read_facts"]

LARGEST = 16_384
"""Pixels of a window's side; the network is tried at this size."""

FUNCTION_SIDE = 256
"""Pixels of a window's side where a Python function may say another (as in Esri's templates)."""


def read_emd(files: Files, name: str, *, trust: bool) -> Model:
    """Open an ``.emd``.

    An InferenceFunction that is a file of the package decides how the weights are used, so they
    are not run without it, and it is not run without trust.

    Parameters
    ----------
    files
        The package.
    name
        Its ``.emd``.
    trust
        True lets the package's own code run.

    Returns
    -------
    Model
        Ready to run; or one that says why it cannot, with the way out.

    Raises
    ------
    ModelError
        If the description is damaged, lacks a key that it needs, or does not fit the weights.
    TrustError
        If the weights are a program and are not trusted.
    """
    text = files.read_json(name)
    emd = Emd(name, text)
    function = emd.word("InferenceFunction") or ""
    own = bool(function) and not function.lower().startswith(IN_ARCGIS)
    if own and (files.holds(function, beside=name) or not elsewhere(emd)):
        files.find(function, beside=name)
        facts = read_facts(emd, files.sha256, function=True)
        return open_function(files, name, text, facts, trust=trust)
    file = str(emd.required("ModelFile", "the weights, relative to the description"))
    reason = foreign(emd, file) if elsewhere(emd) else None
    if reason and not files.holds(file, beside=name):  # as of Esri's samples
        return closed(read_facts(emd, files.sha256), reason, files)
    weights = runnable_weights(files, files.find(file, beside=name))
    facts = read_facts(emd, hash_bytes(files.read(weights)))
    if reason := refusal(emd, files, weights):
        return closed(facts, reason, files)
    network = load_network(files, weights, trust=trust, architecture=_architecture(emd))
    network = _adapted(network, emd)
    try:
        return wrap(network, facts)
    except ModelError:
        for other in _otherwise(emd, facts):
            with contextlib.suppress(ModelError):
                return wrap(network, other)
        raise


def read_facts(emd: Emd, sha256: str, *, function: bool = False) -> Facts:
    """Return what a description says.

    Parameters
    ----------
    emd
        The description.
    sha256
        Hash of the weights, or of the package where it runs its own function.
    function
        True where a Python function of the package runs the weights.

    Raises
    ------
    ModelError
        If a key is missing or of a wrong kind; the message names it.
    """
    kind = model_type(emd)
    # A type that does not run here gets a task all the same, so that it can be looked at.
    task, padding = TYPES.get(kind, "classify"), _padding(emd)
    height, width = _window(emd, optional=function)
    learn, dates = is_learn(emd) and not function, 2 if kind == "ChangeDetection" else 1
    inputs = read_inputs(emd, dates=dates, from_learn=learn, function=function)
    decoding = emd_ours.sharpen_decoding(read_threshold(emd), emd) if task == "detect" else {}
    named = decoding.pop("name", "masks" if kind == "InstanceDetection" else "auto")
    bare = (function or unknown_type(emd)) and task != "detect" and emd.get("Classes") is None
    background = learn and kind == "ImageClassification"
    return Facts(
        name=emd.word("ModelName") or PurePosixPath(emd.name).stem,
        task=task,
        inputs=emd_ours.sharpen_inputs(inputs, emd),
        classes=() if bare else read_classes(emd, task, background=background),
        window=height,
        width=None if width == height else width,
        fixed_window=not emd.flag("SupportsVariableTileSize"),
        padding=padding,
        decoder=named,
        decoding=decoding,
        recognizer=emd_ours.sharpen_recognizer(emd) if task == "recognize" else None,
        field=emd_ours.stored_field(emd, weights=sha256, padding=padding),
        version=emd.word("Version") or "1.0.0",
        sha256=sha256,
        about=_about(emd),
    )


def _otherwise(emd: Emd, facts: Facts) -> Iterator[Facts]:
    """Yield what else a description may mean; the network tells which."""
    if twice := _bands_twice(emd):
        yield read_facts(twice, facts.sha256)
    if len(facts.classes) > len(emd.items("Classes") or facts.classes):  # with a background
        yield dataclasses.replace(facts, classes=facts.classes[1:])


def _bands_twice(emd: Emd) -> Emd | None:
    """Return a description of change that lists the bands of both images, None if it may already.

    An even number of bands can be those of one image or of both; the network tells which.
    """
    bands = emd.items("ExtractBands") or []
    half = len(bands) // 2
    if model_type(emd) != "ChangeDetection" or len(bands) % 2 or bands[:half] == bands[half:]:
        return None
    return Emd(emd.name, {**emd.text, "ExtractBands": bands * 2})


def _window(emd: Emd, *, optional: bool) -> tuple[int, int]:
    """Return height and width of a window in pixels."""
    sides = [emd.whole("ImageHeight"), emd.whole("ImageWidth")]
    known = [side for side in sides if side is not None]
    if not known and not optional:
        emd.required("ImageHeight", "height of the network's window in pixels (and ImageWidth)")
    for key, side in zip(("ImageHeight", "ImageWidth"), sides, strict=True):
        if side is not None and not 1 <= side <= LARGEST:
            raise emd.wrong(key, f"1 to {LARGEST} pixels")
    default = known[0] if known else FUNCTION_SIDE
    height, width = (default if side is None else side for side in sides)
    return height, width


def _padding(emd: Emd) -> int | None:
    """Return the context in pixels on each side, None where none is said."""
    for key in ("Padding", "ModelPadding"):
        pixels = emd.whole(key)
        if pixels is not None and pixels < 0:
            raise emd.wrong(key, "0 or more pixels")
        if pixels:
            return pixels
    return None


def _architecture(emd: Emd) -> dict[str, Any]:
    """Return what tensors belong to, as of `geodl_lab.nets`."""
    configuration = emd.get("ModelConfiguration")
    name = configuration.get("Name") if isinstance(configuration, dict) else configuration
    parameters = emd.get("ModelParameters")
    name = name if isinstance(name, str) else None
    return {"name": name, "arguments": parameters if isinstance(parameters, dict) else {}}


def _adapted(network: Any, emd: Emd) -> Any:
    """Return a network that takes (N, C, H, W)."""
    order = (emd.word("ModelFormat") or "NCHW").upper()
    if order not in ("NCHW", "NHWC"):
        raise emd.wrong("ModelFormat", "NCHW or NHWC")
    if model_type(emd) == "ChangeDetection":
        network = from_two_images(network)
    return channels_first(network, last_in=order == "NHWC", last_out=order == "NHWC")


def _about(emd: Emd) -> dict[str, Any]:
    """Return what is there for people, and the whole description under ``emd``."""
    monitored = {key: v for key, v in emd.text.items() if key.startswith("monitored")}
    standard = {
        "description": emd.word("Description"),
        "license": emd.word("License"),
        "attribution": emd.word("Attribution"),
        "accuracy": emd.get("per_class_metrics") or monitored or None,
        "cell_size_range": cell_size_range(emd) or None,
    }
    said = {key: value for key, value in standard.items() if value is not None}
    return {**emd_ours.stored_about(emd), **said, "emd": dict(emd.text)}
