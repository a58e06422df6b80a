"""The words of Deepomatic v0.7: what a network wants, and what its tensors mean.

Pure checks of plain JSON, so that a server can answer before anything is loaded; every error names
the field as a client wrote it. Keys, values and defaults are those of the reference ("neural
networks" and "recognition specification", API v0.7); ``box_order`` is an extension of ours.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from geodl_lab.decoders import EXCLUSIVE_THRESHOLD, TAG_THRESHOLD
from geodl_lab.errors import ModelError
from geodl_lab.inputs import Fit
from geodl_lab.json_fields import (
    choice,
    flag,
    number,
    plain_list,
    plain_object,
    score,
    text,
    whole,
)

FRAMEWORKS = {
    "pytorch-2.x": "model.pt",
    "onnx-1.x": "model.onnx",
    "esri-dlpk": "model.dlpk",
    "tensorflow-1.x": "saved_model.pb",
    "tensorflow-2.x": "saved_model.pb",
    "nv-caffe-0.x-mod": "snapshot.caffemodel",
}
"""Frameworks by name, with the file that each must have (one of them, of TensorFlow)."""
ALSO = {
    "pytorch-2.x": ("model.pt2",),
    "tensorflow-1.x": ("saved_model.pbtxt",),
    "tensorflow-2.x": ("saved_model.pbtxt",),
}
"""Files that a framework may have instead."""
FOREIGN = ("tensorflow", "nv-caffe", "caffe")
"""Frameworks that can be stored but are not run."""
ORDERS = ("NCHW", "NCWH", "NHWC", "NWHC")
RESIZES = ("NETWORK", "SQUASH", "CROP", "FILL")
COLORS = ("BGR", "RGB", "L", "GRAY")
DATA_TYPES = ("FLOAT32", "UINT8")
BOX_ORDERS = ("xyxy", "yxyx")
LARGEST = 8192
"""Most pixels of a side of ``target_size``."""
DETECTION_THRESHOLD, NMS_THRESHOLD, DISCARD_THRESHOLD = 0.8, 0.3, 0.025
KINDS: dict[str, tuple[str, ...]] = {
    "anchored_output": ("scores_tensor", "anchors_tensor", "offsets_tensor"),
    "direct_output": ("scores_tensor", "classes_tensor", "boxes_tensor"),
    "yolo_output": ("output_tensor",),
}
"""Kinds of a detector's output, and the tensors that each names."""


@dataclass(frozen=True, slots=True)
class ImageInput:
    """A tensor that holds the image.

    Parameters
    ----------
    tensor_name
        Its name.
    fit
        How the image is brought to size.
    order
        One of `ORDERS`.
    colors
        ``BGR``, ``RGB`` or ``L``.
    scaling
        Pixels go from 0 to this before the mean is taken off.
    mean_file
        Name of the uploaded file of means, "" for none.
    data_type
        One of `DATA_TYPES`.
    """

    tensor_name: str
    fit: Fit
    order: str
    colors: str
    scaling: float
    mean_file: str
    data_type: str


@dataclass(frozen=True, slots=True)
class ConstantInput:
    """A tensor of numbers, some of which are sides of the prepared image.

    Parameters
    ----------
    tensor_name
        Its name.
    shape
        Without the batch.
    data
        Numbers, or ``"data.1"``: side 1 of the tensor ``data``, without the batch.
    """

    tensor_name: str
    shape: tuple[int, ...]
    data: tuple[float | str, ...]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What a network is fed.

    Parameters
    ----------
    inputs
        In the order given; exactly one is an image.
    batched
        Whether the first side of an output is the batch.
    """

    inputs: tuple[ImageInput | ConstantInput, ...]
    batched: bool

    @property
    def image(self) -> ImageInput:
        """The input that holds the image."""
        return next(one for one in self.inputs if isinstance(one, ImageInput))


@dataclass(frozen=True, slots=True)
class Labels:
    """One output of a specification.

    Parameters
    ----------
    names, ids
        Of the labels, in order.
    exclusive
        Whether one label is right.
    boxes
        Whether labels come with boxes (``roi`` is ``BBOX``).
    """

    names: tuple[str, ...]
    ids: tuple[int, ...]
    exclusive: bool
    boxes: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """How one output is read from tensors.

    Parameters
    ----------
    kind
        ``classification``, or one of `KINDS`.
    tensors
        Names, in the order of `KINDS`.
    thresholds
        Least score of each label, strictly.
    nms, discard
        IoU above which two boxes of one label are one, and the score up to which none is kept.
    normalize
        Tensor of (height, width) that boxes are divided by, "" where they are 0..1.
    anchors
        Of YOLO: (width, height) in grid cells.
    box_order
        Of direct output, one of `BOX_ORDERS`.
    """

    kind: str
    tensors: tuple[str, ...]
    thresholds: tuple[float, ...]
    nms: float = NMS_THRESHOLD
    discard: float = DISCARD_THRESHOLD
    normalize: str = ""
    anchors: tuple[tuple[float, float], ...] = ()
    box_order: str = "xyxy"


def check_framework(framework: Any) -> str:
    """Return a framework's main file.

    Raises
    ------
    ModelError
        If there is no such framework.
    """
    if not isinstance(framework, str) or framework not in FRAMEWORKS:
        raise ModelError(f"framework is {framework!r}; possible are {', '.join(FRAMEWORKS)}")
    return FRAMEWORKS[framework]


def check_preprocessing(preprocessing: Any) -> Preprocessing:
    """Read the ``preprocessing`` of a network.

    Parameters
    ----------
    preprocessing
        Plain JSON. Numbers and booleans may be text, as clients send them in forms.

    Raises
    ------
    ModelError
        If it is not possible; the message names the field.
    """
    where = "preprocessing"
    keys = plain_object(preprocessing, where, {"inputs", "batched_output"})
    rows = plain_list(keys.get("inputs"), f"{where}.inputs")
    inputs = tuple(_input(one, f"{where}.inputs[{i}]") for i, one in enumerate(rows))
    images = [one for one in inputs if isinstance(one, ImageInput)]
    if len(images) != 1:
        raise ModelError(f"{where}.inputs has {len(images)} images; possible is exactly one")
    names = [one.tensor_name for one in inputs]
    if len(set(names)) != len(names):
        raise ModelError(f"{where}.inputs names a tensor twice: {', '.join(names)}")
    checked = Preprocessing(
        inputs, flag(keys.get("batched_output", True), f"{where}.batched_output")
    )
    for index, one in enumerate(inputs):
        if isinstance(one, ConstantInput):
            _check_sides(one, images[0], f"{where}.inputs[{index}].constant.data")
    return checked


def check_outputs(outputs: Any) -> tuple[Labels, ...]:
    """Read the ``outputs`` of a specification; errors as of `check_preprocessing`."""
    rows = plain_list(outputs, "outputs")
    return tuple(_labels(one, f"outputs[{i}]") for i, one in enumerate(rows))


def check_post_processings(
    post_processings: Any, outputs: Sequence[Labels], *, box_order: str = "xyxy"
) -> tuple[Reading, ...]:
    """Read the ``post_processings`` of a version; errors as of `check_preprocessing`.

    Parameters
    ----------
    post_processings
        Plain JSON, one for each output.
    outputs
        From `check_outputs`.
    box_order
        Of direct outputs that do not say theirs.
    """
    rows = plain_list(post_processings, "post_processings")
    if len(rows) != len(outputs):
        raise ModelError(
            f"post_processings has {len(rows)} entries for {len(outputs)} outputs of the "
            "specification; give one each, in the same order"
        )
    pairs = enumerate(zip(rows, outputs, strict=True))
    return tuple(
        _reading(one, labels, f"post_processings[{i}]", box_order) for i, (one, labels) in pairs
    )


def _input(one: Any, where: str) -> ImageInput | ConstantInput:
    keys = plain_object(one, where, {"tensor_name", "image", "constant"})
    name = text(keys.get("tensor_name"), f"{where}.tensor_name")
    if ("image" in keys) == ("constant" in keys):
        raise ModelError(f"{where} must have exactly one of image and constant")
    if "image" in keys:
        return _image(keys["image"], name, f"{where}.image")
    where = f"{where}.constant"
    keys = plain_object(keys["constant"], where, {"shape", "data"})
    shape = tuple(
        whole(n, f"{where}.shape", 1) for n in plain_list(keys.get("shape"), f"{where}.shape")
    )
    rows = plain_list(keys.get("data"), f"{where}.data")
    data = tuple(_number_or_side(one, f"{where}.data") for one in rows)
    if math.prod(shape) != len(data):
        raise ModelError(f"{where}.data has {len(data)} numbers for the shape {list(shape)}")
    return ConstantInput(name, shape, data)


def _image(given: Any, name: str, where: str) -> ImageInput:
    keys = plain_object(
        given,
        where,
        {"dimension_order", "target_size", "resize_type", "color_channels", "pixel_scaling",
         "mean_file", "data_type"},
    )  # fmt: skip
    kind = choice(keys, "resize_type", RESIZES, where)
    height, width = _size(keys.get("target_size"), f"{where}.target_size")
    colors = choice(keys, "color_channels", COLORS, where)
    return ImageInput(
        tensor_name=name,
        fit=Fit(kind.lower(), height, width),
        order=choice(keys, "dimension_order", ORDERS, where),
        colors="L" if colors == "GRAY" else colors,
        scaling=number(keys.get("pixel_scaling", 255.0), f"{where}.pixel_scaling", above=0),
        mean_file=text(keys.get("mean_file") or "", f"{where}.mean_file", empty=True),
        data_type=choice(keys, "data_type", DATA_TYPES, where),
    )


def _size(given: Any, where: str) -> tuple[int, int]:
    """Return height and width of "WxH", or of "N", the larger side."""
    found = re.fullmatch(r"(\d{1,5})(?:[xX](\d{1,5}))?", str(given))
    sides = [int(side) for side in found.groups() if side] if found else []
    if isinstance(given, bool) or not sides or not all(1 <= side <= LARGEST for side in sides):
        raise ModelError(
            f"{where} is {given!r}; possible is 'WIDTHxHEIGHT' or the larger side, as in '224x224' "
            f"or '800', from 1 to {LARGEST} pixels"
        )
    return sides[-1], sides[0]


def _check_sides(constant: ConstantInput, image: ImageInput, where: str) -> None:
    possible = [f"{image.tensor_name}.{side}" for side in range(3)]
    for one in constant.data:
        if isinstance(one, str) and one not in possible:
            raise ModelError(
                f"{where} names {one!r}; possible are numbers, and the image's sides "
                f"{', '.join(possible)}"
            )


def _labels(one: Any, where: str) -> Labels:
    keys = plain_object(one, where, {"labels"})
    if "labels" not in keys:
        raise ModelError(f"{where} has no labels; possible is {{'labels': {{...}}}}")
    where = f"{where}.labels"
    keys = plain_object(keys["labels"], where, {"labels", "exclusive", "roi"})
    rows = [
        plain_object(label, f"{where}.labels[{i}]", {"id", "name"})
        for i, label in enumerate(plain_list(keys.get("labels"), f"{where}.labels"))
    ]
    names = tuple(text(r.get("name"), f"{where}.labels[{i}].name") for i, r in enumerate(rows))
    ids = tuple(whole(r.get("id"), f"{where}.labels[{i}].id", 0) for i, r in enumerate(rows))
    if len(set(ids)) != len(ids):
        raise ModelError(f"{where}.labels gives two labels the same id; each needs its own")
    roi = choice(keys, "roi", ("NONE", "BBOX"), where)
    return Labels(
        names, ids, flag(keys.get("exclusive", True), f"{where}.exclusive"), roi == "BBOX"
    )


def _reading(one: Any, labels: Labels, where: str, box_order: str) -> Reading:
    keys = plain_object(one, where, {"classification", "detection"})
    wanted = "detection" if labels.boxes else "classification"
    if set(keys) != {wanted}:
        raise ModelError(
            f"{where} has {' and '.join(sorted(keys)) or 'nothing'}; the output's roi is "
            f"{'BBOX' if labels.boxes else 'NONE'}, so it must have {wanted} alone"
        )
    where = f"{where}.{wanted}"
    if wanted == "detection":
        return _detection(keys[wanted], labels, where, box_order)
    keys = plain_object(keys[wanted], where, {"output_tensor", "thresholds"})
    tensor = text(keys.get("output_tensor"), f"{where}.output_tensor")
    usual = EXCLUSIVE_THRESHOLD if labels.exclusive else TAG_THRESHOLD
    return Reading("classification", (tensor,), _thresholds(keys, labels, where, usual))


def _detection(given: Any, labels: Labels, where: str, box_order: str) -> Reading:
    options = {"thresholds", "nms_threshold", "discard_threshold", "normalize_wrt_tensor"}
    keys = plain_object(given, where, options | set(KINDS))
    kinds = [kind for kind in KINDS if kind in keys]
    if len(kinds) != 1:
        raise ModelError(f"{where} must have exactly one of {', '.join(KINDS)}")
    kind, inner = kinds[0], f"{where}.{kinds[0]}"
    more = {"yolo_output": {"anchors"}, "direct_output": {"box_order"}}.get(kind, set())
    tensors = plain_object(keys[kind], inner, set(KINDS[kind]) | more)
    return Reading(
        kind,
        tuple(text(tensors.get(name), f"{inner}.{name}") for name in KINDS[kind]),
        _thresholds(keys, labels, where, DETECTION_THRESHOLD),
        score(keys.get("nms_threshold", NMS_THRESHOLD), f"{where}.nms_threshold"),
        score(keys.get("discard_threshold", DISCARD_THRESHOLD), f"{where}.discard_threshold"),
        text(keys.get("normalize_wrt_tensor") or "", f"{where}.normalize_wrt_tensor", empty=True),
        _pairs(tensors.get("anchors"), f"{inner}.anchors") if kind == "yolo_output" else (),
        choice({"box_order": box_order, **tensors}, "box_order", BOX_ORDERS, inner)
        if kind == "direct_output"
        else "xyxy",
    )


def _thresholds(
    keys: Mapping[str, Any], labels: Labels, where: str, usual: float
) -> tuple[float, ...]:
    where, count = f"{where}.thresholds", len(labels.names)
    if keys.get("thresholds") in (None, []):  # clients leave out what is empty
        return (usual,) * count
    found = tuple(score(one, where) for one in plain_list(keys["thresholds"], where))
    if len(found) != count:
        raise ModelError(f"{where} has {len(found)} numbers for {count} labels; give one each")
    return found


def _pairs(given: Any, where: str) -> tuple[tuple[float, float], ...]:
    flat = [number(one, where, above=0) for one in plain_list(given, where)]
    if len(flat) % 2:
        raise ModelError(f"{where} has {len(flat)} numbers; possible are pairs of width and height")
    return tuple(zip(flat[::2], flat[1::2], strict=True))


def _number_or_side(given: Any, where: str) -> float | str:
    named = isinstance(given, str) and re.fullmatch(r".*[^\d.+-].*\.\d+", given)
    return str(given) if named else number(given, where)
