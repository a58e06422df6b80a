"""Networks as Deepomatic v0.7 describes them: preprocessing, labels, post-processings in JSON."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geodl_lab.decoders import Recognizer
from geodl_lab.deepomatic_spec import (
    ALSO,
    FOREIGN,
    FRAMEWORKS,
    Labels,
    Preprocessing,
    Reading,
    check_framework,
    check_outputs,
    check_post_processings,
    check_preprocessing,
)
from geodl_lab.errors import ModelError
from geodl_lab.inputs import InputSpec
from geodl_lab.package import LabelClass, ModelPackage, make_classes
from geodl_lab.packages.archives import Files, hash_bytes
from geodl_lab.packages.deepomatic_nets import Feed, Raw, Read, chain
from geodl_lab.packages.mean_files import read_mean
from geodl_lab.packages.weights import load_network
from geodl_lab.packages.wrap import Facts, closed, wrap
from geodl_lab.runtime import Closed, Model

COLORS = {"RGB": ("red", "green", "blue"), "BGR": ("blue", "green", "red")}

Opener = Callable[..., Model]
"""Opens a package by path, as `geodl_lab.open_model` does."""


def make_model(
    network_files: Files | Mapping[str, bytes],
    framework: str,
    preprocessing: Any,
    outputs: Any,
    post_processings: Any,
    *,
    name: str,
    trust: bool = False,
    opener: Opener | None = None,
) -> Model:
    """Make a model of a network, a specification of one output and a version.

    Parameters
    ----------
    network_files
        The uploaded files by role, such as ``model.pt``; or a folder of them.
    framework
        One of `FRAMEWORKS`. Of TensorFlow and Caffe the model can be looked at but not run.
    preprocessing, outputs, post_processings
        Plain JSON of the network, the specification and the version. Tensors that a network
        answers without names are those that the post-processings name, in that order.
    name
        Of the model.
    trust
        True lets the network's own code run.
    opener
        Opens ``model.dlpk`` by its path; only for ``esri-dlpk``.

    Returns
    -------
    Model
        It recognizes, or detects where the output's roi is ``BBOX``; ``label_id`` is the id of
        the specification. ``detect`` with ``threshold=`` the discard threshold also gives what
        the version's own thresholds (``package.decoder.thresholds``) discard.

    Raises
    ------
    ModelError
        If a field is not possible (the message names it), a file is missing or damaged, or the
        network does not answer what the version says.
    TrustError
        If the network is a program that nobody trusted.
    """
    models = make_models(
        network_files,
        framework,
        preprocessing,
        outputs,
        post_processings,
        name=name,
        trust=trust,
        opener=opener,
    )
    if len(models) > 1:
        raise ModelError(
            f"outputs has {len(models)} entries and a model has one task; call make_models"
        )
    return models[0]


def make_models(
    network_files: Files | Mapping[str, bytes],
    framework: str,
    preprocessing: Any,
    outputs: Any,
    post_processings: Any,
    *,
    name: str,
    trust: bool = False,
    opener: Opener | None = None,
) -> tuple[Model, ...]:
    """Make a model for each output of a specification; parameters and errors as of `make_model`."""
    check_framework(framework)
    checked = check_preprocessing(preprocessing)
    labels = check_outputs(outputs)
    order = "yxyx" if framework.startswith("tensorflow") else "xyxy"
    readings = check_post_processings(post_processings, labels, box_order=order)
    said = [framework, preprocessing, outputs, post_processings]
    if isinstance(network_files, Files):
        return _models(network_files, checked, labels, readings, (name, said, trust, opener))
    _check_files(network_files)
    with tempfile.TemporaryDirectory() as folder:
        for role, content in network_files.items():
            Path(folder, role).write_bytes(content)
        files = Files(Path(folder))
        return _models(files, checked, labels, readings, (name, said, trust, opener))


def _check_files(files: Any) -> None:
    """Refuse files that are no bytes by role."""
    if not isinstance(files, Mapping):
        raise ModelError(
            f"the files of the network are a {type(files).__name__}; give their bytes by role, as "
            "in {'model.onnx': ...}"
        )
    for role, content in files.items():
        if not isinstance(role, str) or not re.fullmatch(r"\w[\w.-]{0,200}", role, re.ASCII):
            raise ModelError(f"a file of the network is called {role!r}; give a plain name")
        if not isinstance(content, bytes | bytearray | memoryview):
            raise ModelError(
                f"the file {role!r} of the network is a {type(content).__name__}; give its bytes"
            )


def _find(files: Files, names: Sequence[str], where: str) -> str:
    """Return the first of some files that is there; the error names the field."""
    for name in names:
        with contextlib.suppress(ModelError):
            return files.find(name)
    raise ModelError(
        f"{where} needs a file {' or '.join(map(repr, names))}; the network has "
        f"{', '.join(map(repr, sorted(files.names))) or 'none'}"
    )


def _models(
    files: Files,
    preprocessing: Preprocessing,
    outputs: Sequence[Labels],
    readings: Sequence[Reading],
    rest: tuple[str, Sequence[Any], bool, Opener | None],
) -> tuple[Model, ...]:
    name, said, trust, opener = rest
    framework, pairs = str(said[0]), list(zip(outputs, readings, strict=True))
    main = _main(files, framework)
    mean = _mean(files, preprocessing)
    said = [files.sha256, *said]
    facts = [
        _facts(preprocessing, mean, labels, reading, (name, _hash([*said, index])))
        for index, (labels, reading) in enumerate(pairs)
    ]
    if framework.startswith(FOREIGN):
        return tuple(closed(one, _foreign(name, framework)) for one in facts)
    if framework == "esri-dlpk":
        return tuple(_of_dlpk(files, main, one, (trust, opener)) for one in facts)
    network = load_network(files, main, trust=trust)
    names = _asked(preprocessing, readings)
    feed = Feed(preprocessing, None if _by_band(mean, preprocessing) else mean)
    models = []
    for (labels, reading), one in zip(pairs, facts, strict=True):
        read = Read(labels, reading, names, preprocessing.batched, preprocessing.image.order)
        models.append(wrap(chain(network, feed, read), one))
    return tuple(models)


def try_files(
    network_files: Files,
    framework: str,
    *,
    name: str,
    trust: bool = False,
    opener: Opener | None = None,
) -> None:
    """Open a network without a specification; parameters and errors as of `make_model`."""
    check_framework(framework)
    main = _main(network_files, framework)
    if framework.startswith(FOREIGN):
        raise _foreign(name, framework)
    if framework != "esri-dlpk":
        load_network(network_files, main, trust=trust)
    elif opener is not None:
        model = opener(network_files.path / main, trust=trust)
        if isinstance(model.network, Closed):
            raise model.network.reason


def raw_model(
    files: Files,
    framework: str,
    preprocessing: Any,
    *,
    name: str,
    trust: bool = False,
    opener: Opener | None = None,
) -> Model:
    """Make a model that is only asked for its network's own tensors (`photo_tensors`).

    Parameters and errors are as of `make_model`; an Esri package keeps its own way with images.
    """
    main = _main(files, framework)
    reason = _foreign(name, framework)
    if framework.startswith(FOREIGN):
        raise reason
    if framework == "esri-dlpk" and opener is not None:
        return opener(files.path / main, trust=trust)
    checked = check_preprocessing(preprocessing)
    mean = _mean(files, checked)
    nothing = Labels(("tensor",), (0,), exclusive=True, boxes=False)
    identity = name, _hash([files.sha256, framework, preprocessing])
    reading = Reading("classification", ("",), (0.0,))
    facts = _facts(checked, mean, nothing, reading, identity)
    feed = Feed(checked, None if _by_band(mean, checked) else mean)
    raw = Raw(checked.batched, checked.image.order)
    network = chain(load_network(files, main, trust=trust), feed, raw)
    return dataclasses.replace(closed(facts, reason), network=network)


def _main(files: Files, framework: str) -> str:
    """Return the file that a framework must have."""
    possible = (FRAMEWORKS[framework], *ALSO.get(framework, ()))
    return _find(files, possible, f"framework {framework}")


def _foreign(name: str, framework: str) -> ModelError:
    return ModelError(
        f"network {name!r} is of {framework}, which is not run here; convert it to ONNX (with "
        "tf2onnx or a Caffe converter) and upload it as onnx-1.x, or as pytorch-2.x"
    )


def _hash(said: Sequence[Any]) -> str:
    return hash_bytes(json.dumps(said, sort_keys=True).encode())


def _asked(preprocessing: Preprocessing, readings: Sequence[Reading]) -> tuple[str, ...]:
    """Return the tensors that a network must answer, in the order in which they are named."""
    known = {"", *(one.tensor_name for one in preprocessing.inputs)}
    named = [name for one in readings for name in (*one.tensors, one.normalize)]
    return tuple(dict.fromkeys(name for name in named if name not in known))


def _facts(
    preprocessing: Preprocessing,
    mean: np.ndarray | None,
    labels: Labels,
    reading: Reading,
    identity: tuple[str, str],
) -> Facts:
    image, (name, sha256) = preprocessing.image, identity
    fit = image.fit
    return Facts(
        name=name,
        task="detect" if labels.boxes else "recognize",
        inputs=InputSpec(
            COLORS.get(image.colors, COLORS["RGB"]),
            dtype="uint8",
            scale=image.scaling / 255,
            mean=_by_band(mean, preprocessing),
            fit=fit,
        ),
        classes=classes_of(labels),
        window=fit.height,
        width=fit.width,
        decoder="boxes",
        decoding={"thresholds": reading.thresholds} if labels.boxes else {},
        recognizer=None
        if labels.boxes
        else Recognizer(labels.exclusive, "none", reading.thresholds),
        sha256=sha256,
    )


def classes_of(labels: Labels) -> tuple[LabelClass, ...]:
    """Return the labels of a specification as classes, whose values are their ids."""
    colors = (label.color for label in make_classes(labels.names))
    rows = zip(labels.ids, labels.names, colors, strict=True)
    return tuple(LabelClass(*row) for row in rows)


def _mean(files: Files, preprocessing: Preprocessing) -> np.ndarray | None:
    """Return the mean (channel, y, x) that a network takes off, None for none."""
    image = preprocessing.image
    if not image.mean_file:
        return None
    channels = 1 if image.colors == "L" else 3
    content = files.read(_find(files, (image.mean_file,), "the mean_file of preprocessing"))
    mean = read_mean(content, image.mean_file, channels=channels, order=image.order)
    height, width = image.fit.height, image.fit.width
    fixed = image.fit.kind != "network"
    if mean.shape[1:] != (1, 1) and not (fixed and mean.shape[1:] == (height, width)):
        raise ModelError(
            f"the mean file {image.mean_file!r} is {mean.shape[1]} x {mean.shape[2]} pixels and "
            f"the network is fed {height} x {width}{'' if fixed else ' or less'}; give a mean of "
            "that size, or one number a channel"
        )
    return mean


def _by_band(mean: np.ndarray | None, preprocessing: Preprocessing) -> tuple[float, ...] | None:
    """Return one number a band where the engine can take the mean off itself."""
    if mean is None or mean.shape[1:] != (1, 1) or preprocessing.image.colors == "L":
        return None
    return tuple(map(float, mean[:, 0, 0]))


def _of_dlpk(files: Files, main: str, facts: Facts, rest: tuple[bool, Opener | None]) -> Model:
    """Open an Esri package, and call its classes and thresholds as the specification does."""
    trust, opener = rest
    if opener is None:
        raise ModelError(f"{main!r} is an Esri package, and nothing was given that opens it")
    model = opener(files.path / main, trust=trust)
    package: ModelPackage = model.package
    if package.task != facts.task or len(package.classes) != len(facts.classes):
        raise ModelError(
            f"{main!r} is made to {package.task} {len(package.classes)} classes; the specification "
            f"has {len(facts.classes)} labels to {facts.task}"
        )
    decoder, recognizer = package.decoder, package.recognizer
    if decoder is not None and decoder.answers_objects:
        decoder = dataclasses.replace(decoder, **facts.decoding)
    elif decoder is not None:
        least = min(facts.decoding["thresholds"])
        decoder = dataclasses.replace(decoder, threshold=least)
    if recognizer is not None and facts.recognizer is not None:
        thresholds = facts.recognizer.thresholds
        exclusive = facts.recognizer.exclusive
        recognizer = dataclasses.replace(recognizer, thresholds=thresholds, exclusive=exclusive)
    changed = dataclasses.replace(
        package,
        name=facts.name,
        classes=facts.classes,
        decoder=decoder,
        recognizer=recognizer,
        sha256=facts.sha256,
    )
    return dataclasses.replace(model, package=changed)


__all__ = [
    "FRAMEWORKS", "check_framework", "check_outputs", "check_post_processings",
    "check_preprocessing", "classes_of", "make_model", "make_models", "raw_model", "try_files",
]  # fmt: skip
