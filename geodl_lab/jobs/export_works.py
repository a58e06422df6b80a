"""The work of an export: chips and labels to train from, some places a part.

What loads geopandas is imported where it is needed: a server that only accepts jobs starts without.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import rasterio

from geodl_lab.errors import OptionError
from geodl_lab.exports.frames import Frame, Wanted, frame_of
from geodl_lab.exports.options import export_options
from geodl_lab.exports.plans import Plan, items_of
from geodl_lab.grid import Window
from geodl_lab.jobs.recipes import Context, Export, Ref
from geodl_lab.jobs.resolved import Resolved
from geodl_lab.jobs.worker import UNTRUSTED_ENV
from geodl_lab.jobs.works import Done, Missing, Part, Result, is_cancelled


@dataclass(frozen=True)
class ExportWork:
    """Cut chips; a part's window counts places: ``y`` is the first and ``height`` how many.

    Parameters
    ----------
    plan
        What is exported; its folder is the job's.
    location
        What the client calls the folder.
    """

    plan: Plan
    location: str

    @property
    def folder(self) -> Path:
        """The job's folder."""
        return self.plan.folder

    @property
    def device(self) -> str:
        """No forwards."""
        return ""

    def missing(self) -> Missing:
        """Return the parts that are not there yet; raises GeodlError as `facts_of`."""
        from geodl_lab.exports.parts import facts_of, missing  # noqa: PLC0415  see above

        with rasterio.Env(**UNTRUSTED_ENV):
            parts = tuple(
                Part(part.item, Window(part.first, 0, part.count, 1), part.count)
                for part in missing(self.plan)
            )
            return Missing(parts, sum(facts.places for facts in facts_of(self.plan)))

    def compute(self, parts: tuple[Part, ...]) -> Done:
        """Cut the chips of parts; raises as `exports.parts.compute`."""
        from geodl_lab.exports.parts import ChipRange, compute  # noqa: PLC0415

        chosen = [ChipRange(part.item, part.window.y, part.window.height) for part in parts]
        with rasterio.Env(**UNTRUSTED_ENV):
            return Done(*compute(self.plan, chosen, cancelled=lambda: is_cancelled(self.folder)))

    def finish(self) -> Result:
        """Put the folder together."""
        from geodl_lab.exports.assemble import assemble  # noqa: PLC0415

        count, name = assemble(self.plan), self.plan.options.format
        return Result(
            files={"folder": str(self.plan.target)},
            values={"count": count, "format": name, "location": self.location},
            messages=(f"{count} chips were exported in the format {name}.",),
        )


def make_export(recipe: Export, resolved: Resolved, folder: Path) -> ExportWork:
    """Return the work of a recipe.

    Raises
    ------
    OptionError, RasterError
        If an option or an input is not usable.
    """
    context, options = recipe.context, export_options({**recipe.options, **_formats(recipe)})
    rasters, second = _rasters(recipe.rasters, resolved), _rasters(recipe.second, resolved)
    plan = Plan(
        items=items_of(rasters, second, format=recipe.format, each=recipe.each),
        folder=folder,
        options=options,
        labels=_labels(recipe.labels, resolved),
        instances=_labels(recipe.instances, resolved),
        masks=_masks((recipe.mask, context.mask), resolved),
        wanted=_wanted(context, resolved),
        resampling=context.resampling or "nearest",
    )
    return ExportWork(plan, recipe.location)


def _formats(recipe: Export) -> dict[str, str]:
    return {"format": recipe.format, "chip_format": recipe.chip_format}


def _rasters(refs: Iterable[Ref], resolved: Resolved) -> tuple[Path, ...]:
    return tuple(path for ref in refs for path in resolved.rasters[ref])


def _labels(ref: Ref | None, resolved: Resolved) -> tuple[Path, ...]:
    if ref is None:
        return ()
    return (resolved.features[ref],) if ref in resolved.features else resolved.rasters[ref]


def _masks(refs: Iterable[Ref | None], resolved: Resolved) -> tuple[Path, ...]:
    wanted = [ref for ref in refs if ref is not None]
    for ref in wanted:
        if ref not in resolved.features:
            raise OptionError(
                f"the mask {ref.value!r} is a raster, and chips lie within polygons; give features"
            )
    return tuple(resolved.features[ref] for ref in wanted)


def _wanted(context: Context, resolved: Resolved) -> Wanted:
    extent, size = context.extent, context.cell_size
    if context.cell_size_of is not None:
        size = max(_frame(context.cell_size_of, resolved).cell_yx)
    return Wanted(
        extent=(extent.left, extent.bottom, extent.right, extent.top) if extent else None,
        extent_crs=extent.crs if extent else "",
        cell_size=size,
        crs=context.process_crs or context.out_crs,
        snap=resolved.rasters[context.snap_to][0] if context.snap_to else None,
    )


def _frame(ref: Ref, resolved: Resolved) -> Frame:
    return frame_of(resolved.rasters[ref][:1], wanted=Wanted())
