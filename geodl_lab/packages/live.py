"""A live `torch.nn.Module` as a model."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from geodl_lab.errors import ModelError
from geodl_lab.package import (
    DEFAULT_THRESHOLD,
    Fit,
    InputSpec,
    LabelClass,
    Recognizer,
    make_classes,
)
from geodl_lab.packages.wrap import Facts, wrap
from geodl_lab.runtime import Model, fingerprint, hash_network


def from_torch(  # noqa: PLR0913  the public contract: each is one fact about the module
    module: torch.nn.Module,
    task: str = "classify",
    *,
    bands: Sequence[str] | int,
    classes: Sequence[str | LabelClass | tuple[int, str, str]] = (),
    window: int = 512,
    scale: float = 1 / 255,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    dtype: str | None = None,
    cell_size: float | None = None,
    fixed_window: bool = False,
    padding: int | None = None,
    max_object: int | None = None,
    decoder: str = "auto",
    threshold: float = DEFAULT_THRESHOLD,
    radius: int = 2,
    box_size: float | None = None,
    size_unit: float = 1.0,
    activation: str | None = None,
    nms: float | None = None,
    anchors: Sequence[Sequence[float]] = (),
    thresholds: Sequence[float] = (),
    exclusive: bool = True,
    fit: str | None = None,
    fixed_chip: bool = False,
    blacken: bool = False,
    name: str = "",
) -> Model:
    """Wrap a module that maps float bands (N, C, H, W) to scores or boxes.

    The receptive field is measured here, once; the module is put into evaluation mode and is not
    copied, so train it before you wrap it.

    Parameters
    ----------
    module
        For ``classify``: answers scores (N, K, H, W); for ``regress``: values (N, K, H, W); for
        ``recognize``: scores (N, K) of whole images. For ``detect``: see ``decoder``.
    task
        ``classify``, ``detect``, ``regress`` or ``recognize``.
    bands
        Names of the input bands in order, or their number.
    classes
        Names in channel order, or (value, name, ``#rrggbb``). Values count from 0 for
        ``classify``, from 1 for ``detect``; for ``regress`` names of the quantities, ``value`` if
        none is given.
    window
        Least side in pixels of what the module sees; a finite net may take a larger one.
    scale, mean, std
        Input is ``(value * scale - mean) / std``.
    dtype
        Pixel type the scaling is meant for; None accepts any.
    cell_size
        Cell size in metres that the module was trained at.
    fixed_window
        True if the module takes no other size than ``window``.
    padding
        Context in pixels on each side where the field is unbounded; default a quarter window.
    max_object
        Where the module answers objects: length in pixels up to which some window sees an object
        whole; longer ones are stitched. It is the context on each side, default a quarter window;
        ``padding`` says the same there.
    decoder
        ``auto`` takes a list of dicts, or a pair or dict of tensors, as ``boxes`` and a score map
        as connected regions.

        ``boxes``
            A list of dicts, one an image, with ``boxes`` (x0, y0, x1, y1 in window pixels; or
            rotated: cx, cy, w, h and the angle in radians by which x turns towards y; or x, y of
            four corners), ``labels`` (from 1, 0 is background) and ``scores`` (0..1). Or dense:
            boxes (N, A, 4) and scores (N, A, K), as a pair or a dict of ``boxes`` and ``scores``;
            K may be one more with the background first.
        ``masks``
            The same list with ``masks`` (n, H, W) or (n, 1, H, W), booleans or 0..1 of which more
            than a half is inside; ``boxes`` may be left out.
        ``yolo``
            A tensor (N, 4 + K, A) or (N, A, 4 + K) of cx, cy, w, h in window pixels and K class
            scores, or (N, A, 5 + K) with an objectness before them.
        ``heatmap``
            Logits (N, K, H, W) with a peak at each object's centre; two more channels are log
            height and log width.
        ``regions``, only by ``auto``
            Logits (N, K, H, W), one map a class; K may be one more with the background first.
    threshold
        Least score 0..1 of an object.
    radius, box_size, size_unit
        Of heat maps, see `geodl_lab.package.Decoder`.
    activation
        What makes 0..1 of the scores of dense boxes, YOLO and labels: ``none``, ``sigmoid`` or
        ``softmax``. Default for labels ``softmax`` if ``exclusive``, else ``sigmoid``; for others
        ``none``.
    anchors
        (cx, cy, w, h) in window pixels for dense boxes that are offsets.
    nms
        IoU above which two boxes of one class of one window are one object; default 0.5 for dense
        boxes and YOLO, none for lists of dicts, whose modules have done it themselves.
    thresholds
        Least score of each class, in their order: of labels, and of objects that the module
        answers itself. Empty is ``threshold`` for objects; for labels 0.025 if ``exclusive``,
        else 0.5.
    exclusive
        Of labels: True if one is right, False if each may be by itself.
    fit
        How a whole image is brought to ``window`` (``squash``, ``crop``, ``fill``, ``network``;
        see `geodl_lab.package.Fit`); for ``recognize`` and ``detect``. None takes its pixels as
        they are.
    fixed_chip, blacken
        Of labels of features, see `geodl_lab.package.Recognizer`.
    name
        Name in results; default the class of the module.

    Returns
    -------
    Model
        For ``da.dl.classify``, ``da.dl.detect``, ``da.dl.regress`` or ``da.dl.recognize``.

    Raises
    ------
    ModelError
        If the module does not run, or its answer does not fit classes and task.
    """
    if not _is_module(module):
        raise ModelError(f"a {type(module).__name__} is no torch.nn.Module; wrap it in one first")
    if not _whole(window) or window < 1:
        raise ModelError(f"window {window!r} is not possible; give the tile's side in whole pixels")
    if not _is_list(classes):
        raise ModelError(f"classes {classes!r} are no list; name them, as in classes=['land']")
    if task == "regress" and not classes:
        classes = ("value",)
    module.eval()
    spec = _inputs(bands, scale, mean, std, dtype, cell_size)
    labels = task == "recognize"
    if activation is None:
        activation = ("softmax" if exclusive else "sigmoid") if labels else "none"
    facts = Facts(
        name=name or type(module).__name__,
        task=task,
        inputs=spec if fit is None else _fitted(spec, fit, task, window),
        classes=make_classes(classes, first=1 if task == "detect" else 0),
        window=window,
        fixed_window=fixed_window,
        padding=padding,
        max_object=max_object,
        decoder=decoder,
        decoding={
            "threshold": threshold,
            "radius": radius,
            "box_size": box_size,
            "size_unit": size_unit,
            "activation": activation,
            "nms": nms,
            "anchors": anchors,
            "thresholds": thresholds,
        },
        recognizer=Recognizer(exclusive, activation, thresholds, fixed_chip, blacken)  # type: ignore[arg-type]
        if labels
        else None,
        sha256=hash_network(module),
    )
    # Modules may differ in more than their tensors, so each wrapping gets a name of its own.
    return wrap(module, facts, token=uuid.uuid4().hex, state=fingerprint(module))


def _inputs(
    bands: Sequence[str] | int,
    scale: float,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    dtype: str | None,
    cell_size: float | None,
) -> InputSpec:
    try:
        names, count = _named(bands)
        means, stds = (None if row is None else tuple(map(float, row)) for row in (mean, std))
        return InputSpec(names, count, dtype, float(scale), means, stds, cell_size)
    except (TypeError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(
            f"bands, scale, mean or std are of a wrong type ({error}); give a list of names or "
            "their number, one number for scale, and one a band for mean and std"
        ) from error


def _fitted(spec: InputSpec, fit: str, task: str, window: int) -> InputSpec:
    if task not in ("recognize", "detect"):
        raise ModelError(
            f"fit {fit!r} is for whole images that are recognized, or searched for objects, not to "
            f"{task}; leave it out"
        )
    return dataclasses.replace(spec, fit=Fit(fit, window, window))


def _whole(number: Any) -> bool:
    return isinstance(number, int | np.integer) and not isinstance(number, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_module(module: Any) -> bool:
    return isinstance(module, torch.nn.Module)


def _named(bands: Any) -> tuple[tuple[str, ...], int]:
    """Return names and number of bands that were given as names, one name, or a number."""
    if _whole(bands):
        return (), int(bands)
    names = (bands,) if isinstance(bands, str) else tuple(map(str, bands))
    return names, len(names)
