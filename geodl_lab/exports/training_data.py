"""Chips and labels of a raster on the disk, as tools for training read them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from geodl_lab.errors import OutputError
from geodl_lab.exports.assemble import assemble
from geodl_lab.exports.options import export_options
from geodl_lab.exports.parts import compute, missing
from geodl_lab.exports.plans import Plan, items_of
from geodl_lab.staging import check_target, workplace

Paths = str | Path | Sequence[str | Path]


def export_training_data(
    rasters: Paths,
    target: str | Path,
    labels: Paths = (),
    *,
    instances: Paths = (),
    second: Paths = (),
    mask: str | Path | None = None,
    each: bool = False,
    progress: Callable[[float], None] | None = None,
    **options: Any,
) -> Path:
    """Cut a raster into chips with labels, for training.

    Parameters
    ----------
    rasters
        A raster file, or several.
    target
        The folder to make.
    labels, instances
        A file of features (GeoPackage, GeoParquet, GeoJSON, shapefile) or a class raster;
        instances are those of ``Panoptic_Segmentation``.
    second
        A raster to cut at the same places, such as a later date.
    mask
        A file of polygons; chips lie completely within them.
    each
        Whether several rasters are cut one by one; False cuts them as one, the first on top.
    progress
        Called with the part that is done, 0..1.
    **options
        As in `ExportOptions`: ``format``, ``chip_format``, ``tile_yx``, ``stride_yx``, ...

    Returns
    -------
    pathlib.Path
        The folder; it appears when it is complete.

    Raises
    ------
    OptionError, RasterError
        If an input or an option is not usable.
    OutputError
        If the folder is there already or cannot be written.
    """
    target = Path(target)
    chosen = export_options(options)
    items = items_of(_paths(rasters), _paths(second), format=chosen.format, each=each)
    if target.exists():
        raise OutputError(f"{str(target)!r} exists; choose another folder, or remove it first")
    check_target(target, overwrite=False)
    folder = workplace(target)
    plan = Plan(
        items, folder, chosen, _paths(labels), _paths(instances),
        () if mask is None else (Path(mask),),
    )  # fmt: skip
    shutil.rmtree(folder, ignore_errors=True)
    try:
        parts = missing(plan)
        for index, part in enumerate(parts, 1):
            compute(plan, [part])
            if progress is not None:
                progress(index / len(parts))
        assemble(plan)
        plan.target.rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return target


def _paths(paths: Paths) -> tuple[Path, ...]:
    return (Path(paths),) if isinstance(paths, str | Path) else tuple(map(Path, paths))
