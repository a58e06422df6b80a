"""What a model is, apart from its weights: frozen values that check themselves when made.

A `ModelPackage` is the one description that every format (`packages/`) is read into and that the
engine, the server and the reprs read from. It needs numpy and nothing else.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geodl_lab.errors import ModelError

TASKS = ("classify", "detect", "regress", "recognize")
DECODERS = ("auto", "boxes", "heatmap", "yolo", "masks")
LAYOUTS = ("channels_last", "nchw")
ACTIVATIONS = ("none", "sigmoid", "softmax")
BOX_UNITS = ("pixels", "window")
ANSWERS = ("scores", "values")
YOLO_LAYOUTS = ("channels_first", "channels_last", "objectness")
NODATA = 255
LARGEST_ID = 2**31
DEFAULT_THRESHOLD = 0.5
FITS = ("squash", "crop", "fill", "network")
EXCLUSIVE_THRESHOLD, TAG_THRESHOLD = 0.025, 0.5
"""Least score of a label of a whole image, where a package says none (Deepomatic v0.7)."""

# Distinct colours for classes whose package names none (Okabe & Ito 2008, colour-blind safe).
DEFAULT_COLORS = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442", "#000000",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LabelClass:
    """One class: the value written to the raster, its name and its colour.

    Parameters
    ----------
    value
        Class value, from 0; of pixels at most 254 (255 is nodata).
    name
        Name shown to people.
    color
        ``#rrggbb``.
    """

    value: int
    name: str
    color: str

    def __post_init__(self) -> None:
        if not _text(self.name):
            raise ModelError(f"class name {self.name!r} is no text; write it as in 'tree'")
        if not _whole(self.value) or not 0 <= self.value < LARGEST_ID:
            raise ModelError(
                f"class {self.name!r} has the value {self.value!r}; possible are 0..254"
            )
        if not _text(self.color) or not re.fullmatch(r"#[0-9a-fA-F]{6}", self.color):
            raise ModelError(f"class {self.name!r} has the color {self.color!r}; write '#rrggbb'")

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Red, green and blue, 0..255."""
        red, green, blue = (int(self.color[i : i + 2], 16) for i in (1, 3, 5))
        return red, green, blue


@dataclass(frozen=True, slots=True)
class Fit:
    """How a whole image is brought to the size that a model takes.

    Parameters
    ----------
    kind
        ``squash`` stretches it; ``crop`` scales the shorter side and cuts the rest off, evenly;
        ``fill`` scales the longer side and fills the rest with white, evenly; ``network`` scales
        the longer side to the longer of ``height`` and ``width`` and lets the net have that shape
        (Deepomatic v0.7, ``resize_type``).
    height, width
        Pixels that the model sees.
    """

    kind: str
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.kind not in FITS:
            raise ModelError(f"fit {self.kind!r} is not one of {', '.join(FITS)}")
        if not all(_whole(side) and side > 0 for side in (self.height, self.width)):
            raise ModelError(
                f"fit to {self.height!r} x {self.width!r} is not possible; give whole pixels, "
                "from 1"
            )


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What the model wants to see.

    What the net is fed is ``(clip(value, low, high) * scale - mean) / std``.

    Parameters
    ----------
    bands
        Names in the order of the model's channels; ``()`` is "any names, ``count`` bands".
    count
        Number of channels.
    dtype
        Pixel type the scaling is meant for (``"uint8"``), or None for any.
    scale
        Factor on the stored value.
    mean, std
        One number a channel, applied after ``scale``: ``x = (value * scale - mean) / std``.
    cell_size
        Cell size in metres that the model was trained at, or None if it is not known.
    low, high
        Stored values are cut to these first, one number a channel (infinite: not cut); None cuts
        none.
    fit
        How a whole image is brought to the model's size; None takes its pixels as they are.
    positions
        Zero-based bands of the rasters that the model was made for, in the order of its channels;
        they decide where names do not. ``()`` is "all of them, in order".
    other_names
        What ``bands`` are also called, such as B04 for red, in the same order; ``()`` is nothing.
    """

    bands: tuple[str, ...] = ()
    count: int = 0
    dtype: str | None = None
    scale: float = 1.0
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    cell_size: float | None = None
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    fit: Fit | None = None
    positions: tuple[int, ...] = ()
    other_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", self.count or len(self.bands))
        if self.count < 1:
            raise ModelError("a model needs at least one band; name them, as in bands=['red']")
        if self.bands and len(self.bands) != self.count:
            raise ModelError(f"{len(self.bands)} band names for {self.count} bands")
        if len(set(self.bands)) != len(self.bands):
            raise ModelError(f"band names repeat: {', '.join(self.bands)}")
        if self.other_names and len(self.other_names) != len(self.bands):
            raise ModelError(f"{len(self.other_names)} other names for {len(self.bands)} bands")
        if self.positions and len(self.positions) != self.count:
            raise ModelError(f"{len(self.positions)} positions for {self.count} bands")
        if not all(_whole(place) and place >= 0 for place in self.positions):
            raise ModelError(f"positions {self.positions} are none; they count from 0")
        _check_dtype(self.dtype)
        for name in ("mean", "std", "low", "high"):
            numbers = getattr(self, name)
            if numbers is not None and len(numbers) != self.count:
                raise ModelError(f"{name} has {len(numbers)} numbers for {self.count} bands")
        if self.cell_size is not None and not _above_0(self.cell_size):
            raise ModelError(f"cell_size {self.cell_size!r} is none; give metres, above 0")
        if self.std is not None and not all(self.std):
            raise ModelError("std holds a 0; every band needs a positive number")


@dataclass(frozen=True, slots=True)
class Field:
    """The receptive field of a net, as measured (`receptive`) or as its package states it.

    Parameters
    ----------
    finite
        False where an output depends on all of the window (GroupNorm, attention, chip means).
    stride
        The net answers alike when its input moves by this many pixels.
    halo
        Context in pixels that the core of a window needs on each side, a multiple of ``stride``.
    crop
        Pixels that the output lacks on each side of the input.
    memory
        Peak bytes of a forward in fp32, per pixel of the window.
    seams
        Of a finite field: the largest error of a score, on noise, with a halo of 0, 1, 2, ...
        strides; the last is that of ``halo`` and is rounding.
    """

    finite: bool
    stride: int = 1
    halo: int = 0
    crop: int = 0
    memory: float = 2048.0
    seams: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Decoder:
    """How objects are read from the output of a detector.

    Parameters
    ----------
    name
        ``boxes`` (a list of dicts, or dense boxes with scores), ``yolo``, ``masks`` (a list of
        dicts), ``heatmap`` (centre peaks, one channel a class, then optionally log height and log
        width), ``regions`` (connected score regions).
    threshold
        Least score, 0..1; objects score strictly more. With ``thresholds`` it is their least.
    radius
        Pixels around a peak in which no other may stand (heat maps).
    box_size
        Side in pixels of the square drawn around a point; None where the model gives the size.
    size_unit
        Pixels that a size channel of 0 stands for: ``height = size_unit * exp(channel)``.
    activation
        What makes 0..1 of the scores of dense boxes and YOLO: ``none``, ``sigmoid``, ``softmax``.
    nms
        Least IoU of two boxes of one class of one window that are one object; None is the usual
        one: 0.5 for dense boxes and YOLO, and for lists of dicts none at all, because such models
        have done it themselves.
    anchors
        Of dense boxes that are offsets: centre x, centre y, width and height in window pixels, one
        for each box. Offsets are dx, dy in shares of the anchor's size, dw, dh logarithms of it
        (Ren et al. 2015, "Faster R-CNN").
    layout
        Of YOLO: ``channels_first`` (4 + K, box), ``channels_last`` (box, 4 + K) or ``objectness``
        (box, 5 + K) for K classes; "" is told by the shape.
    box_unit
        ``pixels``, or ``window`` for boxes that are shares 0..1 of the window's width and height.
    labels_from
        Label of the first class where objects come with labels: 1, with 0 for the background, or
        0. None is 1, but for rows of six numbers, which do not say it.
    thresholds
        Least score of each class, in their order; of models that answer objects. Empty is
        ``threshold`` for all.
    """

    name: str
    threshold: float = DEFAULT_THRESHOLD
    radius: int = 1
    box_size: float | None = None
    size_unit: float = 1.0
    activation: str = "none"
    nms: float | None = None
    anchors: tuple[tuple[float, ...], ...] = ()
    layout: str = ""
    box_unit: str = "pixels"
    labels_from: int | None = None
    thresholds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "anchors", _anchors(self.anchors))
        object.__setattr__(self, "thresholds", _scores(self.thresholds))
        object.__setattr__(self, "threshold", min(self.thresholds, default=self.threshold))
        if self.thresholds and not self.answers_objects:
            raise ModelError(
                f"thresholds are for decoders that answer objects, not for {self.name!r}; give "
                "one threshold for all classes"
            )
        for option, value, possible in (
            ("decoder", self.name, ("boxes", "yolo", "masks", "heatmap", "regions")),
            ("activation", self.activation, ACTIVATIONS),
            ("layout", self.layout, ("", *YOLO_LAYOUTS)),
            ("box_unit", self.box_unit, BOX_UNITS),
            ("labels_from", self.labels_from, (None, 0, 1)),
        ):
            if value not in possible:
                listed = ", ".join(str(one) for one in possible)
                raise ModelError(f"{option} {value!r} is not one of {listed}")
        if self.anchors and self.box_unit != "pixels":
            raise ModelError(
                f"box_unit {self.box_unit!r} and anchors are not possible together: offsets have "
                "no unit; leave box_unit out"
            )
        if self.nms is not None and not (_real(self.nms) and 0 < self.nms <= 1):
            raise ModelError(f"nms {self.nms!r} is no IoU; give a number above 0, up to 1 for none")
        if not _real(self.threshold) or not 0 <= self.threshold <= 1:
            raise ModelError(f"threshold {self.threshold!r} is outside 0..1; give a number in it")
        if not _whole(self.radius) or self.radius < 1:
            raise ModelError(f"radius {self.radius!r} is not possible; give whole pixels, from 1")
        for name, size in (("box_size", self.box_size), ("size_unit", self.size_unit)):
            if (name, size) != ("box_size", None) and not _above_0(size):
                raise ModelError(f"{name} {size!r} is not possible; give pixels, above 0")

    @property
    def answers_objects(self) -> bool:
        """Tell whether the model answers objects of its window rather than scores of pixels."""
        return self.name in ("boxes", "yolo", "masks")

    @property
    def sized(self) -> bool:
        """Tell whether the scores come with two channels of log height and log width."""
        return self.name == "heatmap" and self.box_size is None

    @property
    def points(self) -> bool:
        """Tell whether objects are points rather than boxes."""
        return self.box_size is not None


@dataclass(frozen=True, slots=True)
class Recognizer:
    """How the labels of a whole image, or of a chip around an object, are read from its scores.

    Parameters
    ----------
    exclusive
        True: one label is right (classification); False: each may be, by itself (tagging).
    activation
        What makes 0..1 of the scores: ``none``, ``sigmoid``, ``softmax``.
    thresholds
        Least score of each label, in the order of the classes; a label is present if it scores
        strictly more. Empty is the usual one for all: 0.025 if exclusive, else 0.5.
    fixed_chip
        Of objects: True cuts chips of the model's size around their middles, False cuts their
        bounds and resizes them.
    blacken
        Of objects: True makes pixels outside the object's outline 0.
    """

    exclusive: bool = True
    activation: str = "softmax"
    thresholds: tuple[float, ...] = ()
    fixed_chip: bool = False
    blacken: bool = False

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ModelError(
                f"activation {self.activation!r} is not one of {', '.join(ACTIVATIONS)}"
            )
        object.__setattr__(self, "thresholds", _scores(self.thresholds))

    def threshold(self, index: int) -> float:
        """Return the least score of the label at ``index``."""
        if self.thresholds:
            return self.thresholds[index]
        return EXCLUSIVE_THRESHOLD if self.exclusive else TAG_THRESHOLD


@dataclass(frozen=True)
class ModelPackage:
    """Everything about a model but its weights; named by the hash of their content.

    Parameters
    ----------
    name, version, sha256
        Identity; ``sha256`` is the hash of the weights file or tensors.
    task
        ``classify``, ``detect``, ``regress`` or ``recognize``.
    inputs
        Bands, scaling and cell size.
    classes
        Classes in the order of the output's channels (detectors: without the background).
    window
        Least window in pixels; the exact one if ``fixed_window``.
    field
        Receptive field; its ``halo`` is the package's padding where the field is unbounded.
    decoder
        How objects are read; None for other models.
    recognizer
        How labels of whole images are read; None for other models.
    width
        Width of a window in pixels where it differs from ``window``, which then is the height.
    answers
        What a classifier answers: ``scores``, one channel a class, or ``values``, the class values
        themselves in one channel.
    fixed_window
        True where the net accepts no other size.
    layout
        ``channels_last``, or ``nchw`` for a net that does not take the former.
    about
        Title, description, licence, attribution, accuracy: for people, kept as given.
    """

    name: str
    task: str
    inputs: InputSpec
    classes: tuple[LabelClass, ...]
    window: int
    field: Field
    decoder: Decoder | None = None
    fixed_window: bool = False
    layout: str = "channels_last"
    version: str = "1.0.0"
    sha256: str = ""
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    recognizer: Recognizer | None = None
    width: int | None = None
    answers: str = "scores"

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ModelError(f"task {self.task!r} is not one of {', '.join(TASKS)}")
        if self.layout not in LAYOUTS:
            raise ModelError(f"layout {self.layout!r} is not one of {', '.join(LAYOUTS)}")
        if self.answers not in ANSWERS:
            raise ModelError(f"answers {self.answers!r} is not one of {', '.join(ANSWERS)}")
        if (side := min(self.shape_yx)) < 1:
            raise ModelError(f"window {side} is not possible; take the model's tile size")
        values = [label.value for label in self.classes]
        if len(set(values)) != len(values):
            raise ModelError(f"model {self.name!r} gives two classes the same value: {values}")
        if self.task in ("classify", "regress") and max(values, default=0) >= NODATA:
            raise ModelError(
                f"model {self.name!r} has a class of pixels with the value {max(values)}; possible "
                "are 0..254"
            )
        if self.task == "detect" and not self.classes:
            raise ModelError(f"model {self.name!r} names no class; name them, as in ['tree']")
        if self.task == "detect" and self.decoder is None:
            raise ModelError(f"model {self.name!r} detects objects but names no decoder")
        if self.task == "recognize" and (self.recognizer is None or not self.classes):
            raise ModelError(f"model {self.name!r} recognizes images but names no labels")
        self._check_thresholds()

    def _check_thresholds(self) -> None:
        reader = self.decoder or self.recognizer
        thresholds, labels = len(reader.thresholds) if reader else 0, len(self.classes)
        if thresholds not in (0, labels):
            raise ModelError(
                f"model {self.name!r} has {thresholds} thresholds for {labels} labels; give one "
                "each, or none"
            )

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Height and width of the least window in pixels."""
        return self.window, self.width or self.window

    @property
    def class_values(self) -> np.ndarray:
        """Class values in channel order, shape (class,), uint8 of pixels, else int64."""
        of_pixels = self.task in ("classify", "regress")
        values = [label.value for label in self.classes]
        return np.array(values, dtype=np.uint8 if of_pixels else np.int64)


def _whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _real(value: Any) -> bool:
    return _whole(value) or (isinstance(value, float | np.floating) and math.isfinite(value))


def _above_0(value: Any) -> bool:
    return _real(value) and value > 0


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _anchors(anchors: Any) -> tuple[tuple[float, ...], ...]:
    """Return anchors (anchor, 4) as plain numbers."""
    try:
        rows = tuple(tuple(float(side) for side in anchor) for anchor in anchors)
    except (TypeError, ValueError):
        rows = ((),)
    if not all(len(a) == 4 and all(map(math.isfinite, a)) and min(a[2:]) > 0 for a in rows):
        raise ModelError(
            "anchors are no list of boxes; an anchor is cx, cy, width, height in pixels, the last "
            "two above 0, as in anchors=[(8, 8, 16, 16)]"
        )
    return rows


def _scores(numbers: Any) -> tuple[float, ...]:
    """Return scores 0..1 as plain numbers."""
    row = tuple(numbers) if isinstance(numbers, Sequence) and not _text(numbers) else (numbers,)
    if not all(_real(score) and 0 <= score <= 1 for score in row):
        raise ModelError(f"thresholds {numbers!r} are outside 0..1; give a list of numbers in it")
    return tuple(map(float, row))


def _check_dtype(name: str | None) -> None:
    try:
        fine = name is None or np.dtype(name).kind in "iuf"
    except TypeError:
        fine = False
    if not fine:
        raise ModelError(f"dtype {name!r} is no pixel type; write 'uint8' or another of numpy's")


def make_classes(
    classes: Sequence[str | LabelClass | tuple[int, str, str]], *, first: int = 0
) -> tuple[LabelClass, ...]:
    """Turn names into classes with values counted from ``first`` and default colours.

    Parameters
    ----------
    classes
        Names, (value, name, color) tuples or `LabelClass` values.
    first
        Value of the first name: 0 for pixels, 1 for objects (0 is the background there).
    """
    return tuple(_make_class(label, index, first) for index, label in enumerate(classes))


def _make_class(label: Any, index: int, first: int) -> LabelClass:
    if isinstance(label, LabelClass):
        return label
    if isinstance(label, str):
        return LabelClass(first + index, label, DEFAULT_COLORS[index % len(DEFAULT_COLORS)])
    if not isinstance(label, Sequence) or len(label) != 3:
        raise ModelError(
            f"class {label!r} is none; give a name, or (value, name, color) as in "
            "(1, 'tree', '#009e73')"
        )
    return LabelClass(*label)
