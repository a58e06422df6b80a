"""How pixels become colours, and what a legend says of them; knows no map and no plot."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import xarray as xr
from matplotlib import colormaps

from geodl_lab.errors import ModelError, OptionError
from geodl_lab.grid import Window
from geodl_lab.outputs import classes_of
from geodl_lab.package import LabelClass
from geodl_lab.raster import Raster, as_raster

STRETCH = (2, 98)
"""Percentiles of the whole raster that become the ends of a stretch."""

SAMPLE = 2**20
"""Pixels of a band that a stretch looks at; of a larger raster, spread over all of it."""

PATCHES = 6
"""Places down and across where a raster that is not in memory is looked at for its stretch."""

QUALITATIVE = (
    "#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2", "#edc948", "#b07aa1", "#ff9da7",
    "#9c755f", "#bab0ac",
)  # fmt: skip
"""Colours of classes whose raster says none (Tableau 10)."""

OBJECTS = (
    "#ffe600", "#00d5ff", "#ff4fc8", "#6cff3d", "#ff8a00", "#b58cff", "#ff5252", "#ffffff",
)  # fmt: skip
"""Colours of labels of objects: bright, as they are lines on pictures of the ground."""


@dataclass(frozen=True)
class Swatch:
    """One line of a legend of classes.

    Parameters
    ----------
    name
        As people read it.
    color
        ``#rrggbb``.
    value
        Class value.
    """

    name: str
    color: str
    value: int


@dataclass(frozen=True)
class Bar:
    """A colour bar.

    Parameters
    ----------
    low, high
        Values at its ends.
    colors
        ``#rrggbb`` from low to high, evenly spaced.
    label
        Quantity and unit.
    """

    low: float
    high: float
    colors: tuple[str, ...]
    label: str


class Style(Protocol):
    """How stored values become colours."""

    @property
    def legend(self) -> tuple[Swatch, ...] | Bar | None:
        """What is said beside the picture; None of a true-colour image."""
        ...

    def rgba(self, values: np.ndarray) -> np.ndarray:
        """Return colours (y, x, 4), uint8, of values (channel, y, x); no data is transparent."""
        ...


@dataclass(frozen=True)
class TrueColor:
    """Three bands as red, green and blue, each stretched.

    Parameters
    ----------
    low, high
        Stored values of red, green and blue that become black and full.
    bands
        Channels shown as red, green and blue, from 0.
    nodata
        The stored value that means no data where all channels have it, or None.
    """

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    bands: tuple[int, int, int] = (0, 1, 2)
    nodata: float | None = None

    @property
    def legend(self) -> None:
        """None: an image needs no key."""
        return None

    def rgba(self, values: np.ndarray) -> np.ndarray:
        """Return colours (y, x, 4), uint8, of values (channel, y, x); no data is transparent."""
        colors = np.empty((*values.shape[1:], 4), np.uint8)
        for place, band in enumerate(self.bands):
            share = _stretched(values[band], self.low[place], self.high[place])
            colors[..., place] = np.rint(share * 255)
        colors[..., 3] = 255 * shown_pixels(values, self.bands, self.nodata)
        return colors


@dataclass(frozen=True)
class Classes:
    """Class values in their colours; any other value is transparent.

    Parameters
    ----------
    classes
        In the order of the legend.
    """

    classes: tuple[LabelClass, ...]

    @property
    def legend(self) -> tuple[Swatch, ...]:
        """One line a class."""
        return tuple(Swatch(label.name, label.color, label.value) for label in self.classes)

    def rgba(self, values: np.ndarray) -> np.ndarray:
        """Return colours (y, x, 4), uint8, of class values (1, y, x); the rest is transparent."""
        first = values[0]
        ordered = sorted(self.classes, key=lambda label: label.value)
        known = np.array([label.value for label in ordered])
        colors = np.array([(*label.rgb, 255) for label in ordered] + [(0, 0, 0, 0)], np.uint8)
        places = np.arange(256) if first.dtype == np.uint8 else first  # of bytes a table is enough
        found = np.searchsorted(known, places).clip(max=len(known) - 1)
        table = colors[np.where(known[found] == places, found, len(known))]
        return table[first] if first.dtype == np.uint8 else table


@dataclass(frozen=True)
class Unstretched:
    """Nothing is shown before it is known which values become which colours."""

    @property
    def legend(self) -> None:
        """None: there is nothing to say yet."""
        return None

    def rgba(self, values: np.ndarray) -> np.ndarray:
        """Return transparent colours (y, x, 4), uint8, of values (channel, y, x)."""
        return np.zeros((*values.shape[1:], 4), np.uint8)


@dataclass(frozen=True)
class Ramp:
    """One channel on a colour map.

    Parameters
    ----------
    low, high
        Stored values at the ends; what lies beyond has the colour of the end.
    label
        Quantity and unit, for the colour bar.
    colormap
        Name of a perceptually uniform map of matplotlib.
    band
        The channel, from 0.
    nodata
        The stored value that means no data where all channels have it, or None.
    """

    low: float
    high: float
    label: str = ""
    colormap: str = "viridis"
    band: int = 0
    nodata: float | None = None

    @property
    def legend(self) -> Bar:
        """The colour bar."""
        picked = _colors(self.colormap)[np.linspace(0, 255, 11).astype(int)]
        colors = tuple("#{:02x}{:02x}{:02x}".format(*color[:3]) for color in picked)
        return Bar(self.low, self.high, colors, self.label)

    def rgba(self, values: np.ndarray) -> np.ndarray:
        """Return colours (y, x, 4), uint8, of values (channel, y, x); no data is transparent."""
        share = _stretched(values[self.band], self.low, self.high)
        colors: np.ndarray = _colors(self.colormap)[np.rint(share * 255).astype(np.uint8)]
        colors[..., 3] = 255 * shown_pixels(values, (self.band,), self.nodata)
        return colors


def style_of(
    data: xr.DataArray | xr.Dataset,
    *,
    bands: Sequence[int] | None = None,
    stretch: tuple[float, float] | None = None,
    samples: Iterable[np.ndarray] | None = None,
) -> TrueColor | Classes | Ramp:
    """Choose how a raster is shown.

    Classes have their colours, an image its first three bands, a single band shades of gray, and
    a result such as probabilities or entropy a colour map.

    Parameters
    ----------
    data
        Raster (band, y, x) or (y, x), or a Dataset of bands.
    bands
        Bands (from 1) shown as red, green and blue, or the one that is shown.
    stretch
        Stored values that become the darkest and the brightest; None takes percentiles 2 and 98
        of each band over the whole raster (of a photo in bytes 0 and 255, of a result its range).
    samples
        Stored values (channel, y, x) that are looked at for percentiles; None reads a sample of
        the whole raster.

    Raises
    ------
    OptionError
        If the bands are not in the raster, or the stretch has no length.
    RasterError
        If ``data`` is no raster.
    """
    raster = as_raster(data)
    classes = () if bands else known_classes(raster)
    if classes:
        return Classes(classes)
    chosen = _chosen(raster, bands)
    ends = _known_ends(raster, chosen, stretch) or percentiles(raster, chosen, samples=samples)
    if len(chosen) == 3:
        low, high = zip(*ends, strict=True)
        return TrueColor(low, high, (chosen[0], chosen[1], chosen[2]), raster.nodata)
    colormap = "viridis" if is_result(raster) else "gray"
    label = _label(raster, chosen[0])
    return Ramp(*ends[0], label, colormap, chosen[0], raster.nodata)


def looks_at_values(
    data: xr.DataArray | xr.Dataset,
    *,
    bands: Sequence[int] | None = None,
    stretch: tuple[float, float] | None = None,
) -> bool:
    """Tell whether `style_of` has to look at pixels; parameters and errors are the same."""
    raster = as_raster(data)
    if not bands and known_classes(raster):
        return False
    return _known_ends(raster, _chosen(raster, bands), stretch) is None


def known_classes(raster: Raster) -> tuple[LabelClass, ...]:
    """Return the classes of a class raster; empty of any other, also where flags are no classes."""
    if len(raster.array) > 1 or "flag_masks" in raster.array.attrs:  # masks: bits, no classes
        return ()
    attrs = dict(raster.array.attrs)
    if not attrs.get("flag_colors"):
        count = np.atleast_1d(attrs.get("flag_values", ())).size
        attrs["flag_colors"] = " ".join(itertools.islice(itertools.cycle(QUALITATIVE), count))
    try:
        return classes_of(attrs)
    except (ModelError, ValueError, TypeError):  # codes of others
        return ()


def is_result(raster: Raster) -> bool:
    """Tell whether a raster holds what a model answered, other than classes."""
    return "geodl_model" in raster.array.attrs and raster.array.dtype.kind == "f"


def label_colors(labels: Iterable[str], *, taken: Iterable[str] = ()) -> dict[str, str]:
    """Return the colour (``#rrggbb``) of each label of objects, by name.

    Parameters
    ----------
    labels
        Names.
    taken
        Colours that other objects beside these have; they come last.
    """
    had = set(taken)
    colors = sorted(OBJECTS, key=lambda color: color in had)
    return dict(zip(sorted(set(labels)), itertools.cycle(colors), strict=False))


def shown_pixels(values: np.ndarray, bands: Sequence[int], nodata: float | None) -> np.ndarray:
    """Tell where channels have something to show.

    Parameters
    ----------
    values
        Stored values (channel, y, x).
    bands
        The channels that are shown, from 0.
    nodata
        The stored value that means no data, or None.

    Returns
    -------
    numpy.ndarray
        (y, x) bool: False where all channels are nodata, or one that is shown is not finite.
    """
    valid: np.ndarray = np.ones(values.shape[1:], dtype=bool)
    if nodata is not None and not np.isnan(nodata):
        valid &= (values != nodata).any(axis=0)
    if values.dtype.kind == "f":
        valid &= np.isfinite(values[list(bands)]).all(axis=0)
    return valid


def percentiles(
    raster: Raster, bands: Sequence[int], *, samples: Iterable[np.ndarray] | None = None
) -> list[tuple[float, float]]:
    """Return percentiles 2 and 98 of bands (from 0), over all of the raster or of some samples.

    Of a raster of more than about a million pixels a sample spread over all of it is looked at.
    Ends that fall together are moved half a unit apart; 0 and 1 where there is no data at all.
    """
    found = [
        part[:, shown_pixels(part, bands, raster.nodata)][list(bands)]
        for part in (_samples(raster) if samples is None else samples)
    ]
    seen = np.concatenate(found, axis=1).astype(np.float64)  # (band, pixel)
    if not seen.size:
        return [(0.0, 1.0)] * len(bands)
    return [_apart(*np.percentile(band, STRETCH).tolist()) for band in seen]


def _samples(raster: Raster) -> Iterator[np.ndarray]:
    """Yield stored values (band, y, x) of places spread over a raster; all where it is small."""
    height, width = raster.shape_yx
    step = max(1, int((height * width / SAMPLE) ** 0.5))
    if step == 1 or isinstance(raster.array.variable._data, np.ndarray):
        yield np.asarray(raster.array[:, step // 2 :: step, step // 2 :: step].values)
        return
    side = int(SAMPLE**0.5) // PATCHES
    for y, x in itertools.product(_spread(height, side), _spread(width, side)):
        place = Window(y, x, side, side).intersect(Window(0, 0, height, width))
        yield np.asarray(raster.array[:, *place.slices_yx].values)


def _spread(size: int, side: int) -> list[int]:
    """Return where patches of ``side`` pixels begin that are spread over ``size`` pixels."""
    if size <= side * PATCHES:
        return list(range(0, size, side))
    return np.linspace(0, size - side, PATCHES).astype(int).tolist()


def _chosen(raster: Raster, bands: Sequence[int] | None) -> tuple[int, ...]:
    """Return the channels to show, from 0: one or three."""
    count = len(raster.array)
    three = count >= 3 and not is_result(raster)
    chosen = list(bands) if bands is not None else [1, 2, 3] if three else [1]
    if len(chosen) not in (1, 3) or not all(1 <= band <= count for band in chosen):
        raise OptionError(
            f"bands {chosen} are not all in the raster, which has 1 to {count}; give three for "
            "red, green and blue, or one"
        )
    return tuple(int(band) - 1 for band in chosen)


def _known_ends(
    raster: Raster, bands: Sequence[int], stretch: tuple[float, float] | None
) -> list[tuple[float, float]] | None:
    """Return the stored values that become the darkest and the brightest, for each band.

    None where pixels have to be looked at.
    """
    if stretch is not None:
        return [_checked(stretch)] * len(bands)
    attrs = raster.array.attrs
    if is_result(raster) and {"valid_min", "valid_max"} <= attrs.keys():
        return [_apart(float(attrs["valid_min"]), float(attrs["valid_max"]))] * len(bands)
    if raster.array.dtype == np.uint8 and raster.crs is None and raster.transform.is_identity:
        return [(0.0, 255.0)] * len(bands)  # a photo has been made for eyes
    return None


def _checked(stretch: Any) -> tuple[float, float]:
    try:
        low, high = (float(end) for end in stretch)
    except (TypeError, ValueError):
        low = high = float("nan")
    if not low < high or not np.isfinite([low, high]).all():
        raise OptionError(
            f"stretch {stretch!r} is not possible; give two stored values (low, high) with "
            "low < high, as in stretch=(0, 3000)"
        )
    return low, high


def _label(raster: Raster, band: int) -> str:
    """Say what one band is, with its unit."""
    array = raster.array
    what = "" if array.name is None else str(array.name)
    if not is_result(raster):
        what = raster.band_names[band] or what or f"band {band + 1}"
    elif part := _part(raster, band):
        what = f"{what or 'value'} of {part}".removeprefix("value of ")
    units = array.attrs.get("units")
    return f"{what} ({units})" if isinstance(units, str) and units else what


def _part(raster: Raster, band: int) -> str:
    """Return the class or quantity that one band of a result is of; "" where there is one alone."""
    array = raster.array
    for dim in ("class", "value"):
        if dim in array.coords and array.coords[dim].dtype.kind in "UO":
            return str(np.atleast_1d(array.coords[dim].values)[band])
    return raster.band_names[band]


def _apart(low: float, high: float) -> tuple[float, float]:
    return (low, high) if low < high else (low - 0.5, low + 0.5)


def _stretched(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return where values lie between two, 0..1; those that are not finite have any place."""
    with np.errstate(invalid="ignore", over="ignore"):
        share: Any = values.astype(np.float32 if values.itemsize < 4 else np.float64)
        return np.nan_to_num(np.clip((share - low) / (high - low), 0, 1))


@functools.lru_cache(maxsize=8)
def _colors(name: str) -> np.ndarray:
    """Return the 256 colours of a map (256, 4), uint8."""
    return colormaps[name](np.arange(256), bytes=True)
