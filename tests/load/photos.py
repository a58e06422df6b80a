"""Photos whose answers differ, what the package itself says of each, and clients that ask."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

import geodl_lab
from geodl_lab.photo_answers import PhotoAnswer, answer_photo
from geodl_lab.photos import open_photo
from tests.load.conftest import KEY

MODELS = ("aerial-scene", "aerial-tags", "tree-crowns")
"""The public ones; PEKAT's is the last."""

FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
HEADERS = {"X-API-KEY": KEY}

Facts = list[tuple[Any, ...]]
"""Of each label or object what is comparable, in the order of its answer."""


@dataclass(frozen=True)
class Photo:
    """An image file, and what each model says of it."""

    data: bytes
    truth: dict[str, PhotoAnswer]

    def labels(self, model: str) -> Facts:
        """Return what Deepomatic's clients are to read."""
        height, width = self.truth[model].shape_yx
        rows = [(one.score, one.label_id) for one in self.truth[model].labels if one.predicted]
        rows += [
            (one.labels[0].score, one.labels[0].label_id,
             one.x0 / width, one.y0 / height, one.x1 / width, one.y1 / height)
            for one in self.truth[model].regions
        ]  # fmt: skip
        return rows

    def rectangles(self) -> Facts:
        """Return what PEKAT's clients are to read."""
        return [
            (one.labels[0].score, round(one.x0), round(one.y0),
             round(one.x1) - round(one.x0), round(one.y1) - round(one.y0))
            for one in self.truth[MODELS[-1]].regions
        ]  # fmt: skip


def make_photos(count: int) -> list[Photo]:
    """Cut photos from the bundled scene, of which no two have one answer of any model."""
    scene = geodl_lab.open_raster(geodl_lab.demo_scene())[:3]
    found: list[Photo] = []
    for data in _cuts(scene):
        truth = {name: answer_photo(open_photo(data), name) for name in MODELS}
        photo = Photo(data, truth)
        if len(photo.rectangles()) > 1 and all(differ(photo, other) for other in found):
            found.append(photo)
        if len(found) == count:
            return found
    raise AssertionError("the scene has not so many photos")


def differ(one: Photo, other: Photo) -> bool:
    """Tell whether answers of two photos cannot be taken for each other."""
    pairs = [(one.labels(name), other.labels(name)) for name in MODELS]
    return not any(same(*pair) for pair in [*pairs, (one.rectangles(), other.rectangles())])


def same(one: Facts, other: Facts) -> bool:
    """Tell whether two answers are one, but for rounding."""
    return [row[1:2] for row in one] == [row[1:2] for row in other] and all(
        row == pytest.approx(wanted, abs=1e-4) for row, wanted in zip(one, other, strict=True)
    )


def _cuts(scene: Any) -> Iterator[bytes]:
    rng = np.random.default_rng(6)
    height, width = scene.shape[1:]
    while True:
        side_y, side_x = rng.integers(160, 288, 2)
        y, x = rng.integers(0, height - side_y), rng.integers(0, width - side_x)
        pixels = scene[:, y : y + side_y, x : x + side_x].values.transpose(1, 2, 0)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, str(rng.choice(FORMATS)))
        yield file.getvalue()


def send(client: httpx.Client, photo: Photo, model: str) -> httpx.Response:
    """Send a photo as Deepomatic's client does."""
    files = {"inputs[0]image.source": ("photo", photo.data)}
    address = f"/v0.7/recognition/public/{model}/inference"
    return client.post(address, files=files, headers=HEADERS)


def ended(client: httpx.Client, id: str, more: Callable[[httpx.Response], None]) -> dict[str, Any]:
    """Ask for a task until it has ended; ``more`` hears each answer."""
    while True:
        answer = client.get(f"/v0.7/tasks/{id}/", headers=HEADERS)
        more(answer)
        task: dict[str, Any] = answer.json()
        assert task["id"] == id
        if task["status"] != "pending":
            return task
        time.sleep(0.1)


def labels_of(task: dict[str, Any]) -> Facts:
    """Return what a task answers."""
    assert task["status"] == "success", task
    (output,) = task["data"]["outputs"]
    return [
        (row["score"], row["label_id"], *row.get("roi", {}).get("bbox", {}).values())
        for row in output["labels"]["predicted"]
    ]


def inspect(client: httpx.Client, photo: Photo, **query: str) -> httpx.Response:
    """Send a photo as PEKAT's clients do."""
    return client.post("/analyze_image", content=photo.data, headers=HEADERS, params=query)


def rectangles_of(context: dict[str, Any]) -> Facts:
    """Return what a context tells of objects."""
    return [
        (row["confidence"], row["x"], row["y"], row["width"], row["height"])
        for row in context["detectedRectangles"]
    ]
