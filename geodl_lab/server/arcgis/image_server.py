"""ImageServer: routes of published rasters and of rasters in stores.

Each resource is one function of a source and the request's parameters; it runs in a thread, and
the answer is JSON, a plain page, or the picture itself.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from geodl_lab.errors import AccessError, GeodlError
from geodl_lab.jobs.core import Core
from geodl_lab.jobs.job import Caller
from geodl_lab.jobs.rasters import check_raster
from geodl_lab.server.arcgis import image_info, image_points, image_sources
from geodl_lab.server.arcgis.image_area import compute_statistics
from geodl_lab.server.arcgis.image_pictures import make_picture, make_tile
from geodl_lab.server.arcgis.image_places import box_json
from geodl_lab.server.arcgis.image_requests import parse_picture
from geodl_lab.server.arcgis.image_sources import ImageSource
from geodl_lab.server.arcgis.web import (
    NO_STORE,
    ArcgisError,
    Parameters,
    parameters,
    respond,
)
from geodl_lab.server.context import base_url, caller_of, core_of

router = APIRouter(tags=["ImageServer"])

QUICK = ThreadPoolExecutor(8, "geodl-images")
"""Threads for descriptions, tiles and pictures as a screen has them."""

LARGE = ThreadPoolExecutor(1, "geodl-large-images")
"""One thread for all that is larger: it needs memory, and a panning map shall not wait for it."""

SCREEN = 2048 * 2048
"""Pixels of the largest picture that goes the quick way."""

Resource = Callable[[ImageSource, Parameters], Any]


def find_source(core: Core, caller: Caller, folder: str, name: str) -> ImageSource:
    """Return the raster behind a path.

    Parameters
    ----------
    core, caller
        The server's core, and who asks.
    folder
        ``Hosted`` or ``Stores``.
    name
        Of a service, or the id of an item.

    Raises
    ------
    AccessError
        If there is none to be seen.
    """
    if folder.lower() == "hosted":
        service = core.catalog.service(name, caller)
        if service.kind != "raster":
            raise AccessError(f"service {name!r} holds {service.kind}, no raster")
        return image_sources.published(service)
    if folder.lower() != "stores":
        raise AccessError(f"there is no folder {folder[:40]!r}; possible are Hosted and Stores")
    item = core.item(name, caller)
    if not item.store:
        raise AccessError(f"item {name[:40]!r} is no raster of a store")
    path = core.store_path(item.store)
    return image_sources.stored(item.id, item.title, check_raster(path))
