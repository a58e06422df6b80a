"""The map of the app: the raster, the area, the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import shapely
import xarray as xr

from geodl_lab.maps.explorer import Explorer

Bounds = tuple[float, float, float, float]
"""Left, bottom, right, top."""

HEIGHT = "min(64vh, 640px)"
AREA = "area"
"""Name of the layer that outlines what is computed."""


class MapView:
    """A map with one raster, one area and one result.

    Every raster has an `Explorer` of its own: a photo lies on a plane and not on the Earth.

    Parameters
    ----------
    drawn
        Called with the box around what people drew, in the raster's CRS; None where nothing is.
    """

    def __init__(self, drawn: Callable[[Bounds | None], None]) -> None:
        self._drawn = drawn
        self._map: Explorer | None = None
        self._crs: Any = None
        self._result = ""
        self.widget = widgets.Box([])
        self.widget.add_class("geoapp-map")

    def show_raster(self, image: xr.DataArray, name: str) -> None:
        """Show a raster instead of all that is there, and all of it."""
        made = Explorer(height=HEIGHT)
        made.add(image, name=name)
        made.on_drawn(lambda: self._on_drawn(made))
        before, self._map, self._crs, self._result = self._map, made, image.rio.crs, ""
        self.widget.children = [made]
        if before is not None:
            before.close()

    def show_result(self, result: Any, name: str) -> None:
        """Show a raster or objects above the raster, and go there."""
        self.clear_result()
        if self._map is not None:
            self._result = name
            self._map.add(result, name=name)
            self._map.zoom_to(name)

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
        before, self._map, self._result = self._map, None, ""
        self.widget.children = []
        if before is not None:
            before.close()

    def _remove(self, name: str) -> None:
        if self._map is not None and name in self._map.names:
            self._map.remove(name)

    def _on_drawn(self, explorer: Explorer) -> None:
        if explorer is self._map:
            self._drawn(explorer.area())
