"""From a recipe to its work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from geodl_lab.jobs.export_works import make_export
from geodl_lab.jobs.recipes import Export, Recipe
from geodl_lab.jobs.resolved import Resolved
from geodl_lab.jobs.works import Work

MAKERS: dict[type, Callable[[Any, Resolved, Path], Work]] = {
    Export: make_export,
}
"""What makes the work of each kind of recipe, called with it, `Resolved` and the job's folder."""


def make_work(recipe: Recipe, resolved: Resolved, folder: Path) -> Work:
    """Return the work of a job.

    Raises
    ------
    GeodlError
        If the recipe cannot be worked with what is resolved.
    """
    return MAKERS[type(recipe)](recipe, resolved, folder)
