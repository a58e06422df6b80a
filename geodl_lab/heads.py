"""Heads reduce the scores of a batch on its device to what travels back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn import functional

from geodl_lab.errors import ModelError
from geodl_lab.package import NODATA

ROUNDING = 1e-3
"""How far a score may miss 0..1: half precision rounds."""


class Head(Protocol):
    """Reduces scores on the device to what travels back."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        ...

    @property
    def fill(self) -> float:
        """Value where the raster has no data."""
        ...

    @property
    def channels(self) -> int:
        """Number of bands of the result."""
        ...

    def __call__(self, scores: torch.Tensor) -> torch.Tensor:
        """Map scores (N, K, H, W) to (N, channels, H, W)."""
        ...


@dataclass(frozen=True)
class ClassHead:
    """Class value of the best score; nodata where the best probability is below a threshold.

    Parameters
    ----------
    values
        Class values in channel order.
    threshold
        Least probability 0..1, or None for the best class whatever its probability.
    background
        Whether the first class may be answered; else it is the best of the others.
    """

    values: tuple[int, ...]
    threshold: float | None = None
    background: bool = True
    dtype: np.dtype[Any] = np.dtype("uint8")
    fill: float = NODATA
    channels: int = 1

    def __call__(self, scores: torch.Tensor) -> torch.Tensor:
        """Map scores (N, K, H, W) to class values (N, 1, H, W), uint8."""
        scores = _with_background(scores, len(self.values))
        if not self.background:
            scores = torch.cat([torch.full_like(scores[:, :1], -torch.inf), scores[:, 1:]], dim=1)
        table = torch.tensor(self.values, dtype=torch.uint8, device=scores.device)
        best, index = scores.max(dim=1, keepdim=True)  # (N, 1, H, W) each
        sure = best.isfinite()  # a net that answers NaN has no class to offer
        if self.threshold is not None:
            sure &= scores.softmax(dim=1).amax(dim=1, keepdim=True) >= self.threshold
        return torch.where(sure, table[index], NODATA)


@dataclass(frozen=True)
class ClassValueHead:
    """Class values that the model answers itself; whatever is none of them is nodata.

    Parameters
    ----------
    values
        Class values of the model.
    """

    values: tuple[int, ...]
    dtype: np.dtype[Any] = np.dtype("uint8")
    fill: float = NODATA
    channels: int = 1

    def __call__(self, scores: torch.Tensor) -> torch.Tensor:
        """Map answered values (N, 1, H, W) to class values (N, 1, H, W), uint8."""
        table = torch.tensor(self.values, dtype=scores.dtype, device=scores.device)
        known = torch.isin(scores, table)  # NaN is no class either
        return scores.where(known, torch.full_like(scores, NODATA)).to(torch.uint8)


@dataclass(frozen=True)
class ProbabilityHead:
    """Softmax probabilities, one channel a class; NaN is nodata."""

    channels: int
    dtype: np.dtype[Any] = np.dtype("float32")
    fill: float = np.nan

    def __call__(self, scores: torch.Tensor) -> torch.Tensor:
        """Map scores (N, K, H, W) to probabilities (N, K, H, W), float32."""
        return _with_background(scores, self.channels).softmax(dim=1)


@dataclass(frozen=True)
class BestHead:
    """Class value of the best score, and the best probability among some classes.

    Parameters
    ----------
    values
        Class values in channel order.
    counted
        Places of the classes, from 0, whose probability counts.
    """

    values: tuple[int, ...]
    counted: tuple[int, ...]
    dtype: np.dtype[Any] = np.dtype("float32")
    fill: float = NODATA
    channels: int = 2

    def __call__(self, scores: torch.Tensor) -> torch.Tensor:
        """Map scores (N, K, H, W) to class values and probabilities (N, 2, H, W), float32."""
        classes = ClassHead(self.values)(scores).float()  # (N, 1, H, W)
        shares = ProbabilityHead(len(self.values))(scores)[:, list(self.counted)].float()
        best = shares.amax(dim=1, keepdim=True).nan_to_num(0.0)  # (N, 1, H, W)
        return torch.cat([classes, best], dim=1)


@dataclass(frozen=True)
class EntropyHead:
    """Shannon entropy of the class probabilities in nat; NaN is nodata."""

    classes: int
    channels: int = 1
    dtype: np.dtype[Any] = np.dtype("float32")
    fill: float = np.nan

    def __call__(self, scores: torch.Tensor) -> torch.Tensor:
        """Map scores (N, K, H, W) to entropies (N, 1, H, W), float32."""
        share = _with_background(scores, self.classes).softmax(dim=1)
        return torch.special.entr(share).sum(dim=1, keepdim=True)


@dataclass(frozen=True)
class ValueHead:
    """The values of a regression as they are; NaN is nodata."""

    channels: int
    dtype: np.dtype[Any] = np.dtype("float32")
    fill: float = np.nan

    def __call__(self, scores: torch.Tensor) -> torch.Tensor:
        """Return values (N, K, H, W), float32."""
        return scores


@dataclass(frozen=True)
class LogitHead:
    """Logits of a dense detector, one channel a class, and its size channels as they are.

    Parameters
    ----------
    classes
        Number of classes without background.
    channels
        ``classes``, or ``classes + 2`` with log height and log width.
    """

    classes: int
    channels: int
    dtype: np.dtype[Any] = np.dtype("float32")
    fill: float = -np.inf

    def __call__(self, scores: torch.Tensor) -> torch.Tensor:
        """Map scores (N, K, H, W) to (N, channels, H, W); a background channel is taken off.

        Raises
        ------
        ModelError
            If a score is NaN: it would be an object that nobody misses.
        """
        count = scores.shape[1] - (self.channels - self.classes)
        if scores[:, :count].isnan().any():
            raise ModelError(
                "the model answers NaN scores; possible are numbers: check its weights, scale=, "
                "mean= and std=, or run it in fp32 if it was in half precision"
            )
        if scores.shape[1] != self.classes + 1 or self.channels != self.classes:
            return scores
        others = functional.log_softmax(scores, dim=1)[:, 1:]
        return torch.special.logit(others.exp().clamp(1e-7, 1 - 1e-7))


@dataclass(frozen=True)
class LabelHead:
    """Scores of whole images, 0..1, one a label.

    Parameters
    ----------
    labels
        Number of labels.
    activation
        ``softmax``, ``sigmoid`` or ``none``; see `geodl_lab.decoders.Recognizer`.
    """

    labels: int
    activation: str

    def __call__(self, scores: Any) -> torch.Tensor:
        """Map scores (N, K) or (N, K, 1, 1) to (N, K) of 0..1, float32.

        Raises
        ------
        ModelError
            If it is another shape, or a score is NaN, or outside 0..1 where it should be within.
        """
        shape = tuple(scores.shape) if isinstance(scores, torch.Tensor) else ()
        if shape[1:] not in ((self.labels,), (self.labels, 1, 1)):
            given = shape or type(scores).__name__
            raise ModelError(
                f"the model answers {given}; recognize needs scores (N, {self.labels}), one a "
                "label: average over the picture in the model, or give its fit"
            )
        rows: torch.Tensor = scores.flatten(1).float()  # (N, K)
        if self.activation != "none":
            rows = rows.sigmoid() if self.activation == "sigmoid" else rows.softmax(dim=1)
        least, most = (float(edge) for edge in rows.aminmax())
        if not (least >= -ROUNDING and most <= 1 + ROUNDING):
            raise ModelError(
                f"the model answers scores from {least:g} to {most:g}; possible are 0 to 1: logits "
                "need activation='softmax' or 'sigmoid'"
            )
        return rows.clamp(0, 1)


def _with_background(scores: torch.Tensor, classes: int) -> torch.Tensor:
    """Give a one-channel net of two classes its second score: the logit against 0."""
    if scores.shape[1] == 1 and classes == 2:
        return torch.cat([torch.zeros_like(scores), scores], dim=1)
    return scores
