"""Objects on axes: points, boxes and outlines, each in the colour of its label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from matplotlib import patheffects
from matplotlib.collections import LineCollection

from geodl_lab.styles import Swatch, label_colors

if TYPE_CHECKING:
    import geopandas
    from matplotlib.axes import Axes

EDGE = "#00000099"
"""What lies around lines, so that they are seen on any ground."""


def draw_objects(
    ax: Axes, objects: geopandas.GeoDataFrame, *, crs: Any = None, scores: bool = False, **look: Any
) -> None:
    """Draw points as circles, boxes and masks as outlines; the view stays as it is.

    Parameters
    ----------
    ax
        Axes in units of ``crs``.
    objects
        Geometries, and where they have them ``label`` and ``score``.
    crs
        CRS of the axes; objects in another are brought to it.
    scores
        True writes each score.
    look
        ``size`` of points in square typographic points, ``width`` of lines in points.
    """
    if objects.crs is not None and crs is not None and objects.crs != crs:
        objects = objects.to_crs(crs)
    limits = ax.get_xlim(), ax.get_ylim()
    labels = _labels(objects)
    for label, color in label_colors(labels.tolist()).items():
        _draw_shapes(ax, np.asarray(objects.geometry.values)[labels == label], color, **look)
    if scores and "score" in objects:
        _write_scores(ax, objects)
    ax.set(xlim=limits[0], ylim=limits[1])


def swatches_of(objects: geopandas.GeoDataFrame | None, *, least: int = 1) -> tuple[Swatch, ...]:
    """Return the legend of objects: a line a label, with the number of its objects.

    Parameters
    ----------
    objects
        As `draw_objects` takes them, or None.
    least
        Labels from which a legend says something; of fewer there is none.
    """
    if objects is None:
        return ()
    labels = _labels(objects)
    colors = label_colors(labels.tolist()).items()
    return tuple(
        Swatch(f"{label or 'object'} ({(labels == label).sum()})", color, value)
        for value, (label, color) in enumerate(colors)
        if len(colors) >= least
    )


def _labels(objects: geopandas.GeoDataFrame) -> np.ndarray:
    """Return the label of each object, (object,); "" where they have none."""
    labels = objects["label"].astype(str) if "label" in objects else [""] * len(objects)
    return np.asarray(labels, dtype=object)


def bounds_of(objects: geopandas.GeoDataFrame) -> tuple[float, float, float, float]:
    """Return left, bottom, right, top that hold all objects with some room around them."""
    bounds = objects.total_bounds if len(objects) else np.array([0.0, 0, 1, 1])
    bounds = np.where(np.isfinite(bounds), bounds, 0)
    side = max(bounds[2] - bounds[0], bounds[3] - bounds[1]) or 1.0
    left, bottom, right, top = bounds + np.array([-1, -1, 1, 1]) * side * 0.04
    return float(left), float(bottom), float(right), float(top)


def _draw_shapes(
    ax: Axes, shapes: np.ndarray, color: str, *, size: float = 28, width: float = 1.3
) -> None:
    parts = shapely.get_parts(shapes[~shapely.is_missing(shapes)])
    dimensions = shapely.get_dimensions(parts)
    halo = [patheffects.withStroke(linewidth=width + 1.0, foreground=EDGE)]
    points = shapely.get_coordinates(parts[dimensions == 0])
    if len(points):
        x, y = points.T
        ax.scatter(
            x, y, s=size, facecolors="none", edgecolors=color, linewidths=width, path_effects=halo
        )
    edges = shapely.get_parts(shapely.boundary(parts[dimensions == 2]))
    lines = [shapely.get_coordinates(line) for line in (*edges, *parts[dimensions == 1])]
    if lines:
        ax.add_collection(LineCollection(lines, colors=color, linewidths=width, path_effects=halo))


def _write_scores(ax: Axes, objects: geopandas.GeoDataFrame) -> None:
    """Write scores above what lies in view."""
    (left, right), (bottom, top) = sorted(ax.get_xlim()), sorted(ax.get_ylim())
    seen = objects.cx[left:right, bottom:top]
    x, y = seen.geometry.centroid.x, seen.geometry.bounds["maxy" if _upward(ax) else "miny"]
    for place in zip(x, y, seen["score"], strict=True):
        ax.annotate(
            f"{place[2]:.2f}", place[:2], xytext=(0, 2), textcoords="offset points",
            ha="center", va="bottom", fontsize=7, color="white", clip_on=True,
            path_effects=[patheffects.withStroke(linewidth=1.5, foreground="black")],
        )  # fmt: skip


def _upward(ax: Axes) -> bool:
    bottom, top = ax.get_ylim()
    return bottom < top
