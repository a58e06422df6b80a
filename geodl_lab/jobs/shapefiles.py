"""Shapefiles of a store become a GeoPackage, which is one file."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import pyogrio
import pyogrio.errors

from geodl_lab.errors import AccessError, first_line
from geodl_lab.staging import staged

PARTS = (".shp", ".shx", ".dbf", ".prj", ".cpg")
"""Endings of the files that are read; the first three must be there."""

MAGIC = b"\0\0\x27\x0a"


def convert_shapefile(parts: Mapping[str, Path], target: Path) -> Path:
    """Write the features of a shapefile as a GeoPackage.

    Parameters
    ----------
    parts
        Its files by their ending, as in `PARTS`.
    target
        The file; complete or not there.

    Raises
    ------
    AccessError
        If a file is missing or damaged.
    """
    if missing := [ending for ending in PARTS[:3] if ending not in parts]:
        raise AccessError(
            f"a shapefile is made of several files, and {', '.join(missing)} is not in the store; "
            "put it beside the .shp, or give a GeoPackage"
        )
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:  # where nothing else lies beside
        for ending, path in parts.items():
            shutil.copyfile(path, Path(folder, f"features{ending}"))
        _convert(Path(folder, "features.shp"), target, name=parts[".shp"].name)
    return target


def _convert(source: Path, target: Path, *, name: str) -> None:
    try:
        with source.open("rb") as file:
            if file.read(4) != MAGIC:
                raise ValueError("it does not begin as one")
        with staged(target, overwrite=True) as rough, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "'crs' was not provided")
            frame = pyogrio.read_dataframe(source)
            pyogrio.write_dataframe(frame, rough, driver="GPKG", promote_to_multi=True)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, ValueError) as error:
        raise AccessError(
            f"{name!r} is no whole shapefile ({first_line(error)[:200]}); get it again"
        ) from error
