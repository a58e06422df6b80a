"""What an export is to make: inputs, options, and the folder it works in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geodl_lab.checkpoints import file_identity
from geodl_lab.errors import OptionError
from geodl_lab.exports.frames import Wanted
from geodl_lab.exports.options import ExportOptions

EXPORT = "export"
"""Name of the finished folder in the folder that an export works in."""


@dataclass(frozen=True)
class Item:
    """What chips are cut of as one raster.

    Parameters
    ----------
    rasters
        The first on top.
    second
        Cut at the same places; may be empty.
    group
        Folder of its chips in the finished folder: ``A`` and ``B`` of ``CycleGAN``, else "".
    """

    rasters: tuple[Path, ...]
    second: tuple[Path, ...] = ()
    group: str = ""


@dataclass(frozen=True)
class Plan:
    """An export.

    Parameters
    ----------
    items
        Rasters; chips are counted on from one to the next.
    folder
        Where it works; everything in it is the export's own.
    options
        How chips are cut and labelled.
    labels, instances
        A file of features, or class rasters; may be empty.
    masks
        Files of polygons; chips lie completely within those of each.
    wanted
        The grid of pixels, where it is not the rasters' own.
    resampling
        How rasters are brought to that grid: ``nearest``, ``bilinear`` or ``cubic``.
    """

    items: tuple[Item, ...]
    folder: Path
    options: ExportOptions
    labels: tuple[Path, ...] = ()
    instances: tuple[Path, ...] = ()
    masks: tuple[Path, ...] = ()
    wanted: Wanted = field(default_factory=Wanted)
    resampling: str = "nearest"

    def __post_init__(self) -> None:
        kind = self.options.kind
        if not self.items or not all(item.rasters for item in self.items):
            raise OptionError("there is no raster to cut chips from; give one")
        if kind.labelled and not self.labels:
            raise OptionError(f"{kind.name} needs labels; give features or a class raster")
        if kind.content == "panoptic" and not self.instances:
            raise OptionError(f"{kind.name} needs instances beside the class labels; give both")
        if kind.content != "panoptic" and self.instances:
            raise OptionError(f"{kind.name} has no instances; leave them out")
        if any(item.second for item in self.items) and not kind.second:
            raise OptionError(
                f"{kind.name} takes no second raster; possible with Classified_Tiles, "
                "Export_Tiles and CycleGAN"
            )
        if self.options.blacken and not kind.centred:
            raise OptionError(
                f"{kind.name} chips may show many objects, so nothing round one can be blackened; "
                "possible with Labeled_Tiles and Imagenet"
            )

    @property
    def target(self) -> Path:
        """The finished folder."""
        return self.folder / EXPORT

    @property
    def inputs(self) -> Iterator[Path]:
        """All files that decide what is made."""
        for item in self.items:
            yield from (*item.rasters, *item.second)
        yield from (*self.labels, *self.instances, *self.masks)
        if self.wanted.snap is not None:
            yield self.wanted.snap

    def identities(self) -> dict[str, Any]:
        """Return what tells the inputs from other versions of them."""
        return {str(path): file_identity(path) for path in self.inputs}


def items_of(
    rasters: tuple[Path, ...], second: tuple[Path, ...], *, format: str, each: bool
) -> tuple[Item, ...]:
    """Return what is cut as one raster.

    Parameters
    ----------
    rasters, second
        All rasters.
    format
        ``CycleGAN`` puts the second rasters in a folder of their own.
    each
        Whether each raster is cut apart; then there are no second ones or as many.

    Raises
    ------
    OptionError
        If the numbers do not fit.
    """
    if format == "CycleGAN":
        if not second:
            raise OptionError("CycleGAN needs a second raster, the other look; give both")
        groups = [("A", rasters), ("B", second)]
        return tuple(
            Item(alone, group=group)
            for group, paths in groups
            for alone in ([(path,) for path in paths] if each else [paths])
        )
    if not each:
        return (Item(rasters, second),)
    if second and len(second) not in (1, len(rasters)):
        raise OptionError(
            f"{len(rasters)} rasters are cut apart and there are {len(second)} second ones; give "
            "one for all, or one for each"
        )
    seconds = [()] * len(rasters) if not second else [(path,) for path in second]
    seconds = seconds * len(rasters) if len(seconds) == 1 else seconds
    return tuple(Item((path,), other) for path, other in zip(rasters, seconds, strict=True))
