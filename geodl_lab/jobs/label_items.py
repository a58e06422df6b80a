"""Items of a work on labels: features in groups, or a whole raster, each labelled in one part."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas
import numpy as np
import pandas
import shapely

from geodl_lab.checkpoints import RUN_TAG, Checkpoint, key_hash, open_checkpoint
from geodl_lab.errors import OptionError
from geodl_lab.file_runs import FileRun, input_identity, run_key
from geodl_lab.grid import Window
from geodl_lab.jobs.arguments import read_arguments
from geodl_lab.jobs.grounds import one_raster, parse_crs, run_options
from geodl_lab.jobs.item_works import INPUTS
from geodl_lab.jobs.masks import make_mask, read_features
from geodl_lab.jobs.parts import at_once, refuse_replaced
from geodl_lab.jobs.works import Part, Result
from geodl_lab.mosaics import MapGrid
from geodl_lab.options import make_options
from geodl_lab.packages import open_model
from geodl_lab.pixels import require_task
from geodl_lab.raster import Raster, area_edges, open_raster
from geodl_lab.raster_files import gdal_limits
from geodl_lab.recognition import recognize
from geodl_lab.runs import check, provenance
from geodl_lab.steps import write_frames
from geodl_lab.vector_files import GEOMETRY
from geodl_lab.vectors import vector_crs

if TYPE_CHECKING:
    from geodl_lab.jobs.label_works import LabelWork

FILES = {"features": "objects.gpkg", "parquet": "objects.parquet"}
GROUP = 32
"""Features that a part labels."""

ROOM = 4096
"""Bytes that a feature takes in blocks and files, about."""

LABELS = ("label", "label_id", "score")


@dataclass(frozen=True)
class LabelItem:
    """An item of a work on labels.

    Parameters
    ----------
    of
        Raster, model and what decides the result.
    features
        What is labelled, or None for the whole raster.
    inside
        Which features the raster meets, (feature,) bool; others get no label.
    options, threshold
        As in `geodl_lab.recognize`.
    checkpoint
        What is finished: of the features ``y`` to ``y + height`` of a part.
    messages
        What is worth saying.
    """

    of: FileRun
    features: geopandas.GeoDataFrame | None
    inside: np.ndarray
    options: Mapping[str, Any]
    checkpoint: Checkpoint
    messages: tuple[str, ...]

    @property
    def count(self) -> int:
        """What is labelled: features, or the one raster."""
        return 1 if self.features is None else len(self.features)

    @property
    def room(self) -> int:
        """Bytes that result and blocks may take."""
        return self.count * ROOM

    @property
    def windows(self) -> list[Window]:
        """The parts: rows of features."""
        return [
            Window(start, 0, min(GROUP, self.count - start), 1)
            for start in range(0, self.count, GROUP)
        ]

    @property
    def at_once(self) -> int:
        """Forwards that go side by side."""
        return at_once(self.of.run)

    def missing(self) -> tuple[tuple[Part, ...], int]:
        """Return the parts to compute, and the forwards of all parts."""
        left = (window for window in self.windows if not self.checkpoint.holds(window))
        return tuple(Part(0, window, window.height) for window in left), max(self.count, 1)

    def compute(self, windows: tuple[Window, ...], stop: Any) -> None:
        """Label the features of parts that are not there yet and commit each."""
        with gdal_limits():
            data = open_raster(self.of.source)
            for window in windows:
                if not self.checkpoint.holds(window):
                    save = functools.partial(_save, rows=self._labelled(data, window, stop))
                    self.checkpoint.commit(window, save)
        self.of.check_unchanged()

    def labelled(self) -> geopandas.GeoDataFrame:
        """Return a copy of all features with their labels."""
        parts = [json.loads(self.checkpoint.path(window).read_text()) for window in self.windows]
        frame = _outline(self.of) if self.features is None else self.features.copy()
        for name, kind in zip(LABELS, ("str", "Int64", "float64"), strict=True):
            values = [value for part in parts for value in part[name]]
            frame[name] = pandas.Series(values, dtype=kind, index=frame.index)
        return frame

    def _labelled(self, data: Any, window: Window, stop: Any) -> pandas.DataFrame:
        model, options = self.of.run.model, {**self.options, "cancelled": stop}
        if self.features is None:
            return recognize(data, model, **options).head(1)
        rows = self.features.iloc[window.y : window.bottom]
        seen = rows[self.inside[window.y : window.bottom]]
        labels = recognize(data, model, features=seen[[rows.geometry.name]], **options)
        return pandas.DataFrame(labels[list(LABELS)]).reindex(rows.index)


def open_labels(work: LabelWork, item: int) -> LabelItem:
    """Open an item of a work.

    Raises
    ------
    GeodlError
        If rasters, model, features, arguments or place are not usable, or an input was replaced.
    """
    read = read_arguments(open_model(work.model), json.loads(work.arguments))
    require_task(read.model.package, "recognize")
    source = one_raster(work.items[item], work.place, work.folder / INPUTS / f"{item:06d}")
    options = {**read.options, **run_options(source, work.place)}
    padding = options.pop("padding", None)
    said = list(read.messages)
    if padding:
        said.append("padding was ignored: the model sees each feature, or the raster, at once")
    with gdal_limits():
        run = check(open_raster(source), read.model, make_options(options))
    features, inside = _features(work, run.raster, options), np.ones(1, dtype=bool)
    if features is not None:
        options.pop("area", None)  # the features that it meets were chosen
        inside = _inside(features, run.raster)
        if not inside.all():
            said.append(f"{(~inside).sum()} features lie outside the raster and got no label")
    also = (*work.items[item], *work.place.also, *([work.features] if work.features else []))
    identity = input_identity(source, also=also)
    made = {"features": None if features is None else len(features), **read.options}
    of = FileRun(source, run, identity, run_key(run, made, identity), also)
    folder = work.item_folder(item)
    folder.mkdir(parents=True, exist_ok=True)
    refuse_replaced(of, folder)
    checkpoint = open_checkpoint(folder, ".json", of.key, resume=True)
    return LabelItem(of, features, inside, options, checkpoint, tuple(said))


def make_labelled(work: LabelWork, folder: Path) -> Result:
    """Write the labelled features of all items to a folder, those of earlier items first."""
    items = list(work.present())
    opened: list[LabelItem] = [work.opened(item) for item in items]
    frames = [_named(work, item, one.labelled()) for item, one in zip(items, opened, strict=True)]
    crs: Any = parse_crs(work.place.out_crs) if work.place.out_crs else frames[0].crs
    frames = [frame if frame.crs == crs else frame.to_crs(crs) for frame in frames]
    first = opened[0].of
    kind = _kind(frames)
    attrs = {**provenance(first.run), RUN_TAG: key_hash(first.key), GEOMETRY: kind}
    frames = [_of_kind(frame, kind) for frame in frames]
    template = frames[0].iloc[:0].copy()
    template.attrs = attrs
    write_frames(frames, template, [folder / name for name in FILES.values()])
    for one in opened:
        one.of.check_unchanged()
    classes = first.run.model.package.classes
    values = {
        "geometry": kind.removeprefix("Multi"),
        "count": sum(map(len, frames)),
        "classes": [{"value": c.value, "name": c.name, "color": c.color} for c in classes],
        "provenance": provenance(first.run),
    }
    return Result(FILES, values, warnings=work.warnings())


def _features(
    work: LabelWork, raster: Raster, options: Mapping[str, Any]
) -> geopandas.GeoDataFrame | None:
    """Return the features to label, or None for the whole raster."""
    if work.features is None:
        return None
    frame = read_features(work.features).reset_index(drop=True)
    if not len(frame):
        raise OptionError(f"{work.features.name!r} holds no features; give a file with some")
    shapes = _in_crs(frame, raster)
    if len(work.items) > 1 or "area" in options:
        bounds = options.get("area") or raster.bounds
        met = shapes.intersects(shapely.box(*bounds))
        frame, shapes = frame[met], shapes[met]
    grid = MapGrid(raster.crs, raster.transform, raster.shape_yx)
    mask = make_mask(work.place, grid)
    if mask is not None and len(frame):
        middles = shapely.get_coordinates(shapely.centroid(shapes.to_numpy()))
        frame = frame[mask.keeps(np.stack(~grid.transform @ middles.T, axis=1))]
    return frame.reset_index(drop=True)


def _inside(frame: geopandas.GeoDataFrame, raster: Raster) -> np.ndarray:
    """Tell which features a raster meets, by a thousandth of a pixel at least."""
    (height, width), edge = raster.shape_yx, 1e-3
    right, bottom = width - edge, height - edge
    corners = ((edge, edge), (right, edge), (right, bottom), (edge, bottom))
    whole = shapely.Polygon([raster.transform @ corner for corner in corners])
    return np.asarray(_in_crs(frame, raster).intersects(whole))


def _in_crs(frame: geopandas.GeoDataFrame, raster: Raster) -> geopandas.GeoSeries:
    """Return the geometries of features in a raster's CRS, where both have one."""
    shapes, crs = frame.geometry, vector_crs(raster)
    return shapes.to_crs(crs) if shapes.crs is not None and crs is not None else shapes


def _outline(of: FileRun) -> geopandas.GeoDataFrame:
    """Return the outline of a run's area as the one row of a frame."""
    run = of.run
    left, top, right, bottom = area_edges(run.raster, run.options.area)
    ring = ((left, top), (right, top), (right, bottom), (left, bottom))
    shape = shapely.Polygon([run.raster.transform @ corner for corner in ring])
    return geopandas.GeoDataFrame(geometry=[shape], crs=vector_crs(run.raster))


def _named(work: LabelWork, item: int, frame: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """Return rows with the label where it was asked for, and of several items their raster."""
    if work.label_field and work.label_field != "label":
        same = work.label_field.casefold()  # for SQL columns differ by more than case
        frame = frame.drop(
            columns=[c for c in frame.columns if c.casefold() == same and c != "label"]
        )
        frame = frame.rename(columns={"label": work.label_field})
    if len(work.items) > 1:
        frame["item"] = pandas.array([work.rasters[item].stem] * len(frame), dtype="str")
    shapes = frame.geometry.name
    frame = frame.rename_geometry("geometry") if shapes != "geometry" else frame
    return frame[[*(name for name in frame.columns if name != "geometry"), "geometry"]]


def _kind(frames: list[geopandas.GeoDataFrame]) -> str:
    """Return the one geometry type that fits all rows."""
    kinds = {kind for frame in frames for kind in frame.geom_type.unique()}
    plain = {kind.removeprefix("Multi") for kind in kinds}
    if len(plain) > 1:
        raise OptionError(
            f"the features are {', '.join(sorted(kinds))}; give features of one geometry type"
        )
    return max(kinds, key=len, default="Polygon")


def _of_kind(frame: geopandas.GeoDataFrame, kind: str) -> geopandas.GeoDataFrame:
    """Return rows whose geometries are all of several parts, where some are."""
    if not kind.startswith("Multi"):
        return frame
    single = (frame.geom_type != kind).to_numpy()
    shapes = frame.geometry.to_numpy().copy()
    makers = {"MultiPolygon": shapely.multipolygons, "MultiPoint": shapely.multipoints}
    join = makers.get(kind, shapely.multilinestrings)
    shapes[single] = [join([shape]) for shape in shapes[single]]
    return frame.set_geometry(geopandas.GeoSeries(shapes, index=frame.index, crs=frame.crs))


def _save(path: Path, rows: pandas.DataFrame) -> None:
    labels = pandas.DataFrame(rows[list(LABELS)]).astype(object)
    values = labels.where(labels.notna(), None).to_dict("list")  # JSON has no NaN
    path.write_text(json.dumps(values), encoding="utf-8")
