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
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from geodl_lab.errors import AccessError
from geodl_lab.jobs.core import Core
from geodl_lab.jobs.job import Caller
from geodl_lab.server.arcgis import downloads, image_info, image_points, image_sources
from geodl_lab.server.arcgis.directory import show
from geodl_lab.server.arcgis.image_area import compute_statistics
from geodl_lab.server.arcgis.image_pictures import make_picture, make_tile
from geodl_lab.server.arcgis.image_places import box_json
from geodl_lab.server.arcgis.image_reads import MOST, is_slow
from geodl_lab.server.arcgis.image_requests import parse_picture
from geodl_lab.server.arcgis.image_sources import ImageSource
from geodl_lab.server.arcgis.web import (
    NO_STORE,
    ArcgisError,
    Parameters,
    parameters,
)
from geodl_lab.server.context import base_url, caller_of, core_of, page_path

router = APIRouter(tags=["ImageServer"])

QUICK = ThreadPoolExecutor(8, "geodl-images")
"""Threads for descriptions, tiles and pictures as a screen has them."""

LARGE = ThreadPoolExecutor(1, "geodl-large-images")
"""One thread for all that is larger: it needs memory, and a panning map shall not wait for it."""

SCREEN = 2048 * 2048
"""Pixels of the largest picture that goes the quick way."""

NEAR = 14
"""Level from which on a tile shows few pixels of a raster; they are then of 10 m or less."""

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
    return image_sources.stored(item.id, item.title, core.store_path(item.store))


def _both(path: str, *names: str) -> Callable[[Any], Any]:
    """Register a route for GET and POST; ``names`` are its parameters, for the OpenAPI document."""
    query = [
        {"name": name, "in": "query", "required": False, "schema": {"type": "string"}}
        for name in ("f", *names)
    ]
    options: dict[str, Any] = {
        "response_class": Response,
        "openapi_extra": {"parameters": query},
    }

    def register(handler: Any) -> Any:
        full = "/{folder}/{name}/ImageServer" + path
        return router.get(full, **options)(router.post(full, **options)(handler))

    return register


@_both("")
async def root(request: Request, folder: str, name: str) -> Response:
    """Describe the service."""
    given = await parameters(request)
    source = await _source(request, folder, name)
    values = await _run(QUICK, _described, source, given)
    path = page_path(request)
    links = {page: f"{path}/{page}" for page in PAGES}
    if folder.lower() == "hosted":
        service = await _run(QUICK, core_of(request).catalog.service, name, caller_of(request))
        values |= {"serviceItemId": service.item}
        values |= downloads.listed(service, downloads.services_url(request))
        links |= downloads.buttons(service, downloads.services_path(request))
    return show(given, values, title=path.rpartition("/services/")[2], links=links)


@_both("/identify", "geometry", "geometryType", "sr")
async def identify(request: Request, folder: str, name: str) -> Response:
    """Say what value lies at a place."""
    return await _answer(request, folder, name, image_points.identify)


@_both("/getSamples", "geometry", "geometryType", "sampleDistance", "sampleCount")
async def get_samples(request: Request, folder: str, name: str) -> Response:
    """Say what values lie at places, along a line, or in an area."""
    return await _answer(request, folder, name, image_points.samples)


@_both("/computeStatisticsHistograms", "geometry", "geometryType")
async def compute_statistics_histograms(request: Request, folder: str, name: str) -> Response:
    """Return statistics of an area."""
    return await _answer(request, folder, name, compute_statistics)


RESOURCES: dict[str, Callable[[ImageSource], Any]] = {
    "rasterAttributeTable": image_info.attribute_table,
    "legend": image_info.legend,
    "keyProperties": image_info.key_properties,
    "statistics": image_info.statistics,
    "histograms": image_info.histograms,
    "colormap": image_info.colormap,
    "rasterFunctionInfos": lambda _: {"rasterFunctionInfos": image_info.rule_infos()},
}
"""Resources that need no parameters; any other name is answered as not being there."""


PAGES = ("exportImage", *RESOURCES)
"""Resources that a page of the service leads to."""


@_both("/exportImage", "bbox", "size", "format", "bboxSR", "imageSR", "bandIds", "pixelType",
       "noData", "noDataInterpretation", "interpolation", "compressionQuality", "renderingRule",
       "transparent")  # fmt: skip
async def export_image(request: Request, folder: str, name: str) -> Response:
    """Return a picture, or values; with f=json where they are to be had."""
    given = await parameters(request)
    source = await _source(request, folder, name)
    if given.text("f").lower() == "image":
        return await _picture(source, given)
    asked = await _run(QUICK, parse_picture, given, source)
    path = request.url.path.removesuffix("/").removesuffix("/exportImage")
    suffix = asked.encoding.format.replace("jpgpng", "png")
    height, width = asked.view.shape_yx
    values = {
        "href": f"{base_url(request)}{path}/output/{_encoded(given)}.{suffix}",
        "width": width, "height": height,
        "extent": box_json(asked.view.box, asked.view.crs), "scale": 0,
    }  # fmt: skip
    return show(given, values, title="exportImage", links={"Picture": values["href"]})


@_both("/output/{file}")
async def output(request: Request, folder: str, name: str, file: str) -> Response:
    """Return the picture that exportImage with f=json named."""
    return await _picture(await _source(request, folder, name), _decoded(file.partition(".")[0]))


@router.get("/{folder}/{name}/ImageServer/tile/{z}/{y}/{x}", response_class=Response)
async def tile(request: Request, folder: str, name: str, z: str, y: str, x: str) -> Response:
    """Return a tile of a web map, row before column."""
    source = await _source(request, folder, name)
    place = [int(part) if part.isdecimal() and len(part) < 12 else -1 for part in (z, y, x)]
    data = await _run(_tile_pool(source, place[0]), make_tile, source, *place)
    return Response(data, media_type="image/png", headers=NO_STORE)


@_both("/{resource}")
async def resource(request: Request, folder: str, name: str, resource: str) -> Response:
    """Return the attribute table, legend, key properties, statistics, histograms or colours."""
    known = {each.lower(): call for each, call in RESOURCES.items()}

    def call(source: ImageSource, _: Parameters) -> Any:
        if resource.lower() not in known:
            possible = ", ".join(RESOURCES)
            raise ArcgisError(
                f"there is no {resource[:40]!r} here; possible are {possible}", code=404
            )
        return known[resource.lower()](source)

    return await _answer(request, folder, name, call)


def _tile_pool(source: ImageSource, z: int) -> ThreadPoolExecutor:
    """Return where a tile is made; far out a raster without overviews is read as a whole."""
    height, width = source.grid.shape_yx
    is_far = not source.grid.has_overviews and height * width > MOST and z < NEAR
    return LARGE if is_far else QUICK


def _described(source: ImageSource, given: Parameters) -> dict[str, Any]:
    """Describe a source; GDAL says ``pretty=true`` and wants to know the tiles."""
    tiles = {"tileInfo": image_info.tile_info()} if given.flag("pretty") else {}
    return {**image_info.describe(source), **tiles}


async def _run(pool: ThreadPoolExecutor, call: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(pool, call, *arguments)


async def _source(request: Request, folder: str, name: str) -> ImageSource:
    return await _run(QUICK, find_source, core_of(request), caller_of(request), folder, name)


async def _answer(request: Request, folder: str, name: str, resource: Resource) -> Response:
    """Find the source and ask it, in a thread."""
    given = await parameters(request)
    values = await _run(QUICK, resource, await _source(request, folder, name), given)
    title = request.url.path.rstrip("/").rpartition("/services/")[2]
    return show(given, values, title=title)


async def _picture(source: ImageSource, given: Parameters) -> Response:
    asked = await _run(QUICK, parse_picture, given, source)
    is_large = math.prod(asked.view.shape_yx) > SCREEN
    pool = LARGE if is_large or await _run(QUICK, is_slow, source, asked.view) else QUICK
    data, media = await _run(pool, make_picture, source, asked)
    return Response(data, media_type=media, headers=NO_STORE)


def _encoded(given: Parameters) -> str:
    """Return a request as a name in a path: esri-leaflet appends ``?token=`` to any href."""
    kept = {name: value for name, value in given.items() if name not in ("f", "token")}
    return base64.urlsafe_b64encode(json.dumps(kept).encode()).decode().rstrip("=")


def _decoded(name: str) -> Parameters:
    try:
        kept = json.loads(base64.urlsafe_b64decode(name + "=" * (-len(name) % 4)))
        return Parameters({str(key): str(value) for key, value in kept.items()})
    except (ValueError, AttributeError, RecursionError):
        raise ArcgisError("there is no such picture; ask exportImage again", code=404) from None
