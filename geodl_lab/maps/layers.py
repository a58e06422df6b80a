"""Layers of a map as small frozen values, and what the browser is told of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import geopandas
import xarray as xr

from geodl_lab.maps.places import Bounds
from geodl_lab.maps.views import View
from geodl_lab.styles import Bar, Swatch

Legend = tuple[Swatch, ...] | Bar | None


@dataclass(frozen=True, eq=False, kw_only=True)
class Layer:
    """What all layers have.

    Parameters
    ----------
    id
        Short, never used again on the same map.
    name
        In the list of layers; no other layer has it.
    bounds
        Where it lies.
    visible
        Whether it is shown.
    opacity
        0 to 1.
    version
        Counts how often its pictures or objects have changed.
    hint
        Why there is nothing to be seen, and what to do.
    """

    id: str
    name: str
    bounds: Bounds
    visible: bool = True
    opacity: float = 1.0
    version: int = 0
    hint: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class RasterLayer(Layer):
    """A raster.

    Parameters
    ----------
    data
        Raster (band, y, x) or (y, x), as it was given.
    view
        How the painter shows it.
    choices
        Names of its bands where people choose one; else empty.
    choice
        The one that is shown.
    present
        Class values that occur; None where that is not known without computing.
    """

    data: xr.DataArray
    view: View
    choices: tuple[str, ...] = ()
    choice: str = ""
    present: frozenset[int] | None = None

    @property
    def legend(self) -> Legend:
        """Classes that occur, a colour bar, or None."""
        legend = self.view.style.legend
        if self.present is None or not isinstance(legend, tuple):
            return legend
        return tuple(swatch for swatch in legend if swatch.value in self.present)


@dataclass(frozen=True, eq=False, kw_only=True)
class ObjectLayer(Layer):
    """Objects.

    Parameters
    ----------
    frame
        One row an object, in its own CRS.
    colors
        ``#rrggbb`` of each label.
    up
        Whether y goes up, of objects without a CRS.
    """

    frame: geopandas.GeoDataFrame
    colors: dict[str, str]
    up: bool = False

    @property
    def legend(self) -> Legend:
        """Labels and their colours; None where all objects have none."""
        swatches = [Swatch(name, color, 0) for name, color in self.colors.items() if name]
        return tuple(swatches) or None


def as_dict(layer: Layer) -> dict[str, Any]:
    """Return what the browser is told of a layer."""
    raster = layer if isinstance(layer, RasterLayer) else None
    assert isinstance(layer, RasterLayer | ObjectLayer)
    return {
        "id": layer.id,
        "kind": "objects" if raster is None else "raster",
        "name": layer.name,
        "bounds": list(layer.bounds),
        "visible": layer.visible,
        "opacity": layer.opacity,
        "version": layer.version,
        "hint": layer.hint,
        "legend": legend_dict(layer.legend),
        "choices": [] if raster is None else list(raster.choices),
        "choice": "" if raster is None else raster.choice,
    }


def legend_dict(legend: Legend) -> dict[str, Any] | None:
    """Return a legend in plain JSON, its numbers as people read them."""
    if legend is None:
        return None
    if isinstance(legend, Bar):
        ends = {"low": f"{legend.low:.4g}", "high": f"{legend.high:.4g}"}
        return {"kind": "bar", "label": legend.label, "colors": list(legend.colors), **ends}
    swatches = [{"name": one.name, "color": one.color} for one in legend]
    return {"kind": "classes", "swatches": swatches}
