"""Pictures of what a model says of a photo: boxes with labels, class overlays, heat maps."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from geodl_lab.photo_answers import PhotoAnswer, Region, Scored

COLORMAP = "inferno"
"""Perceptual: equal steps of probability look equally far apart, also in grey print."""

OVERLAY, MASK = 0.45, 90
"""How strongly classes cover the photo, 0..1; and masks of objects, 0..255."""

SMALLEST_TEXT = 11
"""Pixels; smaller letters can hardly be read."""

LEAST_TEXT = 7
"""Pixels, in photos so small that larger letters would hide them."""

LEGEND_SHARE = 0.5
"""Of the photo; a larger legend is left out, but for a single line."""

CELL = 4
"""Pixels of a side of the squares by which names keep out of each other's way."""

_Box = tuple[float, float, float, float]
_Rgb = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Style:
    """Sizes that suit a photo.

    Parameters
    ----------
    line, text, pad
        Width of lines, height of letters, room round words; pixels.
    """

    line: int
    text: int
    pad: int

    @staticmethod
    def of(size: tuple[int, int], region: Region | None = None) -> Style:
        """Return the style for a photo of width and height, and for an object in it; pixels."""
        side = float(min(size))
        smallest = min(SMALLEST_TEXT, max(LEAST_TEXT, round(side / 8)))
        if region is not None:  # in a large photo a small object is not hidden by its name
            side = min(side, 8 * min(region.x1 - region.x0, region.y1 - region.y0))
        text = min(64, max(smallest, round(side / 32)))
        return Style(line=min(8, max(1, round(side / 250))), text=text, pad=max(1, text // 5))

    @property
    def font(self) -> ImageFont.FreeTypeFont:
        """Letters of that height."""
        return _font(self.text)


def annotate(
    photo: np.ndarray, answer: PhotoAnswer, *, colors: Mapping[str, str] = {}
) -> Image.Image:
    """Draw what a model says over a photo.

    Classes cover it in their legend's colours, objects get boxes (or outlines) with labels, labels
    of the whole photo stand in its corner. Labels that would cover a better one are left out.

    Parameters
    ----------
    photo
        (y, x, 3) uint8, red, green and blue.
    answer
        What the model says of it.
    colors
        ``#rrggbb`` by label, instead of the legend's.

    Returns
    -------
    PIL.Image.Image
        RGB, of the same size.
    """
    image = Image.fromarray(np.ascontiguousarray(photo))
    palette = _Palette(answer, colors)
    if answer.classes is not None:
        image = _covered(image, answer, palette)
    elif answer.scores is not None:
        image = Image.blend(image, heat_map(answer).convert("RGB"), OVERLAY)
    else:
        image = image.copy()
    _draw_regions(image, answer.regions, palette)
    rows = _rows(answer, palette)
    # Of a legend nothing may be missing; of labels the best says most.
    shown = [rows, rows[:1]] if answer.labels else [rows]
    for some in shown:
        if not some or _draw_rows(image, some):
            break
    return image


def heat_map(answer: PhotoAnswer, *, colormap: str = COLORMAP) -> Image.Image:
    """Return the probabilities of an answer as colours, without the photo.

    Of pixels where there are any; else of objects, the best over each pixel; else of the best
    label of the whole photo.

    Parameters
    ----------
    answer
        What a model says of a photo.
    colormap
        One of matplotlib's.

    Returns
    -------
    PIL.Image.Image
        Of mode P: index 255 is the probability 1.
    """
    height, width = answer.shape_yx
    if answer.scores is not None:
        scores = np.nan_to_num(answer.scores).clip(0, 1)
        image = Image.fromarray((scores * 255).round().astype(np.uint8))
    elif answer.regions or not answer.labels:
        image = Image.new("L", (width, height))
        draw = ImageDraw.Draw(image)
        for region in sorted(answer.regions, key=_score):
            _fill(draw, region, round(255 * _score(region)))
    else:
        image = Image.new("L", (width, height), round(255 * answer.labels[0].score))
    image.putpalette(_lookup(colormap).tobytes())
    return image


def to_png(image: Image.Image) -> bytes:
    """Return a picture as PNG, at the level that is quickest for what it saves."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


class _Palette:
    """Colours of labels: those asked for, else the legend's."""

    def __init__(self, answer: PhotoAnswer, colors: Mapping[str, str]) -> None:
        self._of_label = {one.name: one.rgb for one in answer.legend}
        self._of_label |= {label: _rgb(color) for label, color in colors.items()}
        self._legend = answer.legend

    def __call__(self, label: str) -> _Rgb:
        return self._of_label.get(label, (0, 158, 115))

    def table(self) -> bytes:
        """Return the colours of all class values as a palette of Pillow."""
        table = np.zeros((256, 3), np.uint8)
        for one in self._legend:
            table[one.value] = self(one.name)
        return table.tobytes()


def _covered(image: Image.Image, answer: PhotoAnswer, palette: _Palette) -> Image.Image:
    """Lay the classes over a photo, but where there are none."""
    assert answer.classes is not None
    fill = 255 if answer.fill is None else answer.fill
    classes = Image.fromarray(answer.classes.astype(np.uint8))
    known = Image.fromarray((answer.classes != fill).astype(np.uint8) * 255)
    classes.putpalette(palette.table())
    return Image.composite(Image.blend(image, classes.convert("RGB"), OVERLAY), image, known)


def _draw_regions(image: Image.Image, regions: tuple[Region, ...], palette: _Palette) -> None:
    """Draw the boxes from the worst to the best, then labels as long as there is room."""
    draw = ImageDraw.Draw(image, "RGBA")
    for region in reversed(regions):
        _draw_outline(draw, region, palette(_label(region)), Style.of(image.size, region))
    taken = np.zeros((image.height // CELL + 1, image.width // CELL + 1), bool)
    for region in regions:
        if not region.labels:
            continue
        words, style = _words(region.labels[0]), Style.of(image.size, region)
        places = _places(region, draw.textbbox((0, 0), words, style.font), style, image.size)
        if box := next((one for one in places if _take(taken, one)), None):
            _draw_tag(draw, box, words, palette(_label(region)), style)


def _take(taken: np.ndarray, box: _Box) -> bool:
    """Mark the cells (y, x) of a box as taken; False, and nothing is, if one already was."""
    x0, y0, x1, y1 = (int(edge) // CELL for edge in box)
    cells = taken[y0 : y1 + 1, x0 : x1 + 1]
    if cells.any():
        return False
    cells[:] = True
    return True


def _draw_outline(draw: ImageDraw.ImageDraw, region: Region, color: _Rgb, style: Style) -> None:
    """Draw a box or an outline with a dark rim, so that it is seen on any ground."""
    rim = (0, 0, 0, 110)
    if region.outline:
        corners = [*region.outline, region.outline[0]]
        if region.area is not None:
            draw.polygon(region.outline, fill=(*color, MASK))
        draw.line(corners, fill=rim, width=style.line + 2, joint="curve")
        draw.line(corners, fill=color, width=style.line, joint="curve")
        return
    box = (region.x0, region.y0, max(region.x0, region.x1 - 1), max(region.y0, region.y1 - 1))
    outer = (box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1)
    draw.rectangle(outer, outline=rim, width=style.line + 2)
    draw.rectangle(box, outline=color, width=style.line)


def _places(region: Region, text: _Box, style: Style, size: tuple[int, int]) -> Iterator[_Box]:
    """Yield where a label may stand: above its box, below, inside at the top; in the photo."""
    width, height = text[2] + 2 * style.pad, style.text + 2 * style.pad
    if width > size[0] or height > size[1]:
        return
    x = min(max(region.x0, 0), size[0] - width)
    inside = min(max(region.y0, 0), size[1] - height)
    for y in (region.y0 - height, region.y1, inside):
        if 0 <= y <= size[1] - height:
            yield (x, y, x + width, y + height)


def _draw_tag(draw: ImageDraw.ImageDraw, box: _Box, words: str, color: _Rgb, style: Style) -> None:
    draw.rectangle(box, fill=(*color, 235))
    middle = (box[0] + style.pad, (box[1] + box[3]) / 2)
    draw.text(middle, words, fill=_ink(color), font=style.font, anchor="lm")


def _rows(answer: PhotoAnswer, palette: _Palette) -> list[tuple[str, _Rgb]]:
    """Return what stands in the corner: labels of the whole photo, or the classes that are seen."""
    if answer.labels:
        chosen = [one for one in answer.labels if one.predicted] or list(answer.labels[:1])
        return [(_words(one), palette(one.label)) for one in chosen]
    if answer.classes is None:
        return []
    seen = set(np.unique(answer.classes).tolist())
    return [(one.name, palette(one.name)) for one in answer.legend if one.value in seen]


def _draw_rows(image: Image.Image, rows: list[tuple[str, _Rgb]]) -> bool:
    """Draw words with a field of colour each into the corner; False if they do not fit."""
    draw, style = ImageDraw.Draw(image, "RGBA"), Style.of(image.size)
    for text in range(style.text, LEAST_TEXT - 1, -1):
        style = Style(style.line, text, max(1, text // 5))
        width, height = _extent(draw, rows, style)
        share = width * height / (image.width * image.height)
        most = 1 if len(rows) == 1 else LEGEND_SHARE
        if width <= image.width and height <= image.height and share <= most:
            _draw_fields(draw, rows, style)
            return True
    return False


def _extent(
    draw: ImageDraw.ImageDraw, rows: list[tuple[str, _Rgb]], style: Style
) -> tuple[float, float]:
    """Return width and height of rows in pixels."""
    step = style.text + 2 * style.pad
    widest = max(draw.textlength(words, style.font) for words, _ in rows)
    return widest + step + 4 * style.pad, step * len(rows) + 2 * style.pad


def _draw_fields(draw: ImageDraw.ImageDraw, rows: list[tuple[str, _Rgb]], style: Style) -> None:
    draw.rectangle((0, 0, *_extent(draw, rows, style)), fill=(20, 20, 20, 190))
    step = style.text + 2 * style.pad
    for index, (words, color) in enumerate(rows):
        y = style.pad + index * step
        field = (2 * style.pad, y + style.pad, step, y + step - style.pad)
        draw.rectangle(field, fill=color, outline=(255, 255, 255, 160))
        place = (step + 2 * style.pad, y + step / 2)
        draw.text(place, words, fill="white", font=style.font, anchor="lm")


def _fill(draw: ImageDraw.ImageDraw, region: Region, value: int) -> None:
    if region.outline:
        draw.polygon(region.outline, fill=value)
    else:
        box = (round(region.x0), round(region.y0), round(region.x1) - 1, round(region.y1) - 1)
        if box[2] >= box[0] and box[3] >= box[1]:
            draw.rectangle(box, fill=value)


def _words(label: Scored) -> str:
    return f"{label.label} {label.score:.0%}"


def _label(region: Region) -> str:
    return region.labels[0].label if region.labels else ""


def _score(region: Region) -> float:
    return region.labels[0].score if region.labels else 0.0


def _rgb(color: str) -> _Rgb:
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue


def _ink(color: _Rgb) -> str:
    """Return black or white, whichever is read better on a colour (ITU-R BT.601 luma)."""
    return "black" if 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 140 else "white"


@functools.lru_cache(maxsize=64)  # all sizes that there are
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which comes with matplotlib and has most alphabets."""
    import matplotlib  # noqa: PLC0415  slow, and only for pictures

    file = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    return ImageFont.truetype(str(file), size)


@functools.lru_cache(maxsize=4)
def _lookup(name: str) -> np.ndarray:
    """Return the colours (256, 3), uint8, of a colour map."""
    from matplotlib import colormaps  # noqa: PLC0415  slow, and only for pictures

    steps = np.linspace(0, 1, 256)
    table: np.ndarray = (colormaps[name](steps)[:, :3] * 255).round().astype(np.uint8)
    return table
