"""A picture of what is in view, made in Python from the tiles of the same painter.

It is no screenshot: the tiles are asked for as a page would, objects are drawn on them, and the
legends stand beside it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence

import numpy as np
import shapely
from PIL import Image, ImageDraw, ImageFont

from geodl_lab.maps.feed import Feed
from geodl_lab.maps.layers import Layer, ObjectLayer, RasterLayer
from geodl_lab.maps.places import TILE, Place
from geodl_lab.maps.shapes import PLAIN, map_geometries
from geodl_lab.maps.tiles import TileId
from geodl_lab.styles import Bar

GROUND = "#e9ecef"
INK = "#1b1f24"
MARGIN = 12
LEGEND_WIDTH = 220
PAINT_S = 120.0
"""Longest wait for the tiles of a picture."""


def compose(place: Place, layers: Sequence[Layer], feed: Feed) -> Image.Image:
    """Return what is in view with legends at its right side.

    Parameters
    ----------
    place
        What is in view.
    layers
        From the lowest to the uppermost; those that are not visible are left out.
    feed
        Has their tiles.

    Raises
    ------
    CancelledError
        If the tiles do not come in two minutes.
    """
    shown = [layer for layer in layers if layer.visible and layer.opacity > 0]
    picture = Image.new("RGBA", place.size, GROUND)
    for layer in shown:
        if isinstance(layer, RasterLayer):
            picture.alpha_composite(_faded(tiled(place, layer, feed), layer.opacity))
    for layer in shown:
        if isinstance(layer, ObjectLayer):
            picture.alpha_composite(_faded(drawn(place, layer), layer.opacity))
    return with_legends(picture, shown).convert("RGB")


def tiled(place: Place, layer: RasterLayer, feed: Feed) -> Image.Image:
    """Return the part of a raster that is in view, RGBA."""
    whole = round(place.zoom)
    scale = 2 ** (place.zoom - whole)  # 1, but for maps with zoom levels between whole ones
    left, top = (side / scale for side in place.corner)
    width, height = (math.ceil(side / scale) for side in place.size)
    image = Image.new("RGBA", (width, height))
    tiles = list(_tiles(layer.id, whole, left, top, width, height))
    for tile, picture in feed.pictures(place, tiles, limit_s=PAINT_S).items():
        if picture.png:
            part = Image.open(io.BytesIO(picture.png)).convert("RGBA")
            image.paste(part, (round(tile.x * TILE - left), round(tile.y * TILE - top)))
    return image if image.size == place.size else image.resize(place.size, Image.Resampling.NEAREST)


def _tiles(
    view: str, zoom: int, left: float, top: float, width: int, height: int
) -> Iterator[TileId]:
    for y in range(math.floor(top / TILE), math.ceil((top + height) / TILE)):
        for x in range(math.floor(left / TILE), math.ceil((left + width) / TILE)):
            yield TileId(view, zoom, x, y)


def drawn(place: Place, layer: ObjectLayer) -> Image.Image:
    """Return objects as outlines on nothing, RGBA."""
    image = Image.new("RGBA", place.size)
    pen = ImageDraw.Draw(image)
    labels = layer.frame.get("label", [""] * len(layer.frame))
    for shape, label in zip(map_geometries(layer.frame, up=layer.up), labels, strict=True):
        color = layer.colors.get(str(label), PLAIN)
        for part in shapely.get_parts(shape):
            _draw_part(pen, place.on_screen(shapely.get_coordinates(part)), part, color)
    return image


def _draw_part(
    pen: ImageDraw.ImageDraw, points: np.ndarray, part: shapely.Geometry, color: str
) -> None:
    if part.geom_type == "Point":
        x, y = points[0].tolist()
        pen.ellipse((x - 5, y - 5, x + 5, y + 5), outline=color, width=2)
        return
    rings = [part] if part.geom_type != "Polygon" else [part.exterior, *part.interiors]
    counts = np.cumsum([shapely.get_num_coordinates(ring) for ring in rings])[:-1]
    for ring in np.split(points, counts):
        pen.line([tuple(point) for point in ring.tolist()], fill=color, width=2)


def with_legends(picture: Image.Image, layers: Sequence[Layer]) -> Image.Image:
    """Return the picture with the names and legends of its layers at the right."""
    said = [layer for layer in reversed(layers) if isinstance(layer, RasterLayer | ObjectLayer)]
    if not said:
        return picture
    strip = Image.new("RGBA", (LEGEND_WIDTH, 20000), "white")
    pen, y = ImageDraw.Draw(strip), MARGIN
    for layer in said:
        y = _draw_legend(pen, y, layer)
    height = max(picture.height, y + MARGIN)
    whole = Image.new("RGBA", (picture.width + LEGEND_WIDTH, height), "white")
    whole.paste(picture, (0, 0))
    whole.paste(strip.crop((0, 0, LEGEND_WIDTH, height)), (picture.width, 0))
    return whole


def _draw_legend(pen: ImageDraw.ImageDraw, y: int, layer: RasterLayer | ObjectLayer) -> int:
    """Draw one layer's name and legend; return where the next begins."""
    plain, title = ImageFont.load_default(13), ImageFont.load_default(15)
    pen.text((MARGIN, y), layer.name[:28], fill=INK, font=title)
    y += 24
    legend = layer.legend
    if isinstance(legend, Bar):
        width = LEGEND_WIDTH - 2 * MARGIN
        step = width / len(legend.colors)
        for at, color in enumerate(legend.colors):
            x = MARGIN + at * step
            pen.rectangle((x, y, x + step, y + 12), fill=color)
        pen.text((MARGIN, y + 16), f"{legend.low:.4g}", fill=INK, font=plain)
        right = MARGIN + width
        pen.text((right, y + 16), f"{legend.high:.4g}", fill=INK, font=plain, anchor="ra")
        pen.text((MARGIN, y + 34), legend.label[:32], fill=INK, font=plain)
        return y + 60
    for swatch in legend or ():
        box = (MARGIN, y, MARGIN + 14, y + 14)
        pen.rectangle(box, fill=swatch.color, outline="#57606a")
        pen.text((MARGIN + 22, y - 1), swatch.name[:26], fill=INK, font=plain)
        y += 20
    return y + 8


def _faded(image: Image.Image, opacity: float) -> Image.Image:
    if opacity < 1:
        image.putalpha(image.getchannel("A").point(lambda alpha: round(alpha * opacity)))
    return image


def as_png(image: Image.Image) -> bytes:
    """Return a picture as PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
