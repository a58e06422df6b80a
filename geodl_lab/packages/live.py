"""A live `torch.nn.Module` as a model."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from geodl_lab.detections import TOUCH
from geodl_lab.devices import on_one_thread
from geodl_lab.errors import ModelError, first_line
from geodl_lab.package import (
    DECODERS,
    DEFAULT_THRESHOLD,
    TASKS,
    Decoder,
    Field,
    InputSpec,
    LabelClass,
    ModelPackage,
    make_classes,
)
from geodl_lab.receptive import measure_field
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
    decoder: str = "auto",
    threshold: float = DEFAULT_THRESHOLD,
    radius: int = 2,
    box_size: float | None = None,
    size_unit: float = 1.0,
    name: str = "",
) -> Model:
    """Wrap a module that maps float bands (N, C, H, W) to scores or boxes.

    The receptive field is measured here, once; the module is put into evaluation mode and is not
    copied, so train it before you wrap it.

    Parameters
    ----------
    module
        For ``classify``: answers scores (N, K, H, W); for ``regress``: values (N, K, H, W). For
        ``detect``: a list of dicts, one an image, with ``boxes`` (x0, y0, x1, y1 in window
        pixels), ``labels`` (from 1, 0 is background) and ``scores`` (0..1); or logits
        (N, K, H, W), one map a class, K may be one more with the background first.
    task
        ``classify``, ``detect`` or ``regress``.
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
        Context in pixels on each side where the field is unbounded or the answer is boxes;
        default a quarter window. It is the largest object that is seen whole by some window.
    decoder
        ``auto`` (boxes, or connected regions of a score map), ``boxes``, or ``heatmap`` (peaks;
        two more channels are log height and log width).
    threshold
        Least score 0..1 of an object.
    radius, box_size, size_unit
        Of heat maps, see `geodl_lab.package.Decoder`.
    name
        Name in results; default the class of the module.

    Returns
    -------
    Model
        For ``da.dl.classify`` or ``da.dl.detect``.

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
    module.eval()
    inputs = _inputs(bands, scale, mean, std, dtype, cell_size)
    answer = _try(module, inputs.count, window)
    if task == "regress" and not classes:
        classes = ("value",)
    labels = make_classes(classes, first=1 if task == "detect" else 0)
    kind = _decoder_name(task, decoder, answer)
    _check_answer(answer, task, kind, len(labels), box_size)
    package = ModelPackage(
        name=name or type(module).__name__,
        task=task,
        inputs=inputs,
        classes=labels,
        window=window,
        field=_field(module, inputs.count, window, kind, padding),
        decoder=Decoder(kind, threshold, radius, box_size, size_unit) if kind else None,
        fixed_window=fixed_window,
        layout=_layout(module, inputs.count, window),
        sha256=hash_network(module),
    )
    # Modules may differ in more than their tensors, so each wrapping gets a name of its own.
    return Model(package, module, token=uuid.uuid4().hex, state=fingerprint(module))


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
    except TypeError as error:
        raise ModelError(
            f"bands, scale, mean or std are of a wrong type ({error}); give a list of names or "
            "their number, one number for scale, and one a band for mean and std"
        ) from error


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


def _try(module: torch.nn.Module, channels: int, window: int) -> Any:
    """Run the module once on noise of the window's size."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand((1, channels, window, window), generator=generator, dtype=torch.float32)
    try:
        return on_one_thread(_forward, module, x)
    except Exception as error:  # a module is anybody's code: whatever it raises is told
        raise ModelError(
            f"the module does not run on float32 (1, {channels}, {window}, {window}): "
            f"{first_line(error)}; check bands= and window="
        ) from error


def _layout(module: torch.nn.Module, channels: int, window: int) -> str:
    """Return ``channels_last``, the faster one, unless the module cannot take it."""
    x = torch.zeros((1, channels, window, window), dtype=torch.float32)
    try:  # one that calls .view() on what it is given, for one, cannot
        on_one_thread(_forward, module, x.contiguous(memory_format=torch.channels_last))
    except Exception:  # a module is anybody's code: whatever it raises, it does not take it
        return "nchw"
    return "channels_last"


def _forward(module: torch.nn.Module, x: torch.Tensor) -> Any:
    with torch.inference_mode():
        return module(x)


def _decoder_name(task: str, decoder: str, answer: Any) -> str:
    """Return the decoder's name, "" for pixels."""
    if task not in TASKS:
        raise ModelError(f"task {task!r} is not possible; take one of {', '.join(TASKS)}")
    if task != "detect":
        return ""
    if decoder not in DECODERS:
        raise ModelError(f"decoder {decoder!r} is not one of {', '.join(DECODERS)}")
    if decoder == "auto":
        return "boxes" if isinstance(answer, list | tuple) else "regions"
    if decoder in ("boxes", "heatmap"):
        return decoder
    raise ModelError(
        f"decoder {decoder!r} is not available in this version; possible are auto, boxes, heatmap: "
        "let the module answer a list of dicts with boxes, labels and scores"
    )


def _check_answer(answer: Any, task: str, kind: str, classes: int, box_size: float | None) -> None:
    if kind == "boxes":
        if not isinstance(answer, list | tuple) or not all(isinstance(a, dict) for a in answer):
            raise ModelError(
                f"the module answers a {type(answer).__name__}; decoder 'boxes' needs a list of "
                "dicts with boxes, labels and scores, one an image"
            )
        return
    if not isinstance(answer, torch.Tensor) or answer.ndim != 4:
        what = tuple(answer.shape) if isinstance(answer, torch.Tensor) else type(answer).__name__
        raise ModelError(f"the module answers {what}; {task} needs a tensor (N, K, H, W) of scores")
    channels = answer.shape[1]
    if kind == "heatmap" and channels == classes and box_size is None:
        raise ModelError(
            "the module's heat map gives no sizes: say how large an object is, as in box_size=10 "
            "(pixels), or answer two more channels, log height and log width"
        )
    possible = {classes} | ({1} if task == "classify" and classes == 2 else set())
    if task == "detect":
        possible = {classes, classes + 2} if kind == "heatmap" else {classes, classes + 1}
    if channels not in possible:
        raise ModelError(
            f"the module answers {channels} channels and {classes} classes are named; possible "
            f"are {sorted(possible)} channels: name as many classes as the module has"
        )


def _field(
    module: torch.nn.Module, channels: int, window: int, kind: str, padding: int | None
) -> Field:
    """Measure the field; boxes have none to measure, their halo is the largest object."""
    if kind == "boxes":
        field = Field(finite=False, halo=window // 4)
    else:
        field = measure_field(module, channels, window=window)
    if padding is None or field.finite:
        return field
    least = TOUCH + 1 if kind == "boxes" else field.crop
    if not least <= padding < window / 2:
        raise ModelError(
            f"padding {padding} is not possible; give {least} to {(window - 1) // 2} pixels"
        )
    return Field(finite=False, halo=padding, crop=field.crop, memory=field.memory)
