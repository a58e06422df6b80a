"""Arguments of a model as clients send them, often as text, become options of a run.

Names as ArcGIS documents them (``test_time_augmentation``, ``nms_overlap``, ...) and our own. What
cannot be honoured is said, never dropped in silence.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from geodl_lab.checks import is_whole
from geodl_lab.errors import OptionError
from geodl_lab.options import check_threshold
from geodl_lab.packages.functions import with_arguments
from geodl_lab.packages.functions_arguments import OURS, RASTERS, boolean, number
from geodl_lab.packages.functions_network import FunctionNetwork
from geodl_lab.runtime import Model

SAME = {"test_time_augmentation": "tta", "score_threshold": "threshold", "nms": "nms_overlap"}
"""Other names of arguments."""

POSSIBLE = (
    "threshold", "padding", "batch_size", "tta", "nms_overlap", "bands", "precision",
    "seam_tolerance", "exclude_pad_detections", "return_bboxes", "predict_background",
    "merge_policy", "tile_size",
)  # fmt: skip

BACKGROUND = ("background", "nodata", "no data")
"""Names of a first class that stands for nothing."""

SMALLEST = 1e-9
"""Overlap that stands for none at all."""


@dataclass(frozen=True)
class Arguments:
    """What a model's arguments ask for.

    Parameters
    ----------
    model
        With what is to be changed of the model itself.
    threshold
        Least score, or None for the model's own.
    options
        Fields of `geodl_lab.Options`.
    boxes
        Whether upright boxes are wanted instead of outlines.
    background
        Whether the background is a class as any other.
    messages
        What could not be honoured.
    """

    model: Model
    threshold: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    boxes: bool = False
    background: bool = True
    messages: tuple[str, ...] = ()


def read_arguments(model: Model, given: Mapping[str, Any]) -> Arguments:
    """Read the arguments of a model.

    Parameters
    ----------
    model
        The model.
    given
        By name, in any case; values may be text. Of a Python raster function its own arguments.

    Raises
    ------
    OptionError
        If a value is not possible.
    """
    named = {_known(name): value for name, value in given.items() if not _is_empty(value)}
    if isinstance(model.network, FunctionNetwork):
        return _of_function(model, model.network, named)
    read = Arguments(model)
    for name, value in named.items():
        reader = READERS.get(name)
        if reader is None:
            text = f"the argument {name!r} is unknown and was ignored; possible are "
            read = _warned(read, text + ", ".join(POSSIBLE))
        else:
            read = reader(read, value)
    return read


def _of_function(model: Model, network: FunctionNetwork, named: Mapping[str, Any]) -> Arguments:
    """Give a Python raster function the arguments that it knows."""
    own = [
        str(p["name"])
        for p in network.parameters
        if p.get("dataType") not in RASTERS and p["name"] not in OURS
    ]
    known = {*own, "threshold", "padding", "batch_size", "exclude_pad_detections"}
    renamed = {_own_name(name, own): value for name, value in named.items()}
    taken = {name: value for name, value in renamed.items() if name in known}
    if "padding" in taken:
        taken["padding"] = _whole(taken["padding"], "padding", 0)
    read = Arguments(with_arguments(model, taken) if taken else model)
    for name in sorted(set(renamed) - known):
        text = f"the argument {name!r} is unknown to the model and was ignored; possible are "
        read = _warned(read, text + ", ".join(sorted(known)))
    return read


def _own_name(name: str, own: list[str]) -> str:
    """Return a function's own name of what we call otherwise."""
    others = [long for long, short in SAME.items() if short == name and long in own]
    return others[0] if others and name not in own and name != "threshold" else name


def _threshold(read: Arguments, value: Any) -> Arguments:
    threshold = number(value, "threshold")
    check_threshold(threshold)
    if read.model.package.answers == "values" or read.model.package.task == "regress":
        return _warned(read, "threshold was ignored: the model answers no scores")
    return dataclasses.replace(read, threshold=threshold)


def _padding(read: Arguments, value: Any) -> Arguments:
    padding, crop = _whole(value, "padding", 0), read.model.package.field.crop
    if padding < crop:
        text = (
            f"padding {padding} was raised to {crop}: the model answers nothing nearer to the rim"
        )
        read, padding = _warned(read, text + " of what it sees"), crop
    return _option(read, padding=padding)


def _batch_size(read: Arguments, value: Any) -> Arguments:
    return _option(read, batch_size=_whole(value, "batch_size", 1))


def _tta(read: Arguments, value: Any) -> Arguments:
    if not boolean(value, "tta"):
        return read
    package = read.model.package
    boxes = package.decoder is not None and (
        package.decoder.answers_objects or package.decoder.sized
    )
    if boxes or package.task == "recognize" or package.answers == "values":
        return _warned(read, "tta was ignored: the answers of this model cannot be averaged")
    return _option(read, tta=True)


def _nms_overlap(read: Arguments, value: Any) -> Arguments:
    overlap, decoder = number(value, "nms_overlap"), read.model.package.decoder
    if not 0 <= overlap <= 1:
        raise OptionError(f"nms_overlap {value!r} is not possible; give a number from 0 to 1")
    if decoder is None or not decoder.answers_objects:
        return _warned(read, "nms_overlap was ignored: the model answers no overlapping boxes")
    decoder = dataclasses.replace(decoder, nms=max(overlap, SMALLEST))
    package = dataclasses.replace(read.model.package, decoder=decoder)
    return dataclasses.replace(read, model=dataclasses.replace(read.model, package=package))


def _precision(read: Arguments, value: Any) -> Arguments:
    return _option(read, precision=str(value).lower())


def _seam_tolerance(read: Arguments, value: Any) -> Arguments:
    return _option(read, seam_tolerance=number(value, "seam_tolerance"))


def _exclude_pad_detections(read: Arguments, value: Any) -> Arguments:
    if boolean(value, "exclude_pad_detections"):
        return read
    return _warned(
        read,
        "exclude_pad_detections=False was ignored: what is seen in the context of a window is "
        "found once, in the window that it belongs to",
    )


def _return_bboxes(read: Arguments, value: Any) -> Arguments:
    return dataclasses.replace(read, boxes=boolean(value, "return_bboxes"))


def _predict_background(read: Arguments, value: Any) -> Arguments:
    if boolean(value, "predict_background"):
        return read
    package = read.model.package
    first = package.classes[0].name.lower() if package.classes else ""
    if package.task != "classify" or package.answers == "values" or first not in BACKGROUND:
        return _warned(
            read, "predict_background=False was ignored: the model has no class for a background"
        )
    return dataclasses.replace(read, background=False)


def _merge_policy(read: Arguments, value: Any) -> Arguments:
    if str(value).lower() == "mean":
        return read
    return _warned(
        read,
        f"merge_policy {str(value)[:40]!r} was ignored: turned and mirrored views are averaged",
    )


def _tile_size(read: Arguments, value: Any) -> Arguments:
    size, package = _whole(value, "tile_size", 1), read.model.package
    if (size, size) == package.shape_yx:
        return read
    return _warned(
        read,
        f"tile_size {size} was ignored: windows are chosen by what the model's answers depend on",
    )


def _bands(read: Arguments, value: Any) -> Arguments:
    try:
        # ArcGIS clients send the text of the Python value, whose quotes are not JSON's.
        bands = ast.literal_eval(value.strip()) if isinstance(value, str) else value
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        bands = None
    listed = list(bands.values()) if isinstance(bands, dict) else bands
    if not isinstance(listed, list) or not all(is_whole(band) for band in listed):
        raise OptionError(
            f"argument bands {str(value)[:60]!r} is not possible; say which band of the raster is "
            'which, counted from 1, as in {"red": 1, "green": 2}, or list them in the order of '
            "the model's"
        )
    return _option(read, bands=bands)


READERS: Mapping[str, Callable[[Arguments, Any], Arguments]] = {
    "threshold": _threshold,
    "bands": _bands,
    "padding": _padding,
    "batch_size": _batch_size,
    "tta": _tta,
    "nms_overlap": _nms_overlap,
    "precision": _precision,
    "seam_tolerance": _seam_tolerance,
    "exclude_pad_detections": _exclude_pad_detections,
    "return_bboxes": _return_bboxes,
    "predict_background": _predict_background,
    "merge_policy": _merge_policy,
    "tile_size": _tile_size,
}


def _known(name: str) -> str:
    """Return our name of an argument, or the name as it was given."""
    lower = name.strip().lower()
    lower = SAME.get(lower, lower)
    return lower if lower in POSSIBLE else name.strip()


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip() in ("", "None"))


def _option(read: Arguments, **options: Any) -> Arguments:
    return dataclasses.replace(read, options={**read.options, **options})


def _warned(read: Arguments, text: str) -> Arguments:
    return dataclasses.replace(read, messages=(*read.messages, text))


def _whole(value: Any, name: str, least: int) -> int:
    found = number(value, name)
    if found != int(found) or found < least:
        raise OptionError(
            f"argument {name} {str(value)[:60]!r} is not possible; give a whole number, from "
            f"{least}"
        )
    return int(found)
