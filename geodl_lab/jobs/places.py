"""Where a job computes: a recipe's context with files instead of references."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from geodl_lab.errors import OptionError
from geodl_lab.jobs.recipes import Context, Extent, Ref
from geodl_lab.jobs.resolved import Resolved

RESAMPLINGS = ("", "nearest", "bilinear", "cubic")


class OutsideError(OptionError):
    """An extent that does not meet a raster."""


@dataclass(frozen=True)
class Place:
    """What `Context` says, with files instead of references; fields as there."""

    extent: Extent | None = None
    cell_size: float | None = None
    cell_size_of: Path | None = None
    snap_to: Path | None = None
    mask: Path | None = None
    mask_of_features: bool = False
    process_crs: str = ""
    out_crs: str = ""
    device: str = "auto"
    resampling: str = ""

    def __post_init__(self) -> None:
        if self.resampling not in RESAMPLINGS:
            raise OptionError(
                f"resampling {self.resampling!r} is not possible; give nearest, bilinear or cubic"
            )
        if self.cell_size is not None and not 0 < self.cell_size < math.inf:
            raise OptionError(
                f"cell size {self.cell_size!r} is not possible; give a number above 0"
            )
        if (e := self.extent) and not (e.left < e.right and e.bottom < e.top):
            raise OptionError(
                f"the extent {numbers(e)} has no size; give left, bottom, right, top with left < "
                "right and bottom < top"
            )

    @property
    def also(self) -> tuple[Path, ...]:
        """Files that decide the result beside the rasters."""
        return tuple(p for p in (self.cell_size_of, self.snap_to, self.mask) if p is not None)


def make_place(context: Context, resolved: Resolved) -> Place:
    """Return where a recipe's context is, with what its references mean.

    Raises
    ------
    OptionError
        If a value is not possible.
    """

    def raster(ref: Ref | None) -> Path | None:
        return resolved.rasters[ref][0] if ref is not None else None

    features = context.mask is not None and context.mask in resolved.features
    mask = resolved.features[context.mask] if features and context.mask else raster(context.mask)
    return Place(
        extent=context.extent,
        cell_size=context.cell_size,
        cell_size_of=raster(context.cell_size_of),
        snap_to=raster(context.snap_to),
        mask=mask,
        mask_of_features=features,
        process_crs=context.process_crs,
        out_crs=context.out_crs,
        device=context.device,
        resampling=context.resampling,
    )


def numbers(extent: Extent) -> tuple[float, float, float, float]:
    """Return left, bottom, right, top."""
    return extent.left, extent.bottom, extent.right, extent.top
