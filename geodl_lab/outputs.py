"""Results as files: class rasters and probabilities as COG (objects: `vector_files`).

A class raster carries its palette in the file and its class names in a sidecar ``.aux.xml``
(GDAL's PAM), the only place where GDAL and QGIS look for names.
"""

from __future__ import annotations

import contextlib
import itertools
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import numpy as np
import rasterio
import rasterio.errors
import rasterio.shutil
import xarray as xr
from affine import Affine
from rasterio.windows import Window as FileWindow

from geodl_lab import settings
from geodl_lab.checkpoints import RUN_TAG, Checkpoint, key_hash, open_checkpoint
from geodl_lab.errors import OutputError
from geodl_lab.grid import Window
from geodl_lab.inference import in_order
from geodl_lab.package import LabelClass
from geodl_lab.raster import Raster, as_raster
from geodl_lab.staging import check_ending, check_target, staged, workplace
from geodl_lab.vector_files import file_tags

BLOCK = 512
"""Side in pixels of a file's tiles."""

CRC = "GEODL_CRC32"
"""Tag of a block file: the checksum of its pixels."""

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
class PixelBlocks:
    """Blocks of a raster, each in a GeoTIFF of its own until the raster is complete.

    Parameters
    ----------
    raster
        What they are blocks of.
    checkpoint
        Where they are kept.
    """

    raster: RasterFile
    checkpoint: Checkpoint

    def holds(self, window: Window) -> bool:
        """Tell whether the block at ``window`` is there and whole."""
        return self.checkpoint.holds(window) and _is_whole(self.checkpoint.path(window))

    def write(self, window: Window, block: np.ndarray) -> None:
        """Keep values (band, y, x) of ``window``, counted from the file's first pixel."""
        self.checkpoint.commit(window, lambda path: _write_block(path, block))

    def mosaic(self, windows: Sequence[Window], path: Path) -> None:
        """Write a VRT that shows the blocks at ``windows`` as one raster."""
        with rasterio.open(path, "w", driver="VRT", **_profile(self.raster)) as file:
            _describe(file, self.raster)
            for band in range(1, self.raster.bands + 1):
                sources = {
                    f"source_{index}": _vrt_source(self.checkpoint.path(window), window, band)
                    for index, window in enumerate(windows)
                }
                file.update_tags(ns="new_vrt_sources", bidx=band, **sources)

    def sums(self, windows: Sequence[Window]) -> Iterator[tuple[Window, str]]:
        """Yield windows with the checksums of their blocks."""
        for window in windows:
            with rasterio.open(self.checkpoint.path(window)) as block:
                yield window, block.tags()[CRC]


@dataclass(frozen=True)
class Snap:
    """How a raster of blocks is brought to another grid: by copying the nearest.

    Parameters
    ----------
    raster
        What is made.
    rows, columns
        The row and column of the blocks' raster for each row and column of it.
    """

    raster: RasterFile
    rows: np.ndarray
    columns: np.ndarray

    def write(self, mosaic: Path, path: Path) -> list[tuple[Window, str]]:
        """Write the picked pixels of ``mosaic``; return windows with their checksums."""
        sums = []
        with (
            rasterio.open(mosaic) as source,
            rasterio.open(path, "w", **_tiled(self.raster)) as file,
        ):
            _describe(file, self.raster)
            for window in _squares(self.raster.shape_yx, settings.CHUNK):
                rows, columns = self.rows[window.slices_yx[0]], self.columns[window.slices_yx[1]]
                top, left = int(rows[0]), int(columns[0])
                seen = Window(top, left, int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left)
                near = source.read(window=_place(seen))
                block = near[:, (rows - top)[:, None], columns - left]
                file.write(block, window=_place(window))
                sums.append((window, _crc(block)))
        return sums


@contextlib.contextmanager
def raster_writer(
    target: Path,
    raster: RasterFile,
    windows: Sequence[Window],
    *,
    overwrite: bool,
    key: Mapping[str, Any] | None = None,
    resume: bool = False,
    snap: Snap | None = None,
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
    key, resume
        As in `geodl_lab.checkpoints.open_checkpoint`.
    snap
        How to bring the blocks to the grid of the file; None where they lie on it.

    Raises
    ------
    OutputError
        If the target cannot be written; nothing half-written is left.
    """
    check_ending(target, RASTER_ENDINGS)
    with staged(target, overwrite=overwrite or resume, resume=resume) as path, gdal_limits():
        blocks = PixelBlocks(raster, open_checkpoint(path.parent, ".tif", key, resume=resume))
        yield blocks
        mosaic, sums = path.with_name("mosaic.vrt"), blocks.sums(windows)
        blocks.mosaic(windows, mosaic)
        if snap is not None:
            picked = path.with_name("snapped.tif")
            mosaic, sums = picked, iter(snap.write(mosaic, picked))
        _copy_to_cog(mosaic, path, raster)
        check_sums(path, sums)
        if raster.classes:
            sidecar(raster.classes).write(f"{path}.aux.xml", encoding="utf-8")


def check_sums(path: Path, sums: Iterable[tuple[Window, str]]) -> None:
    """Compare a raster with checksums: a full disk can pass unnoticed until then.

    Raises
    ------
    OSError
        If a window's pixels differ.
    """
    with rasterio.open(path) as file:
        for window, known in sums:
            if _crc(file.read(window=_place(window))) != known:
                raise OSError("what was read back differs from what was written")


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
    windows = list(_chunk_windows(raster))

    def values(window: Window) -> np.ndarray:
        return np.asarray(raster.array[:, *window.slices_yx].values)

    with (
        raster_writer(target, _as_file(raster), windows, overwrite=overwrite) as writer,
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


def is_complete(target: Path, key: Mapping[str, Any]) -> bool:
    """Tell whether a run that is to be resumed has already made its raster.

    Raises
    ------
    OutputError
        If the target is there, was not made by such a run, and nothing waits to be resumed.
    """
    if not target.exists() or workplace(target).exists():
        return False
    with contextlib.suppress(rasterio.errors.RasterioError), rasterio.open(target) as file:
        if file.tags().get(RUN_TAG) == key_hash(key):
            return True
    raise OutputError(
        f"{str(target)!r} exists, but was made from another input, model or recipe, and there is "
        "no unfinished run beside it to resume; choose another output, or overwrite it on purpose "
        "(--overwrite, overwrite=True)"
    )


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


@contextlib.contextmanager
def gdal_limits() -> Iterator[None]:
    """Keep GDAL's cache small, use all cores, and say nothing of photos without a place."""
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
        "height": height, "width": width, "count": raster.bands, "dtype": raster.dtype,
        "nodata": raster.nodata, **georeference,
    }  # fmt: skip


def _tiled(raster: RasterFile) -> dict[str, Any]:
    """Return how a rough file is laid out; floats hardly shrink and stay as they are."""
    packed = {} if np.dtype(raster.dtype).kind == "f" else {"compress": "deflate", "zlevel": 1}
    return {
        "driver": "GTiff", "tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK,
        "bigtiff": "if_safer", "interleave": "band", **packed, **_profile(raster),
    }  # fmt: skip


def _squares(shape_yx: tuple[int, int], side: int) -> Iterator[Window]:
    height, width = shape_yx
    for y in range(0, height, side):
        for x in range(0, width, side):
            yield Window(y, x, min(side, height - y), min(side, width - x))


def _write_block(path: Path, block: np.ndarray) -> None:
    """Write values (band, y, x) with their checksum."""
    count, height, width = block.shape
    plain = RasterFile((height, width), count, block.dtype.name, None, None, Affine.identity())
    # The writing thread's own limits: GDAL's are by thread.
    with gdal_limits(), rasterio.open(path, "w", **_tiled(plain)) as file:
        file.write(block)
        file.update_tags(**{CRC: _crc(block)})
    if not _is_whole(path):  # libtiff does not always say that a disk is full
        raise OSError("what was read back differs from what was written")


def _is_whole(path: Path) -> bool:
    try:
        with gdal_limits(), rasterio.open(path) as file:
            return _crc(file.read()) == file.tags().get(CRC)
    except rasterio.errors.RasterioError:
        return False


def _crc(block: np.ndarray) -> str:
    return str(zlib.crc32(np.ascontiguousarray(block).data))


def _vrt_source(path: Path, window: Window, band: int) -> str:
    """Return GDAL's XML for one block of a mosaic."""
    size = f'xSize="{window.width}" ySize="{window.height}"'
    return (
        f'<SimpleSource><SourceFilename relativeToVRT="0">{escape(str(path.resolve()))}'
        f"</SourceFilename><SourceBand>{band}</SourceBand>"
        f'<SrcRect xOff="0" yOff="0" {size}/>'
        f'<DstRect xOff="{window.x}" yOff="{window.y}" {size}/></SimpleSource>'
    )


def _describe(file: Any, raster: RasterFile) -> None:
    file.update_tags(**raster.tags)
    for index, name in enumerate(raster.names, 1):
        file.set_band_description(index, name)
    if raster.classes and raster.dtype == "uint8":
        palette = {label.value: (*label.rgb, 255) for label in raster.classes}
        nodata = {} if raster.nodata is None else {int(raster.nodata): (0, 0, 0, 0)}
        file.write_colormap(1, {**palette, **nodata})


def _copy_to_cog(mosaic: Path, path: Path, raster: RasterFile) -> None:
    resampling = "MODE" if raster.classes else "AVERAGE"
    rasterio.shutil.copy(
        mosaic, path, driver="COG", compress="DEFLATE", blocksize=BLOCK, bigtiff="IF_SAFER",
        overview_resampling=resampling, num_threads="ALL_CPUS",
    )  # fmt: skip
