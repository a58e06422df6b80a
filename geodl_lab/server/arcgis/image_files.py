"""Open raster files: a few of each are kept open, each used by one thread at a time."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import rasterio
import rasterio.errors
from rasterio.io import DatasetReader

from geodl_lab import settings
from geodl_lab.errors import RasterError
from geodl_lab.jobs.rasters import MAGIC
from geodl_lab.jobs.worker import UNTRUSTED_ENV


@dataclass(frozen=True, slots=True)
class FileId:
    """A file as it was when it was looked at; another content is another value.

    Parameters
    ----------
    path
        Absolute.
    changed
        Nanoseconds since 1970.
    size
        Bytes.
    ours
        Whether this server wrote it.
    """

    path: str
    changed: int
    size: int
    ours: bool

    @classmethod
    def of(cls, path: Path, *, ours: bool) -> FileId:
        """Look at a file.

        Raises
        ------
        RasterError
            If it is not there.
        """
        try:
            status = path.stat()
        except OSError:
            raise RasterError(f"the raster {path.name!r} is gone; run its job again") from None
        return cls(str(path), status.st_mtime_ns, status.st_size, ours)


@dataclass
class Pool:
    """Open datasets that nobody uses right now.

    Parameters
    ----------
    most
        How many are kept, the oldest are closed first.
    seconds
        How long: a deleted file keeps its place on the disk as long as it is open.
    """

    most: int = 16
    seconds: float = 60.0
    _idle: list[tuple[float, FileId, DatasetReader]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def use(self, file: FileId) -> Iterator[DatasetReader]:
        """Lend an open dataset; GDAL allows one thread at a time in each.

        GDAL's cache of all of them is bounded: it would else grow to a twentieth of the machine.

        Raises
        ------
        RasterError
            If it cannot be opened.
        """
        dataset = self._take(file) or _open(file)
        try:
            with rasterio.Env(GDAL_CACHEMAX=settings.GDAL_CACHE):
                yield dataset
        except BaseException:
            dataset.close()
            raise
        self._give(file, dataset)

    def close(self) -> None:
        """Close all."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, _, dataset in idle:
            dataset.close()

    def _take(self, file: FileId) -> DatasetReader | None:
        with self._lock:
            for index in reversed(range(len(self._idle))):
                if self._idle[index][1] == file:
                    return self._idle.pop(index)[2]
        return None

    def _give(self, file: FileId, dataset: DatasetReader) -> None:
        now = time.monotonic()
        with self._lock:
            kept = [entry for entry in self._idle if now - entry[0] < self.seconds]
            old = [entry for entry in self._idle if now - entry[0] >= self.seconds]
            kept.append((now, file, dataset))
            old += kept[: -self.most]
            self._idle = kept[-self.most :]
        for _, _, other in old:
            other.close()


def _open(file: FileId) -> DatasetReader:
    try:
        with rasterio.Env(**UNTRUSTED_ENV), warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            return rasterio.open(file.path, driver=_driver(Path(file.path)), sharing=False)
    except (OSError, rasterio.errors.RasterioError):
        name = Path(file.path).name
        raise RasterError(f"{name!r} cannot be read as a raster; give a GeoTIFF") from None


def _driver(path: Path) -> str:
    """Return the driver that a file begins with: none that reads other files."""
    with path.open("rb") as opened:
        head = opened.read(16)
    names = [name for magic, name in MAGIC.items() if head.startswith(magic)]
    if not names:
        raise RasterError(f"{path.name!r} is no GeoTIFF, PNG, JPEG or JPEG 2000")
    return names[0]


POOL = Pool()
"""The server's open files."""
