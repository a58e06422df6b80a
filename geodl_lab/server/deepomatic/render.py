"""What a model says of a photo as ``data`` of a task: labels, or labels with regions.

Rules of v0.7: sorted by falling score, scores and thresholds as floats, no ``roi`` where there is
no region, ``discarded`` empty where it was not asked for, boxes 0..1. Boxes are of the whole image
also where a part of it was looked at, as people draw them on what they sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from geodl_lab.photo_answers import PhotoAnswer, Region, Scored

Row = tuple[Scored, Region | None]


def data_of(values: Mapping[str, Any], *, most: int, discarded: bool) -> dict[str, Any]:
    """Return a task's ``data``.

    Parameters
    ----------
    values
        As a job keeps them: ``answers``, a `PhotoAnswer.as_dict` for each output; or ``tensors``
        with name, shape and data of each.
    most
        Labels, predicted and discarded, at most.
    discarded
        Whether labels up to their threshold are answered too.
    """
    if "tensors" in values:
        return {"tensors": [_tensor(one) for one in values["tensors"]]}
    answers = [PhotoAnswer.from_dict(one) for one in values["answers"]]
    return {"outputs": [output_of(one, most=most, discarded=discarded) for one in answers]}


def output_of(answer: PhotoAnswer, *, most: int, discarded: bool) -> dict[str, Any]:
    """Return one output of a specification; parameters as of `data_of`."""
    rows = sorted(_rows(answer), key=lambda row: -row[0].score)
    predicted = [row for row in rows if row[0].predicted][:most]
    others = [row for row in rows if not row[0].predicted][:most] if discarded else []
    labels = {"predicted": _worded(predicted, answer), "discarded": _worded(others, answer)}
    return {"labels": labels}


def _rows(answer: PhotoAnswer) -> Iterator[Row]:
    yield from ((label, None) for label in answer.labels)
    for region in answer.regions:
        yield from ((label, region) for label in region.labels)


def _worded(rows: Sequence[Row], answer: PhotoAnswer) -> list[dict[str, Any]]:
    return [
        _label(label) if region is None else {**_label(label), "roi": _roi(region, answer)}
        for label, region in rows
    ]


def _label(label: Scored) -> dict[str, Any]:
    return {
        "label_id": label.label_id,
        "label_name": label.label,
        "score": float(label.score),
        "threshold": float(label.threshold),
    }


def _roi(region: Region, answer: PhotoAnswer) -> dict[str, Any]:
    height, width = answer.shape_yx
    box = {
        "xmin": _share(region.x0, width),
        "ymin": _share(region.y0, height),
        "xmax": _share(region.x1, width),
        "ymax": _share(region.y1, height),
    }
    return {"region_id": region.id, "bbox": box}


def _share(pixels: float, side: int) -> float:
    return min(max(pixels / side, 0.0), 1.0)


def _tensor(tensor: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tensor with every name that clients of v0.7 have read its shape by."""
    shape = list(tensor["shape"])
    return {
        "name": tensor["name"], "shape": shape, "dims": shape, "dim": shape,
        "data": list(tensor["data"]),
    }  # fmt: skip
