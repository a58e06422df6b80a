"""From values to colours: class colours, a stretch by the whole raster, or a request's own rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from geodl_lab.checks import number_of
from geodl_lab.server.arcgis.esri_geometry import parse_json
from geodl_lab.server.arcgis.image_reads import Pixels
from geodl_lab.server.arcgis.image_sources import ImageSource
from geodl_lab.server.arcgis.image_statistics import Statistics, statistics_of
from geodl_lab.server.arcgis.web import ArcgisError

FUNCTIONS = {
    "None": "The values as they are: classes in their colours, others without a stretch.",
    "Colormap": "Class colours, a named colour ramp, or [[value, red, green, blue], ...].",
    "Stretch": "Values between two limits of the whole raster, or of the request, as brightness.",
}
"""What a renderingRule may name."""

# Every fifteenth colour of matplotlib's map of the same name (CC0), even in brightness.
VIRIDIS = (
    "440154", "481769", "472a7a", "433d84", "3d4e8a", "355e8d",
    "2e6d8e", "297b8e", "23898e", "1f978b", "21a585", "2eb37c",
    "46c06f", "65cb5e", "89d548", "b0dd2f", "d8e219", "fde725",
)  # fmt: skip
RAMPS = {"gray": ("000000", "ffffff"), "viridis": VIRIDIS}
"""Colour ramps by name, from low to high values."""

NO_STRETCH, DEVIATIONS, MINMAX, PERCENT = 0, 3, 5, 6
"""ArcGIS's numbers of the stretch types that are possible."""


@dataclass(frozen=True)
class Rule:
    """How values become colours.

    Parameters
    ----------
    function
        One of `FUNCTIONS`; "" is the raster's own way.
    ramp
        Name of a colour ramp, "" the raster's own.
    colors
        (value, red, green, blue) that a request brought.
    stretch
        Type of the stretch.
    limits
        Per cent cut at the low and the high end, or the number of standard deviations twice.
    between
        Lowest and highest value of each band that a request brought.
    """

    function: str = ""
    ramp: str = ""
    colors: tuple[tuple[int, int, int, int], ...] = ()
    stretch: int = PERCENT
    limits: tuple[float, float] = (2.0, 2.0)
    between: tuple[tuple[float, float], ...] = ()


def parse_rule(text: str) -> Rule:
    """Return a renderingRule; the raster's own way where none is given.

    Raises
    ------
    ArcgisError
        If it names a function that is not possible here, or arguments that it cannot have.
    """
    given = parse_json(text, "renderingRule") if text else {}
    if not isinstance(given, dict):
        raise ArcgisError('renderingRule is no object; give {"rasterFunction": "None"}')
    name = str(given.get("rasterFunction") or given.get("name") or "")
    function = next((known for known in FUNCTIONS if known.lower() == name.lower()), "")
    if name and not function:
        raise ArcgisError(f"renderingRule names {name[:80]!r}; possible are {', '.join(FUNCTIONS)}")
    arguments = given.get("rasterFunctionArguments") or {}
    if not isinstance(arguments, dict):
        raise ArcgisError("rasterFunctionArguments is no object")
    return _PARSERS.get(function, _plain)(function, arguments)


def colors_of(
    source: ImageSource, pixels: Pixels, bands: tuple[int, ...], rule: Rule
) -> np.ndarray:
    """Return uint8 (y, x, red green blue alpha); no data is transparent.

    Parameters
    ----------
    source
        The raster.
    pixels
        Values of one band, or of three.
    bands
        Which bands those are, zero-based.
    rule
        How.
    """
    table = rule.colors or _class_colors(source)
    if table and len(bands) == 1 and rule.function != "Stretch":
        return _by_value(pixels, table)
    scaled = np.stack(
        [
            _bytes(values, *_between(source, band, index, rule))
            for index, (values, band) in enumerate(zip(pixels.values, bands, strict=True))
        ]
    )
    colors = np.dstack([*scaled]) if len(bands) == 3 else ramp(_ramp_of(source, rule))[scaled[0]]
    shown = pixels.shown[..., None]
    return np.concatenate([colors, np.full(shown.shape, 255, np.uint8)], axis=2) * shown


def ramp(name: str) -> np.ndarray:
    """Return the 256 colours of a ramp, uint8 (256, red green blue)."""
    anchors = np.array([list(bytes.fromhex(color)) for color in RAMPS[name]], float)
    places = np.linspace(0, 255, len(anchors))
    channels = [np.interp(np.arange(256), places, anchors[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)


def shown_bands(source: ImageSource, asked: tuple[int, ...]) -> tuple[int, ...]:
    """Return the bands of a picture, one or three: the first of those asked for, or the usual.

    A result of ours that has several bands without being a photo shows its first.
    """
    usual = source.grid.shown[:1] if source.is_ours and source.grid.dtype[0] == "f" else None
    bands = asked or usual or source.grid.shown
    return bands[:3] if len(bands) >= 3 else bands[:1]


def limits_of(source: ImageSource, band: int) -> tuple[float, float]:
    """Return the values that are shown darkest and brightest."""
    return _between(source, band, 0, Rule())


def _class_colors(source: ImageSource) -> tuple[tuple[int, int, int, int], ...]:
    return tuple((label.value, *label.rgb) for label in source.classes)


def _ramp_of(source: ImageSource, rule: Rule) -> str:
    usual = "viridis" if source.is_ours else "gray"
    return rule.ramp or ("gray" if rule.function in ("None", "Stretch") else usual)


def _by_value(pixels: Pixels, table: tuple[tuple[int, int, int, int], ...]) -> np.ndarray:
    """Return colours of a table; a value that it lacks is transparent, as ArcGIS shows it."""
    values = pixels.values[0]
    order = sorted({row[0]: row for row in table}.values())
    known = np.array([row[0] for row in order])
    colors = np.array([[*row[1:], 255] for row in order], np.uint8)
    if values.dtype == np.uint8:  # nearly always: one look instead of a search
        is_byte = (known >= 0) & (known <= 255)
        every = np.zeros((256, 4), np.uint8)
        every[known[is_byte]] = colors[is_byte]
        return every[np.where(pixels.valid[0], values, 0)] * pixels.valid[0][..., None]
    place = np.clip(np.searchsorted(known, values), 0, len(known) - 1)
    shown = pixels.valid[0] & (known[place] == values)
    return np.where(shown[..., None], colors[place], 0).astype(np.uint8)


def _between(source: ImageSource, band: int, index: int, rule: Rule) -> tuple[float, float]:
    """Return the values of a band that become 0 and 255."""
    if rule.between:
        return rule.between[min(index, len(rule.between) - 1)]
    is_byte = source.grid.dtype == "uint8"
    if rule.function == "None" or rule.stretch == NO_STRETCH:
        return 0.0, 255.0
    if rule.function != "Stretch" and is_byte and not source.is_ours:
        return 0.0, 255.0
    return _stretched(statistics_of(source)[band], rule)


def _stretched(seen: Statistics, rule: Rule) -> tuple[float, float]:
    if rule.stretch == MINMAX:
        return seen.smallest, seen.largest
    if rule.stretch == DEVIATIONS:
        away = rule.limits[0] * seen.deviation
        return max(seen.smallest, seen.mean - away), min(seen.largest, seen.mean + away)
    if rule.limits == (2.0, 2.0):
        return seen.low, seen.high
    return seen.clipped(*rule.limits)


def _bytes(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return values as brightness, 0..255; a band of one value is dark."""
    if (low, high) == (0.0, 255.0) and values.dtype == np.uint8:
        return values
    spread = high - low if high > low else 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = (values.astype(np.float64) - low) * (255 / spread)
    return np.rint(np.clip(np.nan_to_num(scaled), 0, 255)).astype(np.uint8)


def _plain(function: str, arguments: Mapping[str, Any]) -> Rule:
    return Rule(function)


def _colormap(function: str, arguments: Mapping[str, Any]) -> Rule:
    name = str(arguments.get("ColormapName") or arguments.get("ColorrampName") or "").lower()
    if name and name not in RAMPS:
        raise ArcgisError(f"there is no colour map {name[:80]!r}; possible are {', '.join(RAMPS)}")
    given = arguments.get("Colormap")
    return Rule(function, ramp=name, colors=_colors(given) if given else ())


def _colors(given: Any) -> tuple[tuple[int, int, int, int], ...]:
    rows = []
    for row in given if isinstance(given, list) else [None]:
        numbers = [number_of(value) for value in row] if isinstance(row, list) else []
        if len(numbers) != 4 or any(n is None for n in numbers):
            raise ArcgisError("Colormap is no list of [value, red, green, blue]")
        value, *rgb = (int(number) for number in numbers if number is not None)
        if not all(0 <= channel <= 255 for channel in rgb) or abs(value) > 2**31:
            raise ArcgisError("Colormap has a colour beyond 0..255")
        rows.append((value, rgb[0], rgb[1], rgb[2]))
    return tuple(rows)


def _stretch(function: str, arguments: Mapping[str, Any]) -> Rule:
    kind = number_of(arguments.get("StretchType", MINMAX))
    if kind not in (NO_STRETCH, DEVIATIONS, MINMAX, PERCENT):
        raise ArcgisError(
            f"StretchType is {arguments.get('StretchType')!r}; possible are 0 (none), "
            "3 (standard deviation), 5 (minimum and maximum), 6 (per cent clip)"
        )
    names = ("NumberOfStandardDeviations",) * 2 if kind == DEVIATIONS else (
        "MinPercent", "MaxPercent",
    )  # fmt: skip
    low, high = (number_of(arguments.get(name, 2)) for name in names)
    if low is None or high is None or not (low >= 0 and high >= 0 and low + high < 100):
        raise ArcgisError(f"{' and '.join(dict.fromkeys(names))} must be numbers of at least 0")
    between = _statistics(arguments.get("Statistics"))
    return Rule(function, stretch=int(kind), limits=(low, high), between=between)


def _statistics(given: Any) -> tuple[tuple[float, float], ...]:
    """Return (min, max) of each band that a rule brings."""
    pairs = []
    for row in given if isinstance(given, list) else []:
        ends = [row.get("min"), row.get("max")] if isinstance(row, dict) else row
        numbers = [number_of(value) for value in ends[:2]] if isinstance(ends, list) else []
        if len(numbers) != 2 or numbers[0] is None or numbers[1] is None:
            raise ArcgisError("Statistics is no list of [min, max, ...], one for each band")
        pairs.append((numbers[0], numbers[1]))
    return tuple(pairs)


_PARSERS = {"Colormap": _colormap, "Stretch": _stretch}
