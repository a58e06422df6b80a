"""How far a seam is wrong: merged scores against those of a window that has the seam in its middle.

Of all windows, the one centred on a seam sees most to both sides of it, so it is the best answer
that the model has for the pixels there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
from scipy import ndimage

from geodl_lab.errors import OptionError
from geodl_lab.grid import Axis, Grid, Tile, Window
from geodl_lab.inference import Source, prepare
from geodl_lab.planning import Plan
from geodl_lab.sources import Part

SEAMS = 8
"""Seams that are looked at, spread over the raster."""

STRIP = 2
"""Pixels beside a seam that are compared."""


@dataclass(frozen=True, slots=True)
class SeamError:
    """What was measured at seams.

    Parameters
    ----------
    scores
        Largest difference of a score at a seam; 0 where the raster has no seam.
    classes
        Share 0..1 of those pixels whose best class differs.
    pixels
        Number of pixels compared.
    """

    scores: float
    classes: float
    pixels: int

    def as_dict(self) -> dict[str, float]:
        """Return plain values for JSON."""
        return asdict(self)


def measure_seams(planned: Plan, source: Source) -> SeamError:
    """Compare the scores along some seams with those of windows centred on them.

    Raises
    ------
    OptionError
        If the model answers objects, not scores of pixels.
    """
    decoder = planned.model.package.decoder
    if decoder is not None and decoder.answers_objects:
        raise OptionError(
            f"model {planned.model.name!r} answers boxes, so there are no scores to compare at "
            "seams; leave seam_error out"
        )
    worst, changed, pixels = 0.0, 0, 0
    for tile, centred in _some_sides(planned.grid):
        valid, one = _scores(planned, source, Tile(tile.window, centred.core))
        _, other = _scores(planned, source, centred)
        worst = max(worst, float(np.nanmax(np.abs(one - other)[:, valid], initial=0)))
        changed += int((one.argmax(axis=0) != other.argmax(axis=0))[valid].sum())
        pixels += int(valid.sum())
    return SeamError(worst, changed / max(pixels, 1), pixels)


def measure_on_texture(planned: Callable[[tuple[int, int]], Plan], window: int) -> SeamError:
    """Measure on smooth random texture of two windows by two.

    Parameters
    ----------
    planned
        Plans a raster of a height and width in pixels.
    window
        Pixels of a window.
    """
    shape_yx = (2 * window, 2 * window)
    plan = planned(shape_yx)
    inputs = plan.model.package.inputs
    noise = np.random.default_rng(0).normal(size=(inputs.count, *shape_yx))
    smooth = ndimage.gaussian_filter(noise, (0, 2, 2), mode="wrap")
    stored = np.clip(smooth * 400 + 128, 0, 255).astype(inputs.dtype or "uint8")
    return measure_seams(plan, Part(stored, Window(0, 0, *shape_yx), shape_yx, None))


def _some_sides(grid: Grid) -> Iterator[tuple[Tile, Tile]]:
    """Yield `SEAMS` tiles, spread evenly, each with the window centred on its right or lower seam.

    The core of the second is the strip of the first's pixels beside the seam.
    """
    rows, columns = grid.rows.count, grid.columns.count
    across = rows * (columns - 1)
    count = across + (rows - 1) * columns
    for place in np.linspace(0, count - 1, min(SEAMS, count)).astype(int).tolist():
        if place < across:
            yield _right_side(grid, *divmod(place, columns - 1))
        else:
            yield _lower_side(grid, *divmod(place - across, columns))


def _right_side(grid: Grid, row: int, column: int) -> tuple[Tile, Tile]:
    tile = grid.tile(row, column)
    core, window = tile.core, tile.window
    strip = Window(core.y, core.right - STRIP, core.height, STRIP)
    x = _centred(grid.columns, core.right)
    return tile, Tile(Window(window.y, x, *window.shape_yx), strip.intersect(core))


def _lower_side(grid: Grid, row: int, column: int) -> tuple[Tile, Tile]:
    tile = grid.tile(row, column)
    core, window = tile.core, tile.window
    strip = Window(core.bottom - STRIP, core.x, STRIP, core.width)
    y = _centred(grid.rows, core.bottom)
    return tile, Tile(Window(y, window.x, *window.shape_yx), strip.intersect(core))


def _centred(axis: Axis, seam: int) -> int:
    """Return where a window begins that has a seam in its middle, in the grid's phase."""
    start = (seam - axis.length // 2) // axis.stride * axis.stride
    return min(max(start, axis.start(0)), axis.start(axis.count - 1))


def _scores(planned: Plan, source: Source, tile: Tile) -> tuple[np.ndarray, np.ndarray]:
    """Return where a tile's core holds data (y, x), and its scores (channel, y, x)."""
    session, package = planned.session(), planned.model.package
    image, valid = prepare(source, tile)
    if not valid.any():
        return valid, np.zeros((1, *tile.core.shape_yx))
    batch = np.stack([image] * planned.recipe.batch)  # the run's own shape
    answer = session.submit(session.forward, batch, package.inputs).result()[0].cpu().numpy()
    crop, window = package.field.crop, tile.window
    seen = Window(
        window.y + crop, window.x + crop, window.height - 2 * crop, window.width - 2 * crop
    )
    return valid, answer[:, *tile.core.relative_to(seen).slices_yx]
