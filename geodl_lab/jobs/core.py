"""Everything that belongs to one data folder: jobs, catalog, stores and the runner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from geodl_lab.jobs.catalog import Catalog, Item
from geodl_lab.jobs.job import Caller, Job, Message
from geodl_lab.jobs.recipes import Recipe


@dataclass(frozen=True)
class CoreOptions:
    """How the core is set up.

    Parameters
    ----------
    data_dir
        The folder of this server: database, jobs, results. One server at a time uses it.
    database
        SQLAlchemy URL; "" is SQLite in the folder.
    stores
        Folders by name whose files may be named in requests; they are only read.
    scheduler
        Address of a Dask scheduler whose workers see the same files; "" is workers of our own.
    url_hosts
        Hosts that may be asked though their addresses are private.
    queue_limit
        Most jobs that wait.
    keep_days, keep_bytes
        Age and size beyond which finished jobs' files go, the oldest first; None is never.
    """

    data_dir: Path
    database: str = ""
    stores: Mapping[str, Path] = field(default_factory=dict)
    scheduler: str = ""
    url_hosts: tuple[str, ...] = ()
    queue_limit: int = 10_000
    keep_days: float | None = 30.0
    keep_bytes: int | None = None


class Core(Protocol):
    """What the faces of the server call."""

    @property
    def options(self) -> CoreOptions:
        """How it was set up."""
        ...

    @property
    def catalog(self) -> Catalog:
        """Services and items."""
        ...

    def submit(
        self,
        recipe: Recipe,
        caller: Caller,
        *,
        request: Mapping[str, Any],
        priority: int = 0,
    ) -> Job:
        """Accept a job; it is on the disk when this returns. BusyError if the queue is full."""
        ...

    def job(self, id: str, caller: Caller) -> Job:
        """Return a job; raises AccessError where there is none to be seen."""
        ...

    def messages(self, job: Job) -> list[Message]:
        """Return all that a job said, oldest first."""
        ...

    def cancel(self, job: Job) -> Job:
        """Ask a job to stop; one that waits is cancelled at once. Returns the job as it is then."""
        ...

    def item(self, id: str, caller: Caller) -> Item:
        """Return an item of the catalog, of a model or of a raster in a store; AccessError."""
        ...

    def items(self, caller: Caller) -> list[Item]:
        """Return all items that a caller may see: of the catalog, of models, of stores."""
        ...

    def model_cards(self) -> list[dict[str, Any]]:
        """Return the cards of all models, made by a worker; blocks while it makes them."""
        ...

    def store_path(self, reference: str) -> Path:
        """Return the file or folder of ``NAME/path`` in a store; raises AccessError outside."""
        ...
