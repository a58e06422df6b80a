"""Axes of pictures: names with units, sides that are true, and a scale bar in metres."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pyproj
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PART = 0.3
"""Most of the width that a scale bar takes."""

NICE = (5, 2, 1)
"""What the length of a scale bar begins with."""


def label_axes(ax: Axes, crs: Any) -> None:
    """Name the axes with their units, and write few numbers in full; without a CRS pixels."""
    if crs is None:
        names = ("column (pixel)", "row (pixel)")
    elif (known := pyproj.CRS(crs)).is_geographic:
        names = ("longitude (°)", "latitude (°)")
    else:
        unit = known.axis_info[0].unit_name if known.axis_info else "metre"
        unit = {"metre": "m", "foot": "ft", "US survey foot": "US ft"}.get(unit, unit)
        names = (f"easting ({unit})", f"northing ({unit})")
    ax.set(xlabel=names[0], ylabel=names[1])
    ax.ticklabel_format(style="plain", useOffset=False)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=4))
    ax.yaxis.set_major_locator(MaxNLocator(nbins=6))


def aspect_of(bounds: tuple[float, float, float, float], crs: Any) -> float:
    """Return how much longer a unit of y is drawn than one of x, so that both are true."""
    if crs is None or not pyproj.CRS(crs).is_geographic:
        return 1.0
    return 1 / max(math.cos(math.radians((bounds[1] + bounds[3]) / 2)), 0.05)


def add_scale_bar(ax: Axes, bounds: tuple[float, float, float, float], crs: Any) -> None:
    """Draw a scale bar in metres or kilometres; none where there is no CRS.

    Parameters
    ----------
    ax
        Axes in CRS units.
    bounds
        Left, bottom, right, top of what is shown, in CRS units.
    crs
        A `pyproj` or rasterio CRS, or None.
    """
    unit = _meters(bounds, crs)
    if not unit or not bounds[0] < bounds[2]:
        return
    meters = nice_length((bounds[2] - bounds[0]) * unit * PART)
    words = f"{meters / 1000:g} km" if meters >= 1000 else f"{meters:g} m"
    bar = AnchoredSizeBar(
        ax.transData, meters / unit, words, "lower left", pad=0.3, sep=3, borderpad=0.6,
        frameon=True, color="black", size_vertical=0, fill_bar=False,
    )  # fmt: skip
    bar.patch.set(alpha=0.75, edgecolor="none", facecolor="white")
    bar.size_bar.get_children()[0].set_linewidth(2)
    ax.add_artist(bar)


def nice_length(most: float) -> float:
    """Return the greatest of ..., 0.5, 1, 2, 5, 10, 20, ... that is not above ``most``."""
    power = 10.0 ** math.floor(math.log10(most))
    return next(first * power for first in NICE if first * power <= most * (1 + 1e-9))


def _meters(bounds: tuple[float, float, float, float], crs: Any) -> float:
    """Return the metres that a unit of x is on the ground, in the middle; 0 where nobody knows."""
    if crs is None:
        return 0.0
    known = pyproj.CRS(crs)
    x, y = (bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2
    step = (bounds[2] - bounds[0]) / 1000
    try:
        to_degrees = pyproj.Transformer.from_crs(known, known.geodetic_crs, always_xy=True)
        ends = to_degrees.transform([x - step / 2, x + step / 2], [y, y])
        geod = known.get_geod() or pyproj.Geod(ellps="WGS84")
        meters = geod.line_length(*ends) / step
    except (pyproj.exceptions.ProjError, ZeroDivisionError):
        return 0.0
    return float(meters) if math.isfinite(meters) else 0.0
