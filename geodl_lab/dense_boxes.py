"""Raw boxes with scores, thousands a window: anchor-free, anchored and YOLO outputs.

A box is one object of its best class; what is left of many boxes around one object is the
business of non-maximum suppression, in `boxes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from geodl_lab.decoders import YOLO_LAYOUTS
from geodl_lab.detections import Detections
from geodl_lab.errors import ModelError
from geodl_lab.package import ModelPackage

ROUNDING = 1e-3
"""How far a score may miss 0..1: half precision rounds."""

LARGEST = float(np.log(1000 / 16))
"""Bound of an offset's logarithm of size, as Faster R-CNN has it: exp() of more is no box."""


def is_dense(answer: Any) -> bool:
    """Tell whether a batch's answer is boxes (N, A, 4) and scores (N, A, K) for all images."""
    if isinstance(answer, Mapping):
        return True
    return isinstance(answer, Sequence) and len(answer) == 2 and all(map(torch.is_tensor, answer))


def read_dense(answer: Any, index: int, package: ModelPackage) -> Detections:
    """Read one image of dense boxes, in window pixels; parameters as of `boxes.read_boxes`."""
    check_dense(answer, package)
    boxes, scores = (part[index].detach() for part in _parts(answer))
    assert package.decoder is not None
    scores = _activated(scores.float(), package.decoder.activation)  # (A, K) or (A, 1 + K)
    scores = scores[:, scores.shape[1] - len(package.classes) :]  # (A, K)
    best, k = _best(scores, package)
    kept = best > package.decoder.threshold
    rows = boxes[kept].to("cpu", torch.float64).numpy()
    if package.decoder.anchors:
        rows = _from_anchors(rows, np.array(package.decoder.anchors)[kept.cpu().numpy()])
    return _objects(rows, best[kept], k[kept], package)


def read_yolo(answer: Any, index: int, package: ModelPackage) -> Detections:
    """Read one image of a YOLO output, in window pixels; parameters as of `boxes.read_boxes`."""
    layout = yolo_layout(answer, package)
    rows = _first(answer)[index].detach()
    rows = rows.T if layout == "channels_first" else rows  # (A, 4 + K) or (A, 5 + K)
    assert package.decoder is not None
    scores = _activated(rows[:, -len(package.classes) :].float(), package.decoder.activation)
    if layout == "objectness":
        scores = scores * _activated(rows[:, 4:5].float(), _of_one(package.decoder.activation))
    best, k = _best(scores, package)
    kept = best > package.decoder.threshold
    boxes = rows[kept, :4].to("cpu", torch.float64).numpy()
    half = boxes[:, 2:] / 2
    boxes = np.hstack([boxes[:, :2] - half, boxes[:, :2] + half])
    return _objects(boxes, best[kept], k[kept], package)


def check_scores(scores: np.ndarray, package: ModelPackage) -> np.ndarray:
    """Return scores cut to 0..1, of which they may only miss a rounding.

    Raises
    ------
    ModelError
        If they are not from 0 to 1.
    """
    if scores.size and not (scores.min() >= -ROUNDING and scores.max() <= 1 + ROUNDING):
        raise ModelError(
            f"model {package.name!r} answers scores from {scores.min():g} to {scores.max():g}; "
            "possible are 0 to 1: logits need activation='sigmoid' or 'softmax' (dense boxes and "
            "YOLO), or let the module answer probabilities"
        )
    return np.clip(scores, 0, 1)


def check_dense(answer: Any, package: ModelPackage) -> None:
    """Check the shapes of dense boxes.

    Raises
    ------
    ModelError
        If boxes, scores, anchors and classes do not belong together.
    """
    classes, parts = len(package.classes), _parts(answer)
    assert package.decoder is not None
    anchors = len(package.decoder.anchors)
    boxes, scores = parts
    fine = boxes.ndim == scores.ndim == 3 and boxes.shape[2] == 4
    fine = fine and boxes.shape[:2] == scores.shape[:2]
    if not fine or scores.shape[2] not in (classes, classes + 1):
        raise ModelError(
            f"model {package.name!r} answers boxes {tuple(boxes.shape)} and scores "
            f"{tuple(scores.shape)} for {classes} classes; possible are (N, A, 4) and "
            f"(N, A, {classes}), or (N, A, {classes + 1}) with the background first"
        )
    if anchors and boxes.shape[1] != anchors:
        raise ModelError(
            f"model {package.name!r} answers {boxes.shape[1]} boxes but has {anchors} anchors; "
            "give one anchor for each box, in the order of the boxes"
        )


def yolo_layout(answer: Any, package: ModelPackage) -> str:
    """Return how a YOLO output is laid out, one of `decoders.YOLO_LAYOUTS`.

    Raises
    ------
    ModelError
        If the shape fits none, or more than one.
    """
    rows, classes = _first(answer), len(package.classes)
    assert package.decoder is not None
    shape = tuple(rows.shape) if torch.is_tensor(rows) else ()
    widths = {"channels_first": (1, 4), "channels_last": (2, 4), "objectness": (2, 5)}
    fits = [
        name
        for name in YOLO_LAYOUTS
        if len(shape) == 3 and shape[widths[name][0]] == widths[name][1] + classes
    ]
    if package.decoder.layout in fits:
        return package.decoder.layout
    possible = (
        f"(N, {4 + classes}, A) or (N, A, {4 + classes}) of cx, cy, w, h and class scores, or "
        f"(N, A, {5 + classes}) with an objectness before the {classes} class scores"
    )
    given = shape or f"a {type(rows).__name__}"
    if not fits or package.decoder.layout:
        raise ModelError(
            f"model {package.name!r} answers {given} for {classes} classes; decoder 'yolo' needs "
            f"{possible}: name as many classes as the model has"
        )
    if len(fits) > 1:
        raise ModelError(
            f"model {package.name!r} answers {given}, which fits {' and '.join(fits)}: possible "
            f"are {possible}; let it answer another number of boxes, with scores of 0 added"
        )
    return fits[0]


def _first(answer: Any) -> Any:
    """Return the boxes of an answer that has training outputs behind them."""
    return answer[0] if isinstance(answer, Sequence) and answer else answer


def _parts(answer: Any) -> tuple[torch.Tensor, torch.Tensor]:
    if not isinstance(answer, Mapping):
        return answer[0], answer[1]
    if not all(torch.is_tensor(answer.get(key)) for key in ("boxes", "scores")):
        raise ModelError(
            f"the module answers a dict of {sorted(answer)}; possible is one with the tensors "
            "boxes (N, A, 4) and scores (N, A, K), or a list of dicts, one an image"
        )
    return answer["boxes"], answer["scores"]


def _activated(scores: torch.Tensor, activation: str) -> torch.Tensor:
    if activation == "none":
        return scores
    return scores.sigmoid() if activation == "sigmoid" else scores.softmax(dim=-1)


def _of_one(activation: str) -> str:
    """Return the activation of a single score: a softmax of one would always be 1."""
    return "sigmoid" if activation == "softmax" else activation


def _best(scores: torch.Tensor, package: ModelPackage) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the best score of each box (A,) and its class index (A,)."""
    if scores.numel():
        check_scores(torch.stack(scores.aminmax()).cpu().numpy(), package)
    best, k = scores.max(dim=1)
    return best.clamp(0, 1), k


def _from_anchors(offsets: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Turn dx, dy, dw, dh (box, 4) into x0, y0, x1, y1 around anchors cx, cy, w, h (box, 4)."""
    centre = anchors[:, :2] + offsets[:, :2] * anchors[:, 2:]
    half = anchors[:, 2:] * np.exp(np.minimum(offsets[:, 2:], LARGEST)) / 2
    return np.hstack([centre - half, centre + half])


def _objects(
    boxes: np.ndarray, scores: torch.Tensor, k: torch.Tensor, package: ModelPackage
) -> Detections:
    if not (np.isfinite(boxes).all() and (boxes[:, :2] <= boxes[:, 2:]).all()):
        raise ModelError(
            f"model {package.name!r} answers a box that is none: corners must be numbers with "
            "x0 <= x1 and y0 <= y1, sizes must not be negative"
        )
    values = np.array([label.value for label in package.classes], dtype=np.int64)
    return Detections(boxes, values[k.cpu().numpy()], scores.double().cpu().numpy())
