"""A Python raster function as a network: blocks of stored pixels in, answers of the engine out."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from geodl_lab.packages.functions_features import FeatureError, Reader
from geodl_lab.packages.functions_process import Function, FunctionError, Worker
from geodl_lab.packages.wrap import Facts

PIXELS = ("classify", "regress")
"""Tasks that ``updatePixels`` does; the others are of ``vectorize``."""

POINT_SIZE = 10.0
"""Side in pixels of the square that stands for a point while windows are merged."""

_WORKERS: weakref.WeakValueDictionary[tuple[Any, ...], Worker] = weakref.WeakValueDictionary()


@dataclass(frozen=True)
class FunctionNetwork:
    """A raster function as a network: float tensors in, values, objects or labels out.

    Parameters
    ----------
    function
        Files of the package.
    facts
        What the package says, and of bands and window what the function says.
    masks
        True makes masks of objects, False boxes.
    arguments
        What the caller gave, by the function's names.
    settings
        ``scalars`` and ``raster`` that the function is configured with.
    padding
        Pixels of a block's rim that coordinates are not counted from.
    points
        True where objects are points.
    parameters
        What the function says of its parameters (``getParameterInfo``).
    """

    function: Function
    facts: Facts
    masks: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    padding: int = 0
    points: bool = False
    parameters: tuple[Mapping[str, Any], ...] = ()
    workers: dict[Any, Worker] = field(default_factory=dict, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the processes behind."""
        return {**self.__dict__, "workers": {}}

    def placed(self, device: str, threads: int) -> Callable[[torch.Tensor], Any]:
        """Return what maps stored values (N, C, H, W) to what the engine reads.

        That is (N, K, H, W) of values, NaN where the function masks them, for pixels; a list of
        dicts for objects; scores (N, class) for chips.
        """
        worker = self.worker(device, threads)

        def forward(x: torch.Tensor) -> Any:
            blocks = self._blocks(x)
            if self.facts.task in PIXELS:
                answers = [self._values(worker, block) for block in blocks]
                return torch.from_numpy(np.stack(answers)).to(x.device)
            features = [self._features(worker, block) for block in blocks]
            if self.facts.task == "detect":
                return [self._read(self.reader.read, one) for one in features]
            scores = np.stack([self._read(self.reader.labels, one) for one in features])
            return torch.from_numpy(scores.astype(np.float32)).to(x.device)

        return forward

    def worker(self, device: str, threads: int) -> Worker:
        """Return the one worker of this process for the package on a device."""
        key = device, threads
        if key not in self.workers:
            # Models of one package with other arguments share the process and its weights.
            shared = (self.function.sha256, self.function.emd, *key)
            worker = _WORKERS.get(shared) or Worker(self.function, device=device, threads=threads)
            self.workers[key] = _WORKERS.setdefault(shared, worker)
        return self.workers[key]

    @property
    def reader(self) -> Reader:
        """What reads the function's feature sets."""
        form = "masks" if self.masks else "points" if self.points else "boxes"
        size = self.facts.decoding.get("box_size") or POINT_SIZE
        return Reader(form, self.facts.classes, self.facts.shape[2:], self.padding, size)

    def _blocks(self, x: torch.Tensor) -> np.ndarray:
        """Return pixels (N, C, H, W) in the type that the function was promised."""
        kind = np.dtype(self.settings["raster"]["pixelType"])
        pixels = x.detach().to("cpu", torch.float32).numpy()
        return pixels if kind.kind == "f" else np.rint(pixels).astype(kind)

    def _values(self, worker: Worker, block: np.ndarray) -> np.ndarray:
        """Return the values (K, H, W) of one block, float32."""
        inner = [size - 2 * self.padding for size in block.shape[1:]]
        request = {"do": "update_pixels", "shape_yx": inner}
        _, (pixels, *masks) = worker.run(request, block, self.settings)
        values = pixels[None] if pixels.ndim == 2 else pixels
        height, width = values.shape[-2:]
        crop = (block.shape[1] - height) / 2
        fits = crop == (block.shape[2] - width) / 2 and crop >= 0 and crop % 1 == 0
        if values.ndim != 3 or not fits:
            raise FunctionError(
                f"the raster function {self.function.file!r} answered pixels of shape "
                f"{pixels.shape} to a block of {block.shape}; possible is (bands, rows, columns), "
                "as large as the block or smaller by the same on each side"
            )
        values = values.astype(np.float32)
        for mask in masks:
            values[np.broadcast_to(mask, values.shape) == 0] = np.nan
        return values

    def _features(self, worker: Worker, block: np.ndarray) -> Any:
        request = {"do": "vectorize", "chips": self.facts.task == "recognize"}
        answer, _ = worker.run(request, block, self.settings)
        return answer["vectors"]

    def _read(self, read: Callable[[Any], Any], features: Any) -> Any:
        try:
            return read(features)
        except FeatureError as error:
            raise FunctionError(
                f"the raster function {self.function.file!r} failed in vectorize: {error}"
            ) from None
