"""What a worker does for photos: several are answered in one step, each by itself.

What models are made of needs torch, so it is imported where it runs, in a worker.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from geodl_lab.errors import CancelledError, OptionError
from geodl_lab.jobs import recipes
from geodl_lab.jobs.resolved import Network, Resolved
from geodl_lab.jobs.worker import Answer, attempt
from geodl_lab.jobs.works import Done, Missing, Part, Result, is_cancelled
from geodl_lab.photo_answers import MOST, Question, answer_photos
from geodl_lab.photo_crops import crop
from geodl_lab.photos import open_photo

DISCARD = 0.025
"""Score down to which regions are answered as discarded, where no version of a model says it."""

SOME_PIXELS = 2**26
"""Pixels beyond which no more photos are opened together."""

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
        names = ("outputs", "post_processings", "output_tensors")
        said = [self.arguments.get(name) for name in names]
        return f"{self.model} {self.network} {json.dumps(said, sort_keys=True)}"


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
    """Answer photos, those of one model in batches; one that fails fails alone.

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
    answers: dict[int, Answer] = {}
    for key in {one.key for one in photos}:
        same = {i: one for i, one in enumerate(photos) if one.key == key}
        for some in _opened_some(same):
            answers |= _together(same, some, device)
    return [answers[i] for i in range(len(photos))]


def look_at(photo: Photo, device: str) -> dict[str, Any]:
    """Return the values of a photo's job: ``answers``, one for each output of its model.

    Where ``output_tensors`` are asked for these are ``tensors``, as of `photo_tensors.tensors`.
    """
    (values,) = _values([photo], [_question(photo)], device)
    return values


def _opened_some(photos: Mapping[int, Photo]) -> Iterator[dict[int, Answer]]:
    """Yield what is asked of photos, some at a time: as many as memory is meant to hold."""
    some: dict[int, Answer] = {}
    pixels = 0
    for i, photo in photos.items():
        some[i] = attempt(_question, photo)
        pixels += 0 if some[i].error else some[i].value.photo[0].size
        if pixels > SOME_PIXELS:
            yield some
            some, pixels = {}, 0
    yield some


def _together(
    photos: Mapping[int, Photo], asked: Mapping[int, Answer], device: str
) -> dict[int, Answer]:
    """Answer opened photos of one model in batches; if that fails each by itself."""
    fine = [i for i, answer in asked.items() if answer.error is None]
    failed = {i: answer for i, answer in asked.items() if answer.error is not None}
    questions = [asked[i].value for i in fine]
    answer = attempt(_values, [photos[i] for i in fine], questions, device)
    if answer.error is None:
        return failed | {i: Answer(one) for i, one in zip(fine, answer.value, strict=True)}
    if len(fine) == 1:
        return failed | {fine[0]: answer}
    return failed | {i: attempt(look_at, photos[i], device) for i in fine}


def _question(photo: Photo) -> Question:
    """Open a photo and return what is asked of it."""
    if is_cancelled(photo.folder):
        raise CancelledError("the job was cancelled")
    pixels = open_photo(photo.file.read_bytes())
    height, width = pixels.shape[1:]
    asked, said = photo.asked, photo.arguments
    area = None if asked.area is None else _scaled([asked.area[:2], asked.area[2:]], width, height)
    return Question(
        pixels,
        area=None if area is None else (*area[0], *area[1]),
        polygon=None if asked.polygon is None else _scaled(asked.polygon, width, height),
        crop_background=asked.crop_background,
        most=int(said.get("most", MOST)),
        thresholds=said.get("thresholds"),
    )


def _values(
    photos: Sequence[Photo], questions: Sequence[Question], device: str
) -> list[dict[str, Any]]:
    """Return the values of jobs whose photos are for one model."""
    if not photos:
        return []
    if any(one.arguments.get("output_tensors") for one in photos):
        pairs = zip(photos, questions, strict=True)
        return [{"tensors": _tensors(*pair, device)} for pair in pairs]
    answers = [
        answer_photos(_with_discard(photos, questions, reader), reader.model, device=device)
        for reader in _readers(photos[0])
    ]
    return [{"answers": [one.as_dict() for one in row]} for row in zip(*answers, strict=True)]


def _with_discard(
    photos: Sequence[Photo], questions: Sequence[Question], reader: Reader
) -> list[Question]:
    """Return questions that ask for what is not sure, where the job does."""
    pairs = zip(photos, questions, strict=True)
    return [
        dataclasses.replace(
            one, discard=reader.discard if photo.arguments.get("discarded") else None
        )
        for photo, one in pairs
    ]


def _tensors(photo: Photo, question: Question, device: str) -> list[dict[str, Any]]:
    names = photo.arguments["output_tensors"]
    part = crop(
        question.photo,
        area=question.area,
        polygon=question.polygon,
        crop_background=question.crop_background,
    )
    model = _networks().open_model(photo.model) if photo.network is None else _raw(photo.network)
    answerer = importlib.import_module("geodl_lab.photo_tensors")  # with it comes torch
    found: list[dict[str, Any]] = answerer.tensors(part.pixels, model, names=names, device=device)
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
