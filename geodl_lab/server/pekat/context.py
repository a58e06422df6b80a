"""The context: what was found in an image, and the verdict, in PEKAT's words.

Fields that only modules of PEKAT fill (``operatorInput``, ``lines``, ...) are there and empty.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from geodl_lab.server.pekat.project import BACKGROUND, Project

if TYPE_CHECKING:
    from geodl_lab.photo_answers import PhotoAnswer, Region, Scored

DETECTOR, CLASSIFIER = "DETECTOR", "CLASSIFIER"


def bare(shape_yx: tuple[int, int], *, seconds: float) -> dict[str, Any]:
    """Return the context of a project that does not look at images.

    Parameters
    ----------
    shape_yx
        Height and width of the image in pixels.
    seconds
        That it took.
    """
    return {
        "error": False,
        "processing": False,
        "imageShape": {"height": shape_yx[0], "width": shape_yx[1]},
        "processingTime": seconds,
        "save": False,
    }


def full(
    answer: PhotoAnswer, project: Project, *, threshold: float | None, seconds: float, data: str
) -> dict[str, Any]:
    """Return the context of an image that was looked at.

    Parameters
    ----------
    answer
        What the model says.
    project
        What of it is a defect.
    threshold
        Least score 0..1, greater than which something counts; None if the model has none.
    seconds
        That the model took.
    data
        What the client sent along.
    """
    seen = [one for one in _covered(answer) if _name(answer, one[0]).lower() != BACKGROUND]
    surfaces = [_surface(answer, project, *one) for one in seen]
    rectangles = [_rectangle(region, project, answer) for region in _counted(answer)]
    rectangles += _whole(answer, project)
    return {
        **bare(answer.shape_yx, seconds=seconds),
        "processing": True,
        "result": is_good(answer, project),
        "completeTime": seconds,
        "detectedRectangles": rectangles,
        "data": data,
        "errors": [],
        "stderr": "",
        "stdout": "",
        "operatorInput": {},
        "globalData": {},
        "production_mode": True,
        "score": _score(answer),
        "threshold": threshold,
        "surfaceClasses": surfaces,
        "angle": None,
        "lines": [],
    }


def is_good(answer: PhotoAnswer, project: Project) -> bool:
    """Return the verdict: few enough defects, on little enough of the image (see `Project`)."""
    labels = [region.labels[0] for region in _counted(answer)]
    labels += [one for one in answer.labels if one.predicted]
    defects = sum(project.is_defect(one.label) for one in labels)
    pixels = sum(
        count for value, count in _covered(answer) if project.is_defect(_name(answer, value))
    )
    height, width = answer.shape_yx
    return defects <= project.max_defects and pixels <= project.max_share * height * width


def _counted(answer: PhotoAnswer) -> Iterator[Region]:
    """Yield the regions of which a label is above its threshold."""
    return (one for one in answer.regions if one.labels and one.labels[0].predicted)


def _covered(answer: PhotoAnswer) -> list[tuple[int, int]]:
    """Return class values and their pixels, the largest first."""
    if answer.classes is None:
        return []
    values, counts = np.unique(answer.classes, return_counts=True)
    pairs = zip(values.tolist(), counts.tolist(), strict=True)
    return sorted((pair for pair in pairs if pair[0] != answer.fill), key=lambda pair: -pair[1])


def _rectangle(region: Region, project: Project, answer: PhotoAnswer) -> dict[str, Any]:
    """Return R of an object; whole pixels, as clients cut images with them."""
    x0, y0, x1, y1 = _edges(region)
    left, top = round(x0), round(y0)
    values: dict[str, Any] = {
        "id": region.id,
        "x": left,
        "y": top,
        "width": round(x1) - left,
        "height": round(y1) - top,
        "rotate": region.angle,
        "confidence": region.labels[0].score,
        "classNames": [_class(one, project, answer) for one in region.labels if one.predicted],
        "source": _source(project, DETECTOR),
    }
    return values if region.area is None else {**values, "area": region.area}


def _edges(region: Region) -> tuple[float, float, float, float]:
    """Return left, top, right, bottom; of a rotated box as it is before it is turned."""
    if not region.angle or len(region.outline) != 4:
        return region.x0, region.y0, region.x1, region.y1
    one, two, three, _ = region.outline
    x = sum(corner[0] for corner in region.outline) / 4
    y = sum(corner[1] for corner in region.outline) / 4
    width, height = math.dist(one, two) / 2, math.dist(two, three) / 2
    return x - width, y - height, x + width, y + height


def _whole(answer: PhotoAnswer, project: Project) -> list[dict[str, Any]]:
    """Return R of the whole image, if it has labels that count."""
    chosen = [one for one in answer.labels if one.predicted]
    if not chosen:
        return []
    height, width = answer.shape_yx
    return [
        {
            "id": 0, "x": 0, "y": 0, "width": width, "height": height, "rotate": 0.0,
            "area": float(width * height), "confidence": chosen[0].score,
            "classNames": [_class(one, project, answer) for one in chosen],
            "source": _source(project, CLASSIFIER),
        }
    ]  # fmt: skip


def _class(label: Scored, project: Project, answer: PhotoAnswer) -> dict[str, Any]:
    """Return C of a label; confidence in percent."""
    colors = _colors(project, answer, label.label_id, label.label)
    return {
        "id": label.label_id,
        "label": label.label,
        "confidence": _percent(label.score),
    } | colors


def _surface(answer: PhotoAnswer, project: Project, value: int, count: int) -> dict[str, Any]:
    """Return C of a class of pixels: its mean probability, None if there is none, and its share."""
    label, height, width = _name(answer, value), *answer.shape_yx
    confidence = None
    if answer.scores is not None:
        confidence = _percent(float(answer.scores[answer.classes == value].mean()))
    return {
        "id": value,
        "label": label,
        "confidence": confidence,
        "area": count,
        "share": count / (height * width),
        **_colors(project, answer, value, label),
    }


def _colors(project: Project, answer: PhotoAnswer, value: int, label: str) -> dict[str, Any]:
    color = next((one.color for one in answer.legend if one.value == value), None)
    color = project.colors.get(label, color)
    if color is None:
        return {}
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return {"color": color, "color_bgr": [blue, green, red]}


def _name(answer: PhotoAnswer, value: int) -> str:
    return next((one.name for one in answer.legend if one.value == value), str(value))


def _score(answer: PhotoAnswer) -> float:
    """Return the best score of anything in the image, 0 for nothing."""
    if answer.scores is not None and not answer.regions:
        return float(np.nan_to_num(answer.scores).max(initial=0.0))
    scores = [region.labels[0].score for region in answer.regions if region.labels]
    return max([*scores, *(one.score for one in answer.labels)], default=0.0)


def _source(project: Project, kind: str) -> dict[str, str]:
    name = project.model.rstrip("/").rpartition("/")[2]
    return {"moduleId": name, "modelId": name, "type": kind}


def _percent(share: float) -> int:
    return round(100 * share)
