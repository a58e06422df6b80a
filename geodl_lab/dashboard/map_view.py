"""The map of the app: the raster, the area, the result."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Callable
from typing import Any

import ipyleaflet
import numpy as np
import rasterio
import xarray as xr
from PIL import Image
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from geodl_lab.outputs import classes_of
from geodl_lab.plotting import class_colors, true_color
from geodl_lab.raster import Raster, as_raster

Bounds = tuple[float, float, float, float]
"""Left, bottom, right, top."""

SIDE = 1200
"""Pixels on the longer side of a picture on the map."""


class MapView:
    """A map with one raster, one area and one result.

    Parameters
    ----------
    drawn
        Called with the area that somebody drew, in the raster's CRS; None where it was removed.
    """

    def __init__(self, drawn: Callable[[Bounds | None], None]) -> None:
        self._drawn = drawn
        self._loop = asyncio.get_event_loop()  # the kernel's: the map waits for answers in it
        self._raster: Raster | None = None
        self._layers: dict[str, Any] = {}
        self.widget = ipyleaflet.Map(layers=[], scroll_wheel_zoom=True, attribution_control=False)
        self.widget.add_class("geodl-map")
        self._draw = ipyleaflet.GeomanDrawControl(
            rectangle={"pathOptions": {"color": "#d97706", "fillOpacity": 0.05}},
            polyline={}, polygon={}, circlemarker={}, circle={}, text={}, marker={},
            rotate=False, cut=False, drag=True, edit=True, remove=True,
        )  # fmt: skip
        self._draw.on_draw(self._on_draw)
        self.widget.add(self._draw)

    def show_raster(self, image: xr.DataArray) -> None:
        """Show a raster instead of all that is there, and all of it."""
        self.clear()
        self._raster = as_raster(image)
        self._put("image", _overlay(image))
        self.look_at(self._raster.bounds)

    def show_result(self, result: Any) -> None:
        """Show a class raster or objects above the raster."""
        self.clear_result()
        if isinstance(result, xr.DataArray):
            self._put("result", _overlay(result))
            self.look_at(as_raster(result).bounds)
        else:
            self._put("result", _points(result))
            if len(result):
                self.look_at(tuple(result.total_bounds))

    def show_area(self, area: Bounds | None) -> None:
        """Outline an area, in the raster's CRS."""
        self._remove("area")
        if area is None or self._raster is None:
            return
        west, south, east, north = self._to_map(area)
        box = ipyleaflet.Rectangle(
            bounds=((south, west), (north, east)), color="#d97706", fill_opacity=0.0, weight=2
        )
        self._put("area", box)

    def look_at(self, area: Bounds) -> None:
        """Have an area of the raster's CRS fill the map."""
        west, south, east, north = self._to_map(area)
        corners = [[south, west], [north, east]]
        self._loop.call_soon_threadsafe(self.widget.fit_bounds, corners)

    def clear_result(self) -> None:
        """Take the result away."""
        self._remove("result")

    def clear(self) -> None:
        """Take everything away."""
        for name in list(self._layers):
            self._remove(name)
        self._draw.clear()

    def _put(self, name: str, layer: Any) -> None:
        self._remove(name)
        self._layers[name] = layer
        self.widget.add(layer)

    def _remove(self, name: str) -> None:
        if layer := self._layers.pop(name, None):
            self.widget.remove(layer)

    def _to_map(self, area: Bounds) -> Bounds:
        assert self._raster is not None
        crs = self._raster.crs
        if crs is None:
            return area
        return Transformer.from_crs(crs, 4326, always_xy=True).transform_bounds(*area)

    def _on_draw(self, _: Any, action: str, geo_json: Any) -> None:
        if self._raster is None:
            return
        shapes = self._draw.data
        if not shapes:
            return self._drawn(None)
        ring = np.array(shapes[-1]["geometry"]["coordinates"][0], dtype=float)
        box = (*ring.min(axis=0), *ring.max(axis=0))
        if self._raster.crs is not None:
            turn = Transformer.from_crs(4326, self._raster.crs, always_xy=True)
            box = turn.transform_bounds(*box)
        return self._drawn(tuple(map(float, box)))


def _overlay(image: xr.DataArray) -> ipyleaflet.ImageOverlay:
    """Return a picture of a raster, warped to the map."""
    classes = classes_of(image.attrs)
    with rasterio.open(image.encoding["source"]) as file:
        crs = file.crs or "EPSG:4326"
        with WarpedVRT(file, src_crs=crs, crs="EPSG:3857", resampling=Resampling.nearest) as warped:
            scale = max(1.0, max(warped.shape) / SIDE)
            shape = tuple(max(1, round(side / scale)) for side in warped.shape)
            values = warped.read(out_shape=(warped.count, *shape))
            box = Transformer.from_crs(3857, 4326, always_xy=True).transform_bounds(*warped.bounds)
    if classes:
        colors = class_colors(values[0], classes)
    else:
        stored = xr.DataArray(values, dims=("band", "y", "x")).rio.write_nodata(file.nodata)
        colors = np.round(true_color(Raster(stored)) * 255).astype(np.uint8)
    west, south, east, north = box
    return ipyleaflet.ImageOverlay(url=_png(colors), bounds=((south, west), (north, east)))


def _points(objects: Any) -> ipyleaflet.GeoJSON:
    placed = objects if objects.crs is None else objects.to_crs(4326)
    look = {"radius": 4, "color": "#111", "fillColor": "#ffe600", "fillOpacity": 1, "weight": 1}
    data = placed[["label", "score", placed.geometry.name]].__geo_interface__
    return ipyleaflet.GeoJSON(data=data, point_style=look, style={"color": "#ffe600", "weight": 2})


def _png(colors: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(colors).save(buffer, "png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
