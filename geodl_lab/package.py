"""What a model is, apart from its weights: frozen values that check themselves when made.

A `ModelPackage` is the one description that every format (`packages/`) is read into and that the
engine, the server and the reprs read from. It needs numpy and nothing else.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geodl_lab.checks import is_list, is_whole
from geodl_lab.decoders import Decoder, Recognizer
from geodl_lab.errors import ModelError
from geodl_lab.inputs import InputSpec

TASKS = ("classify", "detect", "regress", "recognize")
LAYOUTS = ("channels_last", "nchw")
ANSWERS = ("scores", "values")
NODATA = 255
LARGEST_ID = 2**31

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
        if not isinstance(self.name, str):
            raise ModelError(f"class name {self.name!r} is no text; write it as in 'tree'")
        if not is_whole(self.value) or not 0 <= self.value < LARGEST_ID:
            raise ModelError(
                f"class {self.name!r} has the value {self.value!r}; possible are 0..254"
            )
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", str(self.color)):
            raise ModelError(f"class {self.name!r} has the color {self.color!r}; write '#rrggbb'")

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Red, green and blue, 0..255."""
        red, green, blue = (int(self.color[i : i + 2], 16) for i in (1, 3, 5))
        return red, green, blue


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


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        """Say in a line what it is; its fields say the rest."""
        names = [label.name for label in self.classes[:4]]
        more = ", ..." if len(self.classes) > len(names) else ""
        bands = list(self.inputs.bands) or self.inputs.count
        return (
            f"ModelPackage({self.name!r}, {self.version!r}, task={self.task!r}, bands={bands}, "
            f"{len(self.classes)} classes: {', '.join(map(repr, names))}{more})"
        )

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
    if not is_list(label) or len(label) != 3:
        raise ModelError(
            f"class {label!r} is none; give a name, or (value, name, color) as in "
            "(1, 'tree', '#009e73')"
        )
    return LabelClass(*label)
