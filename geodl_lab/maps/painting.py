"""Pictures of tiles: values looked up under each point, coloured, as PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image

from geodl_lab.grid import Window
from geodl_lab.maps.frames import TILE, Spots
from geodl_lab.styles import Style

OUTLINE = (51, 136, 255, 255)
"""Of a raster that is not computed here: Leaflet's own blue."""

TINT = (51, 136, 255, 28)
"""Of its inside."""


def paint(
    spots: Spots, blocks: Mapping[Window, np.ndarray], style: Style, *, factor: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Colour the points of a tile that lie on some blocks.

    Parameters
    ----------
    spots
        The pixel under each point.
    blocks
        Values (channel, y, x) of blocks.
    style
        Colours.
    factor
        Raster pixels a pixel of the blocks, which are an overview's where it is not 1.

    Returns
    -------
    tuple of numpy.ndarray
        RGBA (256, 256, 4), uint8, and which points have been coloured (256, 256), bool.
    """
    colors = np.zeros((TILE, TILE, 4), np.uint8)
    known = np.zeros((TILE, TILE), bool)
    values: np.ndarray | None = None
    rows, columns = (spots.rows, spots.columns)
    if factor > 1:
        rows, columns = rows // factor, columns // factor  # -1 stays -1
    for block, stored in blocks.items():
        here = (rows >= block.y) & (rows < block.bottom)
        here &= (columns >= block.x) & (columns < block.right)
        if here.any():
            if values is None:
                values = np.zeros((len(stored), TILE, TILE), stored.dtype)
            values[:, here] = stored[:, rows[here] - block.y, columns[here] - block.x]
            known |= here
    if values is not None:
        colors = np.where(known[..., None], style.rgba(values), 0).astype(np.uint8)
    return colors, known


def add_footprint(colors: np.ndarray, known: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Tint the points of a raster that are not known, and draw the raster's outline."""
    colors = colors.copy()
    colors[inside & ~known] = TINT
    colors[_rim(inside)] = OUTLINE
    return colors


def encode(colors: np.ndarray) -> bytes:
    """Return a PNG of RGBA (y, x, 4), uint8; empty where nothing is to be seen."""
    if not colors[..., 3].any():
        return b""
    file = io.BytesIO()
    Image.fromarray(colors).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _rim(inside: np.ndarray) -> np.ndarray:
    """Return the points (y, x) inside that are at most two from one outside; edges are no rim."""
    near = inside.copy()
    for _ in range(2):
        wide = np.pad(near, 1, mode="edge")
        near = near & wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    return inside & ~near
