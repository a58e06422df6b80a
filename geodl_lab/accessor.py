"""The ``.dl`` accessor of xarray objects: each method is the public function of its name.

Functions are imported when called, because registering the accessor must not import torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

if TYPE_CHECKING:
    import geopandas
    import pandas
    from matplotlib.axes import Axes

    from geodl_lab.maps.explorer import Explorer


@xr.register_dataset_accessor("dl")
@xr.register_dataarray_accessor("dl")
class DeepLearningAccessor:
    """Deep learning on this raster (band, y, x); see the functions of the same names."""

    def __init__(self, data: xr.DataArray | xr.Dataset) -> None:
        self._data = data

    def __repr__(self) -> str:
        from geodl_lab.raster_card import text  # noqa: PLC0415

        return text(self._data)

    def _repr_html_(self) -> str:
        """Show in a notebook what the raster is; nothing is computed."""
        from geodl_lab.raster_card import html  # noqa: PLC0415

        return html(self._data)

    def classify(self, model: Any, **options: Any) -> xr.DataArray:
        """Give every pixel its best class, (y, x) uint8; see `geodl_lab.classify`."""
        from geodl_lab.pixels import classify  # noqa: PLC0415

        return classify(self._data, model, **options)

    def probabilities(self, model: Any, **options: Any) -> xr.DataArray:
        """Give every pixel each class's probability; see `geodl_lab.probabilities`."""
        from geodl_lab.pixels import probabilities  # noqa: PLC0415

        return probabilities(self._data, model, **options)

    def entropy(self, model: Any, **options: Any) -> xr.DataArray:
        """Say how unsure the model is of every pixel, in nat; see `geodl_lab.entropy`."""
        from geodl_lab.pixels import entropy  # noqa: PLC0415

        return entropy(self._data, model, **options)

    def regress(self, model: Any, **options: Any) -> xr.DataArray:
        """Give every pixel continuous values; see `geodl_lab.regress`."""
        from geodl_lab.pixels import regress  # noqa: PLC0415

        return regress(self._data, model, **options)

    def change(self, after: xr.DataArray | xr.Dataset, model: Any, **options: Any) -> xr.DataArray:
        """Give every pixel the class of its change until ``after``; see `geodl_lab.change`."""
        from geodl_lab.pixels import change  # noqa: PLC0415

        return change(self._data, after, model, **options)

    def detect(self, model: Any, **options: Any) -> geopandas.GeoDataFrame:
        """Find objects, one row each, in the raster's CRS; see `geodl_lab.detect`."""
        from geodl_lab.objects import detect  # noqa: PLC0415

        return detect(self._data, model, **options)

    def recognize(self, model: Any, **options: Any) -> pandas.DataFrame:
        """Say what the whole image, or each of some features, is; see `geodl_lab.recognize`."""
        from geodl_lab.recognition import recognize  # noqa: PLC0415

        return recognize(self._data, model, **options)

    def map(self, *more: Any, **options: Any) -> Explorer:
        """Show the raster on a live map, and ``more`` above it; see `geodl_lab.explore`."""
        from geodl_lab.maps.explorer import explore  # noqa: PLC0415

        return explore(self._data, *more, **options)

    def class_areas(self) -> pandas.DataFrame:
        """Measure how much ground each class covers; see `geodl_lab.class_areas`."""
        from geodl_lab.totals import class_areas  # noqa: PLC0415

        return class_areas(self._data)

    def plot(self, **options: Any) -> Axes:
        """Draw the raster, with a legend where it holds classes; see `geodl_lab.plot`."""
        from geodl_lab.plotting import plot  # noqa: PLC0415

        return plot(self._data, **options)

    def save(self, target: str | Path, *, overwrite: bool = True) -> Path:
        """Write a result as a COG with palette and class names; see `geodl_lab.save`."""
        from geodl_lab.outputs import save  # noqa: PLC0415

        return save(self._data, target, overwrite=overwrite)
