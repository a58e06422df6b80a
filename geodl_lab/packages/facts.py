"""What a caller says about a network, checked and made into `Facts`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from geodl_lab.checks import is_list, is_whole
from geodl_lab.decoders import DEFAULT_THRESHOLD, Recognizer
from geodl_lab.errors import ModelError
from geodl_lab.inputs import Fit, InputSpec
from geodl_lab.package import LabelClass, make_classes
from geodl_lab.packages.wrap import Facts

DECODING = (
    "threshold", "radius", "box_size", "size_unit", "activation", "nms", "anchors", "box_unit",
    "labels_from", "thresholds",
)  # fmt: skip
"""Options of `geodl_lab.decoders.Decoder` that a caller may say."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a caller says about a network: the parameters of `geodl_lab.from_torch`, and two more.

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
    """

    task: str = "classify"
    bands: Sequence[str] | int
    classes: Sequence[str | LabelClass | tuple[int, str, str]] = ()
    window: int = 512
    scale: float = 1 / 255
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    dtype: str | None = None
    cell_size: float | None = None
    fixed_window: bool = False
    padding: int | None = None
    max_object: int | None = None
    decoder: str = "auto"
    threshold: float = DEFAULT_THRESHOLD
    radius: int = 2
    box_size: float | None = None
    size_unit: float = 1.0
    activation: str | None = None
    nms: float | None = None
    anchors: Sequence[Sequence[float]] = ()
    box_unit: str = "pixels"
    labels_from: int | None = None
    thresholds: Sequence[float] = ()
    exclusive: bool = True
    fit: str | None = None
    fixed_chip: bool = False
    blacken: bool = False
    name: str = ""
    width: int | None = None
    sha256: str = ""

    def __post_init__(self) -> None:
        sides = self.window, self.window if self.width is None else self.width
        for option, side in zip(("window", "width"), sides, strict=True):
            if not is_whole(side) or side < 1:
                raise ModelError(
                    f"{option} {side!r} is not possible; give the tile's side in whole pixels"
                )
        if not is_list(self.classes):
            raise ModelError(
                f"classes {self.classes!r} are no list; name them, as in classes=['land']"
            )
        if self.activation is None:
            labels = "softmax" if self.exclusive else "sigmoid"
            known = labels if self.task == "recognize" else "none"
            object.__setattr__(self, "activation", known)

    @property
    def facts(self) -> Facts:
        """What is said, as values.

        Raises
        ------
        ModelError
            If something is of a wrong type or shape.
        """
        unnamed = self.task == "regress" and not self.classes
        return Facts(
            name=self.name,
            task=self.task,
            inputs=self._inputs(),
            classes=make_classes(
                ("value",) if unnamed else self.classes, first=1 if self.task == "detect" else 0
            ),
            window=self.window,
            width=self.width,
            fixed_window=self.fixed_window,
            padding=self.padding,
            max_object=self.max_object,
            decoder=self.decoder,
            decoding={option: getattr(self, option) for option in DECODING},
            recognizer=self._recognizer() if self.task == "recognize" else None,
            sha256=self.sha256,
        )

    def _recognizer(self) -> Recognizer:
        return Recognizer(
            self.exclusive,
            str(self.activation),
            self.thresholds,  # type: ignore[arg-type]  # a Recognizer makes a tuple of it
            self.fixed_chip,
            self.blacken,
        )

    def _inputs(self) -> InputSpec:
        try:
            names, count = _named(self.bands)
            mean, std = (
                None if row is None else tuple(map(float, row)) for row in (self.mean, self.std)
            )
            scale = float(self.scale)
            inputs = InputSpec(names, count, self.dtype, scale, mean, std, self.cell_size)
        except (TypeError, ValueError) as error:
            if isinstance(error, ModelError):
                raise
            raise ModelError(
                f"bands, scale, mean or std are of a wrong type ({error}); give a list of names or "
                "their number, one number for scale, and one a band for mean and std"
            ) from error
        return inputs if self.fit is None else self._fitted(inputs, self.fit)

    def _fitted(self, inputs: InputSpec, fit: str) -> InputSpec:
        if self.task not in ("recognize", "detect"):
            raise ModelError(
                f"fit {fit!r} is for whole images that are recognized, or searched for objects, "
                f"not to {self.task}; leave it out"
            )
        return dataclasses.replace(inputs, fit=Fit(fit, self.window, self.width or self.window))


def _named(bands: Any) -> tuple[tuple[str, ...], int]:
    """Return names and number of bands that were given as names, one name, or a number."""
    if is_whole(bands):
        return (), int(bands)
    names = (bands,) if isinstance(bands, str) else tuple(map(str, bands))
    return names, len(names)
