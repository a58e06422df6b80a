"""A recipe's references become local files: checked, fetched where they are elsewhere.

What is fetched lies in the job's folder and is complete or not there, so that a job that is begun
again goes on with the same files and asks nothing twice.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from geodl_lab.addresses import checked_url, shown
from geodl_lab.errors import AccessError, RasterError
from geodl_lab.fetch import Fetcher
from geodl_lab.grid import Window
from geodl_lab.jobs import vectors
from geodl_lab.jobs.catalog import Service
from geodl_lab.jobs.core import Core
from geodl_lab.jobs.image_services import describe, download_image, download_window
from geodl_lab.jobs.job import Caller
from geodl_lab.jobs.model_inputs import ModelInputs
from geodl_lab.jobs.rasters import check_raster
from geodl_lab.jobs.recipes import Context, Extent, Look, Recipe, Ref
from geodl_lab.jobs.remote import kind_of
from geodl_lab.jobs.resolved import Call, Network, Resolved, call_here
from geodl_lab.jobs.stores import raster_names
from geodl_lab.jobs.works import is_cancelled

FOLDER, MODEL = "inputs", "model"
"""Folders of a job for what is fetched."""

MOST_BYTES = 2**34
"""Bytes of a file that is fetched."""

PHOTO, MOST_PHOTO_BYTES, MOST_PHOTO_SECONDS = "photo", 2**28, 60.0
"""Name of a photo that is fetched, in the job's folder; its most bytes and seconds."""

RASTERS = ("rasters", "second", "before", "after")
EITHER = ("labels", "instances", "mask", "features")
MODELS = ("model", "package")
"""Fields of recipes: rasters, rasters or features, a model."""

ENDINGS = (
    ".tif",
    ".tiff",
    ".png",
    ".jpg",
    ".jpeg",
    ".jp2",
    ".gpkg",
    ".parquet",
    ".geojson",
    ".json",
)


def resolve(
    recipe: Recipe, core: Core, caller: Caller, folder: Path, *, call: Call = call_here
) -> Resolved:
    """Return what the references of a recipe mean.

    Parameters
    ----------
    recipe
        What a job is to do.
    core
        Stores, services, items.
    caller
        Whose job it is.
    folder
        The job's; what is fetched is written to its folders ``inputs`` and ``model``.
    call
        Where files of others are opened: they may take down who does it.

    Raises
    ------
    AccessError
        If something is not there, not for this caller, or not to be fetched.
    RasterError
        If a raster is damaged, or names other files.
    ModelError
        If a definition of a model is none.
    CancelledError
        If the job is cancelled meanwhile.
    """
    context = getattr(recipe, "context", None) or Context()
    inputs = Inputs(core, caller, folder, context.extent, call)
    rasters: dict[Ref, tuple[Path, ...]] = {}
    features: dict[Ref, Path] = {}
    for ref in filter(None, (context.cell_size_of, context.snap_to)):
        rasters[ref] = inputs.grid(ref)
    for ref in (*_named(recipe, EITHER), *filter(None, (context.mask,))):
        found = inputs.files(ref)
        if inputs.is_vector(found):
            features[ref] = found[0]
        else:
            rasters[ref] = found
    for ref in _named(recipe, RASTERS):
        rasters[ref] = inputs.rasters(ref)
    photo = inputs.photo(recipe.image) if isinstance(recipe, Look) else None
    number = recipe.deployment if isinstance(recipe, Look) else getattr(recipe, "network", 0)
    network = inputs.network(number) if number else None
    model = inputs.model(next(_named(recipe, MODELS), None))
    return Resolved(rasters, features, model, photo, network)


def _named(recipe: Recipe, names: tuple[str, ...]) -> Iterator[Ref]:
    """Yield the references in some fields of a recipe."""
    for name in names:
        value = getattr(recipe, name, None)
        yield from value if isinstance(value, tuple) else (value,) if value is not None else ()


@dataclass(frozen=True)
class Inputs:
    """What references mean to one job.

    Parameters
    ----------
    core, caller, folder, call
        As in `resolve`.
    extent
        What is fetched of image services; None is all.
    """

    core: Core
    caller: Caller
    folder: Path
    extent: Extent | None = None
    call: Call = call_here

    @functools.cached_property
    def fetcher(self) -> Fetcher:
        """The way out, until the job is cancelled."""
        stop = functools.partial(is_cancelled, self.folder)
        return Fetcher(self.core.options.url_hosts, stop=stop)

    def rasters(self, ref: Ref) -> tuple[Path, ...]:
        """Return the raster files of a reference."""
        found = self.files(ref)
        if self.is_vector(found):
            raise AccessError(f"{ref.value[:200]!r} holds features; give a raster")
        return found

    def grid(self, ref: Ref) -> tuple[Path, ...]:
        """Return a raster on the grid of a reference; of an image service one pixel tells it."""
        if ref.kind == "url" and kind_of(ref.value) == "image":
            return (self._image(ref.value, grid_only=True),)
        return self.rasters(ref)

    def files(self, ref: Ref) -> tuple[Path, ...]:
        """Return the raster files, or the one vector file, of a reference."""
        match ref.kind:
            case "store":
                return self._checked(self._stored(ref.value))
            case "service":
                return _published(self.core.catalog.service(ref.value, self.caller))
            case "item":
                return self._of_item(ref.value)
            case "url":
                return self._of_url(ref.value)
        raise AccessError(f"{ref.value[:200]!r} is a model; give a raster or features")

    def is_vector(self, found: tuple[Path, ...]) -> bool:
        """Tell whether files that were found are features."""
        return len(found) == 1 and bool(vectors.ending_of(found[0]))

    def model(self, ref: Ref | None) -> str:
        """Return what `geodl_lab.open_model` takes for a model; "" where none is named."""
        if ref is None or ref.kind == "model":
            return "" if ref is None else ref.value
        models = ModelInputs(
            self.core.store_path, self._item_file, self.fetcher, self.folder / MODEL
        )
        match ref.kind:
            case "emd":
                return models.from_emd(ref.value)
            case "url":
                return models.from_url(ref.value)
            case "store":
                return models.from_file(self.core.store_path(ref.value))
            case "item":
                item = self.core.item(ref.value, self.caller)
                return item.model or models.from_file(self._item_file(ref.value))
        raise AccessError(f"the service {ref.value[:200]!r} is no model; give the item of a model")

    def photo(self, ref: Ref) -> Path:
        """Return the file of a photo, which came with the job or is fetched."""
        if ref.kind == "file":
            return self.folder / ref.value
        if ref.kind != "url":
            raise AccessError(f"{ref.value[:200]!r} is no photo; send its bytes, or a URL")
        path = self.folder / PHOTO
        if path.exists():
            return path
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.fetcher.download(
            ref.value, path, most_bytes=MOST_PHOTO_BYTES, most_seconds=MOST_PHOTO_SECONDS
        )

    def network(self, number: int) -> Network:
        """Return a network that was uploaded."""
        values = self.core.documents.get("network", number, self.caller).values
        text = json.dumps(values["preprocessing"], sort_keys=True)
        folder = self.core.documents.folder("network", number)
        trusted = self.core.options.trusted
        return Network(folder, str(values["framework"]), text, str(number), trusted)

    def _stored(self, reference: str) -> tuple[Path, ...]:
        path = self.core.store_path(reference)
        if path.suffix.lower() == ".shp":
            return (self._shapefile(reference),)
        if not path.is_dir():
            return (path,)
        top = reference.rstrip("/")
        return tuple(self.core.store_path(f"{top}/{name}") for name in raster_names(path))

    def _shapefile(self, reference: str) -> Path:
        from geodl_lab.jobs.shapefiles import PARTS, convert_shapefile  # noqa: PLC0415  (slow)

        path, parts = self._place(reference, ending=".gpkg"), {}
        for ending in PARTS:
            with contextlib.suppress(AccessError):
                parts[ending] = self.core.store_path(reference[: -len(".shp")] + ending)
        return path if path.exists() else self.call(convert_shapefile, parts, path)

    def _of_item(self, id: str) -> tuple[Path, ...]:
        item = self.core.item(id, self.caller)
        if item.service:
            return _published(self.core.catalog.service(item.service, self.caller))
        if item.store:
            return self._checked(self._stored(item.store))
        if item.file:
            return self._checked((Path(item.file),))
        raise AccessError(f"the item {id!r} ({item.title!r}) is no raster and no features")

    def _item_file(self, id: str) -> Path:
        """Return the uploaded or stored file behind an item."""
        item = self.core.item(id, self.caller)
        if item.file or item.store:
            return Path(item.file) if item.file else self.core.store_path(item.store)
        raise AccessError(
            f"the item {id!r} ({item.title!r}) has no file; give one that was uploaded"
        )

    def _of_url(self, url: str) -> tuple[Path, ...]:
        match kind_of(url):
            case "image":
                return (self._image(url),)
            case "features":
                return (self._features(url),)
        path = self._place(url, ending=PurePosixPath(checked_url(url).path).suffix.lower())
        if not path.exists():
            self.fetcher.download(url, path, most_bytes=MOST_BYTES)
        try:
            return self._checked((path,))
        except (AccessError, RasterError) as error:  # they know only the name that it got here
            raise type(error)(
                f"what {shown(checked_url(url))} answered cannot be used: {error}"
            ) from error

    def _image(self, url: str, *, grid_only: bool = False) -> Path:
        extent = None if grid_only else self.extent
        path = self._place(f"{url} {grid_only} {extent}", ending=".tif")
        if path.exists():
            return path
        service = describe(url, self.fetcher)
        if grid_only:
            one = Window(0, 0, 1, 1)
            return download_window(service, path, self.fetcher, window=one, call=self.call)
        return download_image(service, path, self.fetcher, extent=extent, call=self.call)

    def _features(self, url: str) -> Path:
        from geodl_lab.jobs.feature_services import download_features  # noqa: PLC0415  (slow)

        path = self._place(url, ending=".gpkg")
        return path if path.exists() else download_features(url, path, self.fetcher)

    def _checked(self, paths: tuple[Path, ...]) -> tuple[Path, ...]:
        """Check files that are not our own."""
        return self.call(_check, paths)

    def _place(self, key: str, *, ending: str) -> Path:
        """Return the place of something that is fetched, the same whenever it is asked for."""
        folder = self.folder / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(key.encode()).hexdigest()[:16]
        return folder / f"{name}{ending if ending in ENDINGS else '.tif'}"


def _check(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    if len(paths) == 1 and vectors.ending_of(paths[0]):
        return (vectors.check_vector(paths[0]),)
    return tuple(check_raster(path) for path in paths)


def _published(service: Service) -> tuple[Path, ...]:
    """Return the files of a result of ours, which are read as they are."""
    path = service.files.get("raster") or service.files.get("features")
    if not path:
        what = "is a folder" if service.files else "waits for the job that fills it"
        raise AccessError(f"the service {service.name!r} {what}; give one with a result")
    if not Path(path).is_file():
        raise AccessError(f"the files of the service {service.name!r} are gone; make it again")
    return (Path(path),)
