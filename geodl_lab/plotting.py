"""Pictures of rasters and results with matplotlib: no display needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.patches import Patch

from geodl_lab.errors import OptionError
from geodl_lab.nodata import valid_pixels
from geodl_lab.outputs import classes_of
from geodl_lab.package import LabelClass
from geodl_lab.raster import Raster, as_raster

if TYPE_CHECKING:
    import geopandas
    from matplotlib.axes import Axes

LARGEST = 2000
"""Most pixels a side that are drawn; larger rasters are thinned."""

STRETCH = (2, 98)
"""Percentiles of the whole raster that become black and white."""


def plot(
    data: xr.DataArray | xr.Dataset,
    *,
    ax: Axes | None = None,
    objects: geopandas.GeoDataFrame | None = None,
    bands: Sequence[int] | None = None,
    legend: bool = True,
) -> Axes:
    """Draw a raster, a class raster or probabilities, thinned to what a screen shows.

    Parameters
    ----------
    data
        Raster (band, y, x), class raster (y, x) with flag attributes, or probabilities.
    ax
        Axes to draw on; a new figure by default.
    objects
        Detections to draw on top, in the raster's CRS.
    bands
        Raster bands (from 1) shown as red, green, blue; default the first three, or the first.
    legend
        False leaves the legend of a class raster out.

    Returns
    -------
    matplotlib.axes.Axes
        In the raster's CRS units.

    Raises
    ------
    OptionError
        If ``bands`` are not in the raster.
    """
    raster = as_raster(data)
    ax = plt.subplots(figsize=(8, 8), layout="constrained")[1] if ax is None else ax
    classes = classes_of(data.attrs)
    step = max(1, -(-max(raster.shape_yx) // LARGEST))
    thin = Raster(raster.array[:, ::step, ::step])
    image = class_colors(thin.array.values[0], classes) if classes else true_color(thin, bands)
    (left, top), (right, bottom) = _corners(raster)
    ax.imshow(image, extent=(left, right, bottom, top), interpolation="nearest")
    if raster.crs is not None and top < bottom:
        ax.invert_yaxis()  # rows from south to north; those of a photo do go down
    ax.ticklabel_format(style="plain", useOffset=False)
    if classes and legend:
        draw_legend(ax, classes, set(np.unique(thin.array.values).tolist()))
    if objects is not None:
        draw_objects(ax, objects)
    return ax


def _corners(raster: Raster) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the outer corners of the first and the last pixel as (x, y) in CRS units."""
    height, width = raster.shape_yx
    return raster.transform * (0, 0), raster.transform * (width, height)


def class_colors(values: np.ndarray, classes: tuple[LabelClass, ...]) -> np.ndarray:
    """Return RGBA (y, x, 4), uint8, of class values (y, x); other values are transparent."""
    table = np.zeros((256, 4), dtype=np.uint8)
    for label in classes:
        table[label.value] = (*label.rgb, 255)
    return table[values]


def true_color(raster: Raster, bands: Sequence[int] | None = None) -> np.ndarray:
    """Return RGBA (y, x, 4), floats 0..1, stretched over all pixels with data.

    Raises
    ------
    OptionError
        If ``bands`` are not in the raster.
    """
    count = raster.array.shape[0]
    chosen = list(bands or ((1, 2, 3) if count >= 3 else (1,)))
    if not all(1 <= band <= count for band in chosen):
        raise OptionError(f"bands {chosen} are not all in the raster, which has 1 to {count}")
    stored = raster.array.values
    valid = valid_pixels(stored, raster.nodata)
    shown = stored[[band - 1 for band in chosen]].astype(np.float32)
    low, high = np.percentile(shown[:, valid], STRETCH) if valid.any() else (0.0, 1.0)
    gray = np.clip((shown - low) / max(high - low, 1e-6), 0, 1)
    gray = np.where(valid, gray, 1)
    rgb = np.broadcast_to(gray, (3, *gray.shape[1:])) if len(gray) == 1 else gray[:3]
    return np.moveaxis(np.concatenate([rgb, valid[None]]), 0, -1)


def draw_legend(ax: Axes, classes: tuple[LabelClass, ...], present: set[int]) -> None:
    """Name the classes that occur."""
    patches = [
        Patch(facecolor=label.color, edgecolor="#666666", linewidth=0.5, label=label.name)
        for label in classes
        if label.value in present
    ]
    ax.legend(handles=patches, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)


def draw_objects(ax: Axes, objects: geopandas.GeoDataFrame, **style: Any) -> None:
    """Draw points as circles, boxes as outlines; the view stays as it is."""
    limits = ax.get_xlim(), ax.get_ylim()
    if len(objects) and objects.geom_type.iloc[0] == "Point":
        look = {"s": 14, "facecolors": "none", "edgecolors": "#ffe600", "linewidths": 0.8, **style}
        ax.scatter(objects.geometry.x, objects.geometry.y, **look)
    elif len(objects):
        objects.boundary.plot(ax=ax, **{"color": "#ffe600", "linewidth": 0.9, **style})
    ax.set_xlim(limits[0])
    ax.set_ylim(limits[1])
