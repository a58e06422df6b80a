"""One image as a worker looks at it."""

import io

import numpy as np
import pytest
from PIL import Image

from geodl_lab import photo_answers, photos
from geodl_lab.annotations import annotate
from geodl_lab.errors import GeodlError, OptionError, RasterError
from geodl_lab.server.pekat.inspection import RESPONSE_TYPES, Sent, check_project, inspect
from geodl_lab.server.pekat.project import Project


@pytest.fixture
def project(package):
    return Project(model=str(package()), defects=("water",), device="cpu")


def test_a_context_equals_a_direct_call(project, png):
    found = inspect(Sent(png), project, "context", "lot 7")
    direct = photo_answers.answer_photo(photos.open_photo(png), project.model, device="cpu")
    values, counts = np.unique(direct.classes, return_counts=True)
    names = {one.value: one.name for one in direct.legend}
    areas = {one["label"]: one["area"] for one in found.context["surfaceClasses"]}
    assert areas == {names[v]: c for v, c in zip(values.tolist(), counts.tolist(), strict=True)}
    assert found.context["result"] is ("water" not in areas)
    assert found.png == b"" and found.context["data"] == "lot 7"
    assert 0 < found.context["processingTime"] <= found.context["completeTime"]


def test_pictures(project, png, pixels):
    pictures = {}
    for kind in ("image", "annotated_image", "heatmap"):
        found = inspect(Sent(png), project, kind)
        pictures[kind] = np.asarray(Image.open(io.BytesIO(found.png)).convert("RGB"))
    assert (pictures["image"] == pixels).all()
    direct = photo_answers.answer_photo(photos.open_photo(png), project.model, device="cpu")
    assert (pictures["annotated_image"] == np.asarray(annotate(pixels, direct))).all()
    assert pictures["heatmap"].shape == pixels.shape


def test_pixels_are_the_same_as_a_file(project, png, pixels):
    bgr = pixels[..., ::-1].tobytes()
    raw = inspect(Sent(bgr, 60, 40), project, "image")
    assert (np.asarray(Image.open(io.BytesIO(raw.png))) == pixels).all()
    file = inspect(Sent(png), project, "context").context
    assert raw.context["surfaceClasses"] == file["surfaceClasses"]


def test_a_project_that_does_not_look(png):
    found = inspect(Sent(png), Project(model="no-such-model", processing=False), "image")
    assert found.png == b"" and set(found.context) == {
        "error", "processing", "imageShape", "processingTime", "save",
    }  # fmt: skip
    assert found.context["imageShape"] == {"height": 40, "width": 60}
    with pytest.raises(RasterError, match="photo is empty"):
        inspect(Sent(b""), Project(processing=False), "image")


def test_a_project_is_checked(project, png):
    check_project(project)
    wrong = Project(model=project.model, defects=("crack",))
    with pytest.raises(OptionError, match=r"names 'crack'.*possible are land, water"):
        check_project(wrong)
    with pytest.raises(OptionError, match="names 'crack'"):
        inspect(Sent(png), wrong, "context")
    check_project(Project(model="no-such-model", processing=False))
    for wrong, words in (
        (Project(model="no-such-model"), "there is no model 'no-such-model'"),
        (Project(model="naip-trees"), "wants 4 bands"),
        (Project(model=project.model, device="cuda:99"), "device 'cuda:99' is not there"),
    ):
        with pytest.raises(GeodlError, match=words):
            check_project(wrong)


def test_scores_of_pixels_are_asked_for_by_heat_maps_alone(project, png, monkeypatch):
    asked, answer = [], photo_answers.answer_photo

    def seen(photo, model, *, heat, **options):
        asked.append(heat)
        return answer(photo, model, heat=heat, **options)

    monkeypatch.setattr(photo_answers, "answer_photo", seen)
    for kind in RESPONSE_TYPES:
        inspect(Sent(png), project, kind)
    assert dict(zip(RESPONSE_TYPES, asked, strict=True)) == {
        "context": False, "image": False, "annotated_image": False, "heatmap": True,
    }  # fmt: skip
