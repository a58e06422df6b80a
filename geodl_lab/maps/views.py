"""A raster as it is shown: blocks of pixels, where they lie, and a style."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import xarray as xr
from affine import Affine

from geodl_lab.grid import Window
from geodl_lab.maps.blocks import ArrayBlocks, ModelBlocks, Overview
from geodl_lab.maps.frames import Frame
from geodl_lab.raster import Raster, as_raster
from geodl_lab.styles import Classes, Style, Unstretched, looks_at_values, style_of
from geodl_lab.windowed import needs_model, windowed_of

OVERVIEWS = (8, 32, 128, 512)
"""Pixels a pixel of an overview; those are made that are larger than `SMALLEST` pixels a side."""

SMALLEST = 512

FARTHEST = 8.0
"""Raster pixels a screen point from which a raster too large to be read is not looked at."""

LARGEST = 2**30
"""Values of a raster that is not in memory up to which all of it is read for an overview."""


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

    @property
    def at_once(self) -> int:
        """Blocks that are best computed at one time."""
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
    overviews
        The raster made smaller, from the largest to the smallest; none where a model runs.
    channel_names
        What the channels of a block are, in order.
    farthest
        Raster pixels a screen point beyond which nothing is read.
    """

    name: str
    blocks: Blocks
    crs: Any
    transform: Affine
    style: Style
    overviews: tuple[Overview, ...] = ()
    channel_names: tuple[str, ...] = ()
    farthest: float = math.inf

    @functools.cached_property
    def frame(self) -> Frame:
        """Where it lies on the map."""
        return Frame(self.crs, self.transform, self.blocks.shape_yx)

    def value_at(self, x: float, y: float) -> np.ndarray | None:
        """Return the stored values (channel,) of the pixel at a place; computes its block now.

        Parameters
        ----------
        x, y
            In CRS units.

        Returns
        -------
        numpy.ndarray or None
            None outside the raster.
        """
        column, row = ~self.transform * (x, y)
        height, width = self.blocks.shape_yx
        if not (0 <= row < height and 0 <= column < width):
            return None
        pixel = Window(int(row), int(column), 1, 1)
        (block,) = self.blocks.blocks(pixel)
        inner = pixel.relative_to(block)
        return self.blocks.compute(block, lambda: False)[:, inner.y, inner.x]


def view_of(
    data: xr.DataArray | xr.Dataset,
    *,
    name: str | None = None,
    bands: Sequence[int] | None = None,
    stretch: tuple[float, float] | None = None,
) -> View:
    """Return a raster as it is shown on the map.

    Parameters
    ----------
    data
        Raster (band, y, x) or (y, x), or a Dataset of bands; in memory, in a file, or dask-backed.
        Of a lazy result of `geodl_lab.classify` and the like only the windows in view are
        computed; of any other dask array the chunks in view.
    name
        In the list of layers; default the raster's own name.
    bands, stretch
        As in `geodl_lab.styles.style_of`. Of a lazy raster that would have to look at values the
        style is `Unstretched`, as that may take long.

    Raises
    ------
    OptionError, RasterError
        If ``data`` is no raster, or has no such bands.
    """
    raster = as_raster(data)
    late = raster.lazy and looks_at_values(data, bands=bands, stretch=stretch)
    style = Unstretched() if late else style_of(data, bands=bands, stretch=stretch)
    windowed = None if isinstance(data, xr.Dataset) else windowed_of(data)
    blocks: Blocks = (
        ArrayBlocks(raster, costly=needs_model(raster.array))
        if windowed is None
        else ModelBlocks(windowed)
    )
    return View(
        name or _name(raster), blocks, raster.crs, raster.transform, style,
        _overviews(raster, blocks, style), _channel_names(raster),
        FARTHEST if _too_large(raster) else math.inf,
    )  # fmt: skip


def _name(raster: Raster) -> str:
    """Return the name of the model where one made the raster, else the raster's own."""
    own = "raster" if raster.array.name is None else str(raster.array.name)
    model = str(raster.array.attrs.get("geodl_model", ""))
    if not model:
        return own
    return model if own == "class" else f"{model} {own}"


def _overviews(raster: Raster, blocks: Blocks, style: Style) -> tuple[Overview, ...]:
    if not isinstance(blocks, ArrayBlocks) or blocks.costly or _too_large(raster):
        return ()
    average, side = not isinstance(style, Classes), max(raster.shape_yx)
    return tuple(
        Overview(blocks, factor, raster.nodata, average)
        for factor in OVERVIEWS
        if side // factor >= SMALLEST
    )


def _too_large(raster: Raster) -> bool:
    """Tell whether it would take too long to read all of a raster."""
    held = isinstance(raster.array.variable._data, np.ndarray)
    return not held and raster.array.size > LARGEST


def _channel_names(raster: Raster) -> tuple[str, ...]:
    """Return names of bands as the raster has them, or classes of probabilities."""
    coord = raster.array.coords.get(raster.array.dims[0])
    text = coord is not None and coord.dtype.kind in "UO" and coord.ndim == 1
    names = [str(label) for label in coord.values] if coord is not None and text else []
    names = names or list(raster.band_names)
    return tuple(name or f"band {i}" for i, name in enumerate(names, 1))
