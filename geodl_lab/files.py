"""File in, file out: rasters larger than memory, block by block, resumable."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import rasterio

from geodl_lab.file_runs import FileRun
from geodl_lab.objects import with_threshold
from geodl_lab.options import Passes, make_options
from geodl_lab.outputs import RASTER_ENDINGS, check_output
from geodl_lab.packages import open_model
from geodl_lab.pixels import (
    Product,
    class_product,
    entropy_product,
    probability_product,
    value_product,
)
from geodl_lab.raster_files import gdal_limits
from geodl_lab.runtime import Model
from geodl_lab.staging import check_distinct, is_complete, staged
from geodl_lab.steps import ObjectSteps, PixelSteps, object_run, pixel_run
from geodl_lab.vector_files import VECTOR_DRIVERS, read_attrs

LOGGER = logging.getLogger("geodl_lab")


def classify_file(
    source: str | Path,
    target: str | Path,
    model: str | Path | Model,
    *,
    threshold: float | None = None,
    overwrite: bool = True,
    resume: bool = False,
    **options: Any,
) -> Path:
    """Classify a raster file into a COG with palette and class names.

    Parameters
    ----------
    source
        Any raster that GDAL opens.
    target
        A ``.tif``; it appears when it is complete.
    model, threshold, options
        As in `geodl_lab.classify`.
    overwrite
        False refuses an existing target.
    resume
        True goes on with the finished blocks of an earlier run that was stopped or killed; the
        result is the same bits. Without any it begins at the beginning.

    Returns
    -------
    pathlib.Path
        ``target``.

    Raises
    ------
    GeodlError
        If source, model, target or an option is not usable, or what is to be resumed was begun
        with another model, recipe or input; the message says what to do.
    """
    model = open_model(model)
    product = class_product(model.package, threshold)
    return _write(source, target, model, product, overwrite=overwrite, resume=resume, **options)


def probabilities_file(
    source: str | Path,
    target: str | Path,
    model: str | Path | Model,
    *,
    overwrite: bool = True,
    resume: bool = False,
    **options: Any,
) -> Path:
    """Write the probability of each class, one float32 band a class; as `classify_file`."""
    model = open_model(model)
    product = probability_product(model.package)
    return _write(source, target, model, product, overwrite=overwrite, resume=resume, **options)


def entropy_file(
    source: str | Path,
    target: str | Path,
    model: str | Path | Model,
    *,
    overwrite: bool = True,
    resume: bool = False,
    **options: Any,
) -> Path:
    """Write the entropy of the class probabilities in nat, float32; as `classify_file`."""
    model = open_model(model)
    product = entropy_product(model.package)
    return _write(source, target, model, product, overwrite=overwrite, resume=resume, **options)


def regress_file(
    source: str | Path,
    target: str | Path,
    model: str | Path | Model,
    *,
    overwrite: bool = True,
    resume: bool = False,
    **options: Any,
) -> Path:
    """Write the values of a regression, one float32 band a quantity; as `classify_file`."""
    model = open_model(model)
    product = value_product(model.package)
    return _write(source, target, model, product, overwrite=overwrite, resume=resume, **options)


def _write(
    source: str | Path,
    target: str | Path,
    model: Model,
    product: Product,
    *,
    overwrite: bool,
    resume: bool,
    **options: Any,
) -> Path:
    """Run a dense model from file to file."""
    target = Path(target)
    check_distinct(source, target)
    check_output(target, RASTER_ENDINGS, overwrite=overwrite or resume)
    with gdal_limits():
        run = pixel_run(source, model, product, make_options(options), target=target)
        if resume and not overwrite and is_complete(target, _raster_tags, run.key):
            LOGGER.warning("%s is complete already; nothing was done", target)
            return target
        with staged(target, overwrite=overwrite or resume, resume=resume, needed=run.room) as path:
            steps = PixelSteps.begin(run, path.parent, resume=resume)
            _walk(run, steps)
            steps.finish(path)
    return target


def detect_file(
    source: str | Path,
    target: str | Path,
    model: str | Path | Model,
    *,
    threshold: float | None = None,
    overwrite: bool = True,
    resume: bool = False,
    **options: Any,
) -> Path:
    """Detect objects in a raster file and write them as GeoParquet, GeoPackage or GeoJSON.

    Parameters
    ----------
    source
        Any raster that GDAL opens.
    target
        A ``.parquet``, ``.gpkg`` or ``.geojson``; it appears when it is complete.
    model, threshold, options
        As in `geodl_lab.detect`.
    overwrite, resume
        As in `classify_file`.

    Returns
    -------
    pathlib.Path
        ``target``.

    Raises
    ------
    GeodlError
        As in `classify_file`.
    """
    model = with_threshold(open_model(model), threshold)
    target = Path(target)
    check_distinct(source, target)
    check_output(target, tuple(VECTOR_DRIVERS), overwrite=overwrite or resume)
    with gdal_limits():
        run = object_run(source, model, make_options(options), target=target)
        if resume and not overwrite and is_complete(target, read_attrs, run.key):
            LOGGER.warning("%s is complete already; nothing was done", target)
            return target
        with staged(target, overwrite=overwrite or resume, resume=resume, needed=run.room) as path:
            steps = ObjectSteps.begin(run, path.parent, resume=resume)
            _walk(run, steps)
            steps.finish(path)
    return target


def _walk(of: FileRun, steps: PixelSteps | ObjectSteps) -> None:
    """Take all steps that are left."""
    options = of.run.options
    passes = Passes(options.progress)
    while (todo := steps.missing()).chunks:
        steps.compute(todo, progress=passes.report, cancelled=options.cancelled)
        passes.again()
    passes.finish()


def _raster_tags(path: Path) -> dict[str, str]:
    with rasterio.open(path) as file:
        return file.tags()
