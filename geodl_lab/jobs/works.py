"""What runs in a worker: a job's work, in parts that are each committed to disk.

A work is a frozen, hashable, picklable value in which everything is local and checked by nobody
else: paths, the model's reference, options. Its methods are submitted to an `Executor`, each call
perhaps to another process or machine that sees the same files, so they keep nothing but caches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from geodl_lab.grid import Window

CANCEL = "cancel"
"""Name of the file in a job's folder whose presence asks the work to stop."""


RESULT = "result"
"""Name of a folder in a job's folder: what lies in it is published together, as it lies there."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of work that leaves one block on the disk.

    Parameters
    ----------
    item
        Which raster of the work, from 0.
    window
        Pixels of that raster's grid.
    windows
        Forwards that it costs.
    """

    item: int
    window: Window
    windows: int


@dataclass(frozen=True, slots=True)
class Missing:
    """What is still to be computed.

    Parameters
    ----------
    parts
        In the order to compute them; empty when the work can be finished.
    windows
        Forwards of all parts, finished ones included; for progress.
    at_once
        Forwards that a worker runs side by side: a step with fewer leaves cores idle.
    """

    parts: tuple[Part, ...] = ()
    windows: int = 0
    at_once: int = 1


@dataclass(frozen=True, slots=True)
class Done:
    """What a step did: unique pixels, and the seconds it took."""

    pixels: int
    seconds: float


@dataclass(frozen=True)
class Result:
    """What a work made.

    Parameters
    ----------
    files
        Paths of complete files in the job's folder by role: ``raster`` (a COG), ``features``
        (GeoPackage), ``parquet``, ``folder``. They are moved when they are published, with all
        that lies beside them in `RESULT`, such as a raster's sidecar.
    values
        Plain values: of rasters ``classes`` (a list of value, name, color) and ``bands``; of
        features ``geometry`` (type), ``count``; of models cards.
    messages
        What is worth saying, one sentence each.
    warnings
        What is not as it was asked for, one sentence each.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    messages: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Work(Protocol):
    """The work of one job."""

    @property
    def folder(self) -> Path:
        """The job's folder; the work may write to it and to nothing else."""
        ...

    @property
    def device(self) -> str:
        """Device of its forwards: ``auto``, ``cpu``, ``cuda``, ``cuda:N``; "" for none at all."""
        ...

    def missing(self) -> Missing:
        """Return what is still to be computed; asked again when all of it is.

        Raises
        ------
        GeodlError
            If input, model or an option is not usable, or an input was replaced.
        """
        ...

    def compute(self, parts: tuple[Part, ...]) -> Done:
        """Compute parts and commit each; a part that is there already is left.

        Raises
        ------
        CancelledError
            If the cancel file appears.
        GeodlError
            As `missing`, or if the disk is full.
        """
        ...

    def finish(self) -> Result:
        """Make the result of the finished parts; may be called again after a crash."""
        ...


def is_cancelled(folder: Path) -> bool:
    """Tell whether a job is to stop."""
    return (folder / CANCEL).exists()
