"""What a whole image shows, or what each of some features is: labels with scores."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import shapely
import xarray as xr

from geodl_lab import settings
from geodl_lab.chips import cut_chips
from geodl_lab.decoders import Recognizer
from geodl_lab.errors import OptionError, RasterError
from geodl_lab.fits import Size
from geodl_lab.grid import Tile, Window
from geodl_lab.heads import LabelHead
from geodl_lab.inference import Seen, Source, run_chunk
from geodl_lab.options import check_threshold, make_options
from geodl_lab.package import ModelPackage
from geodl_lab.packages import open_model
from geodl_lab.pixels import require_task
from geodl_lab.raster import Raster
from geodl_lab.runs import (
    Run,
    check,
    one_image,
    plan_for,
    provenance,
    refuse_window_options,
)
from geodl_lab.runtime import Model
from geodl_lab.vectors import vector_crs


@dataclass(frozen=True)
class LabelWork:
    """Labels: the scores of each window, or None where it holds no data."""

    head: LabelHead

    def finish(self, answer: Any, index: int, tile: Tile) -> np.ndarray:
        """Return the scores (label,) of one image, float64."""
        return self.head(answer)[index].cpu().double().numpy()

    def gather(
        self, chunk: Window, seen: Iterator[tuple[Tile, Seen | None]]
    ) -> list[np.ndarray | None]:
        """Return the scores of every image."""
        return [None if one is None else one.result for _, one in seen]


def recognize(
    data: xr.DataArray | xr.Dataset,
    model: str | Path | Model,
    *,
    features: Any = None,
    threshold: float | None = None,
    **options: Any,
) -> pandas.DataFrame:
    """Say what a whole image shows, or what each of some features is.

    Parameters
    ----------
    data
        Raster (band, y, x), a photo, or a Dataset of bands; stored values, of any size. Without
        data in places it is filled by reflection; dask-backed values are computed.
    model
        Name of an installed model, a path, or an opened model, made to recognize.
    features
        None labels the image. A GeoDataFrame or GeoSeries of points, boxes or polygons, in any
        CRS, labels each of them: its package says whether a chip of the model's size is cut out
        round the middle (mirrored over the raster's rim) or the bounds are resized to it, and
        whether pixels outside the outline are 0. A point is always cut out.
    threshold
        Least score 0..1 of every label of the image; None takes the model's own.
    options
        Fields of `geodl_lab.Options`: ``area``, which is the image then, ``bands``,
        ``cell_size``, ``device``, ``precision``, ``batch_size``, ``compile``, ``progress``,
        ``cancelled``.

    Returns
    -------
    pandas.DataFrame
        One row a label, the best first (of equals, in the order of the classes): ``label``,
        ``label_id`` (class value), ``score`` 0..1, ``threshold``, ``predicted`` (score above the
        threshold). With ``features`` a copy of them as a GeoDataFrame, with ``label``,
        ``label_id`` and ``score`` of the best label, which replace columns of these names; a
        feature where the raster has no data gets none. ``attrs`` say how it was made.

    Raises
    ------
    GeodlError
        If raster, bands, model, features or an option is not usable; the message says what to do.
    """
    model = open_model(model)
    require_task(model.package, "recognize")
    if threshold is not None:
        check_threshold(threshold)
    run = check(data, model, make_options(options))
    if features is None:
        return _label_image(one_image(run, model.package.inputs.fit), threshold)
    if threshold is not None or run.options.area is not None:
        raise OptionError(
            "threshold and area are for whole images, not for features; leave them out, and choose "
            "rows of the result by their score"
        )
    return _label_features(run, features)


def _label_image(run: Run, threshold: float | None) -> pandas.DataFrame:
    table = label_table(image_scores(run), run.model.package, threshold)
    table.attrs = provenance(run)
    return table


def image_scores(run: Run) -> np.ndarray:
    """Return the scores (label,) of a run over one image, in class order.

    Raises
    ------
    OptionError, RasterError
        If one forward has no memory for the image, or it holds no data.
    """
    check_memory(run)
    (scores,) = _scores(run)
    if scores is None:
        raise RasterError("the image holds no data, so it shows nothing; give another area or file")
    return scores


def images_scores(runs: Sequence[Run]) -> list[np.ndarray]:
    """Return the scores (label,) of several runs of a model over images brought to one size.

    They go through the model side by side, in batches where the device has them.
    """
    first = runs[0]
    size_yx = first.source.shape_yx
    images = SideBySide(tuple(run.source for run in runs))
    planned = plan_for(first, size_yx, images.shape_yx)
    found = _scores(dataclasses.replace(first, planned=planned, source=images))
    return [scores for scores in found if scores is not None]


@dataclass(frozen=True)
class SideBySide:
    """Images of one size as one source, each of which is a window.

    Parameters
    ----------
    sources
        The images, all of which hold data.
    """

    sources: tuple[Source, ...]

    @property
    def shape_yx(self) -> Size:
        """Height and width in pixels of all together."""
        height, width = self.sources[0].shape_yx
        return height, width * len(self.sources)

    @property
    def nodata(self) -> None:
        """No value means no data."""
        return

    @property
    def bands(self) -> tuple[int, ...]:
        """Which bands of the first image these are, from 0."""
        return self.sources[0].bands

    @property
    def readers(self) -> int:
        """Threads that may call `read` at one time; each image is read once."""
        return min(settings.READERS, settings.cores())

    def read(self, window: Window) -> np.ndarray:
        """Return the values (band, y, x) of the image at a window."""
        index = window.x // window.width
        return self.sources[index].read(Window(0, 0, *window.shape_yx))


def label_table(
    scores: np.ndarray, package: ModelPackage, threshold: float | None = None
) -> pandas.DataFrame:
    """Make the table of `recognize` of the scores (label,) of one image, in class order."""
    reader = _reader(package)
    own = [reader.threshold(index) for index in range(len(scores))]
    least = np.array(own if threshold is None else [float(threshold)] * len(scores))
    table = pandas.DataFrame(
        {
            "label": pandas.array([label.name for label in package.classes], dtype="str"),
            "label_id": package.class_values,
            "score": scores,
            "threshold": least,
            # In float32, as nets count: there a score of 0.8 is not more than 0.8.
            "predicted": np.float32(scores) > np.float32(least),
        }
    )
    return table.iloc[np.argsort(-scores, kind="stable")].reset_index(drop=True)


def _label_features(run: Run, features: Any) -> geopandas.GeoDataFrame:
    refuse_window_options(run.options)
    frame, package = _frame(features), run.model.package
    run = _of_chips(run, _in_pixels(frame, run.grid))
    scores = _scores(run) if len(frame) else []
    best = [None if row is None else package.classes[int(row.argmax())] for row in scores]
    frame["label"] = pandas.array([None if b is None else b.name for b in best], dtype="str")
    frame["label_id"] = pandas.array([None if b is None else b.value for b in best], dtype="Int64")
    frame["score"] = np.array([np.nan if row is None else row.max() for row in scores], float)
    attrs, reader = provenance(run), _reader(package)
    chip = {"chip": _size(package), "fixed_chip": reader.fixed_chip, "blacken": reader.blacken}
    made = json.loads(attrs["geodl_recipe"]) | chip
    frame.attrs = attrs | {"geodl_recipe": json.dumps(made)}
    return frame


def _of_chips(run: Run, shapes: np.ndarray) -> Run:
    """Return the run over the chips of geometries in pixels of its grid."""
    package = run.model.package
    size_yx, reader = _size(package), _reader(package)
    chips = cut_chips(shapes, run.source, size_yx, inputs=package.inputs, fixed=reader.fixed_chip)
    if reader.blacken:
        chips = dataclasses.replace(chips, outlines=tuple(shapes))
    planned = plan_for(run, size_yx, chips.shape_yx) if len(shapes) else run.planned
    return dataclasses.replace(run, planned=planned, source=chips)


def _scores(run: Run) -> list[np.ndarray | None]:
    """Return the scores (label,) of each window of a run."""
    package = run.model.package
    work = LabelWork(LabelHead(len(package.classes), _reader(package).activation))
    grid = run.planned.grid
    answer: list[np.ndarray | None] = run_chunk(
        run.planned, run.source, grid.whole, work, **run.limits()
    )
    return answer


def _reader(package: ModelPackage) -> Recognizer:
    assert package.recognizer is not None
    return package.recognizer


def _size(package: ModelPackage) -> Size:
    """Return height and width of what the model sees of a feature."""
    fit = package.inputs.fit
    return package.shape_yx if fit is None else (fit.height, fit.width)


def check_memory(run: Run) -> None:
    """Refuse an image that one forward has no memory for."""
    height, width = run.planned.grid.shape_yx
    needed = run.model.package.field.memory * height * width
    if needed > settings.MEMORY_BUDGET and run.model.package.inputs.fit is None:
        raise OptionError(
            f"the image is {height} x {width} pixels and model {run.model.name!r} takes its pixels "
            f"as they are, which needs {needed / 2**30:.0f} GiB at once; give an area= or a larger "
            "cell_size=, or make the model with fit='squash'"
        )


def _frame(features: Any) -> geopandas.GeoDataFrame:
    """Return a copy of features that all have a geometry."""
    if isinstance(features, geopandas.GeoSeries):
        frame = geopandas.GeoDataFrame(geometry=features.copy())
    elif isinstance(features, geopandas.GeoDataFrame):
        frame = features.copy()
    else:
        raise OptionError(
            f"features are a {type(features).__name__}; give a GeoDataFrame or a GeoSeries"
        )
    shapes = frame.geometry
    without = int((shapes.isna() | shapes.is_empty).sum())
    if without:
        raise OptionError(f"{without} of {len(frame)} features have no geometry; leave them out")
    return frame


def _in_pixels(frame: geopandas.GeoDataFrame, grid: Raster) -> np.ndarray:
    """Return the geometries of features in pixels of a raster, shape (feature,)."""
    shapes, crs = frame.geometry, vector_crs(grid)
    if shapes.crs is not None and crs is None:
        raise OptionError(
            f"the features are in {shapes.crs.name!r} and the raster has no CRS; give features "
            "without one, in the raster's own coordinates"
        )
    if shapes.crs is not None:
        shapes = shapes.to_crs(crs)
    inverse = ~grid.transform
    matrix = np.array([[inverse.a, inverse.b], [inverse.d, inverse.e]])
    shift = np.array([inverse.c, inverse.f])
    # Rounded, so that an edge on a pixel's edge does not take in the next pixel.
    return shapely.transform(shapes.to_numpy(), lambda xy: np.round(xy @ matrix.T + shift, 6))
