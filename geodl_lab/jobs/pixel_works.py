"""Classes or values of every pixel, also of two dates: the work of `Classify` and `Change`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geodl_lab.errors import OptionError
from geodl_lab.jobs.item_works import ItemWork
from geodl_lab.jobs.places import Place, make_place
from geodl_lab.jobs.recipes import Change, Classify, Detect, Recognize, Ref
from geodl_lab.jobs.resolved import Resolved
from geodl_lab.jobs.works import Result


@dataclass(frozen=True)
class PixelWork(ItemWork):
    """A dense model on rasters; ``after`` are those of the second date, or none.

    Of models that classify the result is classes, of those that regress it is values.
    """

    after: tuple[Path, ...] = ()

    def open(self, item: int) -> Any:
        """Open an item."""
        from geodl_lab.jobs.pixel_items import open_pixels  # noqa: PLC0415  loads torch

        return open_pixels(self, item)

    def make(self, folder: Path) -> Result:
        """Write the raster of all items."""
        from geodl_lab.jobs.pixel_items import make_raster  # noqa: PLC0415

        return make_raster(self, folder)


def classify_work(recipe: Classify, resolved: Resolved, folder: Path) -> PixelWork:
    """Return the work of a recipe to classify, or to regress."""
    return PixelWork(*basis(recipe, recipe.rasters, resolved, folder), recipe.each)


def change_work(recipe: Change, resolved: Resolved, folder: Path) -> PixelWork:
    """Return the work of a recipe to tell what changed between two dates."""
    after = rasters_of(recipe.after, resolved)
    if not after:
        raise OptionError("there is no raster of the second date; name one")
    return PixelWork(*basis(recipe, recipe.before, resolved, folder), after=after)


def basis(
    recipe: Classify | Change | Detect | Recognize,
    refs: tuple[Ref, ...],
    resolved: Resolved,
    folder: Path,
) -> tuple[Path, tuple[Path, ...], str, Place, str]:
    """Return what works on rasters begin with, as `ItemWork` has it: folder to arguments."""
    place = make_place(recipe.context, resolved)
    arguments = json.dumps(dict(recipe.arguments), sort_keys=True)
    return folder, rasters_of(refs, resolved), resolved.model, place, arguments


def rasters_of(refs: tuple[Ref, ...], resolved: Resolved) -> tuple[Path, ...]:
    """Return the files of references, in item order."""
    return tuple(path for ref in refs for path in resolved.rasters[ref])
