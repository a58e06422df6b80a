"""The map of the app: the raster, the area, the result."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import shapely
import xarray as xr

from geodl_lab.maps.explorer import Explorer
from geodl_lab.maps.layers import RasterLayer

Bounds = tuple[float, float, float, float]
"""Left, bottom, right, top."""

HEIGHT = "min(64vh, 640px)"
AREA = "area"
"""Name of the layer that outlines what is computed."""


class MapView:
    """A map with one raster, one area and one result."""

    def __init__(self) -> None:
        self._drawn: Callable[[Bounds | None], None] = _nothing
        self._map: Explorer | None = None
        self._crs: Any = None
        self._result = ""
        self.widget = widgets.Box([])

    def on_drawn(self, call: Callable[[Bounds | None], None]) -> None:
        """Call a function with the box around what people drew, in the raster's CRS, or None."""
        self._drawn = call

    def show_raster(self, image: xr.DataArray, name: str) -> None:
        """Show a raster instead of all that is there, and all of it."""
        crs = image.rio.crs
        if self._map is None or self._map.plane != (crs is None):
            self._change_map()
        else:
            self.clear()
        assert self._map is not None
        self._map.add(image, name=name)
        self._crs = crs

    def show_result(self, result: Any, name: str) -> None:
        """Show a raster or objects above the raster, and go there."""
        self.clear_result()
        if self._map is not None:
            self._map.add(result, name=name)
            self._result = self._map.names[-1]
            self._map.zoom_to(self._result)

    def wait_painted(self, limit_s: float) -> None:
        """Wait until the page shows all of a result raster that is in view, or the time is over."""
        if self._map is not None and self._result in self._map.names:
            layer = self._map.stack.by_name(self._result)
            if isinstance(layer, RasterLayer):
                self._map.feed.wait_painted(layer.id, limit_s=limit_s)

    def show_area(self, area: Bounds | None, *, stay: bool = False) -> None:
        """Outline an area of the raster's CRS and go there; None shows all of the raster.

        With ``stay`` the map is not moved.
        """
        if self._map is None:
            return
        self._remove(AREA)
        if area is None:
            if not stay:
                self._map.zoom_to(self._map.names[0])
            return
        outline = shapely.box(*area).exterior  # a line: what lies inside keeps its colours
        self._map.add(outline, name=AREA, crs=self._crs)
        self._map.zoom_to(AREA)

    def clear_drawn(self) -> None:
        """Delete what people drew."""
        if self._map is not None:
            self._map.clear_drawn()

    def clear_result(self) -> None:
        """Take the result away."""
        self._remove(self._result)
        self._result = ""

    def clear(self) -> None:
        """Take everything away."""
        self._result = ""
        if self._map is not None:
            self._map.clear_drawn()
            for name in self._map.names:
                self._map.remove(name)

    def _change_map(self) -> None:
        """Begin with an empty map, as one map is either of the Earth or of a photo."""
        before, self._map, self._result = self._map, Explorer(height=HEIGHT), ""
        self._map.on_drawn(functools.partial(self._on_drawn, self._map))
        self.widget.children = [self._map]
        if before is not None:
            before.feed.close()  # its threads; the page itself lets go of what it showed

    def _remove(self, name: str) -> None:
        if self._map is not None and name in self._map.names:
            self._map.remove(name)

    def _on_drawn(self, explorer: Explorer) -> None:
        if explorer is self._map:
            self._drawn(explorer.area())


def _nothing(area: Bounds | None) -> None:
    pass
