"""What a caller says about a network, checked and made into `Facts`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from geodl_lab.checks import is_list, is_whole
from geodl_lab.decoders import DEFAULT_THRESHOLD, Recognizer
from geodl_lab.errors import ModelError
from geodl_lab.inputs import Fit, InputSpec
from geodl_lab.package import LabelClass, make_classes
from geodl_lab.packages.wrap import Facts


def facts_of(  # noqa: PLR0913  the names and defaults of `from_torch`, also for bare weights
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
    box_unit: str = "pixels",
    labels_from: int | None = None,
    thresholds: Sequence[float] = (),
    exclusive: bool = True,
    fit: str | None = None,
    fixed_chip: bool = False,
    blacken: bool = False,
    name: str = "",
    width: int | None = None,
    sha256: str = "",
) -> Facts:
    """Return what a caller said about a network.

    Parameters
    ----------
    task, bands, classes, window, scale, mean, std, dtype, cell_size, fixed_window, padding, \
max_object, decoder, threshold, radius, box_size, size_unit, activation, nms, anchors, box_unit, \
labels_from, thresholds, exclusive, fit, fixed_chip, blacken, name
        As of `geodl_lab.from_torch`.
    width
        Width of a window in pixels where it differs from ``window``, which then is the height.
    sha256
        Hash of the weights.

    Raises
    ------
    ModelError
        If something is of a wrong type or shape.
    """
    for option, side in (("window", window), ("width", window if width is None else width)):
        if not is_whole(side) or side < 1:
            raise ModelError(
                f"{option} {side!r} is not possible; give the tile's side in whole pixels"
            )
    if not is_list(classes):
        raise ModelError(f"classes {classes!r} are no list; name them, as in classes=['land']")
    if task == "regress" and not classes:
        classes = ("value",)
    labels = task == "recognize"
    if activation is None:
        activation = ("softmax" if exclusive else "sigmoid") if labels else "none"
    inputs = _inputs(bands, scale, mean, std, dtype, cell_size)
    return Facts(
        name=name,
        task=task,
        inputs=inputs if fit is None else _fitted(inputs, fit, task, (window, width or window)),
        classes=make_classes(classes, first=1 if task == "detect" else 0),
        window=window,
        width=width,
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
            "box_unit": box_unit,
            "labels_from": labels_from,
            "thresholds": thresholds,
        },
        recognizer=Recognizer(exclusive, activation, thresholds, fixed_chip, blacken)  # type: ignore[arg-type]
        if labels
        else None,
        sha256=sha256,
    )


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


def _fitted(inputs: InputSpec, fit: str, task: str, shape_yx: tuple[int, int]) -> InputSpec:
    if task not in ("recognize", "detect"):
        raise ModelError(
            f"fit {fit!r} is for whole images that are recognized, or searched for objects, not to "
            f"{task}; leave it out"
        )
    return dataclasses.replace(inputs, fit=Fit(fit, *shape_yx))


def _named(bands: Any) -> tuple[tuple[str, ...], int]:
    """Return names and number of bands that were given as names, one name, or a number."""
    if is_whole(bands):
        return (), int(bands)
    names = (bands,) if isinstance(bands, str) else tuple(map(str, bands))
    return names, len(names)
