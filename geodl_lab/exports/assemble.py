"""The finished folder: chips numbered, labels named alike, and the four files about them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from geodl_lab.checkpoints import sync
from geodl_lab.errors import OptionError
from geodl_lab.exports.annotations import Labelled, kitti, voc
from geodl_lab.exports.classes import check_folders, label_class
from geodl_lab.exports.parts import PARTS, ChipRange, Facts, chips_of, explained, facts_of, ranges
from geodl_lab.exports.plans import Plan
from geodl_lab.exports.records import Chip
from geodl_lab.exports.summary import Summary, write_summary
from geodl_lab.package import LabelClass

ROUGH = "export-rough"
"""Where the folder is put together."""


@dataclass(frozen=True)
class Group:
    """The chips of one folder with its own four files.

    Parameters
    ----------
    plan
        What is exported.
    folder
        Where it is put together.
    chips
        With the folder of the part that holds each, in order.
    facts
        Of its items.
    """

    plan: Plan
    folder: Path
    chips: tuple[tuple[Path, Chip], ...]
    facts: tuple[Facts, ...]

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """All classes by value: those that the labels name, and those that chips hold."""
        named = (label for facts in self.facts for label in facts.classes)
        seen = (value for _, chip in self.chips for value in _values(chip))
        return _merged(named, seen)

    @property
    def instance_classes(self) -> tuple[LabelClass, ...]:
        """The same of instances."""
        return _merged((c for facts in self.facts for c in facts.instance_classes), ())


def assemble(plan: Plan) -> int:
    """Put the finished folder together; nothing happens if it is there.

    Returns
    -------
    int
        How many chips it holds.

    Raises
    ------
    OptionError
        If no chip holds a label.
    OutputError
        If it cannot be written.
    """
    if not plan.target.exists():
        with explained(plan.folder):
            rough = plan.folder / ROUGH
            shutil.rmtree(rough, ignore_errors=True)
            for group in _groups(plan, rough):
                _write(group)
            rough.rename(plan.target)
    shutil.rmtree(plan.folder / PARTS, ignore_errors=True)
    maps = plan.target.glob("**/map.txt")
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in maps)


def _groups(plan: Plan, rough: Path) -> Iterator[Group]:
    facts, parts = facts_of(plan), ranges(plan)
    for name in dict.fromkeys(item.group for item in plan.items):
        mine = [i for i, item in enumerate(plan.items) if item.group == name]
        chips = tuple(_chips(plan, [part for part in parts if part.item in mine]))
        if not chips:
            raise OptionError(_none(plan))
        yield Group(plan, rough / name, chips, tuple(facts[index] for index in mine))


def _chips(plan: Plan, parts: Sequence[ChipRange]) -> Iterator[tuple[Path, Chip]]:
    for part in parts:
        for chip in chips_of(plan, part):
            yield part.path(plan), chip


def _none(plan: Plan) -> str:
    if not plan.labels:
        return "no chip holds any data; check the extent, the mask and the raster's nodata value"
    return (
        "no chip holds a label; check that the labels lie on the raster (their CRS, the extent, "
        "the mask), lower the least overlap, or export all tiles (exportAllTiles)"
    )


def _write(group: Group) -> None:
    classes, plan = group.classes, group.plan
    if plan.options.kind.folders and plan.options.kind.content != "panoptic":
        check_folders(classes, plan.options.kind.name)
    names = {label.value: label.name for label in classes}
    group.folder.mkdir(parents=True)
    lines = [
        _chip(group, part, chip, plan.options.start_index + number, names)
        for number, (part, chip) in enumerate(group.chips)
    ]
    path = group.folder / "map.txt"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    sync(path)
    chips = [chip for _, chip in group.chips]
    both = group.classes, group.instance_classes
    write_summary(group.folder, Summary(plan, chips, group.facts, *both))


def _chip(group: Group, part: Path, chip: Chip, number: int, names: dict[int, str]) -> str:
    """Put one chip in its place; return its line of map.txt."""
    content, stem = group.plan.options.kind.content, f"{number:09d}"
    line = []
    for role, files in chip.files.items():
        folder = f"images/{names[chip.label or 0]}" if content == "folder" else role
        for index, name in enumerate(files):
            # What follows the number that the chip had in its part: the ending, or several.
            target = f"{folder}/{stem}{name.removeprefix(str(chip.index))}"
            _link(part / role / name, group.folder / target)
            line += [target] if index == 0 else []
    if content in ("kitti", "voc", "label", "names"):
        ending = ".txt" if content == "kitti" else ".xml"
        line.append(f"labels/{stem}{ending}")
        image = Path(line[0]).name
        text = (
            kitti(_labelled(chip))
            if content == "kitti"
            else voc(image, chip.shape, _labelled(chip, names if content == "names" else None))
        )
        path = group.folder / line[-1]
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return " ".join(line)


def _labelled(chip: Chip, names: dict[int, str] | None = None) -> list[Labelled]:
    """Return the boxes of a chip; with names, one box of the whole chip with all names."""
    if names is None:
        return [Labelled(str(found.value), found.box) for found in chip.objects]
    _, height, width = chip.shape
    values = sorted({found.value for found in chip.objects})
    return [Labelled(",".join(names[value] for value in values), (0, 0, width, height))]


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copy2(source, target)


def _values(chip: Chip) -> Iterator[int]:
    yield from (found.value for found in chip.objects)
    yield from (value for value in chip.pixels or () if value)


def _merged(
    named: Iterator[LabelClass], seen: Iterator[int] | tuple[int, ...]
) -> tuple[LabelClass, ...]:
    known: dict[int, LabelClass] = {}
    for label in named:
        known.setdefault(label.value, label)
    for value in seen:
        if value not in known:
            known[value] = label_class(value, str(value))
    return tuple(known[value] for value in sorted(known))
