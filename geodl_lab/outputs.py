"""Results as files: class rasters and probabilities as COG (objects: `vector_files`).

A class raster carries its palette in the file and its class names in a sidecar ``.aux.xml``
(GDAL's PAM), the only place where GDAL and QGIS look for names.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import rasterio
import rasterio.errors
import rasterio.shutil
import xarray as xr

from geodl_lab import settings
from geodl_lab.checkpoints import open_checkpoint
from geodl_lab.grid import Window
from geodl_lab.package import LabelClass
from geodl_lab.raster import Raster, as_raster
from geodl_lab.raster_files import (
    BLOCK,
    PixelBlocks,
    RasterFile,
    Snap,
    check_sums,
    describe,
    gdal_limits,
    sums_of,
)
from geodl_lab.staging import check_ending, check_target, staged
from geodl_lab.threaded import in_order
from geodl_lab.vector_files import file_tags

RASTER_ENDINGS = (".tif", ".tiff")


@contextlib.contextmanager
def raster_writer(
    target: Path, raster: RasterFile, *, windows: Sequence[Window], overwrite: bool
) -> Iterator[PixelBlocks]:
    """Open a raster to write block by block; it becomes a COG with overviews at the end.

    Parameters
    ----------
    target
        A ``.tif``; it appears when it is complete.
    raster
        What the file says about itself.
    windows
        The blocks that will be written, counted from the file's first pixel; they partition it.
    overwrite
        False refuses an existing target.

    Raises
    ------
    OutputError
        If the target cannot be written; nothing half-written is left.
    """
    check_ending(target, RASTER_ENDINGS)
    with staged(target, overwrite=overwrite, needed=room_for(raster)) as path, gdal_limits():
        blocks = PixelBlocks(raster, open_checkpoint(path.parent, ".tif", None, resume=False))
        yield blocks
        assemble(blocks, windows, path)


def assemble(
    blocks: PixelBlocks, windows: Sequence[Window], path: Path, *, snap: Snap | None = None
) -> None:
    """Make a COG with overviews of finished blocks.

    Parameters
    ----------
    blocks
        What is known of the file, and its blocks.
    windows
        The blocks, counted from the file's first pixel; they partition it.
    path
        A new ``.tif`` in a folder that may take other files beside it.
    snap
        How to bring the blocks to the grid of the file; None where they lie on it.

    Raises
    ------
    OSError
        If it cannot be written, or what is read back differs.
    """
    with gdal_limits():
        mosaic, sums = path.with_name("mosaic.vrt"), blocks.sums(windows)
        blocks.mosaic(windows, mosaic)
        if snap is not None:
            picked = path.with_name("snapped.tif")
            mosaic, sums = picked, iter(snap.write(mosaic, picked))
        to_cog(mosaic, path, classes=blocks.raster.classes, sums=sums)


def to_cog(
    source: Path,
    path: Path,
    *,
    classes: tuple[LabelClass, ...],
    sums: Iterable[tuple[Window, str]] | None = None,
) -> None:
    """Copy a raster to a COG with overviews and, of classes, their names beside it.

    Parameters
    ----------
    source, path
        A raster, and a new ``.tif``.
    classes
        Classes for overviews and names; empty for continuous values.
    sums
        Windows with checksums of their pixels, to read back; None takes them from ``source``.

    Raises
    ------
    OSError
        If it cannot be written, or what is read back differs.
    """
    resampling = "MODE" if classes else "AVERAGE"
    with rasterio.Env(GDAL_CACHEMAX=settings.COG_CACHE):
        # Level 1 takes 40 % of the time of level 6 for a file that is a fifth larger.
        rasterio.shutil.copy(
            source, path, driver="COG", compress="DEFLATE", level=1, blocksize=BLOCK,
            bigtiff="IF_SAFER", overview_resampling=resampling, num_threads="ALL_CPUS",
        )  # fmt: skip
        check_sums(path, sums_of(source) if sums is None else sums)
    if classes:
        sidecar(classes).write(f"{path}.aux.xml", encoding="utf-8")


def copy_raster(source: Path, path: Path, raster: RasterFile) -> None:
    """Copy a VRT to a COG that says about itself what ``raster`` does; errors as in `to_cog`."""
    with gdal_limits():
        with rasterio.open(source, "r+") as file:
            describe(file, raster)
        to_cog(source, path, classes=raster.classes)


def room_for(raster: RasterFile) -> int:
    """Return the most bytes that a raster takes with its unfinished blocks."""
    height, width = raster.shape_yx
    pixels = height * width * raster.bands * np.dtype(raster.dtype).itemsize
    return pixels + pixels * 4 // 3  # overviews are a third more


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
    windows = list(chunk_windows(raster))

    def values(window: Window) -> np.ndarray:
        return np.asarray(raster.array[:, *window.slices_yx].values)

    with (
        raster_writer(target, _as_file(raster), windows=windows, overwrite=overwrite) as writer,
        ThreadPoolExecutor(1, "geodl-write") as beside,
    ):
        computed = ((window, values(window)) for window in windows)
        for _ in in_order(lambda item: beside.submit(writer.write, *item), computed, 1):
            pass
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
    values = np.atleast_1d(attrs.get("flag_values", ())).tolist()
    if not values or isinstance(values[0], str):  # none, or text in words of others
        return ()
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


def chunk_windows(raster: Raster) -> Iterator[Window]:
    """Yield blocks of about `settings.CHUNK` pixels: whole chunks of the array where it has any."""
    chunks = raster.array.chunks
    sizes = (
        chunks[1:]
        if chunks
        else [[BLOCK] * (side // BLOCK) + [side % BLOCK] for side in raster.shape_yx]
    )
    rows, columns = ([0, *_ends(side)] for side in sizes)
    for top, bottom in itertools.pairwise(rows):
        for left, right in itertools.pairwise(columns):
            yield Window(top, left, bottom - top, right - left)


def _ends(sizes: Sequence[int]) -> list[int]:
    """Return where groups of neighbouring chunks end that are as long as a block or longer."""
    ends, last = [], 0
    for end in itertools.accumulate(sizes):
        if end - last >= settings.CHUNK:
            last = end
            ends.append(end)
    return ends if last == sum(sizes) else [*ends, sum(sizes)]
