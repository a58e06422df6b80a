"""Items of a work on pixels: opened, computed in parts, and made one raster."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geodl_lab.dates import AFTER, BEFORE, date_names
from geodl_lab.errors import ModelError
from geodl_lab.heads import ClassHead
from geodl_lab.jobs.arguments import Arguments, read_arguments
from geodl_lab.jobs.grounds import one_raster, parse_crs, run_options
from geodl_lab.jobs.item_works import INPUTS
from geodl_lab.jobs.masks import make_mask
from geodl_lab.jobs.parts import SteppedItem, refuse_replaced, side_of
from geodl_lab.jobs.places import Place
from geodl_lab.jobs.works import Result
from geodl_lab.mosaics import (
    MapGrid,
    facts_of,
    grid_in,
    write_mosaic,
    write_stack,
    write_warped,
)
from geodl_lab.options import make_options
from geodl_lab.outputs import copy_raster
from geodl_lab.packages import open_model
from geodl_lab.pixels import Product, class_product, value_product
from geodl_lab.raster import as_raster, open_raster
from geodl_lab.runs import provenance
from geodl_lab.sources import BothDates, FileSource, RasterSource
from geodl_lab.steps import PixelSteps, pixel_run

if TYPE_CHECKING:
    from geodl_lab.jobs.pixel_works import PixelWork

RASTER = "raster.tif"
RESAMPLED = "the rasters of the second date were resampled to the cells of the first"


@dataclass(frozen=True)
class PixelItem(SteppedItem[PixelSteps]):
    """An item of a work on pixels."""


@dataclass(frozen=True)
class Input:
    """The raster file that an item reads, and what to say of it; bands of the first date or 0."""

    path: Path
    first: int = 0
    messages: tuple[str, ...] = ()


def open_pixels(work: PixelWork, item: int) -> PixelItem:
    """Open an item of a work.

    Raises
    ------
    GeodlError
        If rasters, model, arguments or place are not usable, or an input was replaced.
    """
    read = read_arguments(open_model(work.model), json.loads(work.arguments))
    source = _input(work, item)
    options = make_options({**read.options, **run_options(source.path, work.place)})
    rasters = () if source.path in work.items[item] else (*work.items[item], *work.after)
    opener = functools.partial(_both_dates, source.first) if source.first else FileSource
    run = pixel_run(
        source.path, read.model, _product(read), options,
        also=(*rasters, *work.place.also), opener=opener,
    )  # fmt: skip
    grid = run.run.grid
    mask = make_mask(work.place, MapGrid(grid.crs, grid.transform, grid.shape_yx))
    folder = work.item_folder(item)
    folder.mkdir(parents=True, exist_ok=True)
    refuse_replaced(run, folder)
    steps = PixelSteps.begin(run, folder, resume=True, side=side_of(run.run), mask=mask)
    return PixelItem(steps, (*read.messages, *source.messages))


def make_raster(work: PixelWork, folder: Path) -> Result:
    """Write the raster of finished items to a folder: one COG, whose earlier items go first."""
    path, items = folder / RASTER, list(work.present())
    first = work.opened(items[0]).steps
    crs = parse_crs(work.place.out_crs) if work.place.out_crs else first.of.run.grid.crs
    if len(items) == 1 and crs == first.of.run.grid.crs:
        first.finish(path)
    else:
        rasters = [_item_raster(work, item) for item in items]
        shown = folder / "shown.vrt"
        if crs != facts_of(rasters[0]).grid.crs:
            warped = folder / "first.vrt"
            write_warped(rasters[0], warped, grid_in(rasters[0], crs), resampling="nearest")
            rasters[0] = warped
        write_mosaic(rasters, shown, resampling="nearest")
        copy_raster(shown, path, first.of.described)
    for left in (*folder.glob("*.vrt"), *folder.glob("snapped.tif")):
        left.unlink()
    return Result({"raster": RASTER}, _values(first), warnings=work.warnings())


def _input(work: PixelWork, item: int) -> Input:
    """Return what an item reads; two dates become one file of all bands."""
    folder = work.folder / INPUTS / f"{item:06d}"
    before = one_raster(work.items[item], work.place, folder)
    if not work.after:
        return Input(before)
    after = one_raster(work.after, Place(resampling=work.place.resampling), folder, "after")
    one, other = facts_of(before).grid, facts_of(after).grid
    messages: tuple[str, ...] = ()
    if one.shape_yx != other.shape_yx or not one.fits(other) or one.bounds != other.bounds:
        resampled = folder / "after-resampled.vrt"
        write_warped(after, resampled, one, resampling=work.place.resampling)
        after, messages = resampled, (RESAMPLED,)
    rasters = [as_raster(open_raster(path)) for path in (before, after)]
    names = date_names(rasters[0], BEFORE) + date_names(rasters[1], AFTER)
    write_stack((before, after), folder / "dates.vrt", names=names)
    return Input(folder / "dates.vrt", len(rasters[0].band_names), messages)


def _both_dates(first: int, path: str | Path, of: RasterSource) -> BothDates:
    every = RasterSource(of.raster, tuple(range(of.raster.array.shape[0])))
    return BothDates(FileSource(path, of), FileSource(path, every), first)


def _product(read: Arguments) -> Product:
    """Return classes or values, whichever the model answers."""
    package = read.model.package
    if package.task not in ("classify", "regress"):
        raise ModelError(
            f"model {package.name!r} is made to {package.task} and answers no pixels; take a model "
            "that classifies pixels, or the task that this one is made for"
        )
    if package.task == "regress":
        return value_product(package)
    product = class_product(package, read.threshold)
    if read.background:
        return product
    assert isinstance(product.head, ClassHead)
    return dataclasses.replace(product, head=dataclasses.replace(product.head, background=False))


def _item_raster(work: PixelWork, item: int) -> Path:
    """Return the COG of a finished item."""
    place = work.item_folder(item) / "made"
    if not place.exists():
        rough = place.with_name("rough-made")
        shutil.rmtree(rough, ignore_errors=True)
        rough.mkdir()
        work.opened(item).steps.finish(rough / RASTER)
        rough.rename(place)
    return place / RASTER


def _values(steps: PixelSteps) -> dict[str, Any]:
    """Return what is known of a raster."""
    product = steps.of.product
    classes = [{"value": c.value, "name": c.name, "color": c.color} for c in product.classes]
    return {
        "classes": classes,
        "bands": list(product.channels or (product.name,)),
        "provenance": provenance(steps.of.run),
    }
