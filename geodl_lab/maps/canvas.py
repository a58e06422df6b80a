"""The map itself and its wire to pages, beneath `Explorer`: what is in view, what is drawn."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ipyleaflet
import numpy as np
import shapely

from geodl_lab.errors import GeodlError, first_line
from geodl_lab.maps import pages
from geodl_lab.maps.basemaps import basemap_layer
from geodl_lab.maps.drawing import draw_control, features_of, shape_of
from geodl_lab.maps.feed import Feed
from geodl_lab.maps.late_styles import LateStyles
from geodl_lab.maps.layers import Layer, RasterLayer, as_dict
from geodl_lab.maps.places import Bounds, Place, fitting, geometry_from, geometry_to
from geodl_lab.maps.saving import contents
from geodl_lab.maps.stack import Stack
from geodl_lab.maps.tile_layer import TileLayer
from geodl_lab.styles import Style

LOGGER = logging.getLogger("geodl_lab")

SIZE = (1000, 500)
"""Width and height in pixels that a map is thought to have before a page shows it."""


class Canvas(ipyleaflet.Map):  # type: ignore[misc]  # it ships no type hints
    """A map with a stack of layers, and a thread that answers what pages ask.

    Parameters
    ----------
    basemap, center, zoom, height, options
        As of `geodl_lab.Explorer`.
    """

    def __init__(
        self,
        basemap: Any,
        *,
        center: tuple[float, float] | None,
        zoom: float | None,
        height: str,
        **options: Any,
    ) -> None:
        base = () if basemap is None else (basemap_layer(basemap),)
        place: dict[str, Any] = {} if center is None else {"center": list(center)}
        place |= {} if zoom is None else {"zoom": zoom}
        super().__init__(
            layers=base, **{"scroll_wheel_zoom": True, "max_zoom": 24, **place, **options}
        )
        self.layout.height = height
        self.add_class("geodl-explorer")
        self._keep_place = center is not None or zoom is not None
        self._place: Place | None = None
        self._seen: tuple[str, Place] | None = None  # by which page
        self._worker = ThreadPoolExecutor(2, "geodl-map")
        self.tiles = TileLayer(self._hear, map=f"IPY_MODEL_{self.model_id}")
        self.late = LateStyles(self._later, self._finished, self._styled)
        self.feed = Feed(self.tiles.tell, self.late.counted)
        self.stack = Stack(self._publish)
        self.add(ipyleaflet.WidgetControl(widget=self.tiles, position="bottomright"))
        self._draw = draw_control()
        self.add(self._draw)

    @property
    def names(self) -> list[str]:
        """Names of the layers, from the lowest to the uppermost."""
        return self.stack.names()

    @property
    def windows_run(self) -> int:
        """How many windows of rasters models were run on so far, for what was in view."""
        return self.feed.painter.windows_run

    @property
    def plane(self) -> bool:
        """Whether the map is the plane of a photo and not the Earth."""
        return bool(self.crs["name"] == "Simple")

    @property
    def up(self) -> bool:
        """Whether y of the plane goes up: that of the lowest raster does."""
        rasters = [layer for layer in self.stack.all() if isinstance(layer, RasterLayer)]
        return self.plane and bool(rasters) and rasters[0].view.frame.up

    @property
    def place(self) -> Place:
        """What is in view: of the last page that moved, or of a page to come."""
        if self._place is not None:
            return self._place
        latitude, longitude = self.center
        return Place((longitude, latitude), self.zoom, SIZE, self.plane)

    def drawn(self, crs: Any = None) -> shapely.Geometry | None:
        """Return what people drew as one geometry; None where nothing is.

        Parameters
        ----------
        crs
            Of its coordinates; None is that of the lowest raster, or degrees without one. On the
            plane of a photo coordinates are pixels.

        Raises
        ------
        OptionError
            If it is no CRS.
        """
        shape = shape_of(self._draw.data)
        if shape is None:
            return None
        return geometry_to(shape, None if self.plane else crs or self._first_crs(), up=self.up)

    def draw(self, shape: shapely.Geometry, crs: Any = None) -> None:
        """Put polygons on the map as if people had drawn them; they can be changed there.

        Parameters
        ----------
        shape
            Polygons.
        crs
            As of `drawn`.

        Raises
        ------
        OptionError
            If it is no CRS.
        """
        source = None if self.plane else crs or self._first_crs()
        self._draw.data = [*self._draw.data, *features_of(geometry_from(shape, source, up=self.up))]

    def area(self, crs: Any = None) -> tuple[float, float, float, float] | None:
        """Return left, bottom, right, top of what people drew, as ``area=`` takes them.

        Parameters and errors are those of `drawn`; None where nothing is drawn, which is all.
        """
        shape = self.drawn(crs)
        return None if shape is None else shape.bounds

    def on_drawn(self, call: Callable[[], None]) -> None:
        """Call a function when something is drawn, changed or deleted."""
        self._draw.observe(lambda _: call(), "data")

    def clear_drawn(self) -> None:
        """Delete what people drew."""
        self._draw.data = []  # .clear() asks a page to do it, and there may be none

    def contents(self, kind: str, place: Place) -> bytes:
        """Return a file of what is at a place; see `geodl_lab.maps.saving.contents`."""
        drawn = self.drawn("EPSG:4326")
        return contents(kind, place, self.stack.all(), self.feed, drawn)

    def leave(self, page: str) -> None:
        """Let a page go; without pages no thread is left."""
        self.feed.leave(page)
        done, self._worker = self._worker, ThreadPoolExecutor(2, "geodl-map")
        done.shutdown(wait=False)

    def close(self) -> None:
        """Take the map away and stop its threads."""
        self.feed.close()
        self._worker.shutdown(wait=False, cancel_futures=True)
        self.tiles.close()
        super().close()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """Return the widget, and a sentence for where there are no widgets."""
        bundle: Any = super()._repr_mimebundle_(**options)
        words = f"Explorer: a live map of {', '.join(self.names) or 'nothing yet'}"
        if isinstance(bundle, dict):
            bundle["text/plain"] = words
        return bundle

    def _publish(self, layers: list[Layer]) -> None:
        self.tiles.layers = [as_dict(layer) for layer in layers]

    def _fit(self, bounds: Bounds) -> None:
        place = fitting(bounds, SIZE, plane=self.plane)
        self.center, self.zoom = place.middle[::-1], place.zoom
        self.tiles.fit = list(bounds)

    def _first_crs(self) -> Any:
        rasters = [layer for layer in self.stack.all() if isinstance(layer, RasterLayer)]
        return rasters[0].view.crs if rasters else "EPSG:4326"

    def _hear(self, said: dict[str, Any]) -> None:
        """Take a message of a page; on the kernel's main thread, so at once."""
        kind = said["kind"]
        if kind in pages.QUICK:
            self._answer(pages.QUICK[kind], said)
        elif kind in pages.SLOW:
            self._worker.submit(self._answer, pages.SLOW[kind], said)

    def _answer(self, page: pages.Page, said: dict[str, Any]) -> None:
        try:
            page(self, said)
        except GeodlError as error:
            self._complain(str(error))
        except Exception as error:
            LOGGER.exception("the map failed on %r", said.get("kind"))
            self._complain(f"the map could not {said.get('kind')}: {first_line(error)}")

    def _later(self, call: Callable[..., None], *arguments: Any) -> None:
        """Call something in a thread of the map; what goes wrong is said on it."""
        self._worker.submit(self._answer, lambda *_: call(*arguments), {"kind": "choose colours"})

    def _finished(self, key: str) -> list[np.ndarray]:
        return self.feed.painter.finished(key)

    def _styled(self, key: str, style: Style) -> None:
        """Show a layer in other colours; its blocks stay, and what is computed."""
        layer = self.stack.by_id(key)
        if isinstance(layer, RasterLayer):
            view = dataclasses.replace(layer.view, style=style)
            self.feed.show(key, view)
            self.stack.replace(key, view=view, hint="", again=True)

    def _complain(self, sentence: str) -> None:
        self.tiles.tell("problem", text=sentence)

    def _progress(self, source: str) -> Callable[[int, int], None]:
        def report(done: int, total: int) -> None:
            self.tiles.tell("status", source=source, done=done, total=total)

        return report
