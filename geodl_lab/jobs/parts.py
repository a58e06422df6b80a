"""What items of all kinds share: parts of about a second, and inputs that must not change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from geodl_lab import settings
from geodl_lab.checkpoints import begun_with
from geodl_lab.devices import workers
from geodl_lab.file_runs import FileRun, changed
from geodl_lab.grid import Window
from geodl_lab.jobs.works import Part
from geodl_lab.objects import Todo
from geodl_lab.runs import Run
from geodl_lab.steps import ObjectSteps, PixelSteps

S = TypeVar("S", PixelSteps, ObjectSteps)


def side_of(run: Run) -> int:
    """Return the side in pixels that the parts of a run are near."""
    return settings.PART if run.planned.recipe.device == "cpu" else settings.CHUNK


def at_once(run: Run) -> int:
    """Return how many forwards of a run go side by side."""
    return workers(run.planned.recipe.device, run.planned.recipe.threads)


@dataclass(frozen=True)
class SteppedItem(Generic[S]):
    """An item that is computed by steps from file to file; an `item_works.Opened`.

    Parameters
    ----------
    steps
        The steps.
    messages
        What is worth saying.
    """

    steps: S
    messages: tuple[str, ...]

    @property
    def room(self) -> int:
        """Bytes that result and blocks may take."""
        return self.steps.of.room

    @property
    def at_once(self) -> int:
        """Forwards that go side by side."""
        return at_once(self.steps.of.run)

    def missing(self) -> tuple[tuple[Part, ...], int]:
        """Return the parts to compute, and the forwards of all parts, as far as is known."""
        todo, count = self.steps.missing(), self.steps.of.run.planned.grid.windows
        return tuple(Part(0, chunk, count(chunk)) for chunk in todo.chunks), todo.windows

    def compute(self, windows: tuple[Window, ...], stop: Any) -> None:
        """Compute the parts of these windows that are not there yet and commit each."""
        left = self.steps.left(windows)
        self.steps.compute(Todo(self.steps.of.run.area, left, 0), cancelled=stop)


def refuse_replaced(of: FileRun, folder: Path) -> None:
    """Refuse to go on where the blocks in a folder were made of other inputs.

    Raises
    ------
    RasterError
        If an input was replaced since the job began.
    """
    known = begun_with(folder)
    if isinstance(known, dict) and known.get("input") != of.identity:
        raise changed(of.source)
