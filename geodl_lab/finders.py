"""From the blocks of a detector to objects, each once: chunk by chunk, in bounded memory.

A finder packs what a chunk holds as plain arrays, on any worker and in any order. A merger takes
them in raster order, hands out the objects that no later chunk can change and keeps the rest.
`in_order` puts what comes out into an order that does not depend on how the area was cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from geodl_lab.detections import Detections, concatenate
from geodl_lab.grid import Grid, Tile, Window
from geodl_lab.package import ModelPackage
from geodl_lab.peaks import PeakFinder
from geodl_lab.regions import RegionFinder
from geodl_lab.stitching import Views, group, links, merge, see


class Merger(Protocol):
    """Makes objects of the summaries of chunks, fed row of chunks by row of chunks."""

    @property
    def floor(self) -> float:
        """Row in pixels above which no object that is still to come begins."""
        ...

    def feed(self, chunk: Window, summary: dict[str, np.ndarray]) -> Detections:
        """Take the next chunk; return the objects that no later one can change.

        All chunks of a row share ``y`` and ``height``; their widths are the same in every row.
        """
        ...

    def finish(self) -> Detections:
        """Return the objects that are left."""
        ...


class Finder(Protocol):
    """Finds the objects of one kind of detector."""

    def summarise(self, chunk: Window, seen: Any) -> dict[str, np.ndarray]:
        """Pack what a chunk holds as plain arrays by name, to be stored or sent.

        Parameters
        ----------
        chunk
            Pixels of the raster; whole cores.
        seen
            Of detectors that answer objects: the tiles whose cores lie in the chunk, each with
            its `Detections` in raster pixels. Of dense ones: the logits of exactly the chunk,
            shape (channel, y, x), float32, -inf where there is no data.
        """
        ...

    def merger(self, area: Window) -> Merger:
        """Return what merges the chunks that cover ``area``."""
        ...


def make_finder(package: ModelPackage, raster: Window, grid: Grid) -> Finder:
    """Return the finder that a detector's decoder names.

    Parameters
    ----------
    package
        The detector.
    raster
        The whole raster in pixels; its edges make no fragments.
    grid
        The windows of the raster: they say what later windows can still touch.
    """
    decoder, values = package.decoder, tuple(label.value for label in package.classes)
    assert decoder is not None
    if decoder.answers_objects:
        return BoxFinder(grid, raster)
    return (
        PeakFinder(decoder, values) if decoder.name == "heatmap" else RegionFinder(decoder, values)
    )


def in_order(
    merger: Merger, blocks: Iterable[tuple[Window, dict[str, np.ndarray]]]
) -> Iterator[Detections]:
    """Yield all objects from top left to bottom right, in batches.

    Parameters
    ----------
    merger
        Fresh from `Finder.merger`.
    blocks
        Chunks with their summaries, in raster order.

    Yields
    ------
    Detections
        Sorted; all batches together are sorted too, and the same however the area was cut.
    """
    held: list[Detections] = []
    floor = -np.inf
    for chunk, summary in blocks:
        held.append(merger.feed(chunk, summary))
        if merger.floor > floor:
            floor, found = merger.floor, concatenate(held)
            above = found.boxes[:, 1] < floor
            held = [found.select(~above)]
            if above.any():
                yield found.select(above).sorted()
    yield concatenate([*held, merger.finish()]).sorted()


@dataclass(frozen=True)
class BoxFinder:
    """Finds the objects of models that answer objects: boxes, rotated boxes, masks.

    Parameters
    ----------
    grid, raster
        As in `make_finder`.
    """

    grid: Grid
    raster: Window

    def summarise(
        self, chunk: Window, seen: Sequence[tuple[Tile, Detections]]
    ) -> dict[str, np.ndarray]:
        """Pack what the windows whose cores lie in ``chunk`` saw."""
        return see(seen).to_arrays()

    def merger(self, area: Window) -> BoxMerger:
        """Return what merges the chunks that cover ``area``."""
        return BoxMerger(self, area)


class BoxMerger:
    """Merges views and keeps only the groups that a later window can still touch.

    Parameters
    ----------
    finder
        Grid and raster.
    area
        The pixels whose chunks are fed.
    """

    def __init__(self, finder: BoxFinder, area: Window) -> None:
        self.floor = -np.inf
        self._grid, self._raster, self._area = finder.grid, finder.raster, area
        # Groups wait `_ahead` for windows further right in this row of chunks, or `_aside` for
        # the next row; `_lefts` is the left edge of the group of each view that is ahead.
        self._ahead, self._aside, self._lefts = see([]), [see([])], np.zeros(0)

    def feed(self, chunk: Window, summary: dict[str, np.ndarray]) -> Detections:
        """Take the views of the next chunk; return the objects that no later one can change."""
        right, below = self._later(chunk)
        near = self._lefts <= self._seen_right(chunk)
        views = self._ahead.select(near).joined(Views.from_arrays(summary))
        pairs, reach = links(views, self._raster), views.reach
        groups = group(pairs, len(views))
        low, high = np.full((len(views), 2), np.inf), np.full((len(views), 2), -np.inf)
        np.minimum.at(low, groups, reach[:, :2])
        np.maximum.at(high, groups, reach[:, 2:])
        (lefts, _), (rights, bottoms) = low[groups].T, high[groups].T
        ahead, aside = rights >= right, (rights < right) & (bottoms >= below)
        self._ahead = self._ahead.select(~near).joined(views.select(ahead))
        self._lefts = np.concatenate([self._lefts[~near], lefts[ahead]])
        self._aside.append(views.select(aside))
        if not np.isfinite(right):
            self._next_row()
        self._raise_floor(self._top(chunk.y) if np.isfinite(right) else below)
        done = ~(ahead | aside)  # of a group, all or none
        pairs = (np.cumsum(done) - 1)[pairs[:, done[pairs[0]]]]
        return merge(views.select(done), pairs, self._raster)

    def finish(self) -> Detections:
        """Return the objects that are left."""
        self._next_row()
        views, self._ahead, self.floor = self._ahead, see([]), np.inf
        return merge(views, links(views, self._raster), self._raster)

    def _next_row(self) -> None:
        """Put what waits into one place, each view with the left edge of its group."""
        for views in self._aside:
            self._ahead = self._ahead.joined(views)
        self._aside = [see([])]
        groups = group(links(self._ahead, self._raster), len(self._ahead))
        lefts = np.full(len(self._ahead), np.inf)
        np.minimum.at(lefts, groups, self._ahead.reach[:, 0])
        self._lefts = lefts[groups]

    def _seen_right(self, chunk: Window) -> int:
        """Return the right edge of the last window of a chunk."""
        columns = self._grid.columns
        return columns.start(columns.indices(chunk.right - 1, chunk.right)[0]) + columns.length

    def _later(self, chunk: Window) -> tuple[float, float]:
        """Return the least left edge of later windows of this row, and the least top below it."""
        right = below = np.inf
        if chunk.right < self._area.right:
            columns = self._grid.columns
            right = columns.start(columns.indices(chunk.right, chunk.right + 1)[0])
        if chunk.bottom < self._area.bottom:
            below = self._top(chunk.bottom)
        return right, below

    def _top(self, y: int) -> int:
        rows = self._grid.rows
        return rows.start(rows.indices(y, y + 1)[0])

    def _raise_floor(self, top: float) -> None:
        """Note the first row of later objects; ``top`` is that of later windows.

        An answer reaches up to a window's height above its window (`boxes` sees to that), and a
        rectangle around fragments as much above these (`stitching`).
        """
        height = self._grid.window_yx[0]
        waiting = (
            views.objects.boxes[:, 1].min(initial=np.inf) for views in (self._ahead, *self._aside)
        )
        self.floor = min(top - height, *waiting) - height
