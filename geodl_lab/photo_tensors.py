"""What a network itself answers for one photo: its tensors by name, before anything reads them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from geodl_lab.errors import ModelError, RunError
from geodl_lab.grid import Tile, Window
from geodl_lab.inference import Seen, run_chunk
from geodl_lab.options import make_options
from geodl_lab.recognition import check_memory
from geodl_lab.runs import check, one_image
from geodl_lab.runtime import Model

MOST = 2_000_000
"""Numbers that are answered, all tensors together."""


@dataclass(frozen=True)
class TensorWork:
    """Tensors of one image, by name.

    Parameters
    ----------
    names
        Those that are asked for; they name, in order, what a network answers without names.
    """

    names: tuple[str, ...]

    def finish(self, answer: Any, index: int, tile: Tile) -> dict[str, np.ndarray]:
        """Return the tensors that are asked for; raises ModelError if one is not there."""
        found = self._named(answer)
        if missing := [name for name in self.names if name not in found]:
            raise ModelError(
                f"the network answers {', '.join(map(repr, found)) or 'no tensors'}, not "
                f"{missing[0][:100]!r}; name those in output_tensors"
            )
        return {name: np.asarray(found[name].detach().cpu().float()) for name in self.names}

    def gather(
        self, chunk: Window, seen: Iterator[tuple[Tile, Seen | None]]
    ) -> list[dict[str, np.ndarray]]:
        """Return the tensors of every image."""
        return [one.result for _, one in seen if one is not None]

    def _named(self, answer: Any) -> dict[str, Any]:
        if isinstance(answer, Sequence) and len(answer) == 1:
            answer = answer[0]
        if isinstance(answer, Mapping):
            return {name: one for name, one in answer.items() if hasattr(one, "detach")}
        rows = answer if isinstance(answer, Sequence) else [answer]
        if len(rows) != len(self.names):
            raise ModelError(
                f"the network answers {len(rows)} tensors without names, and output_tensors names "
                f"{len(self.names)}; name as many, in the network's order"
            )
        return dict(zip(self.names, rows, strict=True))


def tensors(
    photo: xr.DataArray, model: Model, *, names: Sequence[str], device: str
) -> list[dict[str, Any]]:
    """Return what a network answers for a photo.

    Parameters
    ----------
    photo
        (band, y, x), uint8.
    model
        Whose network; it sees the photo as it wants images.
    names
        Of the tensors.
    device
        As in `geodl_lab.Options`.

    Returns
    -------
    list of dict
        ``name``, ``shape`` with the batch first, ``data`` flat and row-major, of each.

    Raises
    ------
    GeodlError
        If there is no such tensor, or the photo or the answer is not usable.
    """
    run = one_image(check(photo, model, make_options({"device": device})), model.package.inputs.fit)
    check_memory(run)
    planned, work = run.planned, TensorWork(tuple(names))
    (found,) = run_chunk(planned, run.source, planned.grid.whole, work, **run.limits())
    count = sum(math.prod(one.shape) for one in found.values())
    if count > MOST:
        raise RunError(
            f"the tensors have {count} numbers and {MOST} are answered; ask for fewer, or send a "
            "smaller photo"
        )
    return [_plain(name, one) for name, one in found.items()]


def _plain(name: str, tensor: np.ndarray) -> dict[str, Any]:
    if not np.isfinite(tensor).all():
        raise RunError(f"the tensor {name!r} holds numbers that are not finite, which JSON cannot")
    return {"name": name, "shape": list(tensor.shape), "data": tensor.ravel().tolist()}
