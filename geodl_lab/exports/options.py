"""The options of an export, checked when they are made."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from geodl_lab.checks import is_list, is_number, is_whole
from geodl_lab.errors import OptionError, UnknownOptionError
from geodl_lab.exports.formats import CHIP_FORMATS, FORMATS, ChipFormat, Format

REFERENCES = ("map", "image", "pixel")
"""Reference systems: north up in the raster's CRS, or rows and columns as they are stored."""

LARGEST_SIDE = 8192
"""Most pixels of a chip in one direction."""

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """How chips are cut and labelled.

    Parameters
    ----------
    format, chip_format
        Names in `FORMATS` and `CHIP_FORMATS`.
    tile_yx
        Height and width of a chip in pixels.
    stride_yx
        Pixels from one chip to the next down and across; None is the chip's size, no overlap.
    class_field, instance_class_field
        Columns with the class of a feature; "" takes ``Classvalue`` or ``Value`` where there is
        one, and else all features are of one class.
    buffer
        Radius round points, and beside lines, in units of the features' CRS.
    rotation
        Angle in degrees: more chips at the same places, turned by each multiple of it below 360;
        0 is none.
    reference
        ``map`` cuts north up; ``image`` and ``pixel`` cut rows and columns as they are stored.
    blacken
        Whether pixels outside the feature become 0, in chips with one feature each.
    fixed_chip
        Whether such chips have ``tile_yx`` pixels; False cuts the feature's bounds.
    min_overlap
        Least part of a feature's area, 0..1, inside a chip that counts.
    all_tiles
        Whether chips without a label are written.
    start_index
        Number of the first chip.
    """

    format: str = "KITTI_rectangles"
    chip_format: str = "TIFF"
    tile_yx: Size = (256, 256)
    stride_yx: Size | None = None
    class_field: str = ""
    instance_class_field: str = ""
    buffer: float = 0.0
    rotation: float = 0.0
    reference: str = "map"
    blacken: bool = False
    fixed_chip: bool = True
    min_overlap: float = 0.0
    all_tiles: bool = False
    start_index: int = 0

    def __post_init__(self) -> None:
        _check_choice("format", self.format, FORMATS)
        _check_choice("chip_format", self.chip_format, CHIP_FORMATS)
        _check_choice("reference", self.reference, REFERENCES)
        stride = self.tile_yx if self.stride_yx is None else self.stride_yx
        object.__setattr__(self, "tile_yx", _size("tile_yx", self.tile_yx))
        object.__setattr__(self, "stride_yx", _size("stride_yx", stride))
        for name in ("class_field", "instance_class_field"):
            _check(name, getattr(self, name), isinstance(getattr(self, name), str), "a text")
        for name in ("blacken", "fixed_chip", "all_tiles"):
            _check(name, getattr(self, name), isinstance(getattr(self, name), bool), "true, false")
        _check_number("buffer", self.buffer, 0, math.inf)
        _check_number("rotation", self.rotation, 0, 359)
        _check("rotation", self.rotation, not 0 < self.rotation < 1, "0, or 1 to 359 degrees")
        _check_number("min_overlap", self.min_overlap, 0, 1)
        good = is_whole(self.start_index) and 0 <= self.start_index < 10**9
        _check("start_index", self.start_index, good, "a whole number from 0")

    @property
    def kind(self) -> Format:
        """What its format is."""
        return FORMATS[self.format]

    @property
    def chips(self) -> ChipFormat:
        """What its format of chips is."""
        return CHIP_FORMATS[self.chip_format]

    @property
    def angles(self) -> tuple[float, ...]:
        """By how many degrees chips are turned at each place."""
        if not self.rotation:
            return (0.0,)
        return tuple(index * self.rotation for index in range(math.ceil(360 / self.rotation)))


def export_options(values: Mapping[str, Any]) -> ExportOptions:
    """Return the options of a mapping.

    Raises
    ------
    OptionError
        If one is unknown or has a value that is not possible.
    """
    known = [field.name for field in dataclasses.fields(ExportOptions)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise UnknownOptionError(f"there is no option {unknown[0]!r}; possible: {', '.join(known)}")
    return ExportOptions(**values)


def _check(name: str, value: Any, good: bool, possible: str) -> None:
    if not good:
        raise OptionError(f"{name} is {value!r}; possible: {possible}")


def _check_choice(name: str, value: Any, choices: Any) -> None:
    _check(name, value, isinstance(value, str) and value in choices, ", ".join(choices))


def _check_number(name: str, value: Any, low: float, high: float) -> None:
    good = is_number(value) and low <= value <= high
    _check(name, value, good, f"numbers from {low} to {high}" if high < math.inf else "0 or more")


def _size(name: str, value: Any) -> Size:
    good = is_list(value) and len(value) == 2
    good = good and all(is_whole(side) and 1 <= side <= LARGEST_SIDE for side in value)
    _check(name, value, good, f"height and width in whole pixels, 1 to {LARGEST_SIDE}")
    return int(value[0]), int(value[1])
