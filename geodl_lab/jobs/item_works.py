"""Works on rasters: each raster, or the mosaic of all, is an item that is computed in parts.

A work's folder holds ``items/N`` with the finished blocks of item N, and in the end ``result``,
which appears at once. What is opened for an item (raster, model, windows) is kept by the process.
"""

from __future__ import annotations

import functools
import itertools
import json
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from geodl_lab.errors import CancelledError, GeodlError, OptionError
from geodl_lab.grid import Window
from geodl_lab.jobs.places import OutsideError, Place
from geodl_lab.jobs.works import RESULT, Done, Missing, Part, Result, is_cancelled

EVERYWHERE = Place()

ITEMS, INPUTS = "items", "inputs"
"""Folders in a job's."""

KNOWN = "windows"
"""File of an item that is finished: the number of its forwards."""

AHEAD = 8
"""Unfinished items that are looked at in one go: opening one takes a while."""


class Opened(Protocol):
    """What a process keeps of an item."""

    @property
    def messages(self) -> tuple[str, ...]:
        """What is worth saying."""
        ...

    @property
    def room(self) -> int:
        """Most bytes that the item takes, for the message of a full disk."""
        ...

    @property
    def at_once(self) -> int:
        """Forwards that go side by side."""
        ...

    def missing(self) -> tuple[tuple[Part, ...], int]:
        """Return the parts to compute (of item 0), and the forwards of all parts."""
        ...

    def compute(self, windows: tuple[Window, ...], stop: Any) -> None:
        """Compute the parts of these windows that are not there yet and commit each."""
        ...


@dataclass(frozen=True)
class ItemWork:
    """A work on rasters; subclasses open an item and make the result.

    Parameters
    ----------
    folder
        The job's.
    rasters
        Checked files, in item order.
    model
        What `geodl_lab.open_model` takes.
    place
        Where and on what to compute.
    arguments
        Of the model: the JSON of a dict.
    each
        True makes each raster an item; False makes one item of their mosaic.
    """

    folder: Path
    rasters: tuple[Path, ...]
    model: str
    place: Place = EVERYWHERE
    arguments: str = "{}"
    each: bool = False

    def __post_init__(self) -> None:
        if not self.rasters:
            raise OptionError("there is no raster to work on; name one, or a folder that has some")

    @property
    def device(self) -> str:
        """Device of the forwards."""
        return self.place.device

    @property
    def items(self) -> tuple[tuple[Path, ...], ...]:
        """The rasters of each item."""
        return tuple((one,) for one in self.rasters) if self.each else (self.rasters,)

    def item_folder(self, item: int) -> Path:
        """Return the folder of an item's blocks."""
        return self.folder / ITEMS / f"{item:06d}"

    def open(self, item: int) -> Any:
        """Open an item: an `Opened` of the subclass's own kind."""
        raise NotImplementedError

    def make(self, folder: Path) -> Result:
        """Write the result of finished items to a folder; names of files are relative to it."""
        raise NotImplementedError

    def opened(self, item: int) -> Any:
        """Return what this process keeps of an item.

        Raises
        ------
        OutsideError
            If the extent does not meet it.
        GeodlError
            If it cannot be used; of several items the message names the raster.
        """
        try:
            return _opened(self, item)
        except GeodlError as error:
            name = self.items[item][0].name
            if len(self.items) == 1 or isinstance(error, OutsideError) or name in str(error):
                raise
            raise type(error)(f"{name!r}: {error}") from error

    def missing(self) -> Missing:
        """Return the parts of the next items that are not finished; see `works.Work`."""
        if (self.folder / RESULT).exists():
            return Missing()
        parts: list[Part] = []
        counts: list[int] = []
        unfinished, at_once = 0, 1
        for item in range(len(self.items)):
            known = self._finished(item)
            if known is None and unfinished < AHEAD:
                found, known = self._missing(item)
                parts += found
                at_once = max(at_once, self.opened(item).at_once) if found else at_once
                unfinished += bool(found)
            counts += [] if known is None else [known]
        if not any(counts):
            self._explain_nothing()
        # Of the items that were not looked at the mean is expected.
        windows = round(sum(counts) / len(counts) * len(self.items))
        return Missing(tuple(parts), windows, at_once)

    def compute(self, parts: tuple[Part, ...]) -> Done:
        """Compute parts and commit each; see `works.Work`."""
        from geodl_lab.staging import explained  # noqa: PLC0415  loads rasterio

        begun = time.monotonic()
        stop = functools.partial(is_cancelled, self.folder)
        for item, group in itertools.groupby(parts, key=lambda part: part.item):
            self.stop_if_cancelled()
            opened = self.opened(item)
            with explained(self.folder / RESULT, needed=opened.room):
                opened.compute(tuple(part.window for part in group), stop)
        pixels = sum(part.window.height * part.window.width for part in parts)
        return Done(pixels, time.monotonic() - begun)

    def finish(self) -> Result:
        """Make the result of the finished parts, which appears at once; see `works.Work`."""
        from geodl_lab.staging import explained  # noqa: PLC0415

        place, rough = self.folder / RESULT, self.folder / f"rough-{RESULT}"
        if not place.exists():
            shutil.rmtree(rough, ignore_errors=True)
            with explained(place, needed=self._room()):
                rough.mkdir()
                _save(self.make(rough), rough)
                rough.rename(place)
        for left in (ITEMS, INPUTS):
            shutil.rmtree(self.folder / left, ignore_errors=True)
        return _load(place)

    def present(self) -> Iterable[int]:
        """Yield the items that the extent meets."""
        for item in range(len(self.items)):
            self.stop_if_cancelled()
            if self._finished(item) != 0:
                yield item

    def stop_if_cancelled(self) -> None:
        """Raise a `CancelledError` if the job is to stop."""
        if is_cancelled(self.folder):
            raise CancelledError("the run was cancelled")

    def warnings(self) -> tuple[str, ...]:
        """Return what the items warn of, each sentence once."""
        said = (text for item in self.present() for text in self.opened(item).messages)
        outside = len(self.items) - sum(1 for _ in self.present())
        skipped = [f"{outside} rasters do not meet the extent and were left out"] if outside else []
        return tuple(dict.fromkeys([*said, *skipped]))

    def _missing(self, item: int) -> tuple[list[Part], int]:
        """Return what is missing of an item, and its forwards; note where nothing is."""
        try:
            parts, windows = self.opened(item).missing()
        except OutsideError:
            if len(self.items) == 1:
                raise
            parts, windows = (), 0
        if not parts:
            folder = self.item_folder(item)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / KNOWN).write_text(str(windows))
        return [Part(item, part.window, part.windows) for part in parts], windows

    def _finished(self, item: int) -> int | None:
        """Return the forwards of an item that is finished, 0 of one outside, or None."""
        try:
            return int((self.item_folder(item) / KNOWN).read_text())
        except (OSError, ValueError):
            return None

    def _explain_nothing(self) -> None:
        """Say why there is nothing to do."""
        for item in range(len(self.items)):
            self.opened(item)

    def _room(self) -> int:
        first = next(iter(self.present()), None)
        return 0 if first is None else self.opened(first).room * len(self.items)


@functools.lru_cache(maxsize=16)
def _opened(work: ItemWork, item: int) -> Any:
    """Open an item once a process; of several running jobs the last few stay open."""
    return work.open(item)


def _save(result: Result, folder: Path) -> None:
    """Write what a result says beside its files, and have the disk hold all."""
    from geodl_lab.checkpoints import sync  # noqa: PLC0415

    said = {"files": result.files, "values": result.values, "warnings": result.warnings}
    (folder / "result.json").write_text(json.dumps(said), encoding="utf-8")
    for file in folder.iterdir():
        sync(file)


def _load(folder: Path) -> Result:
    said = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    files = {role: str(folder / name) for role, name in said["files"].items()}
    return Result(files, said["values"], warnings=tuple(said["warnings"]))
