"""Items of a work on objects: opened, computed in parts, and written to one layer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas
import pandas
import shapely

from geodl_lab.detections import Detections, concatenate, empty
from geodl_lab.jobs.arguments import read_arguments
from geodl_lab.jobs.grounds import one_raster, parse_crs, run_options
from geodl_lab.jobs.item_works import INPUTS
from geodl_lab.jobs.masks import MapMask, make_mask
from geodl_lab.jobs.parts import SteppedItem, refuse_replaced, side_of
from geodl_lab.jobs.works import Result
from geodl_lab.mosaics import MapGrid
from geodl_lab.objects import with_threshold
from geodl_lab.options import make_options
from geodl_lab.overlaps import suppress
from geodl_lab.packages import open_model
from geodl_lab.raster import area_edges
from geodl_lab.runs import provenance
from geodl_lab.steps import ObjectSteps, object_run, write_frames
from geodl_lab.vector_files import GEOMETRY

if TYPE_CHECKING:
    from geodl_lab.jobs.object_works import ObjectWork

FILES = {"features": "objects.gpkg", "parquet": "objects.parquet"}
CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class ObjectItem(SteppedItem[ObjectSteps]):
    """An item of a work on objects.

    Parameters
    ----------
    mask
        Where objects are wanted; None is everywhere.
    boxes
        Whether outlines are answered as their boxes.
    """

    mask: MapMask | None
    boxes: bool

    def frames(self, limit: float | None) -> Iterator[geopandas.GeoDataFrame]:
        """Yield the objects that are wanted, in batches; ``limit`` as in `overlaps.suppress`."""
        wanted = (self._wanted(found) for found in self.steps.found())
        if limit is not None:
            yield self.frame(suppress(concatenate(wanted), limit).sorted())
        else:
            yield from map(self.frame, wanted)

    def frame(self, found: Detections) -> geopandas.GeoDataFrame:
        """Return a batch as rows in the raster's CRS."""
        frame = self.steps.frame(found)
        if self.boxes and GEOMETRY in frame.attrs:
            frame.geometry = shapely.envelope(frame.geometry.to_numpy())
            frame.attrs.pop(GEOMETRY)
        return frame

    def _wanted(self, found: Detections) -> Detections:
        """Return the objects whose middle lies in the area and the mask."""
        run = self.steps.of.run
        found = found.within(*area_edges(run.grid, run.options.area))
        if self.mask is None or not len(found):
            return found
        middles = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
        return found.select(self.mask.keeps(middles))


def open_objects(work: ObjectWork, item: int) -> ObjectItem:
    """Open an item of a work.

    Raises
    ------
    GeodlError
        If rasters, model, arguments or place are not usable, or an input was replaced.
    """
    read = read_arguments(open_model(work.model), json.loads(work.arguments))
    model = with_threshold(read.model, read.threshold)
    source = one_raster(work.items[item], work.place, work.folder / INPUTS / f"{item:06d}")
    options = make_options({**read.options, **run_options(source, work.place)})
    rasters = () if source in work.items[item] else work.items[item]
    run = object_run(source, model, options, also=(*rasters, *work.place.also))
    grid = run.run.grid
    mask = make_mask(work.place, MapGrid(grid.crs, grid.transform, grid.shape_yx))
    folder = work.item_folder(item)
    folder.mkdir(parents=True, exist_ok=True)
    refuse_replaced(run, folder)
    steps = ObjectSteps.begin(run, folder, resume=True, side=side_of(run.run))
    return ObjectItem(steps, read.messages, mask, read.boxes)


def make_features(work: ObjectWork, folder: Path) -> Result:
    """Write the objects of finished items to a folder, those of earlier items first."""
    items = list(work.present())
    first: ObjectItem = work.opened(items[0])
    template = first.frame(empty())
    target = parse_crs(work.place.out_crs) if work.place.out_crs else template.crs
    template = _shown(template, target, work, items[0])
    paths = [folder / name for name in FILES.values()]
    count = write_frames(_all_frames(work, items, target), template, paths)
    for item in items:
        work.opened(item).steps.of.check_unchanged()
    model = first.steps.of.run.model.package
    classes = [{"value": c.value, "name": c.name, "color": c.color} for c in model.classes]
    values = {
        "geometry": "Point" if "xmin" in template else "Polygon",
        "count": count,
        "classes": classes,
        "provenance": provenance(first.steps.of.run),
    }
    return Result(FILES, values, warnings=work.warnings())


def _all_frames(
    work: ObjectWork, items: list[int], target: Any
) -> Iterator[geopandas.GeoDataFrame]:
    """Yield the objects of all items in one CRS."""
    limit = None if work.nms is None else work.nms.max_overlap
    for item in items:
        work.stop_if_cancelled()
        for frame in work.opened(item).frames(limit):
            yield _shown(frame, target, work, item)


def _shown(
    frame: geopandas.GeoDataFrame, target: Any, work: ObjectWork, item: int
) -> geopandas.GeoDataFrame:
    """Return rows in the CRS of the result; of several items with the name of their raster."""
    if frame.crs != target:
        frame = _brought(frame, target)
    if work.each and len(work.items) > 1:
        names = pandas.array([work.rasters[item].stem] * len(frame), dtype="str")
        frame.insert(3, "item", names)
    return frame


def _brought(frame: geopandas.GeoDataFrame, target: Any) -> geopandas.GeoDataFrame:
    """Return rows in another CRS, the boxes of points too."""
    attrs = frame.attrs
    if set(CORNERS) <= set(frame.columns):
        boxes = geopandas.GeoSeries(
            shapely.box(*(frame[name].to_numpy() for name in CORNERS)), crs=frame.crs
        )
        frame = frame.assign(
            **dict(zip(CORNERS, boxes.to_crs(target).bounds.to_numpy().T, strict=True))
        )
    frame = frame.to_crs(target)
    frame.attrs = dict(attrs)
    return frame
