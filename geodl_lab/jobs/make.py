"""From a recipe to its work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from geodl_lab.jobs import export_works, model_works, photo_works, recipes
from geodl_lab.jobs.label_works import recognize_work
from geodl_lab.jobs.object_works import detect_work
from geodl_lab.jobs.pixel_works import change_work, classify_work
from geodl_lab.jobs.recipes import Recipe
from geodl_lab.jobs.resolved import Resolved
from geodl_lab.jobs.works import Work

MAKERS: dict[type, Callable[[Any, Resolved, Path], Work]] = {
    recipes.Classify: classify_work,
    recipes.Detect: detect_work,
    recipes.Recognize: recognize_work,
    recipes.Change: change_work,
    recipes.Export: export_works.make_export,
    recipes.ListModels: model_works.list_models_work,
    recipes.ModelInfo: model_works.model_info_work,
    recipes.Install: model_works.install_work,
    recipes.Uninstall: model_works.uninstall_work,
    recipes.Deploy: photo_works.deploy_work,
    recipes.Failed: model_works.failed_work,
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
