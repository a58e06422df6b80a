"""What a window's answer holds as objects: boxes, rotated boxes and masks, in raster pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from geodl_lab.answers import in_one_form
from geodl_lab.dense_boxes import check_scores, is_dense, read_dense, read_yolo
from geodl_lab.detections import Detections
from geodl_lab.errors import ModelError, first_line
from geodl_lab.grid import Window
from geodl_lab.masks import from_crops
from geodl_lab.overlaps import suppress
from geodl_lab.package import ModelPackage

USUAL_NMS = 0.5
"""IoU at which two raw boxes are one object: that of Faster R-CNN's last step."""


def read_boxes(answer: Any, index: int, package: ModelPackage, window: Window) -> Detections:
    """Read the objects of one window and move them from window to raster pixels.

    Parameters
    ----------
    answer
        What the model answered for a batch; see `geodl_lab.answers.in_one_form`.
    index
        Which image of the batch.
    package
        Classes and decoder.
    window
        Where the image lies in the raster.

    Returns
    -------
    Detections
        Those above the threshold; none reaches more than a window's size beyond the window.

    Raises
    ------
    ModelError
        If the answer does not fit the decoder and the classes.
    """
    decoder = package.decoder
    assert decoder is not None
    answer, nms = in_one_form(answer, decoder), decoder.nms
    _check_count(answer, index, package)
    if decoder.name == "yolo" or is_dense(answer):
        read, nms = read_yolo if decoder.name == "yolo" else read_dense, nms or USUAL_NMS
        found = read(answer, index, package)
        found = dataclasses.replace(found, boxes=_in_pixels(found.boxes, package, window.shape_yx))
    else:
        found = _read_dict(answer[index], package, window.shape_yx)
    found = _above(found, package)
    found = suppress(found, nms) if nms else found
    return _near(found, window.shape_yx).moved(window.x, window.y)


def _above(found: Detections, package: ModelPackage) -> Detections:
    """Keep what scores more than its own class's threshold, where classes have one each."""
    assert package.decoder is not None
    if not package.decoder.thresholds:
        return found
    least = dict(zip(package.class_values.tolist(), package.decoder.thresholds, strict=True))
    own = [least[value] for value in found.label_ids.tolist()]
    return found.select(np.float32(found.scores) > np.array(own, dtype=np.float32))


def _check_count(answer: Any, index: int, package: ModelPackage) -> None:
    """Refuse an answer that holds nothing for an image."""
    parts = answer.values() if isinstance(answer, Mapping) else answer
    first = next(iter(parts), None) if isinstance(parts, Iterable) else None
    batched = torch.is_tensor(first) and not torch.is_tensor(answer)  # dense boxes, or YOLO's
    if isinstance(answer, Mapping) and not batched:
        return  # what is wrong with it is told where it is read
    count = len(first if batched and first.ndim else answer) if first is not None else 0
    if index >= count:
        raise ModelError(
            f"model {package.name!r} answers {count} entries for {index + 1} or more images; "
            "answer one dict an image, with boxes of shape (0, 4) where there is none; a module "
            "that takes one image at a time needs batch_size=1"
        )


def corners_of(boxes: np.ndarray) -> np.ndarray:
    """Return the corners (box, 4, 2) of rotated boxes.

    Parameters
    ----------
    boxes
        Centre x, y, width, height, and the angle in radians by which x turns towards y, shape
        (box, 5); or the corners x, y one after the other, shape (box, 8).
    """
    if boxes.shape[1] == 8:
        return boxes.reshape(-1, 4, 2)
    centre, (width, height, angle) = boxes[:, :2], boxes[:, 2:].T
    along = np.stack([np.cos(angle), np.sin(angle)], axis=1) * width[:, None] / 2
    across = np.stack([-np.sin(angle), np.cos(angle)], axis=1) * height[:, None] / 2
    sides = -along - across, along - across, along + across, across - along
    return np.stack([centre + side for side in sides], axis=1)


def _read_dict(
    answer: Mapping[str, Any], package: ModelPackage, shape_yx: tuple[int, int]
) -> Detections:
    """Read one image's dict, in window pixels."""
    _check_keys(answer, package)
    scores = check_scores(_numbers(answer, "scores", package), package)
    labels = _numbers(answer, "labels", package)
    if labels.shape != scores.shape or labels.ndim != 1:
        raise ModelError(
            f"model {package.name!r} answers labels of shape {labels.shape} and scores of shape "
            f"{scores.shape}; possible is one label and one score an object"
        )
    assert package.decoder is not None
    # In float32, as nets count: there a score of 0.8 is not more than 0.8.
    kept = (scores > np.float32(package.decoder.threshold)) & (labels >= _first_label(package))
    values = _values(labels[kept], package)
    if "boxes" in answer:
        boxes = _columns(_numbers(answer, "boxes", package), len(scores), package)[kept]
        boxes = _in_pixels(boxes, package, shape_yx)
        _check_rows(boxes, package)
    else:
        height, width = shape_yx
        boxes = np.tile([0.0, 0.0, width, height], (len(values), 1))
    if package.decoder.name == "masks":
        return _masked(answer["masks"], kept, boxes, package, (values, scores[kept], shape_yx))
    if boxes.shape[1] == 4:
        return Detections(boxes, values, scores[kept])
    corners = corners_of(boxes)
    upright = np.hstack([corners.min(axis=1), corners.max(axis=1)])
    return Detections(upright, values, scores[kept], corners)


def _check_keys(answer: Any, package: ModelPackage) -> None:
    masks = package.decoder is not None and package.decoder.name == "masks"
    wanted = {"masks" if masks else "boxes", "labels", "scores"}
    if not isinstance(answer, Mapping):
        raise ModelError(
            f"model {package.name!r} answers a {type(answer).__name__} for an image; possible is "
            f"a dict of {', '.join(sorted(wanted))}"
        )
    missing = wanted - set(answer)
    if missing:
        raise ModelError(
            f"model {package.name!r} answers {sorted(answer)} for an image; "
            f"{sorted(missing)} is missing; possible is a dict of {', '.join(sorted(wanted))}"
        )


def _numbers(answer: Mapping[str, Any], key: str, package: ModelPackage) -> np.ndarray:
    """Return one entry of an answer, float64."""
    try:
        return torch.as_tensor(answer[key]).detach().to("cpu", torch.float64).numpy()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"model {package.name!r} answers {key} that are no numbers ({first_line(error)}); "
            "possible are tensors, arrays or lists of numbers, one entry an object"
        ) from error


def _values(labels: np.ndarray, package: ModelPackage) -> np.ndarray:
    """Return the class values of labels."""
    first = _first_label(package)
    index = labels.astype(np.int64) - first
    if index.size and index.max() >= len(package.classes):
        raise ModelError(
            f"model {package.name!r} answers label {index.max() + first} but names "
            f"{len(package.classes)} classes, the first with label {first}; name as many classes "
            "as the model has, or say labels_from"
        )
    return np.array([label.value for label in package.classes], dtype=np.int64)[index]


def _first_label(package: ModelPackage) -> int:
    assert package.decoder is not None
    return 1 if package.decoder.labels_from is None else package.decoder.labels_from


def _in_pixels(boxes: np.ndarray, package: ModelPackage, shape_yx: tuple[int, int]) -> np.ndarray:
    """Return boxes (box, 4), (box, 5) or (box, 8) in pixels of the window; an angle stays."""
    assert package.decoder is not None
    if package.decoder.box_unit == "pixels":
        return boxes
    columns = boxes.shape[1]
    return boxes * ([*shape_yx[::-1]] * (columns // 2) + [1] * (columns % 2))


def _columns(boxes: np.ndarray, count: int, package: ModelPackage) -> np.ndarray:
    """Return boxes (box, 4), or rotated ones (box, 5) or (box, 8); an empty list is of any shape.

    Masks give boxes only to say where they lie, so those are upright.
    """
    assert package.decoder is not None
    possible = (4,) if package.decoder.name == "masks" else (4, 5, 8)
    if not boxes.size and not count:
        columns = boxes.shape[-1]
        return np.zeros((0, columns if boxes.ndim == 2 and columns in possible else 4))
    if boxes.ndim != 2 or len(boxes) != count or boxes.shape[1] not in possible:
        raise ModelError(
            f"model {package.name!r} answers boxes of shape {boxes.shape} with {count} scores; "
            f"possible are {count} rows of {' or '.join(map(str, possible))} numbers: x0, y0, x1, "
            "y1; or rotated: cx, cy, width, height, angle; or x, y of four corners"
        )
    return boxes


def _check_rows(boxes: np.ndarray, package: ModelPackage) -> None:
    """Check the boxes that count: what pads an answer may hold anything."""
    sizes = {4: boxes[:, 2:4] - boxes[:, :2], 5: boxes[:, 2:4]}.get(boxes.shape[1], boxes * 0)
    if not (np.isfinite(boxes).all() and (sizes >= 0).all()):
        raise ModelError(
            f"model {package.name!r} answers a box that is none: x0, y0, x1, y1 must be numbers "
            "with x0 <= x1 and y0 <= y1; width and height must not be negative"
        )


def _masked(
    masks: Any,
    kept: np.ndarray,
    boxes: np.ndarray,
    package: ModelPackage,
    rest: tuple[np.ndarray, np.ndarray, tuple[int, int]],
) -> Detections:
    """Read the masks of the objects that are ``kept``; one without a pixel is no object."""
    values, scores, shape_yx = rest
    stack = torch.as_tensor(masks).detach()
    if stack.ndim == 4 and stack.shape[1] == 1:
        stack = stack[:, 0]  # (N, H, W)
    if not len(kept):
        return Detections(boxes, values, scores, None, from_crops([]))
    if stack.shape != (len(kept), *shape_yx):
        raise ModelError(
            f"model {package.name!r} answers masks of shape {tuple(stack.shape)}; possible is "
            f"{(len(kept), *shape_yx)}, one plane an object in the window's pixels"
        )
    crops = [
        _crop(stack[int(i)], box, package)
        for i, box in zip(np.flatnonzero(kept), boxes, strict=True)
    ]
    pixels = from_crops(crops)
    real = pixels.counts > 0
    pixels = pixels.select(real)
    return Detections(pixels.boxes, values[real], scores[real], None, pixels)


def _crop(
    plane: torch.Tensor, box: np.ndarray, package: ModelPackage
) -> tuple[int, int, np.ndarray]:
    """Cut the pixels of one object out of its plane (y, x): top, left, pixels (y, x) bool."""
    height, width = plane.shape
    left, right = np.clip([np.floor(box[0]), np.ceil(box[2])], 0, width).astype(int)
    top, bottom = np.clip([np.floor(box[1]), np.ceil(box[3])], 0, height).astype(int)
    part = plane[top:bottom, left:right]
    if part.is_floating_point() and part.numel() and not (part.min() >= 0 and part.max() <= 1):
        raise ModelError(
            f"model {package.name!r} answers a mask with values from {float(part.min()):g} to "
            f"{float(part.max()):g}; possible are booleans or 0..1: let it answer a sigmoid"
        )
    return int(top), int(left), (part > 0.5).cpu().numpy()


def _near(found: Detections, shape_yx: tuple[int, int]) -> Detections:
    """Bound what reaches out of the window: `finders` relies on how far later windows answer."""
    height, width = shape_yx
    low, high = np.array([-width, -height]), np.array([2 * width, 2 * height])
    boxes = np.clip(found.boxes, np.tile(low, 2), np.tile(high, 2))
    corners = None if found.corners is None else np.clip(found.corners, low, high)
    return dataclasses.replace(found, boxes=boxes, corners=corners)
