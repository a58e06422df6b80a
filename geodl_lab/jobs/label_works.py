"""Labels of features, or of whole rasters: the work of `Recognize`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geodl_lab.errors import OptionError
from geodl_lab.jobs.item_works import ItemWork
from geodl_lab.jobs.pixel_works import basis
from geodl_lab.jobs.recipes import Recognize
from geodl_lab.jobs.resolved import Resolved
from geodl_lab.jobs.works import Result

TAKEN = ("label_id", "score", "item", "geometry", "geom", "fid", "objectid")
"""Columns that a result has beside its label, lower case."""


@dataclass(frozen=True)
class LabelWork(ItemWork):
    """A model that recognizes, on features or on whole rasters.

    Parameters
    ----------
    features
        A vector file, or None for one polygon a raster.
    label_field
        Column of the label; "" is ``label``.
    """

    features: Path | None = None
    label_field: str = ""

    def open(self, item: int) -> Any:
        """Open an item."""
        from geodl_lab.jobs.label_items import open_labels  # noqa: PLC0415  loads torch

        return open_labels(self, item)

    def make(self, folder: Path) -> Result:
        """Write the labelled features."""
        from geodl_lab.jobs.label_items import make_labelled  # noqa: PLC0415

        return make_labelled(self, folder)


def recognize_work(recipe: Recognize, resolved: Resolved, folder: Path) -> LabelWork:
    """Return the work of a recipe to recognize.

    Raises
    ------
    OptionError
        If the features are a raster, or the column of the label would be another's.
    """
    if recipe.features is not None and recipe.features not in resolved.features:
        raise OptionError(
            f"the input features {recipe.features.value[:200]!r} are a raster; give a layer of "
            "features, or none to label whole rasters"
        )
    if recipe.label_field.lower() in TAKEN:
        raise OptionError(
            f"the label cannot be written to {recipe.label_field!r}, which is a column of its own; "
            "choose another name"
        )
    return LabelWork(
        *basis(recipe, recipe.rasters, resolved, folder),
        recipe.each,
        None if recipe.features is None else resolved.features[recipe.features],
        recipe.label_field,
    )
