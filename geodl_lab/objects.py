"""Objects of a raster: a DataArray in, a GeoDataFrame in its CRS out, each object once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import shapely
import xarray as xr

from geodl_lab.decode import LogitHead, make_finder
from geodl_lab.detections import Detections, merge_windows
from geodl_lab.errors import OptionError
from geodl_lab.grid import Window, hull
from geodl_lab.inference import BoxWork, Work, chunk_lattice, run_chunks
from geodl_lab.lazy import compute_chunks
from geodl_lab.options import make_options
from geodl_lab.package import ModelPackage
from geodl_lab.packages import open_model
from geodl_lab.pixels import dense_work, require_task
from geodl_lab.raster import Raster, area_edges
from geodl_lab.runs import Run, prepare, provenance
from geodl_lab.runtime import Model


def detect(
    data: xr.DataArray | xr.Dataset,
    model: str | Path | Model,
    *,
    threshold: float | None = None,
    **options: Any,
) -> geopandas.GeoDataFrame:
    """Find the objects that a model was made for.

    Parameters
    ----------
    data
        Raster (band, y, x), or a Dataset of bands; stored values. Windows are read one by one.
    model
        Name of an installed model, a path, or an opened model.
    threshold
        Least score 0..1; None takes the model's own.
    options
        Fields of `geodl_lab.Options`; of an ``area`` the objects whose middle lies there.

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
    run = prepare(data, model, make_options(options))
    found = find(run)
    return to_frame(found.within(*area_edges(run.grid, run.options.area)), run)


def find(run: Run) -> Detections:
    """Find the objects whose middle lies in the run's area, in pixels of the raster."""
    decoder, area = run.model.package.decoder, run.area
    assert decoder is not None
    whole, margin = run.planned.grid.whole, run.model.package.window
    if decoder.name == "heatmap":
        fed = _grown(area, decoder.radius, whole)
        return _find_dense(run, fed)[0].inside(area)
    search = _find_boxes if decoder.name == "boxes" else _find_dense
    fed = _grown(area, margin, whole)
    while True:  # look further where an object of the area goes on beyond what was looked at
        found, explored = search(run, fed)
        if not len(found.meeting(area).cut_by(explored, whole)):
            return found.inside(area)
        margin *= 2
        fed = _grown(fed, margin, whole)


def to_frame(found: Detections, run: Run) -> geopandas.GeoDataFrame:
    """Turn objects in pixels into rows in the raster's CRS."""
    raster, package = run.grid, run.model.package
    names = {label.value: label.name for label in package.classes}
    corners = _corners(found.boxes, raster)  # (object, corner, xy) in CRS units
    low, high = corners.min(axis=1), corners.max(axis=1)
    columns: dict[str, Any] = {
        "label": pandas.array([names[v] for v in found.label_ids.tolist()], dtype="str"),
        "label_id": found.label_ids,
        "score": found.scores,
    }
    if package.decoder is not None and package.decoder.points:
        geometry = shapely.points(corners.mean(axis=1))
        columns |= dict(zip(("xmin", "ymin", "xmax", "ymax"), (*low.T, *high.T), strict=True))
    else:
        geometry = shapely.polygons(corners)
    frame = geopandas.GeoDataFrame(columns, geometry=geometry, crs=_vector_crs(raster))
    frame.attrs = provenance(run)
    return frame


def _with_threshold(model: Model, threshold: float | None) -> Model:
    require_task(model.package, "detect")
    if threshold is None:
        return model
    if not 0 <= threshold <= 1:
        raise OptionError(f"threshold {threshold} is not a score; give 0 to 1")
    assert model.package.decoder is not None
    decoder = dataclasses.replace(model.package.decoder, threshold=threshold)
    return dataclasses.replace(model, package=dataclasses.replace(model.package, decoder=decoder))


def _find_dense(run: Run, fed: Window) -> tuple[Detections, Window]:
    """Read objects from the score raster of ``fed``; return also what was looked at."""
    package = run.model.package
    head = LogitHead(len(package.classes), _channels(package))
    finder = make_finder(package, fed)
    for chunk, values in _blocks(run, fed, dense_work(run, head)):
        finder.feed(chunk, values)
    return finder.finish(), fed


def _find_boxes(run: Run, fed: Window) -> tuple[Detections, Window]:
    """Merge the boxes of all windows that own a pixel of ``fed``."""
    grid = run.planned.grid
    blocks = _blocks(run, fed, BoxWork(run.model.package))
    seen = [view for _, views in blocks for view in views]
    return merge_windows(seen, grid.whole), hull([tile.window for tile in grid.tiles(fed)])


def _blocks(run: Run, fed: Window, work: Work) -> Iterator[tuple[Window, Any]]:
    """Yield the chunks of ``fed``, row by row, and what the engine made of them."""
    rows = chunk_lattice(run.planned.grid, fed)
    if run.lazy:
        return compute_chunks(run.planned, run.source, work, rows, **run.limits())
    chunks = [chunk for row in rows for chunk in row]
    return run_chunks(run.planned, run.source, chunks, work, **run.limits())


def _channels(package: ModelPackage) -> int:
    assert package.decoder is not None
    sized = package.decoder.name == "heatmap" and package.decoder.box_size is None
    return len(package.classes) + (2 if sized else 0)


def _grown(area: Window, margin: int, whole: Window) -> Window:
    grown = Window(
        area.y - margin, area.x - margin, area.height + 2 * margin, area.width + 2 * margin
    )
    return grown.intersect(whole)


def _vector_crs(raster: Raster) -> str | None:
    """Return the CRS by its authority's name where it has one, so that it compares equal to it."""
    if raster.crs is None:
        return None
    authority = raster.crs.to_authority()
    return ":".join(authority) if authority else raster.crs.to_wkt()


def _corners(boxes: np.ndarray, raster: Raster) -> np.ndarray:
    """Return the corners of boxes in CRS units, shape (object, 4, 2), ring order."""
    x0, y0, x1, y1 = boxes.T
    xs, ys = np.stack([x0, x1, x1, x0], axis=1), np.stack([y0, y0, y1, y1], axis=1)
    t = raster.transform
    return np.stack([t.a * xs + t.b * ys + t.c, t.d * xs + t.e * ys + t.f], axis=2)
