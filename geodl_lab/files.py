"""File in, file out: rasters larger than memory, window by window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas

from geodl_lab.inference import Progress, blocks
from geodl_lab.objects import detect
from geodl_lab.outputs import (
    RASTER_ENDINGS,
    VECTOR_DRIVERS,
    RasterFile,
    check_ending,
    check_output,
    file_tags,
    raster_writer,
    write_objects,
)
from geodl_lab.package import NODATA
from geodl_lab.packages import open_model
from geodl_lab.pixels import class_attrs, class_head, prepare_dense, provenance
from geodl_lab.raster import open_raster
from geodl_lab.runtime import Model
from geodl_lab.staging import check_distinct, staged


def classify_file(
    source: str | Path,
    target: str | Path,
    model: str | Path | Model,
    *,
    overwrite: bool = True,
    threshold: float | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Path:
    """Classify a raster file into a COG with palette and class names.

    Parameters
    ----------
    source
        Any raster that GDAL opens.
    target
        A ``.tif``; it appears when it is complete.
    model, threshold, progress, options
        As in `geodl_lab.classify`.
    overwrite
        False refuses an existing target.

    Returns
    -------
    pathlib.Path
        ``target``.

    Raises
    ------
    GeodlError
        If source, model, target or an option is not usable; the message says what to do.
    """
    target = Path(target)
    check_distinct(source, target)
    check_output(target, RASTER_ENDINGS, overwrite=overwrite)
    model = open_model(model)
    head = class_head(model.package, threshold)
    raster, planned, pixels, window = prepare_dense(open_raster(source), model, **options)
    description = RasterFile(
        shape_yx=window.shape_yx,
        bands=1,
        dtype="uint8",
        nodata=NODATA,
        crs=raster.crs,
        transform=raster.transform * raster.transform.translation(window.x, window.y),
        classes=model.package.classes,
        tags=file_tags({**class_attrs(model.package), **provenance(planned)}),
    )
    with raster_writer(target, description, overwrite=overwrite) as writer:
        for core, block in blocks(planned, pixels, window, head, progress=progress):
            part = core.intersect(window)
            writer.write(part.relative_to(window), block[:, *part.relative_to(core).slices_yx])
    return target


def detect_file(
    source: str | Path,
    target: str | Path,
    model: str | Path | Model,
    *,
    overwrite: bool = True,
    **options: Any,
) -> geopandas.GeoDataFrame:
    """Detect objects in a raster file and write them as GeoParquet, GeoPackage or GeoJSON.

    Parameters
    ----------
    source
        Any raster that GDAL opens.
    target
        A ``.parquet``, ``.gpkg`` or ``.geojson``; it appears when it is complete.
    model, options
        As in `geodl_lab.detect`.
    overwrite
        False refuses an existing target.

    Returns
    -------
    geopandas.GeoDataFrame
        The objects written.

    Raises
    ------
    GeodlError
        If source, model, target or an option is not usable; the message says what to do.
    """
    target = Path(target)
    check_distinct(source, target)
    check_ending(target, tuple(VECTOR_DRIVERS))
    with staged(target, overwrite=overwrite) as path:
        frame = detect(open_raster(source), model, **options)
        write_objects(frame, path)
    return frame
