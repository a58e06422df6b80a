"""One model on one raster file: what decides the bits of its result, and that it stays so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rasterio
import rasterio.errors

from geodl_lab._version import __version__
from geodl_lab.checkpoints import file_identity
from geodl_lab.errors import RasterError
from geodl_lab.runs import Run, recipe
from geodl_lab.staging import check_distinct

ROOM = 16_384
"""Bytes that a window's objects are expected to take at most, in blocks and file together."""


@dataclass(frozen=True)
class FileRun:
    """One model on one raster file, and what decides the bits of the result.

    Parameters
    ----------
    source
        The file.
    run
        Model, raster and options.
    identity
        Of every file that is read; see `input_identity`.
    key
        Everything that decides the bits, as plain values for a manifest.
    also
        Files that decide them beside those that GDAL reads for ``source``.
    """

    source: str | Path
    run: Run
    identity: Mapping[str, Any]
    key: Mapping[str, Any]
    also: tuple[Path, ...] = ()

    @property
    def room(self) -> int:
        """Most bytes that result and unfinished blocks take, about."""
        return self.run.planned.grid.windows(self.run.area) * ROOM

    def check_unchanged(self) -> None:
        """Refuse to go on with an input that was replaced while it was read.

        Raises
        ------
        RasterError
            If size, time or header of a file are others than at the beginning.
        """
        try:
            same = input_identity(self.source, also=self.also) == self.identity
        except (OSError, rasterio.errors.RasterioError):
            same = False
        if not same:
            raise changed(self.source)


def run_key(run: Run, made: Mapping[str, Any], identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides the bits of an output, as plain values for a manifest."""
    package = run.model.package
    return {
        "output": {name: repr(value) for name, value in made.items()},
        "area": [str(run.area), str(run.snapped)],
        "model": {"name": package.name, "version": package.version, "sha256": package.sha256},
        "recipe": recipe(run),
        "input": dict(identity),
        "geodl version": __version__,
    }


def input_identity(
    source: str | Path, target: Path | None = None, *, also: tuple[Path, ...] = ()
) -> dict[str, Any]:
    """Return the identity of every file that GDAL reads for a raster, as a mosaic's tiles.

    Parameters
    ----------
    source
        The raster.
    target
        A file that may be none of them.
    also
        Files that count as well.

    Raises
    ------
    OutputError
        If ``target`` is one of them.
    """
    with rasterio.open(source) as file:
        parts = sorted({str(source), *file.files, *map(str, also)})
    for part in parts:
        if target is not None:
            check_distinct(part, target)
    if len(parts) == 1:
        return file_identity(source)
    return {f"file {number}": file_identity(part) for number, part in enumerate(parts, 1)}


def changed(source: str | Path) -> RasterError:
    """Return what is raised where an input is no longer what it was."""
    return RasterError(
        f"{str(source)!r} was changed while it was read, so the result would be of two files; "
        "run again once nobody writes to it"
    )
