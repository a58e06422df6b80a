"""Results as files: class rasters and probabilities as COG (objects: `vector_files`).

A class raster carries its palette in the file and its class names in a sidecar ``.aux.xml``
(GDAL's PAM), the only place where GDAL and QGIS look for names.
"""

from __future__ import annotations

import contextlib
import warnings
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import rasterio
import rasterio.errors
import rasterio.shutil
import xarray as xr
from rasterio.windows import Window as FileWindow

from geodl_lab import settings
from geodl_lab.grid import Window
from geodl_lab.package import LabelClass
from geodl_lab.raster import Raster, as_raster
from geodl_lab.staging import check_ending as check_ending  # noqa: PLC0414  `files` asks here
from geodl_lab.staging import check_target, staged
from geodl_lab.vector_files import VECTOR_DRIVERS as VECTOR_DRIVERS  # noqa: PLC0414
from geodl_lab.vector_files import file_tags as file_tags  # noqa: PLC0414
from geodl_lab.vector_files import write_objects as write_objects  # noqa: PLC0414

BLOCK = 512
"""Side in pixels of a file's tiles."""

RASTER_ENDINGS = (".tif", ".tiff")


@dataclass(frozen=True)
class RasterFile:
    """What a raster file says about itself.

    Parameters
    ----------
    shape_yx, bands
        Height and width in pixels, number of bands.
    dtype, nodata
        Pixel type and the value that means no data, or None.
    crs, transform
        Georeference; pixel corners to CRS units.
    classes
        Classes for palette and names; empty for continuous values.
    names
        One name a band.
    tags
        Metadata, as text.
    """

    shape_yx: tuple[int, int]
    bands: int
    dtype: str
    nodata: float | None
    crs: Any
    transform: Any
    classes: tuple[LabelClass, ...] = ()
    names: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BlockWriter:
    """Writes blocks of a raster file in any order and remembers what they held.

    Parameters
    ----------
    file
        A rasterio file open for writing.
    sums
        CRC-32 of the values written at each window.
    """

    file: Any
    sums: dict[Window, int] = field(default_factory=dict)

    def write(self, window: Window, block: np.ndarray) -> None:
        """Write values (band, y, x) at ``window``, counted from the file's first pixel."""
        self.file.write(block, window=_place(window))
        self.sums[window] = zlib.crc32(np.ascontiguousarray(block).data)

    def check(self, path: Path) -> None:
        """Read all back from ``path``: a full disk can pass unnoticed until then.

        Raises
        ------
        OSError
            If a block differs.
        """
        with rasterio.open(path) as file:
            for window, known in self.sums.items():
                if zlib.crc32(file.read(window=_place(window))) != known:
                    raise OSError("what was read back differs from what was written")


@contextlib.contextmanager
def raster_writer(target: Path, raster: RasterFile, *, overwrite: bool) -> Iterator[BlockWriter]:
    """Open a raster to write block by block; it becomes a COG with overviews at the end.

    Raises
    ------
    OutputError
        If the target cannot be written; nothing half-written is left.
    """
    check_ending(target, RASTER_ENDINGS)
    with staged(target, overwrite=overwrite) as path, _gdal():
        rough = path.with_name("blocks.tif")
        with rasterio.open(rough, "w", **_profile(raster)) as file:
            _describe(file, raster)
            writer = BlockWriter(file)
            yield writer
        _copy_to_cog(rough, path, raster)
        writer.check(path)
        rough.unlink()
        if raster.classes:
            sidecar(raster.classes).write(f"{path}.aux.xml", encoding="utf-8")


def save(result: xr.DataArray | xr.Dataset, target: str | Path, *, overwrite: bool = True) -> Path:
    """Write a class raster or probabilities as a COG.

    Parameters
    ----------
    result
        (y, x) or (class, y, x); dask-backed results are computed chunk by chunk.
    target
        A ``.tif``.
    overwrite
        False refuses an existing file.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    target = Path(target)
    raster = as_raster(result)
    with raster_writer(target, _as_file(raster), overwrite=overwrite) as writer:
        for window in _chunk_windows(raster):
            rows, columns = window.slices_yx
            writer.write(window, np.asarray(raster.array[:, rows, columns].values))
    return target


def check_output(target: Path, endings: tuple[str, ...], *, overwrite: bool) -> None:
    """Refuse an output before any work is done.

    Raises
    ------
    OutputError
        If the ending, the folder or an existing file forbids it.
    """
    check_ending(target, endings)
    check_target(target, overwrite=overwrite)


def classes_of(attrs: Mapping[str, Any]) -> tuple[LabelClass, ...]:
    """Return the classes that CF flag attributes name; empty where there are none."""
    if "flag_values" not in attrs:
        return ()
    values = np.atleast_1d(attrs["flag_values"]).tolist()
    names = str(attrs.get("flag_meanings", "")).split() or [str(value) for value in values]
    colors = str(attrs.get("flag_colors", "")).split() or ["#808080"] * len(values)
    return tuple(
        LabelClass(int(value), name.replace("_", " "), color)
        for value, name, color in zip(values, names, colors, strict=True)
    )


def sidecar(classes: tuple[LabelClass, ...]) -> ElementTree.ElementTree:
    """Return GDAL's PAM document with category names and a thematic attribute table."""
    document = ElementTree.Element("PAMDataset")
    band = ElementTree.SubElement(document, "PAMRasterBand", band="1")
    names = {label.value: label.name for label in classes}
    categories = ElementTree.SubElement(band, "CategoryNames")
    for value in range(max(names) + 1):
        ElementTree.SubElement(categories, "Category").text = names.get(value, "")
    table = ElementTree.SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    # GDAL's codes: type 0 integer, 2 text; usage 5 value, 2 name, 6-8 red, green, blue.
    columns = (("Value", 0, 5), ("Class", 2, 2), ("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8))
    for index, (name, kind, usage) in enumerate(columns):
        column = ElementTree.SubElement(table, "FieldDefn", index=str(index))
        for tag, text in (("Name", name), ("Type", kind), ("Usage", usage)):
            ElementTree.SubElement(column, tag).text = str(text)
    for index, label in enumerate(classes):
        row = ElementTree.SubElement(table, "Row", index=str(index))
        for text in (label.value, label.name, *label.rgb):
            ElementTree.SubElement(row, "F").text = str(text)
    return ElementTree.ElementTree(document)


def _as_file(raster: Raster) -> RasterFile:
    result = raster.array
    names = result.coords["class"].values.tolist() if "class" in result.coords else []
    return RasterFile(
        shape_yx=raster.shape_yx,
        bands=result.shape[0],
        dtype=str(result.dtype),
        nodata=raster.nodata,
        crs=raster.crs,
        transform=raster.transform,
        classes=classes_of(result.attrs),
        names=tuple(map(str, names)),
        tags=file_tags(result.attrs),
    )


def _chunk_windows(raster: Raster) -> Iterator[Window]:
    """Yield the array's own chunks, or strips of one row of tiles where it has none."""
    height, width = raster.shape_yx
    if raster.array.chunks is None:
        rows, columns = [min(BLOCK, height - y) for y in range(0, height, BLOCK)], [width]
    else:
        rows, columns = map(list, raster.array.chunks[1:])
    y = 0
    for rise in rows:
        x = 0
        for run in columns:
            yield Window(y, x, rise, run)
            x += run
        y += rise


@contextlib.contextmanager
def _gdal() -> Iterator[None]:
    with (
        rasterio.Env(GDAL_CACHEMAX=settings.GDAL_CACHE, GDAL_NUM_THREADS="ALL_CPUS"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        yield


def _place(window: Window) -> FileWindow:
    return FileWindow(window.x, window.y, window.width, window.height)


def _profile(raster: RasterFile) -> dict[str, Any]:
    height, width = raster.shape_yx
    georeference = {} if raster.crs is None and raster.transform.is_identity else {
        "crs": raster.crs, "transform": raster.transform,
    }  # fmt: skip
    return {
        "driver": "GTiff", "height": height, "width": width, "count": raster.bands,
        "dtype": raster.dtype, "nodata": raster.nodata, "tiled": True, "blockxsize": BLOCK,
        "blockysize": BLOCK, "compress": "deflate", "zlevel": 1, "bigtiff": "if_safer",
        "sparse_ok": True, "interleave": "band", **georeference,
    }  # fmt: skip


def _describe(file: Any, raster: RasterFile) -> None:
    file.update_tags(**raster.tags)
    for index, name in enumerate(raster.names, 1):
        file.set_band_description(index, name)
    if raster.classes and raster.dtype == "uint8":
        palette = {label.value: (*label.rgb, 255) for label in raster.classes}
        nodata = {} if raster.nodata is None else {int(raster.nodata): (0, 0, 0, 0)}
        file.write_colormap(1, {**palette, **nodata})


def _copy_to_cog(rough: Path, path: Path, raster: RasterFile) -> None:
    resampling = "MODE" if raster.classes else "AVERAGE"
    rasterio.shutil.copy(
        rough, path, driver="COG", compress="DEFLATE", blocksize=BLOCK, bigtiff="IF_SAFER",
        overview_resampling=resampling, num_threads="ALL_CPUS",
    )  # fmt: skip
