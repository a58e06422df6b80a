"""File in, file out: rasters larger than memory, block by block, resumable."""

from __future__ import annotations

import dataclasses
import logging
import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from geodl_lab._version import __version__
from geodl_lab.cells import snap_indices
from geodl_lab.checkpoints import RUN_TAG, Checkpoint, file_identity, key_hash, open_checkpoint
from geodl_lab.decoders import Decoder
from geodl_lab.detections import empty
from geodl_lab.errors import RasterError
from geodl_lab.grid import Window
from geodl_lab.inference import chunk_lattice, in_order, run_chunks
from geodl_lab.objects import find, frame_of, with_threshold
from geodl_lab.options import counting_on, make_options
from geodl_lab.outputs import RASTER_ENDINGS, check_output, raster_writer
from geodl_lab.packages import open_model
from geodl_lab.pixels import (
    Product,
    class_product,
    dense_work,
    entropy_product,
    probability_product,
    value_product,
)
from geodl_lab.raster import area_edges, open_raster
from geodl_lab.raster_files import PixelBlocks, RasterFile, Snap, gdal_limits
from geodl_lab.runs import Run, from_file, prepare, provenance, recipe
from geodl_lab.runtime import Model
from geodl_lab.staging import check_distinct, is_complete, staged
from geodl_lab.vector_files import (
    VECTOR_DRIVERS,
    file_tags,
    object_writer,
    read_attrs,
)

LOGGER = logging.getLogger("geodl_lab")


def classify_file(
    source: str | Path,
    target: str | Path,
    model: str | Path | Model,
    *,
    threshold: float | None = None,
    overwrite: bool = True,
    resume: bool = False,
    **options: Any,
) -> Path:
    """Classify a raster file into a COG with palette and class names.

    Parameters
    ----------
    source
        Any raster that GDAL opens.
    target
        A ``.tif``; it appears when it is complete.
    model, threshold, options
        As in `geodl_lab.classify`.
    overwrite
        False refuses an existing target.
    resume
        True goes on with the finished blocks of an earlier run that was stopped or killed; the
        result is the same bits. Without any it begins at the beginning.

    Returns
    -------
    pathlib.Path
        ``target``.

    Raises
    ------
    GeodlError
        If source, model, target or an option is not usable, or what is to be resumed was begun
        with another model, recipe or input; the message says what to do.
    """
    model = open_model(model)
    product = class_product(model.package, threshold)
    return _write(source, target, model, product, overwrite=overwrite, resume=resume, **options)


def probabilities_file(
    source: str | Path,
    target: str | Path,
    model: str | Path | Model,
    *,
    overwrite: bool = True,
    resume: bool = False,
    **options: Any,
) -> Path:
    """Write the probability of each class, one float32 band a class; as `classify_file`."""
    model = open_model(model)
    product = probability_product(model.package)
    return _write(source, target, model, product, overwrite=overwrite, resume=resume, **options)


def entropy_file(
    source: str | Path,
    target: str | Path,
    model: str | Path | Model,
    *,
    overwrite: bool = True,
    resume: bool = False,
    **options: Any,
) -> Path:
    """Write the entropy of the class probabilities in nat, float32; as `classify_file`."""
    model = open_model(model)
    product = entropy_product(model.package)
    return _write(source, target, model, product, overwrite=overwrite, resume=resume, **options)


def regress_file(
    source: str | Path,
    target: str | Path,
    model: str | Path | Model,
    *,
    overwrite: bool = True,
    resume: bool = False,
    **options: Any,
) -> Path:
    """Write the values of a regression, one float32 band a quantity; as `classify_file`."""
    model = open_model(model)
    product = value_product(model.package)
    return _write(source, target, model, product, overwrite=overwrite, resume=resume, **options)


def _write(
    source: str | Path,
    target: str | Path,
    model: Model,
    product: Product,
    *,
    overwrite: bool,
    resume: bool,
    **options: Any,
) -> Path:
    """Run a dense model from file to file."""
    target = Path(target)
    check_distinct(source, target)
    check_output(target, RASTER_ENDINGS, overwrite=overwrite or resume)
    with gdal_limits():
        run = from_file(prepare(open_raster(source), model, make_options(options)), source)
        identity = input_identity(source, target)
        key = run_key(run, {"name": product.name, **vars(product.head)}, identity)
        if resume and not overwrite and is_complete(target, _raster_tags, key):
            LOGGER.warning("%s is complete already; nothing was done", target)
            return target
        description = _describe(run, product, key)
        chunks = [chunk for row in chunk_lattice(run.planned.grid, run.area) for chunk in row]
        windows = [chunk.relative_to(run.area) for chunk in chunks]
        with raster_writer(
            target, description, windows, overwrite=overwrite, key=key, resume=resume,
            snap=_snap(run, description),
        ) as blocks:  # fmt: skip
            _fill(run, product, blocks, chunks)
            check_unchanged(source, identity)
    return target


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


def input_identity(source: str | Path, target: Path | None = None) -> dict[str, Any]:
    """Return the identity of every file that GDAL reads for a raster, as a mosaic's tiles.

    Raises
    ------
    OutputError
        If ``target`` is one of them.
    """
    with rasterio.open(source) as file:
        parts = sorted({str(source), *file.files})
    for part in parts:
        if target is not None:
            check_distinct(part, target)
    if len(parts) == 1:
        return file_identity(source)
    return {f"file {number}": file_identity(part) for number, part in enumerate(parts, 1)}


def check_unchanged(source: str | Path, identity: Mapping[str, Any]) -> None:
    """Refuse to finish an output whose input was replaced while it was read.

    Raises
    ------
    RasterError
        If size, time or header of the file are others than at the beginning.
    """
    if input_identity(source) != identity:
        raise RasterError(
            f"{str(source)!r} was changed while it was read, so the result would be of two files; "
            "run again once nobody writes to it"
        )


def _fill(run: Run, product: Product, blocks: PixelBlocks, chunks: Sequence[Window]) -> None:
    """Compute the blocks that are not there yet, each written while the next is computed."""
    missing = [chunk for chunk in chunks if not blocks.holds(chunk.relative_to(run.area))]
    count = run.planned.grid.windows
    total = sum(map(count, chunks))
    limits = run.limits()
    limits["progress"] = counting_on(limits["progress"], total - sum(map(count, missing)), total)
    work = dense_work(run, product.head)
    computed = run_chunks(run.planned, run.source, missing, work, **limits)
    with ThreadPoolExecutor(1, "geodl-write") as beside:
        for _ in in_order(
            lambda one: beside.submit(blocks.write, one[0].relative_to(run.area), one[1]),
            computed,
            1,
        ):
            pass


def _describe(run: Run, product: Product, key: Mapping[str, Any]) -> RasterFile:
    raster, area, head = run.grid, run.area, product.head
    tags = {**product.attrs, **provenance(run), RUN_TAG: key_hash(key)}
    return RasterFile(
        shape_yx=area.shape_yx,
        bands=head.channels,
        dtype=str(head.dtype),
        nodata=head.fill,
        crs=raster.crs,
        transform=raster.transform * raster.transform.translation(area.x, area.y),
        classes=product.classes,
        names=product.channels,
        tags=file_tags(tags),
    )


def _snap(run: Run, description: RasterFile) -> Snap | None:
    """Return how the blocks come back to the input's grid, where that was asked for."""
    area = run.snapped
    if area is None or run.cells is None:
        return None
    rows, columns = snap_indices(run.cells)
    down, across = area.slices_yx
    transform = run.raster.transform * run.raster.transform.translation(area.x, area.y)
    raster = dataclasses.replace(description, shape_yx=area.shape_yx, transform=transform)
    return Snap(raster, rows[down] - run.area.y, columns[across] - run.area.x)


def detect_file(
    source: str | Path,
    target: str | Path,
    model: str | Path | Model,
    *,
    threshold: float | None = None,
    overwrite: bool = True,
    resume: bool = False,
    **options: Any,
) -> Path:
    """Detect objects in a raster file and write them as GeoParquet, GeoPackage or GeoJSON.

    Parameters
    ----------
    source
        Any raster that GDAL opens.
    target
        A ``.parquet``, ``.gpkg`` or ``.geojson``; it appears when it is complete.
    model, threshold, options
        As in `geodl_lab.detect`.
    overwrite, resume
        As in `classify_file`.

    Returns
    -------
    pathlib.Path
        ``target``.

    Raises
    ------
    GeodlError
        As in `classify_file`.
    """
    model = with_threshold(open_model(model), threshold)
    target = Path(target)
    check_distinct(source, target)
    check_output(target, tuple(VECTOR_DRIVERS), overwrite=overwrite or resume)
    with gdal_limits():
        run = from_file(prepare(open_raster(source), model, make_options(options)), source)
        identity = input_identity(source, target)
        edges = area_edges(run.grid, run.options.area)
        made = {**dataclasses.asdict(_decoder(model)), "edges": edges}
        key = run_key(run, made, identity)
        if resume and not overwrite and is_complete(target, read_attrs, key):
            LOGGER.warning("%s is complete already; nothing was done", target)
            return target
        with staged(target, overwrite=overwrite or resume, resume=resume) as path:
            store = ObjectBlocks(open_checkpoint(path.parent, ".npz", key, resume=resume))
            attrs = {**provenance(run), RUN_TAG: key_hash(key)}
            template = frame_of(empty(), run, attrs)
            with object_writer(path, template, attrs=attrs) as writer:
                for found in find(run, store):
                    writer.write(frame_of(found, run, attrs))
            check_unchanged(source, identity)
    return target


def _decoder(model: Model) -> Decoder:
    assert model.package.decoder is not None
    return model.package.decoder


def _raster_tags(path: Path) -> dict[str, str]:
    with rasterio.open(path) as file:
        return file.tags()


@dataclass(frozen=True)
class ObjectBlocks:
    """What the chunks of a detector left behind, each in a file of its own."""

    checkpoint: Checkpoint

    def holds(self, chunk: Window) -> bool:
        """Tell whether a chunk is finished and its file whole."""
        if not self.checkpoint.holds(chunk):
            return False
        try:
            self.load(chunk)
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
            return False
        return True

    def load(self, chunk: Window) -> dict[str, np.ndarray]:
        """Return the summary of a finished chunk."""
        with np.load(self.checkpoint.path(chunk), allow_pickle=False) as arrays:
            return dict(arrays)

    def save(self, chunk: Window, summary: dict[str, np.ndarray]) -> None:
        """Keep the summary of a chunk."""

        def write(path: Path) -> None:
            with path.open("wb") as file:
                np.savez(file, **summary)  # type: ignore[arg-type]

        self.checkpoint.commit(chunk, write)
