"""What an exportImage request asks for, as one value."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from geodl_lab.checks import number_of
from geodl_lab.server.arcgis.esri_geometry import parse_json
from geodl_lab.server.arcgis.image_formats import VALUES, Encoding, find_format
from geodl_lab.server.arcgis.image_places import (
    is_flat,
    moved_box,
    parse_box,
    parse_crs,
)
from geodl_lab.server.arcgis.image_rendering import Rule, parse_rule
from geodl_lab.server.arcgis.image_sources import PIXEL_TYPES, ImageSource
from geodl_lab.server.arcgis.image_views import View
from geodl_lab.server.arcgis.web import ArcgisError, Parameters

LARGEST = 4096
"""Largest width and height of an answer, pixels."""

SIZE = (400, 400)
"""Width and height where none are asked for."""

MOST_BYTES = 2**28
"""Largest answer before it is packed."""

TYPES = {name: dtype for dtype, name in PIXEL_TYPES.items()} | dict.fromkeys(
    ("U1", "U2", "U4"), "uint8"
)
INTERPOLATIONS = {
    "RSP_NearestNeighbor": False, "RSP_Majority": False,
    "RSP_BilinearInterpolation": True, "RSP_CubicConvolution": True,
}  # fmt: skip
"""ArcGIS's names, and whether neighbours are mixed; there is one way of mixing here."""


@dataclass(frozen=True)
class PictureRequest:
    """A picture, or values, of a part of a raster.

    Parameters
    ----------
    view
        Where, and how many pixels.
    bands
        Zero-based; empty if none are asked for.
    rule
        How values become colours.
    encoding
        How it is written.
    smooth
        Whether neighbours are mixed.
    dtype
        Pixel type of values; "" is the raster's own.
    nodata
        Values, one for each band or one for all, that count as no data too; empty for none.
    match_all
        Whether a pixel is no data only if all its bands are.
    """

    view: View
    bands: tuple[int, ...]
    rule: Rule
    encoding: Encoding
    smooth: bool
    dtype: str
    nodata: tuple[float, ...]
    match_all: bool

    @property
    def wants_values(self) -> bool:
        """Tell whether values are asked for, not colours."""
        return self.encoding.format in VALUES and self.rule.function in ("", "None")


def parse_picture(given: Parameters, source: ImageSource) -> PictureRequest:
    """Return what a request asks for.

    Raises
    ------
    ArcgisError
        If it is not possible; the message says what is.
    """
    bands = _bands(given.text("bandIds"), source)
    request = PictureRequest(
        view=_view(given, source),
        bands=bands,
        rule=parse_rule(given.text("renderingRule")),
        encoding=_encoding(given),
        smooth=_smooth(given.text("interpolation")),
        dtype=_dtype(given.text("pixelType")),
        nodata=_nodata(given.text("noData"), source, bands),
        match_all=given.text("noDataInterpretation").lower().endswith("all"),
    )
    _check_bytes(request, source)
    return request


def _check_bytes(request: PictureRequest, source: ImageSource) -> None:
    if not request.wants_values:
        return
    bands = len(request.bands) or len(source.grid.numbers)
    size = math.prod(request.view.shape_yx) * bands
    bytes = size * np.dtype(request.dtype or source.grid.dtype).itemsize
    if bytes > MOST_BYTES:
        raise ArcgisError(
            f"that would be {bytes // 2**20} MiB of values and {MOST_BYTES // 2**20} are possible; "
            "ask for fewer bands (bandIds) or a smaller size"
        )


def _view(given: Parameters, source: ImageSource) -> View:
    own = source.grid.crs
    text = given.text("bbox")
    box, named = parse_box(text) if text else (source.box, None)
    box_crs = parse_crs(given.text("bboxSR"), "bboxSR") or named or own
    crs = parse_crs(given.text("imageSR"), "imageSR") or own
    shape_yx = _size(given.text("size"))
    if is_flat(box, shape_yx):
        raise ArcgisError(f"bbox {text!r} has no area; give xmin,ymin,xmax,ymax")
    box = moved_box(box, box_crs, crs)
    if is_flat(box, shape_yx):
        raise ArcgisError(f"bbox {text!r} has no area in imageSR; ask for a larger box")
    return View(box, crs, shape_yx)


def _size(text: str) -> tuple[int, int]:
    """Return height and width in pixels."""
    numbers = [number_of(part) for part in text.split(",")] if text else list(SIZE)
    if len(numbers) == 1:
        numbers *= 2
    whole = [int(n) for n in numbers if n is not None and 1 <= n <= LARGEST]
    if len(numbers) != 2 or len(whole) != 2:
        raise ArcgisError(f"size is {text[:40]!r}; give width,height from 1 to {LARGEST} pixels")
    return whole[1], whole[0]


def _bands(text: str, source: ImageSource) -> tuple[int, ...]:
    if not text:
        return ()
    count = len(source.grid.numbers)
    numbers = [number_of(part) for part in text.strip("[]").split(",")]
    bands = [int(n) for n in numbers if n is not None and n == int(n) and 0 <= n < count]
    if len(bands) != len(numbers) or len(bands) > max(3, count):
        raise ArcgisError(f"bandIds is {text[:80]!r}; possible are 0 to {count - 1}")
    return tuple(bands)


def _encoding(given: Parameters) -> Encoding:
    quality = _number(given, "compressionQuality", 75, 1, 100)
    format = find_format(given.text("format", "jpgpng"))
    return Encoding(
        format=format,
        quality=int(quality),
        tolerance=_number(given, "compressionTolerance", 0, 0, 1e12),
        lerc_version=1 if given.text("lercVersion") == "1" else 2,
        # png32 is asked for because of its alpha; GDAL says transparent=FALSE with it.
        opaque=format != "png32" and not given.flag("transparent", default=True),
    )


def _number(given: Parameters, name: str, default: float, low: float, high: float) -> float:
    number = number_of(given.text(name)) if given.text(name) else default
    if number is None or not low <= number <= high:
        raise ArcgisError(f"{name} is {given.text(name)[:40]!r}; possible are {low} to {high}")
    return number


def _smooth(text: str) -> bool:
    known = {name.lower(): smooth for name, smooth in INTERPOLATIONS.items()}
    name = text.lower() if text.lower().startswith("rsp_") else f"rsp_{text}".lower()
    if text and name not in known:
        raise ArcgisError(
            f"interpolation is {text[:40]!r}; possible are {', '.join(INTERPOLATIONS)}"
        )
    return bool(text) and known[name]


def _dtype(text: str) -> str:
    if text.upper() in ("", "UNKNOWN"):
        return ""
    if text.upper() not in TYPES:
        raise ArcgisError(f"pixelType is {text[:40]!r}; possible are {', '.join(sorted(TYPES))}")
    return TYPES[text.upper()]


def _nodata(text: str, source: ImageSource, bands: tuple[int, ...]) -> tuple[float, ...]:
    """Return noData: a number, numbers with commas or blanks, or JSON of either."""
    if not text:
        return ()
    listed = parse_json(text, "noData") if text.startswith("[") else text.replace(",", " ").split()
    numbers = [number_of(value) for value in listed]
    known = tuple(number for number in numbers if number is not None)
    count = len(bands) or len(source.grid.numbers)
    if len(known) != len(numbers) or len(known) not in (1, count):
        raise ArcgisError(f"noData is {text[:80]!r}; give one number, or one for each band")
    return known
