"""A model on one photo, in pixels of the photo: scores of labels, objects, or class maps.

The same numbers as `recognize`, `detect` and `classify`, without tables and coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shapely
import xarray as xr
from affine import Affine
from scipy.special import expit

from geodl_lab.detections import Detections, concatenate
from geodl_lab.heads import BestHead, ClassValueHead
from geodl_lab.objects import find, find_with_logits, with_threshold
from geodl_lab.options import make_options
from geodl_lab.package import NODATA, ModelPackage
from geodl_lab.pixels import dense_work, eager_values
from geodl_lab.recognition import image_scores, images_scores
from geodl_lab.runs import Run, check, one_image, prepare
from geodl_lab.runtime import Model
from geodl_lab.vectors import outlines

BACKGROUND = ("background",)
"""Names of classes that are nothing, in lower case."""


@dataclass(frozen=True)
class Objects:
    """Objects in pixels of a photo.

    Parameters
    ----------
    boxes
        Left, top, right, bottom, shape (object, 4).
    label_ids, scores
        Class values and 0..1, shape (object,).
    corners
        Of rotated boxes (object, 4, 2), x, y in ring order; else None.
    rings
        Of masks the outline of each, (corner, 2); else None.
    areas
        Of masks their pixels, (object,); else None.
    scores_yx
        Where they are asked for and objects are made of them, the best score of each pixel of
        the photo (y, x), float32; else None.
    """

    boxes: np.ndarray
    label_ids: np.ndarray
    scores: np.ndarray
    corners: np.ndarray | None = None
    rings: Sequence[np.ndarray] | None = None
    areas: np.ndarray | None = None
    scores_yx: np.ndarray | None = None


def label_scores(photos: Sequence[xr.DataArray], model: Model, *, device: str) -> list[np.ndarray]:
    """Return the scores (label,) of each photo, float64, in class order; errors as of `recognize`.

    Photos that a model brings to one size are the batches of its forwards.
    """
    runs = [check(photo, model, make_options({"device": device})) for photo in photos]
    fit = model.package.inputs.fit
    if fit is None or fit.kind == "network" or len(runs) == 1:
        return [image_scores(one_image(run, fit)) for run in runs]
    return images_scores([one_image(run, fit) for run in runs])


def objects(photo: xr.DataArray, model: Model, *, least: float, heat: bool, device: str) -> Objects:
    """Return the objects that score above ``least``, in pixels of the photo.

    With ``heat`` also the scores of pixels that they are made of, by the same forwards.
    Of objects that are made of connected pixels the model's own threshold is kept, because
    another would make others of them. Errors as of `detect`.
    """
    decoder = model.package.decoder
    if decoder is not None and decoder.name != "regions" and least != decoder.threshold:
        model = with_threshold(model, least)
    run = prepare(photo, model, make_options({"device": device}))
    found, logits = find_with_logits(run) if heat else (concatenate(list(find(run))), None)
    height, width = run.grid.shape_yx
    placed = _on_photo(found.within(0, 0, width, height), run)
    return placed if logits is None else replace(placed, scores_yx=expit(logits.max(axis=0)))


def class_map(
    photo: xr.DataArray, model: Model, *, device: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return class values (y, x), uint8, and the best probability of those that are something.

    The latter is (y, x), float32, or None where the model answers no scores. Errors as of
    `classify`.
    """
    package, run = model.package, prepare(photo, model, make_options({"device": device}))
    values = tuple(label.value for label in package.classes)
    if package.answers == "values":
        return eager_values(run, dense_work(run, ClassValueHead(values)))[0], None
    head = BestHead(values, counted(package))
    classes, scores = eager_values(run, dense_work(run, head))
    scores[classes == NODATA] = 0
    return classes.astype(np.uint8), scores


def thresholds(package: ModelPackage) -> tuple[float, ...]:
    """Return the model's own threshold of each class, in their order."""
    count = len(package.classes)
    if package.recognizer is not None:
        return tuple(package.recognizer.threshold(index) for index in range(count))
    if package.decoder is not None:
        return package.decoder.thresholds or (package.decoder.threshold,) * count
    return (0.0,) * count


def counted(package: ModelPackage) -> tuple[int, ...]:
    """Return the places of the classes that are something."""
    places = [i for i, one in enumerate(package.classes) if one.name.lower() not in BACKGROUND]
    return tuple(places) or tuple(range(len(package.classes)))


def _on_photo(found: Detections, run: Run) -> Objects:
    """Return objects of what a net saw in pixels of the photo."""
    t = Affine.identity() if run.fitted is None else run.fitted.placed.transform
    factors, shifts = np.array([t.a, t.e]), np.array([t.c, t.f])
    boxes = found.boxes * np.tile(factors, 2) + np.tile(shifts, 2)
    corners = None if found.corners is None else found.corners * factors + shifts
    if found.masks is None:
        return Objects(boxes, found.label_ids, found.scores, corners)
    rings = [_largest_ring(shape) * factors + shifts for shape in outlines(found.masks)]
    areas = found.masks.areas * float(factors.prod())
    return Objects(boxes, found.label_ids, found.scores, corners, rings, areas)


def _largest_ring(shape: Any) -> np.ndarray:
    """Return the outer ring (corner, 2) of the largest part of an outline, not closed."""
    part = max(shapely.get_parts(shape), key=lambda one: float(one.area))
    return np.array(part.exterior.coords)[:-1]
