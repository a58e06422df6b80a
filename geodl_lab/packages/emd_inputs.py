"""What an Esri model definition says of its network's input: bands, pixel type, scaling, cell size.

Bands: `ExtractBands` counts the bands of a raster like those of the training, from 0, or names
them. Scaling, as arcgis.learn runs it: ``((v - band_min) / (band_max - band_min) - scaled_mean) /
scaled_std``, one number a band of that raster, nothing cut; or ImageNet's, of bytes; or a
``DataRange``, which the whole range of the pixel type is brought to.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import rasterio.crs
import rasterio.errors

from geodl_lab.bands import common_name
from geodl_lab.checks import is_number
from geodl_lab.inputs import InputSpec
from geodl_lab.packages.emd_keys import Emd

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DATES = "before_", "after_"
"""What the names of the bands of a change model begin with (`geodl_lab.dates`)."""

MOST_BANDS, MOST_CODES = 10_000, 10_000_000
PIXEL_TYPES = {
    word: dtype
    for dtype, words in {
        "uint8": "u8 u1 uchar 8_bit_unsigned byte",
        "int8": "s8 i1 char 8_bit_signed",
        "uint16": "u16 u2 ushort 16_bit_unsigned",
        "int16": "s16 i2 short 16_bit_signed",
        "uint32": "u32 u4 ulong 32_bit_unsigned",
        "int32": "s32 i4 long 32_bit_signed",
        "float32": "f32 f4 float 32_bit_float",
        "float64": "f64 f8 double 64_bit",
    }.items()
    for word in (dtype, *words.split())
}
"""Pixel types as ArcGIS, numpy and raster functions write them, in lower case."""


def read_inputs(emd: Emd, *, dates: int, from_learn: bool, function: bool) -> InputSpec:
    """Return what the network wants to see.

    Parameters
    ----------
    emd
        The description.
    dates
        Images that the network compares: 1, or 2 for change detection.
    from_learn
        True for packages of arcgis.learn, whose scaling is ImageNet's where they name none.
    function
        True where a Python function of the package runs, which scales by statistics itself; a
        ``DataRange`` is done before it, as ArcGIS does.

    Raises
    ------
    ModelError
        If a key is of a wrong kind, or keys contradict each other.
    """
    places, names = _bands(emd, dates, optional=function)
    count = len(places)
    if function:
        scaling = _ranged(emd, count)
    else:
        scaling = _scaling(emd, places, dates, from_learn=from_learn)
    known = all(names) and len(set(names)) == count
    fixed = tuple(place for place in places if place is not None)
    plain = fixed == tuple(range(count)) and len(_raster_names(emd)) in (0, count)
    keep = dates == 1 and len(fixed) == count and not (known and plain)
    return InputSpec(
        tuple(names) if known else (),
        count,
        positions=fixed if keep else (),
        cell_size=_cell_size(emd),
        **scaling,
    )


def cell_size_range(emd: Emd) -> dict[str, Any]:
    """Return the range of cell sizes of the training as it is written, {} where there is none."""
    found = {key: emd.get(key) for key in ("MinCellSize", "MaxCellSize")}
    return {key: value for key, value in found.items() if value is not None}


def pixel_type(emd: Emd) -> str | None:
    """Return the pixel type of the training raster as numpy names it, None where none is named."""
    props = emd.section("InputRastersProps")
    word = props.word("PixelType")
    if word is None:
        return None
    if word.lower() not in PIXEL_TYPES:
        raise props.wrong("PixelType", f"one of {', '.join(sorted(PIXEL_TYPES))}")
    return PIXEL_TYPES[word.lower()]


def _bands(emd: Emd, dates: int, *, optional: bool) -> tuple[list[int | None], list[str]]:
    """Return the position and the name of each channel's band; None and "" where unknown."""
    items = emd.items("ExtractBands")
    if items is None and not optional:
        emd.required("ExtractBands", "the bands that the network takes, counted from 0")
    items = [0, 1, 2] if items is None else items
    if not items:
        raise emd.wrong("ExtractBands", "at least one band")
    raster = _raster_names(emd)
    if dates == 2 and len(items) % 2 == 0 and not _one_image(emd, items, raster):
        items = items[: len(items) // 2]  # arcgis.learn lists the bands of both images
    channels = [_channel(emd, item, raster) for item in items]
    places, names = [place for place, _ in channels], [name for _, name in channels]
    named = [common_name(str(name)) for name in emd.items("WellKnownBandNames") or []]
    if not all(names) and len(named) == len(items):
        swapped = sorted(p for p in places if p is not None) == list(range(len(items)))
        names = [named[place or 0] for place in places] if swapped else named
    if dates == 1:
        return places, names
    if len(named) == 2 * len(items) and all(n.startswith(DATES) for n in named):
        return places * 2, named
    return places * 2, [date + name if name else "" for date in DATES for name in names]


def _one_image(emd: Emd, items: Sequence[Any], raster: Sequence[str]) -> bool:
    """Tell whether names say that the bands of change detection are those of one of its images."""
    known = [common_name(str(name)) for name in emd.items("WellKnownBandNames") or []]
    listed = [common_name(item) for item in items if isinstance(item, str)]
    return any(
        len(names) == len(items) == len(set(names)) and not names[0].startswith(DATES)
        for names in (known, listed, raster)
    )


def _channel(emd: Emd, item: Any, raster: Sequence[str]) -> tuple[int | None, str]:
    if isinstance(item, str) and not item.strip().isdigit():
        name = common_name(item)
        if not name:
            raise emd.wrong("ExtractBands", "a list of names or of numbers from 0")
        return (raster.index(name) if name in raster else None), name
    place = int(item) if isinstance(item, str) or (is_number(item) and item == int(item)) else -1
    if not 0 <= place < MOST_BANDS:
        raise emd.wrong("ExtractBands", "a list of names or of numbers from 0")
    return place, raster[place] if place < len(raster) else ""


def _raster_names(emd: Emd) -> list[str]:
    """Return the common names of the training raster's bands, () where they are not said."""
    stats = emd.sections("AllTilesStats") or []
    for names in (
        emd.items("Bands"),
        emd.section("InputRastersProps").items("BandNames"),
        [part.word("BandName") or "" for part in stats],
    ):
        common = [common_name(str(name)) for name in names or []]
        if any(common):
            return common
    return []


def _scaling(
    emd: Emd, places: Sequence[int | None], dates: int, *, from_learn: bool
) -> dict[str, Any]:
    """Return dtype, scale, mean and std of `InputSpec`."""
    stats, multispectral = emd.get("NormalizationStats"), bool(emd.flag("IsMultispectral"))
    if stats is not None:
        return _from_stats(emd, places, dates)
    if multispectral:
        emd.required(
            "NormalizationStats", "with IsMultispectral, each band's minimum, maximum and scaling"
        )
    said = [emd.flag("IsImageNetNormalization"), emd.flag("ImageNetNormalization")]
    plain = emd.get("DataRange") is None and False not in said
    if any(said) or (from_learn and plain):
        return _imagenet(emd, len(places))
    return _ranged(emd, len(places))


def _from_stats(emd: Emd, places: Sequence[int | None], dates: int) -> dict[str, Any]:
    one = len(places) // dates
    keys = ["NormalizationStats"]
    if dates == 2:
        second = emd.get("NormalizationStats_b") is not None
        keys.append("NormalizationStats_b" if second else "NormalizationStats")
    low, high, mean, std = np.hstack([_stats(emd, key, places[:one]) for key in keys])
    span = high - low
    if not (span > 0).all() or not (std > 0).all():
        raise emd.wrong(keys[0], "band_max above band_min and scaled_std above 0 in every band")
    return {
        "dtype": pixel_type(emd),
        "mean": tuple(map(float, low + mean * span)),
        "std": tuple(map(float, std * span)),
    }


def _stats(emd: Emd, key: str, places: Sequence[int | None]) -> np.ndarray:
    """Return band_min, band_max, scaled_mean and scaled_std of each channel, shape (4, channel)."""
    stats, normalised = emd.section(key), emd.flag("DoNormalize") is not False
    rows = []
    for name in ("band_min_values", "band_max_values"):
        stats.required(name, "one number a band, which 0 and 1 stand for")
        rows.append(_picked(stats, name, places))
    for name, default in (("scaled_mean_values", 0.0), ("scaled_std_values", 1.0)):
        given = normalised and stats.get(name) is not None
        rows.append(_picked(stats, name, places) if given else [default] * len(places))
    return np.array(rows, dtype=np.float64)


def _picked(stats: Emd, name: str, places: Sequence[int | None]) -> list[float]:
    """Return the numbers of the channels, of a list over the training raster's bands or theirs."""
    numbers = stats.numbers(name) or ()
    if all(place is not None and place < len(numbers) for place in places):
        return [numbers[place] for place in places if place is not None]
    if len(numbers) != len(places):
        raise stats.wrong(name, f"one number for each of the {len(places)} bands")
    return list(numbers)


def _imagenet(emd: Emd, count: int) -> dict[str, Any]:
    if count % 3:
        raise emd.wrong("ExtractBands", "ImageNet's scaling is of red, green and blue: 3 bands")
    mean, std = IMAGENET_MEAN * (count // 3), IMAGENET_STD * (count // 3)
    return {"dtype": "uint8", "scale": 1 / 255, "mean": mean, "std": std}


def _ranged(emd: Emd, count: int) -> dict[str, Any]:
    """Return what brings the range of the pixel type to the ``DataRange``, if there is one."""
    bounds = emd.numbers("DataRange")
    if bounds is None:
        return {"dtype": pixel_type(emd)}
    if len(bounds) != 2 or bounds[0] >= bounds[1]:
        raise emd.wrong("DataRange", "[least, greatest]")
    dtype = pixel_type(emd) or _stored_type(emd)
    if np.dtype(dtype).kind == "f":
        return {"dtype": dtype}  # floats have no range of their own: they lie in it already
    info, (low, high) = np.iinfo(dtype), bounds
    scale = (high - low) / (info.max - info.min)
    shift = info.min * scale - low
    return {"dtype": dtype, "scale": scale, "mean": (shift,) * count if shift else None}


def _stored_type(emd: Emd) -> str:
    """Return the smallest whole pixel type that holds the training's statistics."""
    parts = emd.sections("AllTilesStats") or []
    low = min((part.number("Min") or 0.0 for part in parts), default=0.0)
    high = max((part.number("Max") or 0.0 for part in parts), default=0.0)
    for dtype in ("uint8", "int16" if low < 0 else "uint16"):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return dtype
    raise emd.wrong("DataRange", "the pixel type that it is for, in InputRastersProps.PixelType,")


def _cell_size(emd: Emd) -> float | None:
    """Return the cell size in metres that the model was trained at, None where that is unknown."""
    own = emd.number("CellSize")
    sides = [_metres(emd.section(key), emd) for key in cell_size_range(emd)]
    known = [side for side in sides if side is not None]
    if own is None and known:
        return known[0] if len(set(known)) == 1 else math.sqrt(known[0] * known[-1])
    if own is not None and own <= 0:
        raise emd.wrong("CellSize", "a size in metres, above 0,")
    return own


def _metres(size: Emd, emd: Emd) -> float | None:
    """Return the side of a cell in metres, None where its reference system is not in metres."""
    x, y = size.number("x"), size.number("y")
    side = x if y is None or x == y or x is None else math.sqrt(abs(x * y))
    unit = _unit(size.section("spatialReference"))
    if side is None or side <= 0 or unit is None:
        return None
    return side * unit


def _unit(reference: Emd) -> float | None:
    """Return the metres of a reference system's unit, None for degrees and unknown systems."""
    code, wkt = reference.whole("latestWkid") or reference.whole("wkid"), reference.word("wkt")
    for read, value in (
        (rasterio.crs.CRS.from_epsg, code),
        (functools.partial(rasterio.crs.CRS.from_authority, "ESRI"), code),
        (rasterio.crs.CRS.from_wkt, wkt),
    ):
        if value is None or (value == code and not 0 < value < MOST_CODES):
            continue
        with contextlib.suppress(rasterio.errors.RasterioError):  # unknown to this authority
            crs = read(value)
            return float(crs.linear_units_factor[1]) if crs.is_projected else None
    return None
