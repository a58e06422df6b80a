"""From file to file in steps: say what is missing, compute some of it, make the file of it all.

What a step computes is committed to the disk chunk by chunk, so that a run may go on in any
process: `files` takes all steps at once, a job server one after the other. How an area is cut into
chunks changes no bit of the result.
"""

from __future__ import annotations

import contextlib
import dataclasses
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import geopandas
import numpy as np

from geodl_lab.cells import snap_indices
from geodl_lab.checkpoints import RUN_TAG, Checkpoint, key_hash, open_checkpoint
from geodl_lab.detections import Detections, empty
from geodl_lab.file_runs import FileRun, input_identity, run_key
from geodl_lab.grid import Window
from geodl_lab.inference import Source, chunk_lattice, run_chunks
from geodl_lab.objects import Todo, explore, found_in, frame_of, look
from geodl_lab.options import Options, Progress, counting_on
from geodl_lab.outputs import assemble, room_for
from geodl_lab.pixels import Product, dense_work
from geodl_lab.raster import area_edges, open_raster
from geodl_lab.raster_files import PixelBlocks, RasterFile, Snap, gdal_limits
from geodl_lab.runs import Run, from_file, prepare, provenance
from geodl_lab.runtime import Model
from geodl_lab.sources import FileSource, RasterSource
from geodl_lab.threaded import in_order
from geodl_lab.vector_files import file_tags, object_writer

Opener = Callable[[str | Path, RasterSource], Source]
"""Makes what reads windows of a file, in several threads."""


class Mask(Protocol):
    """Where answers are wanted."""

    def covers(self, window: Window) -> np.ndarray:
        """Return where a window of the run's grid is wanted, (y, x) bool."""
        ...


@dataclass(frozen=True)
class PixelRun(FileRun):
    """A dense model on a file; ``product`` is what is made of its scores."""

    product: Product = dataclasses.field(kw_only=True)

    @property
    def room(self) -> int:
        """Most bytes that result and unfinished blocks take."""
        return room_for(self.described)

    @property
    def described(self) -> RasterFile:
        """What the blocks' raster says about itself."""
        return _describe(self.run, self.product, self.key)


def pixel_run(
    source: str | Path,
    model: Model,
    product: Product,
    options: Options,
    *,
    target: Path | None = None,
    also: tuple[Path, ...] = (),
    opener: Opener = FileSource,
) -> PixelRun:
    """Check a run of a dense model from file to file before any pixel is read.

    Parameters
    ----------
    source
        Any raster that GDAL opens.
    model, product, options
        What is run, what is made of its scores, and how.
    target
        Where the result shall be; it may be none of the files that are read.
    also
        As in `FileRun`.
    opener
        Makes what reads the pixels.

    Raises
    ------
    GeodlError
        If source, model, target or an option is not usable.
    """
    with gdal_limits():
        run = from_file(prepare(open_raster(source), model, options), source, opener)
        identity = input_identity(source, target, also=also)
        key = run_key(run, {"name": product.name, **vars(product.head)}, identity)
        return PixelRun(source, run, identity, key, also, product=product)


def object_run(
    source: str | Path,
    model: Model,
    options: Options,
    *,
    target: Path | None = None,
    also: tuple[Path, ...] = (),
) -> FileRun:
    """Check a run of a detector from file to file; parameters and errors as in `pixel_run`."""
    assert model.package.decoder is not None
    with gdal_limits():
        run = from_file(prepare(open_raster(source), model, options), source)
        identity = input_identity(source, target, also=also)
        edges = area_edges(run.grid, run.options.area)
        made = {**dataclasses.asdict(model.package.decoder), "edges": edges}
        return FileRun(source, run, identity, run_key(run, made, identity), also)


@dataclass(frozen=True)
class PixelSteps:
    """The steps of a dense model's run.

    Parameters
    ----------
    of
        The run.
    blocks
        What is finished.
    side
        Of chunks, as in `inference.chunk_lattice`.
    mask
        Outside it the result is nodata; None wants all.
    """

    of: PixelRun
    blocks: PixelBlocks
    side: int | None = None
    mask: Mask | None = None
    _known: set[Window] = field(default_factory=set, repr=False, compare=False)

    @classmethod
    def begin(
        cls,
        of: PixelRun,
        folder: Path,
        *,
        resume: bool,
        side: int | None = None,
        mask: Mask | None = None,
    ) -> PixelSteps:
        """Begin, or with ``resume`` go on with what is finished in a folder.

        Raises
        ------
        OutputError
            If the folder holds blocks of another run; the message says what differs.
        """
        checkpoint = open_checkpoint(folder, ".tif", of.key, resume=resume)
        return cls(of, PixelBlocks(of.described, checkpoint), side, mask)

    def missing(self) -> Todo:
        """Return the chunks that are still to be computed."""
        run = self.of.run
        chunks, count = self._chunks(), run.planned.grid.windows
        return Todo(run.area, self.left(chunks), sum(map(count, chunks)))

    def left(self, chunks: Iterable[Window]) -> tuple[Window, ...]:
        """Return those of some chunks that are not finished."""
        return tuple(chunk for chunk in chunks if not self._holds(chunk))

    def compute(
        self,
        todo: Todo,
        *,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        """Compute chunks and commit each, written while the next is computed.

        Raises
        ------
        RasterError
            If the input was replaced.
        RunError, CancelledError
            As in `inference.run_chunks`.
        OSError
            If a block cannot be written.
        """
        run, chunks = self.of.run, todo.chunks
        left = sum(map(run.planned.grid.windows, chunks))
        limits: dict[str, Any] = {"cancelled": cancelled}
        limits["progress"] = counting_on(progress, todo.windows - left, todo.windows)
        work = dense_work(run, self.of.product.head)
        with gdal_limits(), ThreadPoolExecutor(1, "geodl-write") as beside:
            computed = run_chunks(run.planned, run.source, chunks, work, **limits)
            for _ in in_order(lambda one: beside.submit(self._keep, *one), computed, 1):
                pass
        self.of.check_unchanged()

    def finish(self, path: Path) -> None:
        """Make the COG of the finished chunks, in a folder that may take other files.

        Raises
        ------
        RasterError
            If the input was replaced.
        OSError
            If it cannot be written, or what is read back differs.
        """
        run = self.of.run
        windows = [chunk.relative_to(run.area) for chunk in self._chunks()]
        assemble(self.blocks, windows, path, snap=_snap(run, self.blocks.raster))
        self.of.check_unchanged()

    def _chunks(self) -> list[Window]:
        run = self.of.run
        return [c for row in chunk_lattice(run.planned.grid, run.area, self.side) for c in row]

    def _holds(self, chunk: Window) -> bool:
        """Tell whether a chunk is finished; what was looked at is not read again."""
        if chunk not in self._known and self.blocks.holds(chunk.relative_to(self.of.run.area)):
            self._known.add(chunk)
        return chunk in self._known

    def _keep(self, chunk: Window, block: np.ndarray) -> None:
        if self.mask is not None:
            block = np.where(self.mask.covers(chunk), block, block.dtype.type(self.fill))
        self.blocks.write(chunk.relative_to(self.of.run.area), block)
        self._known.add(chunk)

    @property
    def fill(self) -> float:
        """The value that means no data."""
        return self.of.product.head.fill


@dataclass(frozen=True)
class ObjectSteps:
    """The steps of a detector's run.

    Parameters
    ----------
    of
        The run.
    blocks
        What is finished.
    side
        Of chunks, as in `inference.chunk_lattice`.
    """

    of: FileRun
    blocks: ObjectBlocks
    side: int | None = None

    @classmethod
    def begin(
        cls, of: FileRun, folder: Path, *, resume: bool, side: int | None = None
    ) -> ObjectSteps:
        """Begin, or go on; as `PixelSteps.begin`."""
        return cls(of, ObjectBlocks(open_checkpoint(folder, ".npz", of.key, resume=resume)), side)

    @property
    def attrs(self) -> dict[str, str]:
        """What the result says about how it was made."""
        return {**provenance(self.of.run), RUN_TAG: key_hash(self.of.key)}

    def missing(self) -> Todo:
        """Return what is still to be looked at, as far as is known; ask again when it is done."""
        return explore(self.of.run, self.blocks, side=self.side)

    def left(self, chunks: Iterable[Window]) -> tuple[Window, ...]:
        """Return those of some chunks that are not finished."""
        return tuple(chunk for chunk in chunks if not self.blocks.holds(chunk))

    def compute(
        self,
        todo: Todo,
        *,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        """Compute chunks and commit each; errors as in `PixelSteps.compute`."""
        with gdal_limits():
            look(self.of.run, self.blocks, todo, progress=progress, cancelled=cancelled)
        self.of.check_unchanged()

    def found(self) -> Iterator[Detections]:
        """Yield the objects, in pixels of the run's grid, in batches from top to bottom."""
        yield from found_in(self.of.run, self.blocks, side=self.side)

    def frame(self, found: Detections) -> geopandas.GeoDataFrame:
        """Return a batch as rows in the raster's CRS."""
        return frame_of(found, self.of.run, self.attrs)

    def finish(self, *paths: Path) -> int:
        """Write the objects to files, each in the format of its ending; return their number.

        Raises
        ------
        RasterError
            If the input was replaced.
        OSError
            If a file cannot be written.
        """
        count = write_frames(map(self.frame, self.found()), self.frame(empty()), paths)
        self.of.check_unchanged()
        return count


def write_frames(
    frames: Iterable[geopandas.GeoDataFrame],
    template: geopandas.GeoDataFrame,
    paths: Sequence[Path],
) -> int:
    """Write batches of rows to files at one time; return the number of rows.

    ``template`` is a batch without rows, with the ``attrs`` that the files get.
    """
    count = 0
    with contextlib.ExitStack() as stack:
        writers = [
            stack.enter_context(object_writer(path, template, attrs=template.attrs))
            for path in paths
        ]
        for frame in frames:
            count += len(frame)
            for writer in writers:
                writer.write(frame)
    return count


@dataclass(frozen=True)
class ObjectBlocks:
    """What the chunks of a detector left behind, each in a file of its own.

    Parameters
    ----------
    checkpoint
        Where they are kept.
    """

    checkpoint: Checkpoint
    _known: set[Window] = field(default_factory=set, repr=False, compare=False)

    def holds(self, chunk: Window) -> bool:
        """Tell whether a chunk is finished and its file whole; a known one is not read again."""
        if chunk in self._known:
            return True
        if not self.checkpoint.holds(chunk):
            return False
        try:
            self.load(chunk)
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
            return False
        self._known.add(chunk)
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
        self._known.add(chunk)


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
