"""What a model wants to see: bands, scaling and the size of a whole image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geodl_lab.checks import is_above_0, is_whole
from geodl_lab.errors import ModelError

FITS = ("squash", "crop", "fill", "network")


@dataclass(frozen=True, slots=True)
class Fit:
    """How a whole image is brought to the size that a model takes.

    Parameters
    ----------
    kind
        ``squash`` stretches it; ``crop`` scales the shorter side and cuts the rest off, evenly;
        ``fill`` scales the longer side and fills the rest with white, evenly; ``network`` scales
        the longer side to the longer of ``height`` and ``width`` and lets the net have that shape
        (Deepomatic v0.7, ``resize_type``).
    height, width
        Pixels that the model sees.
    """

    kind: str
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.kind not in FITS:
            raise ModelError(f"fit {self.kind!r} is not one of {', '.join(FITS)}")
        if not all(is_whole(side) and side > 0 for side in (self.height, self.width)):
            raise ModelError(
                f"fit to {self.height!r} x {self.width!r} is not possible; give whole pixels, "
                "from 1"
            )


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What the model wants to see.

    What the net is fed is ``(clip(value, low, high) * scale - mean) / std``.

    Parameters
    ----------
    bands
        Names in the order of the model's channels; ``()`` is "any names, ``count`` bands".
    count
        Number of channels.
    dtype
        Pixel type the scaling is meant for (``"uint8"``), or None for any.
    scale
        Factor on the stored value.
    mean, std
        One number a channel, applied after ``scale``: ``x = (value * scale - mean) / std``.
    cell_size
        Cell size in metres that the model was trained at, or None if it is not known.
    low, high
        Stored values are cut to these first, one number a channel (infinite: not cut); None cuts
        none.
    fit
        How a whole image is brought to the model's size; None takes its pixels as they are.
    positions
        Zero-based bands of the rasters that the model was made for, in the order of its channels;
        they decide where names do not. ``()`` is "all of them, in order".
    other_names
        What ``bands`` are also called, such as B04 for red, in the same order; ``()`` is nothing.
    """

    bands: tuple[str, ...] = ()
    count: int = 0
    dtype: str | None = None
    scale: float = 1.0
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    cell_size: float | None = None
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    fit: Fit | None = None
    positions: tuple[int, ...] = ()
    other_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", self.count or len(self.bands))
        if self.count < 1:
            raise ModelError("a model needs at least one band; name them, as in bands=['red']")
        if self.bands and len(self.bands) != self.count:
            raise ModelError(f"{len(self.bands)} band names for {self.count} bands")
        if len(set(self.bands)) != len(self.bands):
            raise ModelError(f"band names repeat: {', '.join(self.bands)}")
        if self.other_names and len(self.other_names) != len(self.bands):
            raise ModelError(f"{len(self.other_names)} other names for {len(self.bands)} bands")
        if self.positions and len(self.positions) != self.count:
            raise ModelError(f"{len(self.positions)} positions for {self.count} bands")
        if not all(is_whole(place) and place >= 0 for place in self.positions):
            raise ModelError(f"positions {self.positions} are none; they count from 0")
        _check_dtype(self.dtype)
        for name in ("mean", "std", "low", "high"):
            numbers = getattr(self, name)
            if numbers is not None and len(numbers) != self.count:
                raise ModelError(f"{name} has {len(numbers)} numbers for {self.count} bands")
        if self.cell_size is not None and not is_above_0(self.cell_size):
            raise ModelError(f"cell_size {self.cell_size!r} is none; give metres, above 0")
        if self.std is not None and not all(self.std):
            raise ModelError("std holds a 0; every band needs a positive number")


def _check_dtype(name: str | None) -> None:
    try:
        fine = name is None or np.dtype(name).kind in "iuf"
    except TypeError:
        fine = False
    if not fine:
        raise ModelError(f"dtype {name!r} is no pixel type; write 'uint8' or another of numpy's")
