"""Parts of an export: some chips each, written beside and then renamed, so that none is half.

Life of an export: `missing` lists parts that are not there yet, `compute` makes some of them, and
when none is missing `assemble.assemble` numbers their chips and puts the folder together. All of
it may be asked again at any time, in another process, after a crash.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from geodl_lab.checkpoints import sync
from geodl_lab.errors import CancelledError, GeodlError, OutputError, RasterError, first_line
from geodl_lab.exports.cutting import Cutter, open_item
from geodl_lab.exports.plans import Plan
from geodl_lab.exports.records import Chip, chips_from, chips_json
from geodl_lab.package import LabelClass
from geodl_lab.raster_files import gdal_limits
from geodl_lab.staging import WRITE_ERRORS

PARTS = "export-parts"
"""Folder of finished parts."""

RECORDS = "chips.json"
"""What is known of the chips of a part."""

STATE = "export.json"
"""What is known of an export before its first part."""

PIXELS = 2**22
"""Pixels of chips that are near a second's work."""


@dataclass(frozen=True, slots=True)
class ChipRange:
    """A part: some places of an item, one after the other.

    Parameters
    ----------
    item
        Index of the item in the plan.
    first, count
        Places.
    """

    item: int
    first: int
    count: int

    def path(self, plan: Plan) -> Path:
        """Return the folder of the part when it is finished."""
        return plan.folder / PARTS / f"{self.item}-{self.first}"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an item before its first chip.

    Parameters
    ----------
    places
        How many there are.
    crs, cell_yx
        Of its pixels.
    bands, bands2
        Names of the bands of both rasters; "" where one has none.
    classes, instance_classes
        Those that the labels name.
    """

    places: int
    crs: str
    cell_yx: tuple[float, float]
    bands: tuple[str, ...]
    bands2: tuple[str, ...]
    classes: tuple[LabelClass, ...]
    instance_classes: tuple[LabelClass, ...]


def ranges(plan: Plan) -> list[ChipRange]:
    """Return all parts, in order.

    Raises
    ------
    GeodlError
        If an input or option is not usable, or an input was replaced since the export began.
    """
    height, width = plan.options.tile_yx
    step = max(1, min(64, PIXELS // (height * width)))
    return [
        ChipRange(item, first, min(step, facts.places - first))
        for item, facts in enumerate(facts_of(plan))
        for first in range(0, facts.places, step)
    ]


def missing(plan: Plan) -> list[ChipRange]:
    """Return the parts that are not there yet; none once the folder is complete."""
    if plan.target.exists():
        return []
    return [part for part in ranges(plan) if not part.path(plan).exists()]


def facts_of(plan: Plan) -> tuple[Facts, ...]:
    """Return the facts of all items; found once, and kept with what tells the inputs.

    Raises
    ------
    GeodlError
        As `ranges`.
    """
    path = plan.folder / STATE
    if path.exists():
        state = json.loads(path.read_text(encoding="utf-8"))
        _check_inputs(plan, state["inputs"])
        return tuple(_facts_from(values) for values in state["items"])
    inputs = _identities(plan)
    items = []
    with gdal_limits():
        for item in plan.items:
            with open_item(plan, item) as cutter:
                items.append(_facts(cutter))
    with explained(plan.folder):
        plan.folder.mkdir(parents=True, exist_ok=True)
        rough = path.with_name(f"rough-{os.getpid()}-{STATE}")
        state = {"inputs": inputs, "items": [_facts_json(facts) for facts in items]}
        rough.write_text(json.dumps(state), encoding="utf-8")
        sync(rough)
        rough.replace(path)
    return tuple(items)


def compute(
    plan: Plan, parts: Sequence[ChipRange], *, cancelled: Callable[[], bool] = lambda: False
) -> tuple[int, float]:
    """Make parts; one that is there already is left.

    Parameters
    ----------
    plan
        What is exported.
    parts
        Which; those of one item share what is open.
    cancelled
        Asked before each chip.

    Returns
    -------
    tuple
        Pixels of the chips that were written, and the seconds it took.

    Raises
    ------
    CancelledError
        If it was.
    GeodlError
        As `ranges`; or if the disk is full.
    """
    began, pixels = time.perf_counter(), 0
    facts_of(plan)
    for item in sorted({part.item for part in parts}):
        with gdal_limits(), open_item(plan, plan.items[item]) as cutter:
            for part in parts:
                if part.item == item and not part.path(plan).exists():
                    pixels += _make(cutter, part, cancelled)
    facts_of(plan)  # an input that was replaced meanwhile
    return pixels, time.perf_counter() - began


def chips_of(plan: Plan, part: ChipRange) -> list[Chip]:
    """Return the chips of a finished part."""
    return chips_from((part.path(plan) / RECORDS).read_text(encoding="utf-8"))


@contextlib.contextmanager
def explained(folder: Path, needed: int = 0) -> Iterator[None]:
    """Word what the libraries raise when a file cannot be written.

    Parameters
    ----------
    folder
        Where it is written.
    needed
        Bytes that are still to be written, about; 0 if nobody knows.
    """
    try:
        yield
    except GeodlError:
        raise
    except WRITE_ERRORS as error:
        text = getattr(error, "strerror", None) or first_line(error)
        free = _free(folder)
        full = getattr(error, "errno", None) == errno.ENOSPC or free < max(needed, 2**20)
        text = "the disk is full" if full else text
        want = f" and about {needed} bytes are needed" if needed else ""
        raise OutputError(
            f"the chips cannot be written ({text}): {free} bytes are free{want}; make room and "
            "run it again"
        ) from error


def _make(cutter: Cutter, part: ChipRange, cancelled: Callable[[], bool]) -> int:
    plan, final = cutter.plan, part.path(cutter.plan)
    rough = final.with_name(f"rough-{final.name}-{os.getpid()}")
    chips = []
    try:
        with explained(plan.folder, _bytes_left(cutter, part)):
            shutil.rmtree(rough, ignore_errors=True)
            rough.mkdir(parents=True)
            for index in range(part.first, part.first + part.count):
                if cancelled():
                    raise CancelledError("the export was cancelled")
                if (chip := cutter.cut(index, rough)) is not None:
                    chips.append(chip)
            (rough / RECORDS).write_text(chips_json(chips), encoding="utf-8")
            for path in rough.rglob("*"):
                if path.is_file():
                    sync(path)
            _publish(rough, final)
    finally:
        shutil.rmtree(rough, ignore_errors=True)
    return sum(chip.shape[1] * chip.shape[2] for chip in chips)


def _publish(rough: Path, final: Path) -> None:
    try:
        rough.rename(final)
    except OSError:
        if not final.exists():  # else another worker made the same part meanwhile
            raise


def _bytes_left(cutter: Cutter, part: ChipRange) -> int:
    """Return about how many bytes the rest of an item may take."""
    height, width = cutter.places.tile_yx
    places = len(cutter.places) - part.first
    return places * height * width * cutter.reader.bands * cutter.reader.dtype.itemsize


def _free(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def _identities(plan: Plan) -> dict[str, object]:
    try:
        return plan.identities()
    except OSError as error:
        raise RasterError(f"an input cannot be read ({error.strerror}); check its path") from error


def _check_inputs(plan: Plan, known: dict[str, object]) -> None:
    now = _identities(plan)
    changed = [Path(path).name for path in known if known[path] != now.get(path)]
    if changed or known.keys() != now.keys():
        raise RasterError(
            f"{changed[0] if changed else 'the list of inputs'!r} was replaced while the export "
            "ran, so its chips would be of two versions; run it again"
        )


def _facts(cutter: Cutter) -> Facts:
    second = () if cutter.second is None else cutter.second.names
    return Facts(
        len(cutter.places), cutter.frame.crs, cutter.frame.cell_yx, cutter.reader.names, second,
        cutter.classes, cutter.instance_classes,
    )  # fmt: skip


def _facts_json(facts: Facts) -> list[object]:
    both = (facts.classes, facts.instance_classes)
    classes = [[(c.value, c.name, c.color) for c in some] for some in both]
    return [facts.places, facts.crs, facts.cell_yx, facts.bands, facts.bands2, *classes]


def _facts_from(values: list[list[list[object]]]) -> Facts:
    places, crs, cell, bands, bands2, *classes = values
    both = (tuple(LabelClass(*row) for row in rows) for rows in classes)  # type: ignore[arg-type]
    return Facts(places, crs, tuple(cell), tuple(bands), tuple(bands2), *both)  # type: ignore[arg-type]
