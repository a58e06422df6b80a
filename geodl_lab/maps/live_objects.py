"""A detector that is live: it finds the objects of what is in view, in a thread of its own.

What was looked at is kept, window by window, so that a view that moves a little costs little.
When the view moves on, what runs is cancelled before its next forward.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import geopandas
import numpy as np
import xarray as xr

from geodl_lab.detections import concatenate
from geodl_lab.errors import CancelledError, GeodlError, OptionError
from geodl_lab.grid import Grid, Window
from geodl_lab.maps.frames import Frame
from geodl_lab.maps.places import Bounds, bounds_of, from_map
from geodl_lab.objects import Summary, explore, found_in, frame_of, look, with_threshold
from geodl_lab.options import make_options
from geodl_lab.runs import Run, prepare, provenance
from geodl_lab.runtime import Model

IDLE_S = 20.0
"""Seconds without a new view after which the thread ends, until the next."""

MOST_WINDOWS = 64
"""Windows in view from which on nothing is run."""


class Windows(dict[Window, Summary]):
    """Keeps what each window of a grid left behind, however an area cut its core.

    Parameters
    ----------
    grid
        Windows of the raster.
    whole_cores
        True where what a window leaves does not depend on the cut (detectors that answer boxes).
    """

    def __init__(self, grid: Grid, *, whole_cores: bool) -> None:
        super().__init__()
        self._grid, self._whole = grid, whole_cores

    def holds(self, chunk: Window) -> bool:
        """Tell whether a chunk is finished."""
        return self._key(chunk) in self

    def load(self, chunk: Window) -> Summary:
        """Return the summary of a finished chunk."""
        return self[self._key(chunk)]

    def save(self, chunk: Window, summary: Summary) -> None:
        """Keep the summary of a chunk."""
        self[self._key(chunk)] = summary

    def _key(self, chunk: Window) -> Window:
        return next(self._grid.tiles(chunk)).core if self._whole else chunk


class LiveObjects:
    """Finds the objects of one raster in view.

    Parameters
    ----------
    data
        Raster (band, y, x).
    model
        A detector.
    found
        Called from the thread with the objects in view and a hint, which says why there are none.
    progress
        Called from the thread with windows done and windows in all.
    failed
        Called from the thread with a sentence for people.
    options
        Fields of `geodl_lab.Options`, and ``threshold``.

    Raises
    ------
    GeodlError
        If raster, model or an option is not usable.
    """

    def __init__(
        self,
        data: xr.DataArray | xr.Dataset,
        model: Model,
        *,
        found: Callable[[geopandas.GeoDataFrame, str], None],
        progress: Callable[[int, int], None],
        failed: Callable[[str], None],
        **options: Any,
    ) -> None:
        self.model = with_threshold(model, options.pop("threshold", None))
        self._data, self._options = data, options
        self._found, self._progress, self._failed = found, progress, failed
        self.run = self._prepared(None)
        if self.run.fitted is not None:
            raise OptionError(
                f"model {model.name!r} sees a whole image at once and cannot be live on a part of "
                "it; show da.dl.detect(model) instead"
            )
        decoder = self.model.package.decoder
        boxes = decoder is not None and decoder.answers_objects
        self._kept = Windows(self.run.planned.grid, whole_cores=boxes)
        self._turn = threading.Condition()
        self._wanted: Bounds | None = None
        self._closed = False
        self._thread: threading.Thread | None = None

    @property
    def nothing(self) -> geopandas.GeoDataFrame:
        """No objects, with the columns and the CRS of those to come."""
        return frame_of(concatenate([]), self.run, {})

    @property
    def bounds(self) -> Bounds:
        """Where the raster lies."""
        return self._frame.bounds

    @property
    def plane(self) -> bool:
        """Whether the raster lies on the plane of a photo."""
        return self._frame.plane

    @property
    def up(self) -> bool:
        """Whether y goes up in the raster."""
        return self._frame.up

    def look_at(self, bounds: Bounds) -> None:
        """Say what is in view; returns at once."""
        with self._turn:
            self._wanted = bounds
            if self._thread is None and not self._closed:
                name = "geodl-live-objects"
                self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
                self._thread.start()
            self._turn.notify()

    def close(self) -> None:
        """Stop; what runs is cancelled before its next forward."""
        with self._turn:
            self._closed = True
            self._turn.notify()

    @property
    def _frame(self) -> Frame:
        raster = self.run.raster
        return Frame(raster.crs, raster.transform, raster.shape_yx)

    def _serve(self) -> None:
        while (bounds := self._next()) is not None:
            try:
                self._find(bounds)
            except CancelledError:
                continue
            except GeodlError as error:
                self._failed(str(error))
            except Exception as error:  # a model is anybody's code; the thread must live on
                self._failed(f"the detector failed ({type(error).__name__}: {error})")

    def _next(self) -> Bounds | None:
        """Wait for a view; return it, or None at the end, or when none comes for long."""
        with self._turn:
            self._turn.wait_for(lambda: self._wanted is not None or self._closed, IDLE_S)
            bounds, self._wanted = self._wanted, None
            if bounds is None or self._closed:
                self._thread = None
                return None
            return bounds

    def _moved_on(self) -> bool:
        return self._wanted is not None or self._closed

    def _find(self, bounds: Bounds) -> None:
        area = self._area(bounds)
        if area is None:
            self._found(self.nothing, "not in view")
            return
        run = self._prepared(area)
        windows = run.planned.grid.windows(run.area)
        if windows > MOST_WINDOWS:
            self._found(self.nothing, f"zoom in to run the model ({windows} windows are in view)")
            return
        while (todo := explore(run, self._kept, side=1)).chunks:
            look(run, self._kept, todo, progress=self._report, cancelled=self._moved_on)
        objects = concatenate(list(found_in(run, self._kept, side=1)))
        self._found(frame_of(objects, run, provenance(run)), "")

    def _prepared(self, area: Bounds | None) -> Run:
        return prepare(self._data, self.model, make_options({**self._options, "area": area}))

    def _report(self, done: int, total: int, _stage: str, _left: float) -> None:
        self._progress(done, total)

    def _area(self, bounds: Bounds) -> Bounds | None:
        """Return the part of the raster in view, in its CRS units; None where there is none."""
        west, south, east, north = bounds
        steps = np.linspace(0, 1, 9)
        rim = np.concatenate([
            np.stack(pair, axis=1)
            for pair in (
                (west + steps * (east - west), np.full(9, south)),
                (west + steps * (east - west), np.full(9, north)),
                (np.full(9, west), south + steps * (north - south)),
                (np.full(9, east), south + steps * (north - south)),
            )
        ])  # fmt: skip
        left, bottom, right, top = bounds_of(from_map(rim, self.run.grid.crs, up=self.up))
        x0, y0, x1, y1 = self.run.raster.bounds
        left, bottom, right, top = max(left, x0), max(bottom, y0), min(right, x1), min(top, y1)
        return (left, bottom, right, top) if left < right and bottom < top else None
