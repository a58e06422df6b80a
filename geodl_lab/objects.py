"""Objects of a raster: a DataArray in, a GeoDataFrame in its CRS out, each object once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import xarray as xr

from geodl_lab.bands import Bands
from geodl_lab.detections import Detections, concatenate
from geodl_lab.errors import OptionError
from geodl_lab.finders import in_order, make_finder
from geodl_lab.grid import Window, hull
from geodl_lab.heads import Head, LogitHead
from geodl_lab.inference import Progress, Source, assemble, blocks, objects
from geodl_lab.lazy import loaded
from geodl_lab.package import ModelPackage
from geodl_lab.packages import open_model
from geodl_lab.pixels import prepare_dense, provenance, require_task
from geodl_lab.planning import Plan
from geodl_lab.raster import RasterSource, area_edges
from geodl_lab.runtime import Model
from geodl_lab.vectors import to_frame


def detect(
    data: xr.DataArray | xr.Dataset,
    model: str | Path | Model,
    *,
    area: Any = None,
    bands: Bands | None = None,
    threshold: float | None = None,
    device: str = "auto",
    precision: str = "auto",
    seam_tolerance: float | None = None,
    progress: Progress | None = None,
) -> geopandas.GeoDataFrame:
    """Find the objects that a model was made for.

    Parameters
    ----------
    data
        Raster (band, y, x), or a Dataset of bands; stored values. Windows are read one by one.
    model
        Name of an installed model, a path, or an opened model.
    area
        (left, bottom, right, top) in CRS units: objects whose middle lies there.
    bands
        Which raster band is which, as in ``{"nir": 4}`` (from 1); needed only if names do not say.
    threshold
        Least score 0..1; None takes the model's own.
    device, precision
        ``auto``, ``cpu``, ``cuda:N``; ``auto``, ``fp32``, ``bf16``, ``fp16``.
    seam_tolerance
        Largest error of a score at seams for which a smaller halo, and so less work, is taken.
        None is exact wherever the model's receptive field is finite.
    progress
        Called with windows done, windows in all, stage, seconds left.

    Returns
    -------
    geopandas.GeoDataFrame
        One row an object, from top to bottom: ``geometry`` in the raster's CRS (a point for point
        models, which also have ``xmin``, ``ymin``, ``xmax``, ``ymax`` in CRS units, else the box),
        ``label``, ``label_id`` (class value), ``score`` 0..1. ``attrs`` say how it was made.

    Raises
    ------
    GeodlError
        If raster, bands, model or an option is not usable; the message says what to do.
    """
    model = _with_threshold(open_model(model), threshold)
    raster, planned, source, window = prepare_dense(
        data, model, area=area, bands=bands, device=device, precision=precision,
        seam_tolerance=seam_tolerance,
    )  # fmt: skip
    found = find(planned, source, window, progress=progress)
    found = found.within(*area_edges(raster, area))
    return to_frame(found, raster, planned.model.package, provenance(planned))


def find(
    planned: Plan, source: RasterSource, area: Window, *, progress: Progress | None = None
) -> Detections:
    """Find the objects whose middle lies in ``area``, in pixels of the raster."""
    decoder = planned.model.package.decoder
    assert decoder is not None
    whole, margin = planned.grid.whole, planned.model.package.window
    if decoder.name == "heatmap":
        fed = _grown(area, decoder.radius, whole)
        return _find_dense(planned, source, fed, progress)[0].inside(area)
    search = _find_boxes if decoder.answers_objects else _find_dense
    fed = _grown(area, margin, whole)
    while True:  # look further where an object of the area goes on beyond what was looked at
        found, explored = search(planned, source, fed, progress)
        if not len(found.meeting(area).cut_by(explored, whole)):
            return found.inside(area)
        margin *= 2
        fed = _grown(fed, margin, whole)


def _with_threshold(model: Model, threshold: float | None) -> Model:
    require_task(model.package, "detect")
    if threshold is None:
        return model
    if not 0 <= threshold <= 1:
        raise OptionError(f"threshold {threshold} is not a score; give 0 to 1")
    assert model.package.decoder is not None
    decoder = dataclasses.replace(model.package.decoder, threshold=threshold)
    return dataclasses.replace(model, package=dataclasses.replace(model.package, decoder=decoder))


def _find_dense(
    planned: Plan, source: RasterSource, fed: Window, progress: Progress | None
) -> tuple[Detections, Window]:
    """Read objects from the assembled score raster of ``fed``; return also what was looked at."""
    package = planned.model.package
    head = LogitHead(len(package.classes), _channels(package))
    finder = make_finder(package, planned.grid.whole, planned.grid)
    scores = _score_blocks(planned, source, fed, head, progress)
    blocks = ((part, finder.summarise(part, values)) for part, values in scores)
    return concatenate(in_order(finder.merger(fed), blocks)), fed


def _score_blocks(
    planned: Plan, source: RasterSource, fed: Window, head: Head, progress: Progress | None
) -> Iterator[tuple[Window, np.ndarray]]:
    """Yield parts of ``fed`` and their scores (channel, y, x), row by row."""
    if source.raster.lazy:
        for chunk, pixels, report in _parts(planned, source, fed, progress):
            yield chunk, assemble(planned, pixels, chunk, head, progress=report)
        return
    for core, block in blocks(planned, source, fed, head, progress=progress):
        part = core.intersect(fed)
        yield part, block[:, *part.relative_to(core).slices_yx]


def _find_boxes(
    planned: Plan, source: RasterSource, fed: Window, progress: Progress | None
) -> tuple[Detections, Window]:
    """Merge the objects of all windows that own a pixel of ``fed``."""
    finder = make_finder(planned.model.package, planned.grid.whole, planned.grid)
    blocks = (
        (part, finder.summarise(part, list(objects(planned, pixels, part, progress=report))))
        for part, pixels, report in _parts(planned, source, fed, progress)
    )
    explored = hull([tile.window for tile in planned.grid.tiles(fed)])
    return concatenate(in_order(finder.merger(fed), blocks)), explored


def _parts(
    planned: Plan, source: RasterSource, fed: Window, progress: Progress | None
) -> Iterator[tuple[Window, Source, Progress | None]]:
    """Yield parts of ``fed``, their pixels, and a progress callback that counts on over parts."""
    total, before = planned.grid.windows(fed), 0
    for part, pixels in loaded(planned, source, fed):
        yield part, pixels, _counting_on(progress, before, total)
        before += planned.grid.windows(part)


def _counting_on(progress: Progress | None, before: int, total: int) -> Progress | None:
    if progress is None:
        return None

    def report(done: int, here: int, stage: str, left: float) -> None:
        rest = total - before - done
        progress(before + done, total, stage, left * rest / max(here - done, 1))

    return report


def _channels(package: ModelPackage) -> int:
    assert package.decoder is not None
    sized = package.decoder.name == "heatmap" and package.decoder.box_size is None
    return len(package.classes) + (2 if sized else 0)


def _grown(area: Window, margin: int, whole: Window) -> Window:
    grown = Window(
        area.y - margin, area.x - margin, area.height + 2 * margin, area.width + 2 * margin
    )
    return grown.intersect(whole)
