"""Everything that belongs to one data folder: jobs, catalog, stores and the runner."""

from __future__ import annotations

import importlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geodl_lab.errors import AccessError, BusyError
from geodl_lab.jobs import recipes
from geodl_lab.jobs.catalog import Catalog, Item
from geodl_lab.jobs.database import Database
from geodl_lab.jobs.documents import Documents
from geodl_lab.jobs.executors import CrashError
from geodl_lab.jobs.given_files import Given, write_files
from geodl_lab.jobs.job import Caller, Job, Message, State, new_id
from geodl_lab.jobs.listings import Listings
from geodl_lab.jobs.locking import hold
from geodl_lab.jobs.meters import Meters
from geodl_lab.jobs.recipes import Recipe
from geodl_lab.jobs.resolved import Call, Resolved
from geodl_lab.jobs.retention import Retention
from geodl_lab.jobs.run import Tools
from geodl_lab.jobs.runner import Runner, queue_of
from geodl_lab.jobs.store import Store
from geodl_lab.jobs.worker import UNTRUSTED_ENV, Answer
from geodl_lab.jobs.workers import MODELS, STOPPING, Workers

IMAGES = 10
"""Priority of photos: they wait for one step of a raster's job at most."""


@dataclass(frozen=True)
class CoreOptions:
    """How the core is set up.

    Parameters
    ----------
    data_dir
        The folder of this server: database, jobs, results. One server at a time uses it.
    database
        SQLAlchemy URL; "" is SQLite in the folder. It belongs to this server alone.
    stores
        Folders by name whose files may be named in requests; they are only read.
    scheduler
        Address of a Dask scheduler whose workers see the same files; "" is workers of our own.
    url_hosts
        Hosts that may be asked though their addresses are private.
    trusted
        Hashes (sha256, lower case) of uploaded networks whose own code may run.
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
    trusted: tuple[str, ...] = ()
    queue_limit: int = 10_000
    keep_days: float | None = 30.0
    keep_bytes: int | None = None


class Core:
    """What the faces of the server call; made by `open_core`.

    Parameters
    ----------
    options
        How it is set up.
    resolve
        Turns the references of a recipe into files, as `inputs.resolve`.
    """

    def __init__(self, options: CoreOptions, resolve: Resolve) -> None:
        self._options, self._resolve = options, resolve
        self._lock = hold(options.data_dir)
        try:
            self._database = Database(options.database or _sqlite(options.data_dir))
        except BaseException:
            os.close(self._lock)
            raise
        self._store, self._catalog = Store(self._database), Catalog(self._database)
        self._catalog.move_to(options.data_dir)
        self._documents = Documents(self._database, options.data_dir / "documents")
        self._jobs = options.data_dir / "jobs"
        self._workers, self._meters = Workers(options.scheduler), Meters()
        self._listings = Listings(options.stores, self.compute)
        self._runner = Runner(self._tools(), self._ended)
        self._retention = Retention(
            self._store, self._catalog, options.data_dir,
            keep_days=options.keep_days, keep_bytes=options.keep_bytes,
        )  # fmt: skip
        self._closing = threading.Lock()
        self._open = True

    def start(self) -> None:
        """Go on with the jobs of before, and begin to remove what is old."""
        self._runner.start()
        self._retention.start()

    def close(self, *, seconds: float = 5.0) -> None:
        """Take no more work, let steps that run end for some seconds, and free the data folder."""
        with self._closing:
            if not self._open:
                return
            self._open = False
        self._retention.stop()
        self._runner.close(seconds)
        self._database.close()
        os.close(self._lock)

    @property
    def options(self) -> CoreOptions:
        """How it was set up."""
        return self._options

    @property
    def catalog(self) -> Catalog:
        """Services and items."""
        return self._catalog

    @property
    def documents(self) -> Documents:
        """What protocols keep beside jobs and services."""
        return self._documents

    @property
    def workers_ready(self) -> bool:
        """Whether the workers have said which devices there are."""
        return self._workers.ready

    @property
    def meters(self) -> Meters:
        """What was done since the start."""
        return self._meters

    def counts(self) -> dict[State, int]:
        """Return how many jobs are in each state."""
        return self._store.counts()

    def submit(
        self,
        recipe: Recipe,
        caller: Caller,
        *,
        request: Mapping[str, Any],
        priority: int | None = None,
        files: Mapping[str, Given] | None = None,
    ) -> Job:
        """Accept a job; it is on the disk when this returns.

        Parameters
        ----------
        recipe, caller, request
            What is to be done, who asks, and what the protocol wants to know of it later.
        priority
            Higher goes first; None is `IMAGES` for photos, else 0.
        files
            What lies in the job's folder, by name.

        Raises
        ------
        BusyError
            If the queue is full, or the server is stopping.
        OptionError, OutputError
            If a file's name is not possible, or the disk is full.
        """
        if not self._open:
            raise BusyError(STOPPING)
        if priority is None:
            priority = IMAGES if isinstance(recipe, recipes.Look) else 0
        values = recipes.to_json(recipe)
        job = Job(
            new_id(), caller.owner, values, dict(request), priority=priority, created=time.time()
        )
        if files:
            write_files(self._jobs / job.id, files)
        limit = self._options.queue_limit
        try:
            self._store.add(job, lane=queue_of(recipe), admin=caller.admin, limit=limit)
        except BaseException:
            shutil.rmtree(self._jobs / job.id, ignore_errors=True)
            raise
        self._runner.wake()
        return job

    def job(self, id: str, caller: Caller) -> Job:
        """Return a job; raises AccessError where there is none to be seen."""
        job = self._store.get(id)
        if job is None or not caller.may_see(job.owner):
            raise AccessError(
                f"there is no job {id[:100]!r}; it may have been removed by age: send it again"
            )
        return job

    def jobs(self, caller: Caller, *, kinds: Sequence[str] = (), limit: int = 50) -> list[Job]:
        """Return the last jobs of a caller, newest first; of no ``kinds`` of recipes: all."""
        return self._store.newest(caller, kinds=kinds, limit=limit)

    def messages(self, job: Job) -> list[Message]:
        """Return all that a job said, oldest first."""
        return self._store.messages(job.id)

    def cancel(self, job: Job) -> Job:
        """Ask a job to stop; one that waits is cancelled at once. Returns the job as it is then."""
        now = self._store.cancel(job.id)
        self._runner.cancel(job.id)
        return now or job

    def compute(
        self,
        function: Callable[..., Any],
        *args: Any,
        device: str = "auto",
        priority: int = 10,
    ) -> Future[Any]:
        """Call a function in a worker, before the steps of jobs; its future has what it returns.

        A future that is cancelled while it waits is never begun.

        Parameters
        ----------
        function
            One that a worker can import, with arguments that can be pickled.
        device
            As in `recipes.Context`; "" is a worker for what needs none, `workers.LOCAL` one of
            this machine also where there is a cluster.
        priority
            Higher goes first.

        Raises
        ------
        BusyError
            If the server is stopping; its future raises one where the worker died.
        """
        lane = self._workers.lane(device or MODELS)
        answered: Future[Any] = Future()
        step = lane.submit(function, *args, priority=priority)
        answered.add_done_callback(lambda one: one.cancelled() and step.cancel())
        step.add_done_callback(_Hand(answered))
        return answered

    def item(self, id: str, caller: Caller) -> Item:
        """Return an item of the catalog, of a model or of a raster in a store; AccessError."""
        try:
            return self._catalog.item(id, caller)
        except AccessError:
            if (found := self._listings.item(id)) is None:
                raise
            return found

    def items(self, caller: Caller) -> list[Item]:
        """Return all items that a caller may see: of the catalog, of models, of stores."""
        return [*self._catalog.items(caller), *self._listings.items()]

    def stored_rasters(self) -> list[Item]:
        """Return an item for each raster in the stores."""
        return self._listings.rasters()

    def model_cards(self) -> list[dict[str, Any]]:
        """Return the cards of all models, made by a worker; blocks while it makes them."""
        return self._listings.model_cards()

    def store_path(self, reference: str) -> Path:
        """Return the file or folder of ``NAME/path`` in a store; raises AccessError outside."""
        return self._listings.store_path(reference)

    def _tools(self) -> Tools:
        jobs, services = self._jobs, self._options.data_dir / "services"
        jobs.mkdir(exist_ok=True)
        services.mkdir(exist_ok=True)
        shown = {f"{folder}/": f"{name}/" for name, folder in self._options.stores.items()}
        return Tools(
            self._database, self._store, self._catalog, self._workers, self._resolved,
            self._meters, jobs, services, {**shown, f"{self._options.data_dir}/": ""},
        )  # fmt: skip

    def _resolved(self, recipe: Recipe, caller: Caller, folder: Path, call: Call) -> Resolved:
        return self._resolve(recipe, self, caller, folder, call)

    def _ended(self, job: Job, state: State, seconds: float) -> None:
        kind = str(job.recipe["kind"])
        self._meters.job(kind, state, seconds)
        if kind in ("install", "uninstall"):
            self._listings.forget_models()


Resolve = Callable[[Recipe, Core, Caller, Path, Call], Resolved]


def open_core(options: CoreOptions, *, resolve: Resolve | None = None) -> Core:
    """Open a data folder, made if it is missing; jobs of an earlier server go on.

    The environment of this process is changed: GDAL reads no files beside a raster any more.

    Parameters
    ----------
    options
        How it is set up.
    resolve
        Turns the references of a recipe into files; None is `inputs.resolve`.

    Raises
    ------
    OptionError
        If the folder is in use by another server, or folder or database cannot be used.
    """
    os.environ.update(UNTRUSTED_ENV)
    core = Core(options, resolve or _resolved_later)
    core.start()
    return core


def _resolved_later(
    recipe: Recipe, core: Core, caller: Caller, folder: Path, call: Call
) -> Resolved:
    """Call `inputs.resolve`, whose libraries a server that starts does not wait for."""
    inputs = importlib.import_module("geodl_lab.jobs.inputs")
    return inputs.resolve(recipe, core, caller, folder, call=call)


class _Hand:
    """Hands the value of a step on."""

    def __init__(self, future: Future[Any]) -> None:
        self._future = future

    def __call__(self, step: Future[Answer]) -> None:
        if not self._future.set_running_or_notify_cancel():
            return
        try:
            self._future.set_result(step.result().get())
        except CrashError as error:
            words = f"the worker was {error}; send the same request again, or a smaller image"
            self._future.set_exception(BusyError(words))
        except (Exception, CancelledError) as error:
            self._future.set_exception(error)


def _sqlite(folder: Path) -> str:
    return f"sqlite:///{folder / 'jobs.sqlite'}"
