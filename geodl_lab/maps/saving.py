"""What is in view as files: a picture, objects, a raster."""

from __future__ import annotations

import itertools
import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely
import xarray as xr

from geodl_lab.errors import OptionError
from geodl_lab.grid import Window
from geodl_lab.maps.compose import as_png, compose
from geodl_lab.maps.feed import Feed
from geodl_lab.maps.layers import Layer, ObjectLayer, RasterLayer
from geodl_lab.maps.places import Place
from geodl_lab.maps.shapes import map_geometries, to_json
from geodl_lab.maps.views import View
from geodl_lab.outputs import save as save_raster

KINDS = {".png": "image/png", ".geojson": "application/geo+json", ".tif": "image/tiff"}
"""Endings of files and their media types."""

MOST_PIXELS = 2**26
"""Pixels of a raster that is saved from the map."""


def contents(
    kind: str,
    place: Place,
    layers: Sequence[Layer],
    feed: Feed,
    drawn: shapely.Geometry | None,
) -> bytes:
    """Return a file.

    Parameters
    ----------
    kind
        A key of `KINDS`.
    place
        What is in view.
    layers
        From the lowest to the uppermost.
    feed
        Has their tiles.
    drawn
        What people drew, in degrees or on the plane of a photo.

    Raises
    ------
    GeodlError
        If there is nothing to save, or it cannot be made.
    """
    if kind == ".png":
        return as_png(compose(place, layers, feed))
    if kind == ".geojson":
        return features(layers, drawn)
    return geotiff(raster_in_view(place, layers))


def features(layers: Sequence[Layer], drawn: shapely.Geometry | None) -> bytes:
    """Return the objects of all visible layers, and what is drawn, as GeoJSON in degrees.

    Each feature names its layer. What has no CRS is written as it is: in pixels of a photo (x, y).

    Raises
    ------
    OptionError
        If there are none.
    """
    found = []
    for layer in layers:
        if isinstance(layer, ObjectLayer) and layer.visible:
            shapes = (
                layer.frame.geometry.to_numpy()
                if layer.frame.crs is None
                else map_geometries(layer.frame)
            )
            for feature in json.loads(to_json(layer.frame, layer.colors, shapes))["features"]:
                del feature["properties"]["color"]
                feature["properties"]["layer"] = layer.name
                found.append(feature)
    if drawn is not None:
        shape = json.loads(shapely.to_geojson(drawn))
        found.append({"type": "Feature", "geometry": shape, "properties": {"layer": "drawn"}})
    if not found:
        raise OptionError("there are no objects and no drawn areas to save; show or draw some")
    return json.dumps({"type": "FeatureCollection", "features": found}).encode()


def raster_in_view(place: Place, layers: Sequence[Layer]) -> xr.DataArray:
    """Return the pixels in view of the uppermost visible raster; of a lazy one not yet computed.

    Raises
    ------
    OptionError
        If no raster is in view, or too much of one.
    """
    rasters = [layer for layer in layers if isinstance(layer, RasterLayer) and layer.visible]
    if not rasters:
        raise OptionError("no raster is visible; show one and save again")
    array = rasters[-1].data
    window = window_in_view(place, rasters[-1].view)
    if not window:
        raise OptionError(f"{rasters[-1].name!r} is not in view; zoom to it and save again")
    if window.height * window.width > MOST_PIXELS:
        raise OptionError(
            f"{window.height} x {window.width} pixels of {rasters[-1].name!r} are in view, too "
            "many for a download; zoom in, or call result.dl.save('result.tif')"
        )
    rows, columns = window.slices_yx
    return array[:, rows, columns]


def window_in_view(place: Place, view: View) -> Window:
    """Return the pixels of a raster in view; empty where there are none."""
    west, south, east, north = place.bounds
    spots = itertools.product(np.linspace(west, east, 9), np.linspace(south, north, 9))
    found = [spot for x, y in spots if (spot := view.frame.pixel_at(float(x), float(y)))]
    if not found:
        return Window(0, 0, 0, 0)
    (top, left), (bottom, right) = np.min(found, axis=0), np.max(found, axis=0)
    y, x = math.floor(top), math.floor(left)
    seen = Window(y, x, math.ceil(bottom) - y, math.ceil(right) - x)
    return seen.intersect(Window(0, 0, *view.frame.shape_yx))


def geotiff(array: xr.DataArray) -> bytes:
    """Return a raster as the bytes of a COG; a lazy one is computed.

    Raises
    ------
    GeodlError
        If it cannot be computed or written.
    """
    with tempfile.TemporaryDirectory() as folder:
        return save_raster(array, Path(folder) / "view.tif").read_bytes()
