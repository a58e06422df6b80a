"""Basemaps: maps of others, from the internet, beneath the layers."""

from __future__ import annotations

from typing import Any

import ipyleaflet

from geodl_lab.errors import OptionError


def basemap_layer(basemap: Any) -> ipyleaflet.TileLayer:
    """Return a basemap as a layer.

    Parameters
    ----------
    basemap
        Of `ipyleaflet.basemaps`, an `ipyleaflet.TileLayer`, or an address with ``{z}/{x}/{y}``.

    Raises
    ------
    OptionError
        If it is something else.
    """
    layer = None
    if isinstance(basemap, ipyleaflet.TileLayer):
        layer = basemap
    elif isinstance(basemap, str) and all(mark in basemap for mark in ("{z}", "{x}", "{y}")):
        layer = ipyleaflet.TileLayer(url=basemap)
    elif isinstance(basemap, dict) and "url" in basemap:
        layer = ipyleaflet.basemap_to_tiles(basemap)
    if layer is None:
        raise OptionError(
            f"basemap {basemap!r} is not possible; give one as ipyleaflet.basemaps.OpenStreetMap."
            "Mapnik, an ipyleaflet.TileLayer, or an address with {z}, {x} and {y}"
        )
    layer.base = True
    return layer
