"""How far a seam is wrong: merged scores against those of a window that has the seam in its middle.

Of all windows, the one centred on a seam sees most to both sides of it, so it is the best answer
that the model has for the pixels there.
"""

from __future__ import annotations

import itertools
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
    for tile, centred in _some(list(_sides(planned.grid))):
        a, b = (_scores(planned, source, one, centred.core) for one in (tile, centred))
        worst = max(worst, float(np.nanmax(np.abs(a - b), initial=0)))
        changed += int((a.argmax(axis=0) != b.argmax(axis=0)).sum())
        pixels += a[0].size
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


def _sides(grid: Grid) -> Iterator[tuple[Tile, Tile]]:
    """Yield tiles, each with the window centred on its right or lower seam and the strip there."""
    for row, column in itertools.product(range(grid.rows.count), range(grid.columns.count)):
        tile = grid.tile(row, column)
        core, window = tile.core, tile.window
        if column + 1 < grid.columns.count:
            strip = Window(core.y, core.right - STRIP, core.height, STRIP)
            x = _centred(grid.columns, core.right)
            yield tile, Tile(Window(window.y, x, *window.shape_yx), strip)
        if row + 1 < grid.rows.count:
            strip = Window(core.bottom - STRIP, core.x, STRIP, core.width)
            y = _centred(grid.rows, core.bottom)
            yield tile, Tile(Window(y, window.x, *window.shape_yx), strip)


def _centred(axis: Axis, seam: int) -> int:
    """Return where a window begins that has a seam in its middle, in the grid's phase."""
    start = (seam - axis.length // 2) // axis.stride * axis.stride
    return min(max(start, axis.start(0)), axis.start(axis.count - 1))


def _some(seams: list[tuple[Tile, Tile]]) -> list[tuple[Tile, Tile]]:
    """Return `SEAMS` of them, spread evenly."""
    places = np.linspace(0, len(seams) - 1, min(SEAMS, len(seams)))
    return [seams[int(place)] for place in places]


def _scores(planned: Plan, source: Source, tile: Tile, strip: Window) -> np.ndarray:
    """Return the scores (channel, y, x) that one window gives to the pixels of a strip."""
    session, package = planned.session(), planned.model.package
    image, _ = prepare(source, tile)
    batch = np.stack([image] * planned.recipe.batch)  # the run's own shape
    answer = session.submit(session.forward, batch, package.inputs).result()[0].cpu().numpy()
    crop = package.field.crop
    seen = Window(
        tile.window.y + crop, tile.window.x + crop,
        tile.window.height - 2 * crop, tile.window.width - 2 * crop,
    )  # fmt: skip
    return answer[:, *strip.intersect(seen).relative_to(seen).slices_yx]
