"""Works that list, describe, install and uninstall models: no forwards, all of it at the end.

What a model is made of needs torch, so it is imported where it runs, in a worker.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from geodl_lab.errors import OptionError
from geodl_lab.jobs import recipes
from geodl_lab.jobs.resolved import Resolved
from geodl_lab.jobs.works import Done, Missing, Part, Result

REMOVED = "removed"
"""File in the folder of an uninstalling job that names the model it is about to remove."""


@dataclass(frozen=True)
class _ModelWork:
    """What has no parts."""

    folder: Path
    device: ClassVar[str] = ""

    def missing(self) -> Missing:
        """Return that nothing is missing."""
        return Missing()

    def compute(self, parts: tuple[Part, ...]) -> Done:
        """Compute nothing; there are no parts."""
        return Done(0, 0.0)


@dataclass(frozen=True)
class ListModelsWork(_ModelWork):
    """Lists the bundled and the installed models, without opening them."""

    def finish(self) -> Result:
        """Return ``models``: reference, name, version and task of each."""
        return Result(values={"models": _models().model_list()})


@dataclass(frozen=True)
class ModelInfoWork(_ModelWork):
    """Makes the card of one model.

    ``model`` is what `geodl_lab.open_model` takes.
    """

    model: str

    def finish(self) -> Result:
        """Return ``card``; raises ModelError if the model does not open."""
        return Result(values={"card": _models().card_of(self.model)})


@dataclass(frozen=True)
class InstallWork(_ModelWork):
    """Installs a model package, whose own code is never trusted.

    ``package`` is its path.
    """

    package: str

    def finish(self) -> Result:
        """Return the reference of the ``model``, and its ``card``; raises ModelError."""
        installed, card, said = _models().install_package(self.package)
        return Result(values={"model": installed, "card": card}, messages=(said,))


@dataclass(frozen=True)
class UninstallWork(_ModelWork):
    """Uninstalls a model.

    ``model`` is its reference, or the path of a package: then what is installed with the same
    content goes.
    """

    model: str

    def finish(self) -> Result:
        """Return the reference of the ``model`` that is gone; raises ModelError."""
        record, models = self.folder / REMOVED, _models()
        if record.exists() and not models.is_installed(record.read_text(encoding="utf-8")):
            return _removed(record.read_text(encoding="utf-8"))  # a crash came after the removal
        reference = models.installed_reference(self.model)
        record.write_text(reference, encoding="utf-8")
        return _removed(models.remove(reference))


def list_models_work(
    recipe: recipes.ListModels, resolved: Resolved, folder: Path
) -> ListModelsWork:
    """Make the work of a recipe."""
    return ListModelsWork(folder)


def model_info_work(recipe: recipes.ModelInfo, resolved: Resolved, folder: Path) -> ModelInfoWork:
    """Make the work of a recipe."""
    return ModelInfoWork(folder, resolved.model)


def install_work(recipe: recipes.Install, resolved: Resolved, folder: Path) -> InstallWork:
    """Make the work of a recipe."""
    return InstallWork(folder, resolved.model)


def uninstall_work(recipe: recipes.Uninstall, resolved: Resolved, folder: Path) -> UninstallWork:
    """Make the work of a recipe."""
    return UninstallWork(folder, resolved.model)


def failed_work(recipe: recipes.Failed, resolved: Resolved, folder: Path) -> NoReturn:
    """Make no work: say what was wrong with what was asked; raises OptionError."""
    raise OptionError(recipe.message)


def _removed(reference: str) -> Result:
    return Result(values={"model": reference}, messages=(f"{reference} is uninstalled",))


def _models() -> Any:
    """Return the module that knows models; with it comes torch, so only a worker calls this."""
    return importlib.import_module("geodl_lab.jobs.models")
