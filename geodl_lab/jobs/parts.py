"""What items of all kinds share: parts of about a second, and inputs that must not change."""

from __future__ import annotations

from pathlib import Path

from geodl_lab import settings
from geodl_lab.checkpoints import begun_with
from geodl_lab.devices import workers
from geodl_lab.file_runs import FileRun, changed
from geodl_lab.jobs.works import Part
from geodl_lab.objects import Todo
from geodl_lab.runs import Run


def side_of(run: Run) -> int:
    """Return the side in pixels that the parts of a run are near."""
    return settings.PART if run.planned.recipe.device == "cpu" else settings.CHUNK


def at_once(run: Run) -> int:
    """Return how many forwards of a run go side by side."""
    return workers(run.planned.recipe.device, run.planned.recipe.threads)


def as_parts(todo: Todo, run: Run) -> tuple[Part, ...]:
    """Return chunks as parts of item 0."""
    return tuple(Part(0, chunk, run.planned.grid.windows(chunk)) for chunk in todo.chunks)


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
