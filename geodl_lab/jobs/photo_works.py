"""What a worker does for photos: several are answered in one step, each by itself.

What models are made of needs torch, so it is imported where it runs, in a worker.
"""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from geodl_lab.errors import CancelledError, OptionError, RasterError
from geodl_lab.jobs import recipes
from geodl_lab.jobs.resolved import Network, Resolved
from geodl_lab.jobs.worker import Answer, attempt
from geodl_lab.jobs.works import Done, Missing, Part, Result, is_cancelled
from geodl_lab.photo_answers import MOST, answer_photo
from geodl_lab.photo_crops import crop
from geodl_lab.photos import open_photo

DISCARD = 0.025
"""Score down to which regions are answered as discarded, where no version of a model says it."""

OPEN = 8
"""Most uploaded networks that a worker keeps open, the latest used."""


@dataclass(frozen=True)
class Photo:
    """One photo that is looked at.

    Parameters
    ----------
    folder
        Its job's.
    file
        Its bytes.
    asked
        What is asked of it.
    model
        Name of the model, "" where a network is given.
    network
        A network that was uploaded.
    """

    folder: Path
    file: Path
    asked: recipes.Look
    model: str
    network: Network | None = None

    @property
    def arguments(self) -> Mapping[str, Any]:
        """What was said beside the photo."""
        return self.asked.arguments

    @property
    def key(self) -> str:
        """What photos of one model have in common."""
        said = [self.arguments.get(name) for name in ("outputs", "post_processings")]
        return self.model or f"{self.network} {json.dumps(said, sort_keys=True)}"


@dataclass(frozen=True)
class Reader:
    """A model, and the score down to which it answers what it is not sure of."""

    model: Any
    discard: float = DISCARD


@dataclass(frozen=True)
class DeployWork:
    """Opens a network once, so that its job says whether it can run."""

    folder: Path
    network: Network
    device: ClassVar[str] = ""

    def missing(self) -> Missing:
        """Return that nothing is missing."""
        return Missing()

    def compute(self, parts: tuple[Part, ...]) -> Done:
        """Compute nothing; there are no parts."""
        return Done(0, 0.0)

    def finish(self) -> Result:
        """Open it; raises ModelError, TrustError."""
        _networks().try_network(self.network)
        said = f"{self.network.name} ({self.network.framework}) opens and can be used."
        return Result(values={"network": self.network.name}, messages=(said,))


def photo_of(recipe: recipes.Look, resolved: Resolved, folder: Path) -> Photo:
    """Return what a worker is to look at; raises OptionError if the job came without it."""
    if resolved.photo is None or not resolved.photo.is_file():
        raise OptionError("the job came without its photo; send it again, with the image")
    return Photo(folder, resolved.photo, recipe, resolved.model, resolved.network)


def deploy_work(recipe: recipes.Deploy, resolved: Resolved, folder: Path) -> DeployWork:
    """Make the work of a recipe."""
    assert resolved.network is not None
    return DeployWork(folder, resolved.network)


def look(photos: Sequence[Photo], device: str) -> list[Answer]:
    """Answer photos, those of one model after each other; one that fails fails alone.

    Parameters
    ----------
    photos
        What is asked.
    device
        As in `geodl_lab.Options`.

    Returns
    -------
    list of Answer
        In the order of the photos: values of the job, or an error.
    """
    order = sorted(range(len(photos)), key=lambda i: photos[i].key)
    answers = {i: attempt(look_at, photos[i], device) for i in order}
    return [answers[i] for i in range(len(photos))]


def look_at(photo: Photo, device: str) -> dict[str, Any]:
    """Return the values of a photo's job: ``answers``, one for each output of its model.

    Where ``output_tensors`` are asked for these are ``tensors``, as of `photo_tensors.tensors`.
    """
    if is_cancelled(photo.folder):
        raise CancelledError("the job was cancelled")
    if photo.file.stat().st_size == 0:
        raise RasterError("the photo is empty, 0 bytes; send a PNG, JPEG, BMP, TIFF, WebP or GIF")
    pixels = open_photo(photo.file.read_bytes())
    height, width = pixels.shape[1:]
    asked, said = photo.asked, photo.arguments
    area = None if asked.area is None else _scaled([asked.area[:2], asked.area[2:]], width, height)
    part: dict[str, Any] = {
        "area": None if area is None else (*area[0], *area[1]),
        "polygon": None if asked.polygon is None else _scaled(asked.polygon, width, height),
        "crop_background": asked.crop_background,
    }
    if names := said.get("output_tensors"):
        return {"tensors": _tensors(photo, crop(pixels, **part).pixels, names, device)}
    answers = [
        answer_photo(
            pixels,
            reader.model,
            **part,
            most=int(said.get("most", MOST)),
            discard=reader.discard if said.get("discarded") else None,
            thresholds=said.get("thresholds"),
            device=device,
        )
        for reader in _readers(photo)
    ]
    return {"answers": [answer.as_dict() for answer in answers]}


def _tensors(photo: Photo, pixels: Any, names: Sequence[str], device: str) -> list[dict[str, Any]]:
    model = _networks().open_model(photo.model) if photo.network is None else _raw(photo.network)
    answerer = importlib.import_module("geodl_lab.photo_tensors")  # with it comes torch
    found: list[dict[str, Any]] = answerer.tensors(pixels, model, names=names, device=device)
    return found


def _scaled(points: Sequence[Sequence[float]], width: int, height: int) -> list[list[float]]:
    """Return points 0..1 in pixels."""
    return [[x * width, y * height] for x, y in points]


def _readers(photo: Photo) -> tuple[Reader, ...]:
    if photo.network is None:
        return (Reader(photo.model),)
    outputs, readings = (
        json.dumps(photo.arguments.get(name), sort_keys=True)
        for name in ("outputs", "post_processings")
    )
    return _opened(photo.network, outputs, readings)


@functools.lru_cache(maxsize=OPEN)
def _opened(network: Network, outputs: str, post_processings: str) -> tuple[Reader, ...]:
    # Nothing that this depends on changes: files and preprocessing of a number are never others.
    found = _networks().open_network(network, json.loads(outputs), json.loads(post_processings))
    return tuple(Reader(model, discard) for model, discard in found)


@functools.lru_cache(maxsize=OPEN)
def _raw(network: Network) -> Any:
    return _networks().open_raw(network)


def _networks() -> Any:
    """Return the module that opens networks; with it comes torch, so only a worker calls this."""
    return importlib.import_module("geodl_lab.jobs.networks")
