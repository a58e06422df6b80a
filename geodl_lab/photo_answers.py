"""What a model says of a photo: labels of the whole, and regions with labels, for every task."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import xarray as xr

from geodl_lab.checks import is_number
from geodl_lab.detections import leans
from geodl_lab.errors import ModelError, OptionError
from geodl_lab.package import NODATA, LabelClass
from geodl_lab.photo_crops import Part, crop

T = TypeVar("T")

MOST = 100
"""Labels, or regions, that are answered."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A label with its score.

    Parameters
    ----------
    label_id, label
        Class value and name.
    score, threshold
        0..1.
    predicted
        Whether the score is above the threshold, as float32.
    """

    label_id: int
    label: str
    score: float
    threshold: float
    predicted: bool


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a photo with its labels.

    Parameters
    ----------
    id
        From 0, in the order of the answer.
    x0, y0, x1, y1
        Edges of its upright box in pixels of the whole photo, y downwards.
    labels
        The best first.
    angle
        Degrees by which a rotated box is turned, clockwise on the screen; 0 for upright ones.
    area
        Pixels of its mask, or None.
    outline
        Corners (x, y) of a mask's outline or a rotated box in pixels; empty for upright boxes.
    """

    id: int
    x0: float
    y0: float
    x1: float
    y1: float
    labels: tuple[Scored, ...]
    angle: float = 0.0
    area: float | None = None
    outline: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class PhotoAnswer:
    """What a model says of a photo.

    Parameters
    ----------
    shape_yx
        Height and width of the whole photo in pixels.
    labels
        Of the whole photo (or of the area asked for), the best first; empty for detectors.
    regions
        Of detectors, the best first.
    classes
        Class values (y, x) of models that classify pixels, or None.
    fill
        The value of ``classes`` that means no data.
    scores
        Of models that classify pixels or answer score maps: (y, x) float32, the greatest
        probability of a class that is not background; or None.
    legend
        Classes with names and colours.
    """

    shape_yx: tuple[int, int]
    labels: tuple[Scored, ...] = ()
    regions: tuple[Region, ...] = ()
    classes: np.ndarray | None = None
    fill: int | None = None
    scores: np.ndarray | None = None
    legend: tuple[LabelClass, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """Return labels, regions and legend as plain values, as a job keeps them."""
        kept = dataclasses.replace(self, classes=None, scores=None)
        values = dataclasses.asdict(kept)
        return {key: values[key] for key in ("shape_yx", "labels", "regions", "legend")}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> PhotoAnswer:
        """Return what `as_dict` was called of, also through JSON; without maps."""
        height, width = values["shape_yx"]
        return PhotoAnswer(
            (height, width),
            tuple(Scored(**one) for one in values["labels"]),
            tuple(map(_region, values["regions"])),
            legend=tuple(LabelClass(**one) for one in values["legend"]),
        )


def answer_photo(  # noqa: PLR0913  (what two protocols ask for)
    photo: xr.DataArray,
    model: Any,
    *,
    area: Sequence[float] | None = None,
    polygon: Sequence[Sequence[float]] | None = None,
    crop_background: bool = False,
    most: int = MOST,
    discard: float | None = None,
    thresholds: float | Sequence[float] | None = None,
    heat: bool = False,
    device: str = "auto",
) -> PhotoAnswer:
    """Say what a model sees in a photo, or in a part of it; for workers, because it loads torch.

    Parameters
    ----------
    photo
        (band, y, x), uint8, as of `photos.open_photo`.
    model
        Name of an installed model, a path, or an opened model; made to recognize, to detect or
        to classify.
    area
        Left, top, right, bottom in pixels, y downwards; pixels that it touches count. None is all.
    polygon
        Corners (x, y) in pixels. Only its bounds are looked at; what lies outside it is white,
        and regions whose middle does are left out.
    crop_background
        Whether rows and columns at the edges that have the colour of all four corners are cut off.
    most
        Most labels, and most regions, that are predicted; and as many that are not.
    discard
        None answers regions above their thresholds only; a number also those that score more than
        it, but for models whose threshold makes their objects (connected regions). The labels of
        a whole photo are all answered, whatever they score.
    thresholds
        Least score 0..1, of all or of each class in their order; None takes the model's own.
    heat
        Whether detectors answer ``scores`` too, where they make their objects of them.
    device
        As in `geodl_lab.Options`.

    Returns
    -------
    PhotoAnswer
        In pixels of the whole photo, whatever part was looked at.

    Raises
    ------
    GeodlError
        If photo, area, polygon, model or an option is not usable; the message says what to do.
    """
    question = Question(photo, area, polygon, crop_background, most, discard, thresholds, heat)
    return answer_photos([question], model, device=device)[0]


@dataclass(frozen=True, eq=False)
class Question:
    """A photo, and what is asked of it; parameters as of `answer_photo`."""

    photo: xr.DataArray
    area: Sequence[float] | None = None
    polygon: Sequence[Sequence[float]] | None = None
    crop_background: bool = False
    most: int = MOST
    discard: float | None = None
    thresholds: float | Sequence[float] | None = None
    heat: bool = False

    def __post_init__(self) -> None:
        if self.discard is not None and not (is_number(self.discard) and 0 <= self.discard <= 1):
            raise OptionError(f"discard {self.discard!r} is not possible; give a score from 0 to 1")


def answer_photos(
    questions: Sequence[Question], model: Any, *, device: str = "auto"
) -> list[PhotoAnswer]:
    """Say what a model sees in several photos, in batches where it sees whole images.

    Parameters, answers and errors as of `answer_photo`; one that fails fails all.
    """
    from geodl_lab.packages import open_model  # noqa: PLC0415  (torch)

    model = open_model(model)
    package = model.package
    if package.task not in _ANSWERS:
        raise ModelError(
            f"model {package.name!r} is made to {package.task}, which says nothing of a photo; "
            "name one that recognizes, detects or classifies"
        )
    parts = [
        crop(one.photo, area=one.area, polygon=one.polygon, crop_background=one.crop_background)
        for one in questions
    ]
    found = _ANSWERS[package.task](questions, [part.pixels for part in parts], model, device)
    return [
        _limited(_placed(answer, part, _shape(one.photo)), one.most)
        for answer, part, one in zip(found, parts, questions, strict=True)
    ]


Photos = Sequence[xr.DataArray]


def _recognized(
    questions: Sequence[Question], photos: Photos, model: Any, device: str
) -> list[PhotoAnswer]:
    from geodl_lab import photo_models  # noqa: PLC0415  (torch)

    classes, own = model.package.classes, photo_models.thresholds(model.package)
    leasts = [_least(one.thresholds, own) for one in questions]
    rows = photo_models.label_scores(photos, model, device=device)
    answers = []
    for pixels, scores, least in zip(photos, rows, leasts, strict=True):
        labels = sorted(map(_scored, classes, scores.tolist(), least), key=lambda one: -one.score)
        answers.append(PhotoAnswer(_shape(pixels), labels=tuple(labels), legend=classes))
    return answers


def _detected(
    questions: Sequence[Question], photos: Photos, model: Any, device: str
) -> list[PhotoAnswer]:
    pairs = zip(questions, photos, strict=True)
    return [_objects(one, pixels, model, device) for one, pixels in pairs]


def _objects(question: Question, pixels: xr.DataArray, model: Any, device: str) -> PhotoAnswer:
    from geodl_lab import photo_models  # noqa: PLC0415  (torch)

    classes, discard = model.package.classes, question.discard
    least = _least(question.thresholds, photo_models.thresholds(model.package))
    floor = min(least) if discard is None else min(*least, discard)
    found = photo_models.objects(pixels, model, least=floor, heat=question.heat, device=device)
    known = {one.value: (one, score) for one, score in zip(classes, least, strict=True)}
    labels = [
        _scored(known[value][0], score, known[value][1])
        for value, score in zip(found.label_ids.tolist(), found.scores.tolist(), strict=True)
    ]
    above = 1.0 if discard is None else discard
    kept = [i for i, one in enumerate(labels) if one.predicted or one.score > above]
    regions = _grouped([(_shaped(found, i), labels[i]) for i in kept])
    return PhotoAnswer(_shape(pixels), regions=regions, scores=found.scores_yx, legend=classes)


def _classified(
    questions: Sequence[Question], photos: Photos, model: Any, device: str
) -> list[PhotoAnswer]:
    from geodl_lab import photo_models  # noqa: PLC0415  (torch)

    answers = []
    for pixels in photos:
        classes, scores = photo_models.class_map(pixels, model, device=device)
        one = PhotoAnswer(_shape(pixels), fill=NODATA, legend=model.package.classes)
        answers.append(dataclasses.replace(one, classes=classes, scores=scores))
    return answers


_ANSWERS: Mapping[str, Callable[..., list[PhotoAnswer]]] = {
    "recognize": _recognized,
    "detect": _detected,
    "classify": _classified,
}


def _shape(pixels: xr.DataArray) -> tuple[int, int]:
    return pixels.shape[1], pixels.shape[2]


def _scored(label: LabelClass, score: float, threshold: float) -> Scored:
    # In float32, as nets count: there a score of 0.8 is not more than 0.8.
    above = bool(np.float32(score) > np.float32(threshold))
    return Scored(label.value, label.name, score, threshold, above)


def _least(given: Any, own: tuple[float, ...]) -> tuple[float, ...]:
    """Return the least score of each class."""
    if given is None:
        return own
    many = (given,) * len(own) if is_number(given) else tuple(given)
    if len(many) != len(own) or not all(is_number(one) and 0 <= one <= 1 for one in many):
        raise OptionError(
            f"thresholds {given!r} are not possible; give a number from 0 to 1, or {len(own)} of "
            "them, one a class"
        )
    return tuple(map(float, many))


def _shaped(found: Any, i: int) -> Region:
    """Return object ``i`` of `photo_models.Objects` as a region without labels."""
    x0, y0, x1, y1 = found.boxes[i].tolist()
    region = Region(0, x0, y0, x1, y1, ())
    if found.rings is not None:
        ring = tuple(map(tuple, found.rings[i].tolist()))
        return dataclasses.replace(region, area=float(found.areas[i]), outline=ring)
    if found.corners is None or not leans(found.corners[i : i + 1])[0]:
        return region
    corners = found.corners[i].tolist()
    (ax, ay), (bx, by) = corners[:2]
    angle = math.degrees(math.atan2(by - ay, bx - ax))
    return dataclasses.replace(region, angle=angle, outline=tuple(map(tuple, corners)))


def _grouped(shapes: Sequence[tuple[Region, Scored]]) -> tuple[Region, ...]:
    """Return regions, the best first; objects of one shape are one region of several labels."""
    found: dict[Region, list[Scored]] = {}
    for shape, label in sorted(shapes, key=lambda pair: -pair[1].score):
        found.setdefault(shape, []).append(label)
    return tuple(dataclasses.replace(one, labels=tuple(labels)) for one, labels in found.items())


def _placed(answer: PhotoAnswer, part: Part, whole_yx: tuple[int, int]) -> PhotoAnswer:
    """Return what was seen of a part in pixels of the whole photo."""
    regions = tuple(one for one in answer.regions if _is_inside(one, part.inside))
    return dataclasses.replace(
        answer,
        shape_yx=whole_yx,
        regions=tuple(_moved(one, part.window.x, part.window.y, whole_yx) for one in regions),
        classes=_spread(answer.classes, part, whole_yx, NODATA),
        scores=_spread(answer.scores, part, whole_yx, 0),
    )


def _is_inside(region: Region, inside: np.ndarray | None) -> bool:
    if inside is None:
        return True
    x, y = int((region.x0 + region.x1) / 2), int((region.y0 + region.y1) / 2)
    height, width = inside.shape
    return bool(0 <= y < height and 0 <= x < width and inside[y, x])


def _moved(region: Region, x: int, y: int, whole_yx: tuple[int, int]) -> Region:
    """Return a region moved by pixels, its box cut off at the edges of the photo."""
    height, width = whole_yx
    x0, x1 = (min(max(edge + x, 0.0), float(width)) for edge in (region.x0, region.x1))
    y0, y1 = (min(max(edge + y, 0.0), float(height)) for edge in (region.y0, region.y1))
    outline = tuple((a + x, b + y) for a, b in region.outline)
    return dataclasses.replace(region, x0=x0, y0=y0, x1=x1, y1=y1, outline=outline)


def _spread(
    values: np.ndarray | None, part: Part, whole_yx: tuple[int, int], fill: int
) -> np.ndarray | None:
    """Return the map of a part as one of the whole photo, ``fill`` elsewhere."""
    if values is None or (part.inside is None and values.shape == whole_yx):
        return values
    spread = np.full(whole_yx, fill, values.dtype)
    inner = values if part.inside is None else np.where(part.inside, values, fill)
    spread[*part.window.slices_yx] = inner
    return spread


def _limited(answer: PhotoAnswer, most: int) -> PhotoAnswer:
    """Return as many labels and regions as are wanted, the regions numbered."""
    regions = _first(answer.regions, most, lambda one: any(s.predicted for s in one.labels))
    numbered = tuple(dataclasses.replace(one, id=i) for i, one in enumerate(regions))
    labels = _first(answer.labels, most, lambda one: one.predicted)
    return dataclasses.replace(answer, labels=labels, regions=numbered)


def _first(items: Sequence[T], most: int, is_predicted: Callable[[T], bool]) -> tuple[T, ...]:
    """Return the first that are predicted and the first that are not, in their order."""
    left, kept = {True: most, False: most}, []
    for one in items:
        left[is_predicted(one)] -= 1
        if left[is_predicted(one)] >= 0:
            kept.append(one)
    return tuple(kept)


def _region(values: Mapping[str, Any]) -> Region:
    labels = tuple(Scored(**one) for one in values["labels"])
    outline = tuple((float(x), float(y)) for x, y in values["outline"])
    return Region(**{**values, "labels": labels, "outline": outline})
