"""Objects of rasters: the work of `Detect`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geodl_lab.errors import OptionError
from geodl_lab.jobs.item_works import ItemWork
from geodl_lab.jobs.pixel_works import basis
from geodl_lab.jobs.recipes import Detect, Nms
from geodl_lab.jobs.resolved import Resolved
from geodl_lab.jobs.works import Result

SCORE_FIELDS = ("score", "confidence")
"""Names of the column with scores: ours, and ArcGIS's."""

CLASS_FIELDS = ("label", "label_id", "class", "classvalue", "class value", "class_value")
"""Names of the columns with classes: ours, and ArcGIS's."""


@dataclass(frozen=True)
class ObjectWork(ItemWork):
    """A detector on rasters; ``nms`` says which overlapping objects go, None keeps all."""

    nms: Nms | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nms is not None:
            _check_nms(self.nms)

    def open(self, item: int) -> Any:
        """Open an item."""
        from geodl_lab.jobs.object_items import open_objects  # noqa: PLC0415  loads torch

        return open_objects(self, item)

    def make(self, folder: Path) -> Result:
        """Write the objects of all items."""
        from geodl_lab.jobs.object_items import make_features  # noqa: PLC0415

        return make_features(self, folder)


def detect_work(recipe: Detect, resolved: Resolved, folder: Path) -> ObjectWork:
    """Return the work of a recipe to detect.

    Raises
    ------
    OptionError
        If a value is not possible.
    """
    return ObjectWork(
        *basis(recipe, recipe.rasters, resolved, folder),
        recipe.each,
        recipe.nms,
    )


def _check_nms(nms: Nms) -> None:
    if not 0 <= nms.max_overlap <= 1:
        raise OptionError(
            f"the overlap {nms.max_overlap!r} is not possible; give a number from 0 to 1"
        )
    for what, given, possible in (
        ("scores", nms.score_field, SCORE_FIELDS),
        ("classes", nms.class_field, CLASS_FIELDS),
    ):
        if given and given.strip().lower() not in possible:
            raise OptionError(
                f"the objects have no field {given[:60]!r} of {what}; possible are "
                f"{', '.join(possible)}"
            )
