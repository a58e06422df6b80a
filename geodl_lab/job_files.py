"""Results of jobs in the formats that people ask for: what the server has no file of is made here.

Objects go through the same writers as those of `geodl detect`, so the files are the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from geodl_lab.errors import OutputError
from geodl_lab.staging import staged

if TYPE_CHECKING:
    import geopandas

SERVED = {"raster": (".tif",), "features": (".parquet", ".gpkg")}
"""Endings of the files that a server has of a result, by its kind."""

MADE = {"raster": (".csv", ".png"), "features": (".geojson", ".csv", ".png")}
"""Endings of those that are made of it."""


def check_format(kind: str, target: Path) -> None:
    """Raise OutputError if a result cannot be written in the format of a file's ending."""
    possible = (*SERVED[kind], *MADE[kind])
    if target.suffix.lower() not in possible:
        what = {"raster": "a raster", "features": "objects"}[kind]
        raise OutputError(
            f"{what} cannot be written as {target.name!r}; the name may end in "
            f"{', '.join(possible)}"
        )


def write_raster(result: xr.DataArray, target: Path, *, overwrite: bool) -> None:
    """Write a result raster as a table of its classes, or as a picture; raises OutputError."""
    with staged(target, overwrite=overwrite) as path:
        {".csv": _areas_table, ".png": _picture}[target.suffix.lower()](result, path)


def write_objects(
    objects: geopandas.GeoDataFrame,
    target: Path,
    *,
    overwrite: bool,
    image: xr.DataArray | None = None,
    area: Any = None,
) -> None:
    """Write objects as GeoJSON or a table, or draw them (on an image's area); OutputError."""
    from geodl_lab.vector_files import save_objects  # noqa: PLC0415

    if target.suffix.lower() == ".geojson":
        save_objects(objects, target, overwrite=overwrite)
        return
    with staged(target, overwrite=overwrite) as path:
        if target.suffix.lower() == ".csv":
            _objects_table(objects).to_csv(path, index=False)
        else:
            _draw(objects, image, area, path)


def _areas_table(result: xr.DataArray, path: Path) -> None:
    from geodl_lab.totals import class_areas  # noqa: PLC0415

    class_areas(result).to_csv(path, index=False)


def _picture(result: xr.DataArray, path: Path) -> None:
    from geodl_lab.plotting import plot  # noqa: PLC0415

    with _figure(path) as ax:
        plot(result, ax=ax)


def _draw(
    objects: geopandas.GeoDataFrame, image: xr.DataArray | None, area: Any, path: Path
) -> None:
    from geodl_lab.plotting import plot  # noqa: PLC0415

    with _figure(path) as ax:
        if image is None:
            plot(objects, ax=ax)
        else:
            plot(image, ax=ax, objects=objects, area=area)


@contextlib.contextmanager
def _figure(path: Path) -> Iterator[Any]:
    """Give axes of a figure that becomes a PNG; no display and no state of pyplot."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(10, 8), layout="constrained", dpi=150)
    yield figure.add_subplot()
    figure.savefig(path, format="png")


def _objects_table(objects: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """Return columns without geometry, with the middle of each: x, y, and longitude, latitude."""
    middles = objects.geometry.representative_point()
    table = objects.drop(columns=objects.geometry.name).assign(x=middles.x, y=middles.y)
    if objects.crs is None:
        return table
    places = middles.to_crs(4326)
    return table.assign(longitude=places.x.round(9), latitude=places.y.round(9))
