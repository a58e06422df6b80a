"""What a worker does with one image: decode, ask the model, word the context, draw the picture.

Libraries that are slow to load are imported when the first image comes: the server's own process
imports this module too.
"""

from __future__ import annotations

import functools
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from geodl_lab.server.pekat import context
from geodl_lab.server.pekat.project import Project

if TYPE_CHECKING:
    import xarray as xr

    from geodl_lab.photo_answers import PhotoAnswer

CONTEXT, IMAGE, ANNOTATED, HEATMAP = "context", "image", "annotated_image", "heatmap"
PICTURES = (IMAGE, ANNOTATED, HEATMAP)
RESPONSE_TYPES = (CONTEXT, *PICTURES)

MOST = 100_000
"""Objects that are answered: nobody leaves any out unsaid."""

SIDE = 64
"""Pixels of a side of the photo with which a project is tried."""


@dataclass(frozen=True)
class Sent:
    """An image as it came.

    Parameters
    ----------
    data
        A file; or, where width and height are not 0, pixels as of `photos.raw_photo`.
    width, height
        In pixels; 0 for a file.
    bayer
        Whether the pixels are a mosaic of colours.
    """

    data: bytes
    width: int = 0
    height: int = 0
    bayer: bool = False


@dataclass(frozen=True)
class Inspected:
    """What was found: the context, and the picture as PNG (b"" for none)."""

    context: dict[str, Any]
    png: bytes = b""


def inspect(sent: Sent, project: Project, response_type: str, data: str = "") -> Inspected:
    """Look at an image; for a worker.

    Parameters
    ----------
    sent
        The image.
    project
        What is looked for.
    response_type
        One of `RESPONSE_TYPES`.
    data
        What the client wants to find in the context.

    Raises
    ------
    GeodlError
        If the image cannot be read, or the model or the project does not fit.
    """
    begun = time.perf_counter()
    photo = _decoded(sent)
    shape_yx = (photo.sizes["y"], photo.sizes["x"])
    if not project.processing:
        return Inspected(context.bare(shape_yx, seconds=time.perf_counter() - begun))
    asked = time.perf_counter()
    answer, threshold = _answered(photo, project, heat=response_type == HEATMAP)
    seconds = time.perf_counter() - asked
    values = context.full(answer, project, threshold=threshold, seconds=seconds, data=data)
    png = b"" if response_type == CONTEXT else _drawn(photo, answer, project, response_type)
    values["completeTime"] = time.perf_counter() - begun
    return Inspected(values, png)


def check_project(project: Project) -> None:
    """Look at a small photo, for a worker; raises what each photo that comes would meet."""
    if project.processing:
        _answered(_decoded(Sent(random.Random(0).randbytes(3 * SIDE**2), SIDE, SIDE)), project)


def _decoded(sent: Sent) -> xr.DataArray:
    from geodl_lab import photos  # noqa: PLC0415

    if sent.width:
        return photos.raw_photo(sent.data, sent.width, sent.height, bayer=sent.bayer)
    return photos.open_photo(sent.data)


def _answered(
    photo: xr.DataArray, project: Project, *, heat: bool = False
) -> tuple[PhotoAnswer, float | None]:
    """Return what the model says, and the least score that counts, None if it has none."""
    from geodl_lab import photo_answers, photo_models  # noqa: PLC0415

    model = _opened(project)
    package = model.package
    project.check_labels(tuple(one.name for one in package.classes))
    classifies = package.task == "classify"
    answer = photo_answers.answer_photo(
        photo, model, most=MOST, heat=heat, device=project.device,
        thresholds=None if classifies else project.threshold,
    )  # fmt: skip
    if classifies:
        return answer, None
    if project.threshold is not None:
        return answer, project.threshold
    return answer, min(photo_models.thresholds(package))


def _drawn(photo: xr.DataArray, answer: PhotoAnswer, project: Project, response_type: str) -> bytes:
    from PIL import Image  # noqa: PLC0415

    from geodl_lab.annotations import annotate, heat_map, to_png  # noqa: PLC0415

    if response_type == HEATMAP:
        return to_png(heat_map(answer))
    pixels = photo.values.transpose(1, 2, 0)  # (y, x, band)
    if response_type == IMAGE:
        return to_png(Image.fromarray(pixels))
    return to_png(annotate(pixels, answer, colors=project.colors))


def _opened(project: Project) -> Any:
    from geodl_lab.packages import open_model  # noqa: PLC0415

    # By name it is opened once a process anyway, and a newer one is noticed.
    return _of_path(project.model) if "/" in project.model else open_model(project.model)


@functools.lru_cache(maxsize=2)
def _of_path(path: str) -> Any:
    from geodl_lab.packages import open_model  # noqa: PLC0415

    return open_model(path)
