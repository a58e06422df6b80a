"""From a network and what is known of it to a model: it is run once, checked and measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from geodl_lab.answers import described, in_one_form, lists_dicts
from geodl_lab.boxes import read_boxes
from geodl_lab.checks import is_whole
from geodl_lab.decoders import DECODERS, Decoder, Recognizer
from geodl_lab.dense_boxes import is_dense, yolo_layout
from geodl_lab.detections import TOUCH
from geodl_lab.devices import on_one_thread
from geodl_lab.errors import ModelError, first_line
from geodl_lab.grid import Window
from geodl_lab.inputs import InputSpec
from geodl_lab.package import TASKS, Field, LabelClass, ModelPackage
from geodl_lab.packages.archives import Files
from geodl_lab.receptive import measure_field, measure_memory
from geodl_lab.runtime import Closed, Model

RAW = ("anchors", "activation")
"""Options of raw boxes alone."""

Forward = Callable[[torch.Tensor], Any]


@dataclass(frozen=True)
class Facts:
    """What a file or a caller says about a network; `wrap` finds out the rest.

    Parameters
    ----------
    name, task, inputs, classes, window, width, fixed_window, version, sha256, about
        As of `geodl_lab.package.ModelPackage`.
    padding
        Context in pixels on each side where the field is unbounded; None is a quarter window.
    max_object
        The same for networks that answer objects, by its other name.
    decoder
        One of `geodl_lab.decoders.DECODERS`, or ``regions``.
    decoding
        Other fields of `geodl_lab.decoders.Decoder`.
    recognizer
        Of networks that label whole images.
    field
        The receptive field where it is known; None measures it.
    """

    name: str
    task: str
    inputs: InputSpec
    classes: tuple[LabelClass, ...]
    window: int
    width: int | None = None
    fixed_window: bool = False
    padding: int | None = None
    max_object: int | None = None
    decoder: str = "auto"
    decoding: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    recognizer: Recognizer | None = None
    field: Field | None = None
    version: str = "1.0.0"
    sha256: str = ""
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """What the network is tried with: 1, bands, height and width in pixels."""
        return 1, self.inputs.count, self.window, self.width or self.window


def wrap(network: Any, facts: Facts, **identity: Any) -> Model:
    """Run a network once, check that its answer fits what is known of it, and measure the rest.

    Parameters
    ----------
    network
        A module of torch in evaluation mode, or a `geodl_lab.runtime.Network`.
    facts
        What is known.
    identity
        ``token`` and ``state`` of `geodl_lab.runtime.Model`.

    Returns
    -------
    Model
        Ready to run.

    Raises
    ------
    ModelError
        If the network does not run, or its answer does not fit.
    """
    facts = _agreed(network, facts)
    forward = network.placed("cpu", 1) if hasattr(network, "placed") else network
    answer = _try(forward, facts.shape)
    kind = _decoder_name(facts, answer)
    decoder = Decoder(kind, **facts.decoding) if kind else None
    if facts.task == "recognize":
        _check_labels(answer, len(facts.classes))
    elif decoder is None or not decoder.answers_objects:
        _check_unused(decoder, "scores of pixels", (*RAW, "box_unit", "labels_from"))
        _check_scores(answer, facts, decoder)
    package = ModelPackage(
        name=facts.name,
        task=facts.task,
        inputs=facts.inputs,
        classes=facts.classes,
        window=facts.window,
        width=facts.width,
        field=facts.field or _field(forward, facts, decoder),
        decoder=decoder,
        recognizer=facts.recognizer,
        fixed_window=facts.fixed_window,
        layout="nchw" if hasattr(network, "placed") else _layout(network, facts.shape),
        version=facts.version,
        sha256=facts.sha256,
        about=facts.about,
    )
    if decoder is not None and decoder.answers_objects:
        package = _with_layout(answer, package)
    return Model(package, network, **identity)


def closed(facts: Facts, reason: ModelError, files: Files | None = None) -> Model:
    """Return a model that can be looked at; every attempt to run it raises ``reason``.

    With the ``files`` of an Esri package it can be saved as it came.
    """
    halo = min(facts.shape[2:]) // 4 if facts.padding is None else facts.padding
    kind = "boxes" if facts.decoder == "auto" else facts.decoder
    package = ModelPackage(
        name=facts.name,
        task=facts.task,
        inputs=facts.inputs,
        classes=facts.classes,
        window=facts.window,
        width=facts.width,
        field=facts.field or Field(finite=False, halo=halo),
        decoder=Decoder(kind, **facts.decoding) if facts.task == "detect" else None,
        recognizer=facts.recognizer,
        fixed_window=facts.fixed_window,
        version=facts.version,
        sha256=facts.sha256,
        about=facts.about,
    )
    return Model(package, Closed(reason, files))


def _agreed(network: Any, facts: Facts) -> Facts:
    """Refuse facts that a network's own description contradicts; note that its size is fixed."""
    bands, fixed = getattr(network, "channels", None), getattr(network, "fixed_yx", None)
    if not hasattr(network, "placed"):  # a module's attributes of these names may be anything
        return facts
    if bands not in (None, facts.inputs.count):
        raise ModelError(
            f"the description says {facts.inputs.count} bands, the network takes {bands}; give as "
            "many as it takes"
        )
    if fixed not in (None, facts.shape[2:]):
        height, width = facts.shape[2:]
        raise ModelError(
            f"the description says windows of {height} x {width} pixels, the network takes "
            f"{fixed[0]} x {fixed[1]}; give its size"
        )
    return facts if fixed is None else dataclasses.replace(facts, fixed_window=True)


def _try(forward: Forward, shape: tuple[int, ...]) -> Any:
    """Run the network once on noise of the window's size."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(shape, generator=generator, dtype=torch.float32)
    try:
        return on_one_thread(_run, forward, x)
    except Exception as error:  # a network is anybody's code: whatever it raises is told
        raise ModelError(
            f"the module does not run on float32 {shape}: {first_line(error)}; check bands= and "
            "window="
        ) from error


def _layout(network: Any, shape: tuple[int, ...]) -> str:
    """Return ``channels_last``, the faster one, unless the module cannot take it."""
    x = torch.zeros(shape, dtype=torch.float32)
    try:  # one that calls .view() on what it is given, for one, cannot
        on_one_thread(_run, network, x.contiguous(memory_format=torch.channels_last))
    except Exception:  # a module is anybody's code: whatever it raises, it does not take it
        return "nchw"
    return "channels_last"


def _run(forward: Forward, x: torch.Tensor) -> Any:
    with torch.inference_mode():
        return forward(x)


def _decoder_name(facts: Facts, answer: Any) -> str:
    """Return the decoder's name, "" for models that do not detect."""
    if facts.task not in TASKS:
        raise ModelError(f"task {facts.task!r} is not possible; take one of {', '.join(TASKS)}")
    if facts.task != "detect":
        return ""
    if facts.decoder not in (*DECODERS, "regions"):
        raise ModelError(f"decoder {facts.decoder!r} is not one of {', '.join(DECODERS)}")
    if facts.decoder == "auto":
        return "boxes" if isinstance(answer, list | tuple | dict) else "regions"
    return facts.decoder


def _with_layout(answer: Any, package: ModelPackage) -> ModelPackage:
    """Read the objects of the trial, so that what does not fit is told now; note the layout."""
    decoder = package.decoder
    assert decoder is not None
    answer = in_one_form(answer, decoder)
    if decoder.name == "yolo":
        decoder = dataclasses.replace(decoder, layout=yolo_layout(answer, package))
    elif not lists_dicts(answer) and (decoder.name == "masks" or not is_dense(answer)):
        dense = "" if decoder.name == "masks" else ", or boxes (N, A, 4) and scores (N, A, K)"
        raise ModelError(
            f"the module answers {described(answer)}; decoder {decoder.name!r} needs a list of "
            f"dicts with {decoder.name}, labels and scores, one an image{dense}"
        )
    _check_ignored(answer, decoder)
    read_boxes(answer, 0, package, Window(0, 0, *package.shape_yx))
    return dataclasses.replace(package, decoder=decoder)


def _check_ignored(answer: Any, decoder: Decoder) -> None:
    """Refuse options of raw boxes where the module answers others."""
    if lists_dicts(answer):
        _check_unused(decoder, "a list of dicts, whose boxes are no offsets and whose scores are "
                      "0..1", RAW)  # fmt: skip
    elif decoder.name == "yolo":
        what = "YOLO's boxes, which are no offsets and have no labels"
        _check_unused(decoder, what, ("anchors", "labels_from"))
    else:
        _check_unused(decoder, "dense boxes, which have no labels", ("labels_from",))


def _check_unused(decoder: Decoder | None, what: str, options: Sequence[str]) -> None:
    """Refuse options that would be ignored."""
    unset = ((), "none", "pixels", None)
    given = [name for name in options if getattr(decoder, name, None) not in unset]
    if given:
        raise ModelError(
            f"{' and '.join(given)} would be ignored: the module answers {what}; leave it out, or "
            "let the module answer boxes (N, A, 4) and scores (N, A, K)"
        )


def _check_labels(answer: Any, classes: int) -> None:
    """Check scores of whole images: (N, K), or (N, K, 1, 1)."""
    fine = isinstance(answer, torch.Tensor) and answer.ndim in (2, 4)
    if not fine or answer.flatten(1).shape[1] != classes:
        raise ModelError(
            f"the module answers {described(answer)} and {classes} labels are named; recognize "
            f"needs scores (N, {classes}), one a label"
        )


def _check_scores(answer: Any, facts: Facts, decoder: Decoder | None) -> None:
    """Check score maps (N, K, H, W)."""
    task, classes, heatmap = facts.task, len(facts.classes), decoder and decoder.name == "heatmap"
    if not isinstance(answer, torch.Tensor) or answer.ndim != 4:
        raise ModelError(
            f"the module answers {described(answer)}; {task} needs a tensor (N, K, H, W) of "
            "scores: of several outputs let it answer one, or name one of an ONNX file, as in "
            "output='scores'"
        )
    if task != "regress" and not answer.is_floating_point():
        raise ModelError(
            f"the module answers whole numbers ({str(answer.dtype).removeprefix('torch.')}), "
            "which are no scores; let it answer the scores that its classes were chosen by"
        )
    channels = answer.shape[1]
    if decoder is not None and heatmap and channels == classes and decoder.box_size is None:
        raise ModelError(
            "the module's heat map gives no sizes: say how large an object is, as in box_size=10 "
            "(pixels), or answer two more channels, log height and log width"
        )
    possible = {classes} | ({1} if task == "classify" and classes == 2 else set())
    if task == "detect":
        possible = {classes, classes + 2} if heatmap else {classes, classes + 1}
    if channels not in possible:
        raise ModelError(
            f"the module answers {channels} channels and {classes} classes are named; possible "
            f"are {sorted(possible)} channels: name as many classes as the module has"
        )


def _field(forward: Forward, facts: Facts, decoder: Decoder | None) -> Field:
    """Measure the field; objects have none to measure, their halo is the largest object."""
    if facts.task == "recognize":
        memory = measure_memory(forward, torch.zeros(facts.shape))
        return Field(finite=False, memory=memory)
    context = _context(facts, decoder)
    objects = decoder is not None and decoder.answers_objects
    if objects:
        measured = Field(finite=False, halo=min(facts.shape[2:]) // 4)
    else:
        measured = measure_field(
            forward, facts.inputs.count, window=facts.window, width=facts.width
        )
    if context is None or measured.finite:
        return measured
    least, side = TOUCH + 1 if objects else measured.crop, min(facts.shape[2:])
    if not is_whole(context) or not least <= context < side / 2:
        name = "max_object or padding" if objects else "padding"
        raise ModelError(
            f"{name} {context!r} is not possible; give {least} to {(side - 1) // 2} pixels"
        )
    return dataclasses.replace(measured, halo=int(context))


def _context(facts: Facts, decoder: Decoder | None) -> int | None:
    """Return the pixels on each side of a core that were asked for by either name."""
    if facts.max_object is None:
        return facts.padding
    if decoder is None or not decoder.answers_objects:
        raise ModelError(
            f"max_object {facts.max_object!r} is of no use here: it is for modules that answer "
            "boxes or masks; what a score map needs around a core is measured, or said by padding="
        )
    if facts.padding is not None:
        raise ModelError("max_object and padding say the same here; give one of them")
    return facts.max_object
