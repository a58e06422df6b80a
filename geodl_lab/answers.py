"""The answers of detectors, of whatever make, in the few forms that `boxes` reads.

torchvision's modules answer a list of dicts; scripted, with a dict of losses before it; exported,
a dict or a row of tensors of one image. Ultralytics' end-to-end exports answer one tensor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from geodl_lab.decoders import Decoder
from geodl_lab.errors import ModelError

ONE_IMAGE = {"labels", "scores"}
ROW = 6
"""Numbers of an object in one tensor: x0, y0, x1, y1, score, label."""


def in_one_form(answer: Any, decoder: Decoder) -> Any:
    """Return an answer as a list of dicts, as dense boxes with scores, or else as it is.

    Parameters
    ----------
    answer
        What the module answered for a batch: a list of dicts; ``(losses, list of dicts)``; a dict
        or row of tensors with boxes (n, 4), labels (n,), scores (n,) and maybe masks of one image,
        or of a batch with N before n, in any order and by any name: labels are whole numbers; a
        tensor (N, n, 6) of x0, y0, x1, y1, score, label; or what is left as it is: dense boxes
        (N, A, 4) with scores (N, A, K), YOLO's tensor.
    decoder
        How objects are read.

    Raises
    ------
    ModelError
        If the answer is a tensor (N, n, 6) and nobody said from where its labels count.
    """
    if decoder.name not in ("boxes", "masks"):
        return answer
    if _has_losses(answer):
        return answer[1]
    if decoder.name == "boxes" and (rows := _rows(answer)) is not None:
        return _from_rows(rows, decoder)
    parts = _tensors(answer)
    found = _named(parts) or _by_kind(parts.values())
    return answer if found is None else _images(found)


def lists_dicts(answer: Any) -> bool:
    """Tell whether an answer is a list of dicts, one an image."""
    return isinstance(answer, list | tuple) and all(isinstance(one, dict) for one in answer)


def described(answer: Any) -> str:
    """Tell what an answer is, for an error."""
    if isinstance(answer, torch.Tensor):
        return f"a tensor {tuple(answer.shape)}"
    parts = _tensors(answer)
    if not parts:
        return f"a {type(answer).__name__}"
    inner = ", ".join(f"{name}: {_kind(part)}" for name, part in parts.items())
    return f"a {type(answer).__name__} of {inner}"


def _kind(part: torch.Tensor) -> str:
    return f"{str(part.dtype).removeprefix('torch.')} {tuple(part.shape)}"


def _has_losses(answer: Any) -> bool:
    pair = isinstance(answer, list | tuple) and len(answer) == 2
    return pair and isinstance(answer[0], Mapping) and isinstance(answer[1], list)


def _tensors(answer: Any) -> dict[str, torch.Tensor]:
    """Return the tensors of a dict or row by name; none if it holds anything else."""
    if isinstance(answer, Mapping):
        parts = {str(name): part for name, part in answer.items()}
    elif isinstance(answer, Sequence) and not isinstance(answer, str):
        parts = {str(index): part for index, part in enumerate(answer)}
    else:
        return {}
    return parts if all(map(torch.is_tensor, parts.values())) else {}


def _rows(answer: Any) -> torch.Tensor | None:
    """Return the tensor of an answer that is one tensor of rows (N, n, 6)."""
    if isinstance(answer, list | tuple) and len(answer) == 1:
        answer = answer[0]
    fine = isinstance(answer, torch.Tensor) and answer.ndim == 3 and answer.shape[2] == ROW
    return answer if fine else None


def _from_rows(rows: torch.Tensor, decoder: Decoder) -> list[dict[str, torch.Tensor]]:
    if decoder.labels_from is None:
        raise ModelError(
            f"the module answers objects as rows (N, n, {ROW}) of x0, y0, x1, y1, score, label; "
            "say from where its labels count: labels_from=0 (Ultralytics), or labels_from=1 where "
            "0 is the background"
        )
    return [{"boxes": one[:, :4], "scores": one[:, 4], "labels": one[:, 5]} for one in rows]


def _named(parts: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor] | None:
    """Return the parts that our own names say, None if these are not all there."""
    if not parts.keys() >= ONE_IMAGE or not parts.keys() & {"boxes", "masks"}:
        return None
    return {name: parts[name] for name in ("boxes", "masks", *ONE_IMAGE) if name in parts}


def _by_kind(parts: Iterable[torch.Tensor]) -> dict[str, torch.Tensor] | None:
    """Name boxes, labels, scores and masks by shape and number type; None if that is not clear."""
    found: dict[str, torch.Tensor] = {}
    rest = list(parts)
    boxes = [part for part in rest if part.ndim in (2, 3) and part.shape[-1] == 4]
    if len(boxes) != 1 or len(rest) not in (3, 4):
        return None
    per_object = boxes[0].ndim - 1
    for part in rest:
        if part is boxes[0]:
            name = "boxes"
        elif part.ndim == per_object:
            name = "scores" if part.is_floating_point() else "labels"
        else:
            name = "masks" if part.ndim in (per_object + 2, per_object + 3) else ""
        if not name or name in found:
            return None
        found[name] = part
    return found if found.keys() >= ONE_IMAGE else None


def _images(found: dict[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
    """Return one dict an image."""
    if found["labels"].ndim != 2:
        return [found]
    return [{name: part[i] for name, part in found.items()} for i in range(len(found["labels"]))]
