"""The parameter ``context``: where and on what a task runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from geodl_lab.errors import OptionError
from geodl_lab.jobs.recipes import Context, Extent, Ref
from geodl_lab.server.arcgis.references import Here, single_ref
from geodl_lab.server.arcgis.values import (
    choice_of,
    json_of,
    number_of,
    object_of,
    shown,
    whole_of,
)

RESAMPLING = ("nearest", "bilinear", "cubic")
FIRST_ESRI = 37_000
"""Codes of coordinate systems from here to 38 000 and from 53 000 on are Esri's own."""


def context_of(values: Mapping[str, Any], here: Here) -> Context:
    """Return the context that its JSON says; keys that nobody knows are left; OptionError."""
    given = {key.lower(): value for key, value in values.items() if value not in (None, "", {})}
    cell_size, cell_size_of = _cell_size(given.get("cellsize"), here)
    return Context(
        extent=_extent(given.get("extent")),
        cell_size=cell_size,
        cell_size_of=cell_size_of,
        snap_to=_ref("snapRaster", given, here),
        mask=_ref("mask", given, here),
        process_crs=crs_of("processSR", given.get("processsr")),
        out_crs=crs_of("outSR", given.get("outsr")),
        device=_device(given),
        share=_share(given.get("parallelprocessingfactor")),
        resampling=_resampling(given.get("resamplingmethod")),
    )


def crs_of(name: str, given: Any) -> str:
    """Return a spatial reference as rasterio reads it; "" where none is given.

    Parameters
    ----------
    name
        Of the parameter, for errors.
    given
        A code, or an object with ``latestWkid``, ``wkid``, ``wkt2`` or ``wkt``, or its text.
    """
    if isinstance(given, str) and given.lstrip().startswith("{"):
        given = json_of(name, given)
    if not given:
        return ""
    values = given if isinstance(given, dict) else {"wkid": given}
    for key in ("latestWkid", "wkid"):
        if values.get(key):
            return _code(whole_of(f"{key} of {name}", values[key], least=1))
    wkt = values.get("wkt2") or values.get("wkt")
    if not isinstance(wkt, str):
        raise OptionError(f'{name} is {shown(given)}; write a code, as in {{"wkid": 3857}}')
    return wkt


def _code(wkid: int) -> str:
    esri = FIRST_ESRI <= wkid < FIRST_ESRI + 1000 or wkid >= 53_000
    return f"ESRI:{wkid}" if esri else f"EPSG:{wkid}"


def _extent(given: Any) -> Extent | None:
    if given is None:
        return None
    values = object_of("extent", given)
    sides = [number_of(f"{k} of extent", values.get(k)) for k in ("xmin", "ymin", "xmax", "ymax")]
    left, bottom, right, top = sides
    if left >= right or bottom >= top:
        raise OptionError(f"the extent {shown(values)} is empty; xmin < xmax and ymin < ymax")
    crs = crs_of("spatialReference of extent", values.get("spatialReference"))
    return Extent(left, bottom, right, top, crs)


def _cell_size(given: Any, here: Here) -> tuple[float | None, Ref | None]:
    """Return the cell size, or whose it is; both None (also MinOf, MaxOf) is the rasters' own."""
    if given is None or str(given).lower() in ("minof", "maxof"):
        return None, None
    if isinstance(given, dict) and {"x", "y"} <= given.keys():
        if given["x"] != given["y"]:
            raise OptionError(f"cellSize is {shown(given)}; cells are square: give one number")
        given = given["x"]
    if isinstance(given, dict):
        return None, single_ref("cellSize", given, here)
    try:
        size = number_of("cellSize", given, least=0)
    except OptionError:
        if isinstance(given, str) and ("/" in given or given.lstrip().startswith("{")):
            return None, single_ref("cellSize", given, here)
        raise
    if size == 0:
        raise OptionError("cellSize is 0; give the side of a cell in units of the raster's CRS")
    return size, None


def _ref(name: str, given: Mapping[str, Any], here: Here) -> Ref | None:
    value = given.get(name.lower())
    return None if value is None else single_ref(name, value, here)


def _device(given: Mapping[str, Any]) -> str:
    if "processortype" not in given:
        return "auto"
    kind = choice_of("processorType", str(given["processortype"]), ("CPU", "GPU"))
    if kind == "CPU":
        return "cpu"
    if "gpuid" not in given:
        return "cuda"
    return f"cuda:{whole_of('gpuId', given['gpuid'])}"


def _share(given: Any) -> float | None:
    """Return the part of the workers, from ``"80%"`` or a number of processes."""
    if given is None:
        return None
    text = str(given).strip()
    name = "parallelProcessingFactor"
    if text.endswith("%"):
        return min(1.0, number_of(name, text[:-1], least=0) / 100)
    return min(1.0, number_of(name, text, least=0) / (os.cpu_count() or 1))


def _resampling(given: Any) -> str:
    return "" if given is None else choice_of("resamplingMethod", str(given), RESAMPLING)
