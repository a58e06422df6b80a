"""A raster as it is shown: blocks of pixels, where they lie, and a style."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from affine import Affine

from geodl_lab.grid import Window
from geodl_lab.styles import Style


class Blocks(Protocol):
    """Pixels of one raster in pieces that are read or computed at once."""

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Height and width in pixels."""
        ...

    @property
    def channels(self) -> int:
        """Number of channels of a block."""
        ...

    @property
    def costly(self) -> bool:
        """Whether a model runs for each block."""
        ...

    def blocks(self, area: Window) -> list[Window]:
        """Return the blocks that hold a pixel of an area; they do not depend on the area."""
        ...

    def compute(self, block: Window, cancelled: Callable[[], bool]) -> np.ndarray:
        """Return the values (channel, y, x) of one block.

        Raises
        ------
        CancelledError
            If ``cancelled`` says so.
        GeodlError
            If it cannot be read or computed.
        """
        ...


@dataclass(frozen=True, eq=False)
class View:
    """A raster on the map.

    Parameters
    ----------
    name
        In the list of layers.
    blocks
        Its pixels.
    crs
        A `pyproj` or rasterio CRS, or None of a photo.
    transform
        Pixel corners to CRS units.
    style
        Colours.
    """

    name: str
    blocks: Blocks
    crs: Any
    transform: Affine
    style: Style
