"""What an image service says of itself: description, attribute table, legend, statistics."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np

from geodl_lab.server.arcgis import words
from geodl_lab.server.arcgis.image_formats import MEDIA, Encoding, write_picture
from geodl_lab.server.arcgis.image_pictures import DEEPEST, TILE
from geodl_lab.server.arcgis.image_places import WEB_MERCATOR, WORLD, box_json, crs_json
from geodl_lab.server.arcgis.image_rendering import FUNCTIONS, limits_of, ramp, shown_bands
from geodl_lab.server.arcgis.image_requests import LARGEST
from geodl_lab.server.arcgis.image_sources import PIXEL_TYPES, Grid, ImageSource
from geodl_lab.server.arcgis.image_statistics import statistics_of
from geodl_lab.server.arcgis.web import ArcgisError

SWATCH = 20
"""Side of a legend's pictures, pixels."""

_WORDS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_ID = {"name": "OID", "type": "esriFieldTypeOID", "alias": "OID"}
_NUMBER = "esriFieldTypeInteger"
_TABLE = (
    _ID,
    {"name": "Value", "type": _NUMBER, "alias": "Value"},
    {"name": "Class", "type": "esriFieldTypeString", "alias": "Class", "length": 256},
    {"name": "ClassName", "type": "esriFieldTypeString", "alias": "ClassName", "length": 256},
    {"name": "Red", "type": _NUMBER, "alias": "Red"},
    {"name": "Green", "type": _NUMBER, "alias": "Green"},
    {"name": "Blue", "type": _NUMBER, "alias": "Blue"},
)


def describe(source: ImageSource) -> dict[str, Any]:
    """Return the description of the service."""
    grid = source.grid
    extent = box_json(source.box, grid.crs)
    seen = statistics_of(source)
    width, height = source.pixel_size
    return {
        "currentVersion": words.VERSION,
        "name": source.name,
        "description": _description(source),
        "serviceDescription": _description(source),
        "serviceDataType": f"esriImageServiceDataType{_data_type(source)}",
        "capabilities": "Image,Metadata",
        "extent": extent, "initialExtent": extent, "fullExtent": extent,
        "spatialReference": crs_json(grid.crs),
        "pixelSizeX": width, "pixelSizeY": height,
        "rows": grid.shape_yx[0], "columns": grid.shape_yx[1],
        "bandCount": len(grid.numbers), "bandNames": list(grid.names),
        "pixelType": PIXEL_TYPES.get(grid.dtype, "F64"),
        "noDataValue": _number(grid.nodata),
        "noDataValues": _nodata_values(grid),
        "minValues": [each.smallest for each in seen],
        "maxValues": [each.largest for each in seen],
        "meanValues": [each.mean for each in seen],
        "stdvValues": [each.deviation for each in seen],
        "minPixelSize": 0, "maxPixelSize": 0, "minScale": 0, "maxScale": 0,
        "copyrightText": "", "serviceSourceType": "esriImageServiceSourceTypeDataset",
        "hasRasterAttributeTable": bool(source.classes), "hasColormap": bool(source.classes),
        "hasHistograms": True, "hasMultidimensions": False,
        "objectIdField": "OID", "fields": [_ID],
        "maxImageWidth": LARGEST, "maxImageHeight": LARGEST, "maxRecordCount": 1000,
        "defaultResamplingMethod": "Nearest", "mensurationCapabilities": "None",
        "allowRasterFunction": False, "rasterFunctionInfos": rule_infos(),
        "rasterTypeInfos": [], "allowComputeTiePoints": False, "allowCopy": False,
        "allowAnalysis": False, "supportsStatistics": True, "supportsAdvancedQueries": False,
        "allowedMosaicMethods": "None", "defaultMosaicMethod": "None", "uncompressedSize": None,
        "defaultCompressionQuality": 75,
        "exportTilesAllowed": False, "useStandardizedQueries": True, "cacheType": "",
        "supportedImageFormatTypes": ",".join(name.upper() for name in MEDIA),
        "singleFusedMapCache": False,
    }  # fmt: skip


def tile_info() -> dict[str, Any]:
    """Return the scheme of the tiles.

    The description of the service leaves it out: Esri's SDK would then take the service for
    finished tiles. GDAL opens nothing without it.
    """
    lods = [
        {
            "level": level,
            "resolution": WORLD / TILE / 2**level,
            "scale": WORLD / TILE / 2**level * 96 / 0.0254,
        }
        for level in range(DEEPEST - 6)
    ]
    return {
        "rows": TILE, "cols": TILE, "dpi": 96, "format": "PNG32", "compressionQuality": 0,
        "origin": {"x": -WORLD / 2, "y": WORLD / 2}, "spatialReference": crs_json(WEB_MERCATOR),
        "lods": lods,
    }  # fmt: skip


def rule_infos() -> list[dict[str, str]]:
    """Return the rendering rules that are possible."""
    return [{"name": name, "description": text, "help": ""} for name, text in FUNCTIONS.items()]


def attribute_table(source: ImageSource) -> dict[str, Any]:
    """Return the classes as a raster attribute table.

    Raises
    ------
    ArcgisError
        If the raster has no classes.
    """
    rows = []
    for oid, label in enumerate(_classes(source)):
        names = ("OID", "Value", "Class", "ClassName", "Red", "Green", "Blue")
        row = (oid, label.value, label.name, label.name, *label.rgb)
        rows.append({"attributes": dict(zip(names, row, strict=True))})
    return {
        "objectIdFieldName": "OID", "displayFieldName": "", "fieldAliases": {},
        "geometryType": None, "fields": list(_TABLE), "features": rows,
    }  # fmt: skip


def colormap(source: ImageSource) -> dict[str, Any]:
    """Return the colours of the classes; raises ArcgisError where there are none."""
    return {"colormap": [[label.value, *label.rgb] for label in _classes(source)]}


def legend(source: ImageSource) -> dict[str, Any]:
    """Return swatches with labels: one a class, or the ends of the stretch."""
    kind = "Unique Values" if source.classes else "Stretched"
    entries = [(label.name, label.rgb) for label in source.classes] or _ends(source)
    layer = {
        "layerId": 0, "layerName": source.title, "layerType": "Raster Layer", "minScale": 0,
        "maxScale": 0, "legendType": kind,
        "legend": [_swatch(label, rgb, index) for index, (label, rgb) in enumerate(entries)],
    }  # fmt: skip
    return {"layers": [layer]}


def key_properties(source: ImageSource) -> dict[str, Any]:
    """Return what kind of raster it is, and its bands' names."""
    kind = "Thematic" if source.classes else "Generic"
    bands = [{"BandName": name} for name in source.grid.names]
    return {"DataType": kind, "BandProperties": bands}


def statistics(source: ImageSource) -> dict[str, Any]:
    """Return statistics of each band."""
    return {"statistics": [each.json for each in statistics_of(source)]}


def histograms(source: ImageSource) -> dict[str, Any]:
    """Return a histogram of each band."""
    return {"histograms": [each.histogram for each in statistics_of(source)]}


def _classes(source: ImageSource) -> tuple[Any, ...]:
    if not source.classes:
        raise ArcgisError(f"{source.title} has no classes; its values are continuous", code=404)
    return source.classes


def _description(source: ImageSource) -> str:
    """Return the title, and what a band is that is not served."""
    alpha = source.grid.alpha
    said = f" (band {alpha} is no data here: the file marks it as alpha, 0 is transparent)"
    return source.title + (said if alpha else "")


def _data_type(source: ImageSource) -> str:
    if source.classes:
        return "Thematic"
    return "RGB" if source.grid.dtype == "uint8" and len(source.grid.numbers) == 3 else "Generic"


def _number(number: float | None) -> float | str | None:
    """Return a number that JSON can hold; others are words."""
    return number if number is None or math.isfinite(number) else _WORDS[str(number)]


def _nodata_values(grid: Grid) -> list[float | str | None]:
    return [] if grid.nodata is None else [_number(grid.nodata)] * len(grid.numbers)


def _ends(source: ImageSource) -> list[tuple[str, tuple[int, int, int]]]:
    bands = shown_bands(source, ())
    if len(bands) == 3:
        colors = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
        names = ("Red", "Green", "Blue")
        return [
            (f"{name}: {source.grid.names[band]}", color)
            for name, band, color in zip(names, bands, colors, strict=True)
        ]
    low, high = limits_of(source, bands[0])
    steps = ramp("viridis" if source.is_ours else "gray").tolist()
    ends = ((high, 255), ((low + high) / 2, 128), (low, 0))
    return [(f"{value:g}", (r, g, b)) for value, place in ends for r, g, b in [steps[place]]]


def _swatch(label: str, rgb: tuple[int, ...], index: int) -> dict[str, Any]:
    picture = np.full((SWATCH, SWATCH, 4), (*rgb, 255), np.uint8)
    data, media = write_picture(picture, Encoding("png32"))
    text = base64.b64encode(data).decode()
    return {
        "label": label, "url": f"swatch{index}", "imageData": text, "contentType": media,
        "height": SWATCH, "width": SWATCH,
    }  # fmt: skip
