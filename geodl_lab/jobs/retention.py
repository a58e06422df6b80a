"""What is old goes: finished jobs by age and size, and files that nothing names any more.

A job that is not finished is never touched. A finished one goes with its messages when it is older
than ``keep_days``, and before that, the oldest first, while the files of finished jobs are more
than ``keep_bytes``. A result that a client gave a name, or an item, stays as long as that item; one
that has only its job's name goes with the job. Files of replaced and deleted services, and of
deleted uploads, go after `GRACE_SECONDS`, so that whoever reads them can end.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
import time
from pathlib import Path

from geodl_lab.errors import AccessError, BusyError
from geodl_lab.jobs.catalog import Catalog
from geodl_lab.jobs.job import Caller
from geodl_lab.jobs.store import Store

LOGGER = logging.getLogger("geodl_lab.jobs")

GRACE_SECONDS = 600.0
"""How long files stay that nothing names any more."""

SWEEP_SECONDS = 300.0
"""How often what is old is looked for."""

_ALL = Caller("", admin=True)


class Retention:
    """Removes what is old, now and then.

    Parameters
    ----------
    store, catalog
        Jobs, and what is published.
    folder
        The data folder; in it are ``jobs`` (the jobs' own files), ``services`` (what is published)
        and ``uploads`` (a folder for each item that has one).
    keep_days, keep_bytes
        As in `core.CoreOptions`.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        folder: Path,
        *,
        keep_days: float | None,
        keep_bytes: int | None,
    ) -> None:
        self._store, self._catalog = store, catalog
        self._jobs, self._services = folder / "jobs", folder / "services"
        self._uploads = folder / "uploads"
        self._keep_days, self._keep_bytes = keep_days, keep_bytes
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="geodl-retention", daemon=True)

    def start(self) -> None:
        """Sweep now, and then again and again."""
        self._thread.start()

    def stop(self) -> None:
        """Sweep no more."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def sweep(self, now: float) -> None:
        """Remove what is old at a time (seconds since 1970)."""
        finished = self._store.finished()
        sizes = {id: _size(self._jobs / id) + _size(self._services / id) for id, _ in finished}
        total = sum(sizes.values())
        for id, end in finished:
            if self._stopping.is_set():
                return
            too_old = self._keep_days is not None and end < now - self._keep_days * 86_400
            too_much = self._keep_bytes is not None and total > self._keep_bytes and sizes[id] > 0
            if too_old or too_much:
                self._remove(id)
                total -= sizes[id]
        self._sweep_folders(now)

    def _remove(self, id: str) -> None:
        with contextlib.suppress(AccessError):
            service = self._catalog.service(id, _ALL)
            self._catalog.delete(self._catalog.item(service.item, _ALL))
            shutil.rmtree(self._services / id, ignore_errors=True)
        shutil.rmtree(self._jobs / id, ignore_errors=True)
        self._store.remove(id)
        LOGGER.info("job %s is removed", id, extra={"job": id})

    def _sweep_folders(self, now: float) -> None:
        """Remove folders that belong to nothing, when they have not changed for a while."""
        for folder in self._jobs.iterdir():
            job = self._store.get(folder.name)
            if (job is None or job.state.final) and _is_left(folder, now):
                shutil.rmtree(folder, ignore_errors=True)
        used = {Path(path) for path in self._catalog.files()}
        used |= {parent for path in used for parent in path.parents}
        for folder in [*self._services.glob("*/*"), *self._uploads.glob("*")]:
            if folder not in used and _is_left(folder, now):
                shutil.rmtree(folder, ignore_errors=True)
        for folder in self._services.iterdir():
            with contextlib.suppress(OSError):  # it is not empty
                folder.rmdir()

    def _watch(self) -> None:
        while not self._stopping.is_set():
            try:
                self.sweep(time.time())
            except (BusyError, OSError) as error:
                LOGGER.warning("what is old could not be removed: %s", error)
            self._stopping.wait(SWEEP_SECONDS)


def _is_left(folder: Path, now: float) -> bool:
    try:
        return folder.stat().st_mtime < now - GRACE_SECONDS
    except OSError:
        return False


def _size(folder: Path) -> int:
    """Return the bytes of all files in a folder, 0 without one."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.lstat().st_size if path.is_file() else 0
    return total
