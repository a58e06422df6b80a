"""A Python raster function as a network: blocks of stored pixels in, answers of the engine out."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from geodl_lab.inputs import InputSpec
from geodl_lab.packages.functions_features import FeatureError, Reader
from geodl_lab.packages.functions_process import Function, FunctionError, Worker
from geodl_lab.packages.functions_worker import Message
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
    said, facts
        What the package says; and the same with what the function says of bands and window.
    masks
        True makes masks of objects, False boxes.
    arguments
        What the caller gave, by the function's names.
    scalars
        All arguments of the function.
    padding
        Pixels of the rim of a block that the function wants and does not answer for.
    points
        True where objects are points.
    parameters
        What the function says of its parameters (``getParameterInfo``).
    """

    function: Function
    said: Facts
    facts: Facts
    masks: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)
    scalars: Mapping[str, Any] = field(default_factory=dict)
    padding: int = 0
    points: bool = False
    parameters: tuple[Mapping[str, Any], ...] = ()
    workers: dict[Any, Worker] = field(default_factory=dict, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the processes behind."""
        return {**self.__dict__, "workers": {}}

    def placed(self, device: str, threads: int) -> PlacedFunction:
        """Return what maps pixels (N, C, H, W) to what the engine reads."""
        return PlacedFunction(self, self.worker(device, threads))

    def worker(self, device: str, threads: int) -> Worker:
        """Return the one worker of this process for the package on a device."""
        key = device, threads, os.getpid()  # a forked child must not speak to its parent's
        if key not in self.workers:
            # Models of one package with other arguments share the process and its weights.
            shared = (self.function.sha256, self.function.emd, *key)
            worker = _WORKERS.get(shared) or Worker(self.function, device=device, threads=threads)
            self.workers[key] = _WORKERS.setdefault(shared, worker)
        return self.workers[key]

    def asked(self, pixel_type: str) -> dict[str, Any]:
        """Return what the function is configured with: ``scalars``, and ``raster`` in pixels.

        It is told no place and no CRS: a model answers alike wherever its window lies.

        Parameters
        ----------
        pixel_type
            As numpy writes it, ``u1`` for bytes.
        """
        _, bands, height, width = self.facts.shape
        info = {"bandCount": bands, "pixelType": pixel_type, "noData": None}
        info |= {"cellSize": [self.facts.inputs.cell_size or 1.0] * 2, "width": width}
        info |= dict.fromkeys(("extent", "nativeExtent"), (0, 0, width, height))
        info |= dict.fromkeys(("spatialReference", "nativeSpatialReference"), 0)
        return {"scalars": self.scalars, "raster": {**info, "height": height}}

    @property
    def reader(self) -> Reader:
        """What reads the function's feature sets."""
        form = "masks" if self.masks else "points" if self.points else "boxes"
        size = self.facts.decoding.get("box_size") or POINT_SIZE
        return Reader(form, self.facts.classes, self.facts.shape[2:], size)


@dataclass(frozen=True, eq=False)
class PlacedFunction:
    """A raster function on a device.

    Parameters
    ----------
    network
        What it is.
    worker
        What runs it.
    """

    network: FunctionNetwork
    worker: Worker

    @property
    def takes_stored(self) -> bool:
        """Tell whether it gets stored values in their own type; else scaled ones, as float32."""
        return not scaled(self.network.facts.inputs)

    def __call__(self, x: torch.Tensor) -> Any:
        """Map pixels (N, C, H, W) to what the engine reads.

        Returns
        -------
        torch.Tensor or list of dict
            Values (N, K, H, W), float32, NaN where the function masks them; objects, one dict an
            image; or scores of chips (N, class).

        Raises
        ------
        FunctionError
            If the function fails, or answers what does not fit.
        """
        task, blocks = self.network.facts.task, self._blocks(x)
        if task in PIXELS:
            return torch.from_numpy(np.stack([self._values(b) for b in blocks])).to(x.device)
        features = [self._features(block) for block in blocks]
        if task == "detect":
            return [self._read(self.network.reader.read, one) for one in features]
        scores = np.stack([self._read(self.network.reader.labels, one) for one in features])
        return torch.from_numpy(scores.astype(np.float32)).to(x.device)

    def _blocks(self, x: torch.Tensor) -> np.ndarray:
        """Return pixels (N, C, H, W) in the type that the package was made for, if it says one."""
        pixels, dtype = x.detach().cpu().numpy(), self.network.facts.inputs.dtype
        if dtype is None or not self.takes_stored or pixels.dtype == np.dtype(dtype):
            return pixels
        # A float raster: the source has checked that its values are of the type's range.
        return (np.rint(pixels) if np.dtype(dtype).kind in "iu" else pixels).astype(dtype)

    def _run(self, request: dict[str, Any], block: np.ndarray) -> Message:
        return self.worker.run(request, block, self.network.asked(block.dtype.str[1:]))

    def _values(self, block: np.ndarray) -> np.ndarray:
        """Return the values (K, H, W) of one block, float32."""
        inner = [size - 2 * self.network.padding for size in block.shape[1:]]
        _, (pixels, *masks) = self._run({"do": "update_pixels", "shape_yx": inner}, block)
        values = pixels[None] if pixels.ndim == 2 else pixels
        height, width = values.shape[-2:] if values.ndim == 3 else (0, 0)
        crop = (block.shape[1] - height) / 2
        fits = crop == (block.shape[2] - width) / 2 and crop >= 0 and crop % 1 == 0
        if not height or not fits:
            raise self._failed(
                f"answered pixels of shape {pixels.shape} to a block of {block.shape}; possible is "
                "(bands, rows, columns), as large as the block or smaller by the same on each side"
            )
        values = values.astype(np.float32)
        for mask in masks:
            if mask.shape not in (values.shape, values.shape[1:], (1, *values.shape[1:])):
                raise self._failed(f"answered a mask of {mask.shape} to pixels of {values.shape}")
            values[np.broadcast_to(mask, values.shape) == 0] = np.nan
        return values

    def _features(self, block: np.ndarray) -> Any:
        """Return the feature set of one block.

        A rim that the function insists on is empty, as at the border of a raster in ArcGIS: there
        it drops objects, and the engine needs all of a window's.
        """
        rim, chips = self.network.padding, self.network.facts.task == "recognize"
        block = np.pad(block, ((0, 0), (rim, rim), (rim, rim)))
        answer, _ = self._run({"do": "vectorize", "chips": chips, "rim": rim}, block)
        return answer["vectors"]

    def _read(self, read: Callable[[Any], Any], features: Any) -> Any:
        try:
            return read(features)
        except FeatureError as error:
            raise self._failed(f"failed in vectorize: {error}") from None

    def _failed(self, what: str) -> FunctionError:
        return FunctionError(f"the raster function {self.network.function.file!r} {what}")


def scaled(inputs: InputSpec) -> bool:
    """Tell whether stored values are changed before they are fed."""
    return inputs.scale != 1 or any(
        row is not None for row in (inputs.mean, inputs.std, inputs.low, inputs.high)
    )
