"""Masks of objects as runs of pixels: a few bytes a row, never an array of the raster. numpy only.

A crop would be smaller to write for a blob, but the crop of a long diagonal object is the raster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geodl_lab.grid import Window


@dataclass(frozen=True)
class Masks:
    """Pixels of objects.

    Parameters
    ----------
    runs
        Row, first column and one past the last column in pixels of the raster, shape (run, 3),
        int32; object by object, from top left to bottom right, no two of an object touching in
        a row.
    offsets
        Where in ``runs`` each object starts, and the end, shape (object + 1,), int64.
    """

    runs: np.ndarray
    offsets: np.ndarray

    def __post_init__(self) -> None:
        if self.runs.shape != (self.offsets[-1], 3):
            raise ValueError(f"{self.runs.shape} runs do not end at {self.offsets[-1]}")

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.offsets) - 1

    @property
    def counts(self) -> np.ndarray:
        """Number of runs of each object, shape (object,), int64."""
        return np.diff(self.offsets)

    @property
    def owners(self) -> np.ndarray:
        """Index of the object of each run, shape (run,), int64."""
        return np.repeat(np.arange(len(self)), self.counts)

    @property
    def areas(self) -> np.ndarray:
        """Pixels of each object, shape (object,), float64."""
        return np.bincount(self.owners, self.runs[:, 2] - self.runs[:, 1], minlength=len(self))

    @property
    def boxes(self) -> np.ndarray:
        """Left, top, right, bottom of each object, shape (object, 4), float64; no empty ones."""
        if not len(self):
            return np.zeros((0, 4))
        first, (y, start, stop) = self.offsets[:-1], self.runs.T
        edges = (
            np.minimum.reduceat(start, first),
            y[first],
            np.maximum.reduceat(stop, first),
            y[self.offsets[1:] - 1] + 1,
        )
        return np.stack(edges, axis=1).astype(np.float64)

    @property
    def keys(self) -> np.ndarray:
        """One number an object that hardly two masks share, shape (object,), uint64."""
        with np.errstate(over="ignore"):
            mixed = self.runs.astype(np.uint64) @ np.array([2654435761, 40503, 97], np.uint64)
            mixed = mixed * mixed
            total = np.concatenate([[np.uint64(0)], np.cumsum(mixed, dtype=np.uint64)])
            return total[self.offsets[1:]] - total[self.offsets[:-1]]

    def select(self, chosen: np.ndarray) -> Masks:
        """Return the objects of a mask (object,) or of indices."""
        indices = np.arange(len(self))[chosen]
        counts = self.counts[indices]
        return Masks(self.runs[ragged(self.offsets[indices], counts)], _offsets(counts))

    def moved(self, x: int, y: int) -> Masks:
        """Return the masks shifted by whole pixels."""
        return Masks(self.runs + np.array([y, x, x], dtype=np.int32), self.offsets)

    def clipped(self, area: Window) -> Masks:
        """Return the pixels inside ``area``; objects may be left with none."""
        y, start, stop = self.runs.T
        start, stop = np.maximum(start, area.x), np.minimum(stop, area.right)
        inside = (y >= area.y) & (y < area.bottom) & (start < stop)
        counts = np.bincount(self.owners[inside], minlength=len(self))
        return Masks(np.stack([y, start, stop], axis=1)[inside], _offsets(counts))

    def united(self, groups: np.ndarray, count: int) -> Masks:
        """Return the union of each group's objects.

        Parameters
        ----------
        groups
            Group of each object, 0 to ``count`` - 1, shape (object,).
        count
            Number of groups.
        """
        owners, (y, start, stop) = groups[self.owners], self.runs.T.astype(np.int64)
        order = np.lexsort((start, y, owners))
        owners, y, start, stop = owners[order], y[order], start[order], stop[order]
        fresh = np.ones(len(order), dtype=bool)
        fresh[1:] = (owners[1:] != owners[:-1]) | (y[1:] != y[:-1])
        # Rows far apart on one line: a running maximum then never reaches into the next row.
        shift = np.cumsum(fresh) * (stop.max(initial=0) + 1)
        reach = np.maximum.accumulate(stop + shift)
        fresh[1:] |= (start + shift)[1:] > reach[:-1]
        first = np.flatnonzero(fresh)
        last = np.append(first[1:], len(order))[: len(first)] - 1
        runs = np.stack([y[first], start[first], (reach - shift)[last]], axis=1).astype(np.int32)
        return Masks(runs, _offsets(np.bincount(owners[first], minlength=count)))

    def crop(self, index: int) -> tuple[Window, np.ndarray]:
        """Return one object's box and its pixels there (y, x), bool."""
        one = self.select(np.array([index]))
        left, top, right, bottom = one.boxes[0].astype(int)
        pixels = np.zeros((bottom - top, right - left), dtype=bool)
        for y, start, stop in one.runs.tolist():
            pixels[y - top, start - left : stop - left] = True
        return Window(int(top), int(left), *pixels.shape), pixels

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the masks as plain arrays by name."""
        return {"mask_runs": self.runs, "mask_offsets": self.offsets}

    @staticmethod
    def from_arrays(arrays: dict[str, np.ndarray]) -> Masks:
        """Read what `to_arrays` made."""
        return Masks(arrays["mask_runs"], arrays["mask_offsets"])


def from_crops(crops: Sequence[tuple[int, int, np.ndarray]]) -> Masks:
    """Make masks of crops: each its top, its left and its pixels (y, x), bool."""
    runs = [_runs(*crop) for crop in crops]
    return Masks(
        np.concatenate([np.zeros((0, 3), dtype=np.int32), *runs]),
        _offsets(np.array([len(one) for one in runs], dtype=np.int64)),
    )


def join(parts: Sequence[Masks]) -> Masks:
    """Put the objects of several sets behind each other."""
    return Masks(
        np.concatenate([np.zeros((0, 3), dtype=np.int32), *(p.runs for p in parts)]),
        _offsets(np.concatenate([np.zeros(0, dtype=np.int64), *(p.counts for p in parts)])),
    )


def ragged(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return ``starts[i]``, ``starts[i] + 1``, ... for ``counts[i]`` numbers, for each i."""
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(counts.sum())


def _runs(top: int, left: int, pixels: np.ndarray) -> np.ndarray:
    padded = np.pad(pixels.astype(np.int8), ((0, 0), (1, 1)))
    steps = np.diff(padded, axis=1)  # (y, x + 1)
    y, start = np.nonzero(steps == 1)
    stop = np.nonzero(steps == -1)[1]
    return np.stack([y + top, start + left, stop + left], axis=1).astype(np.int32)


def _offsets(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
