"""What was found in PEKAT's words, and the verdict."""

import numpy as np
import pytest

from geodl_lab.package import LabelClass
from geodl_lab.photo_answers import PhotoAnswer, Region, Scored
from geodl_lab.server.pekat.context import bare, full, is_good
from geodl_lab.server.pekat.project import Project

LEGEND = (LabelClass(1, "tree", "#102030"), LabelClass(2, "car", "#ff0000"))


def scored(label, score, predicted=True):
    value = {"tree": 1, "car": 2}[label]
    return Scored(value, label, score, 0.5, predicted)


def objects(*labels, **more):
    regions = [Region(i, 1.4, 2.6, 11.6, 20.2, (one,), **more) for i, one in enumerate(labels)]
    return PhotoAnswer((30, 40), (), tuple(regions), legend=LEGEND)


def worded(answer, project=Project(), threshold=0.5):  # noqa: B008
    return full(answer, project, threshold=threshold, seconds=0.25, data="lot 7")


def test_every_field_is_there():
    values = worded(objects(scored("tree", 0.875)))
    assert list(values) == [
        "error", "processing", "imageShape", "processingTime", "save", "result", "completeTime",
        "detectedRectangles", "data", "errors", "stderr", "stdout", "operatorInput", "globalData",
        "production_mode", "score", "threshold", "surfaceClasses", "angle", "lines",
    ]  # fmt: skip
    assert values["imageShape"] == {"height": 30, "width": 40}
    assert values["data"] == "lot 7" and values["production_mode"] is True
    assert values["score"] == 0.875 and values["threshold"] == 0.5
    assert (values["error"], values["processing"], values["result"]) == (False, True, False)


def test_an_object_is_a_rectangle():
    (one,) = worded(objects(scored("tree", 0.875)))["detectedRectangles"]
    assert one == {
        "id": 0, "x": 1, "y": 3, "width": 11, "height": 17, "rotate": 0.0, "confidence": 0.875,
        "classNames": [
            {
                "id": 1, "label": "tree", "confidence": 88, "color": "#102030",
                "color_bgr": [48, 32, 16],
            }
        ],
        "source": {"moduleId": "tree-crowns", "modelId": "tree-crowns", "type": "DETECTOR"},
    }  # fmt: skip
    mine = Project(colors={"tree": "#0000ff"}, model="/srv/models/mine")
    (one,) = worded(objects(scored("tree", 0.9), area=12.0), mine)["detectedRectangles"]
    assert one["classNames"][0]["color_bgr"] == [255, 0, 0] and one["area"] == 12.0
    assert one["source"]["modelId"] == "mine"


def test_a_rotated_box_is_told_as_it_was_before_it_was_turned():
    # 20 wide, 10 high round (50, 40), turned by 90 degrees.
    outline = ((55.0, 30.0), (55.0, 50.0), (45.0, 50.0), (45.0, 30.0))
    region = Region(0, 45, 30, 55, 50, (scored("car", 0.9),), angle=90.0, outline=outline)
    answer = PhotoAnswer((100, 100), (), (region,), legend=LEGEND)
    (one,) = worded(answer)["detectedRectangles"]
    sides = one["x"], one["y"], one["width"], one["height"], one["rotate"]
    assert sides == (40, 35, 20, 10, 90.0)


def test_what_is_below_the_threshold_is_not_told():
    answer = objects(scored("tree", 0.4, predicted=False))
    assert worded(answer)["detectedRectangles"] == [] and is_good(answer, Project())


def test_labels_of_the_whole_image():
    labels = (scored("car", 0.75), scored("tree", 0.25, predicted=False))
    answer = PhotoAnswer((30, 40), labels, legend=LEGEND)
    (one,) = worded(answer)["detectedRectangles"]
    assert (one["x"], one["y"], one["width"], one["height"]) == (0, 0, 40, 30)
    assert one["source"]["type"] == "CLASSIFIER"
    assert [name["label"] for name in one["classNames"]] == ["car"]
    assert not is_good(answer, Project()) and is_good(answer, Project(defects=("tree",)))
    nothing = PhotoAnswer((30, 40), labels[1:], legend=LEGEND)
    assert worded(nothing)["detectedRectangles"] == [] and worded(nothing)["score"] == 0.25


def surface():
    classes = np.array([[1, 1, 2, 255], [0, 0, 0, 0]], np.uint8)
    scores = np.array([[0.5, 0.75, 0.875, 0.0], [0.1] * 4], np.float32)
    legend = (LabelClass(0, "background", "#000000"), *LEGEND)
    return PhotoAnswer((2, 4), classes=classes, fill=255, scores=scores, legend=legend)


def test_classes_of_pixels():
    values = worded(surface(), threshold=None)
    tree, car = values["surfaceClasses"]
    assert (tree["label"], tree["confidence"], tree["area"], tree["share"]) == ("tree", 62, 2, 0.25)
    assert (car["label"], car["confidence"], car["area"]) == ("car", 88, 1)
    assert values["score"] == 0.875 and values["threshold"] is None
    without = PhotoAnswer((2, 4), classes=surface().classes, fill=255, legend=surface().legend)
    assert worded(without)["surfaceClasses"][0]["confidence"] is None


@pytest.mark.parametrize(
    ("project", "good"),
    [
        ({}, False),
        ({"max_defects": 2}, True),
        ({"max_defects": 1}, False),
        ({"defects": ("car",)}, False),
        ({"defects": ("car",), "max_defects": 1}, True),
        ({"defects": ()}, True),
    ],
)
def test_the_verdict_on_objects(project, good):
    answer = objects(scored("tree", 0.9), scored("car", 0.8), scored("car", 0.4, predicted=False))
    assert is_good(answer, Project(**project)) is good
    assert worded(answer, Project(**project))["result"] is good


@pytest.mark.parametrize(
    ("project", "good"),
    [
        ({}, False),
        ({"max_share": 0.374}, False),
        ({"max_share": 0.375}, True),
        ({"defects": ("car",), "max_share": 0.125}, True),
        ({"defects": ("car",), "max_defects": 5}, False),
        ({"defects": ()}, True),
    ],
)
def test_the_verdict_on_pixels(project, good):
    assert is_good(surface(), Project(**project)) is good


def test_the_bare_context():
    assert bare((3, 4), seconds=0.5) == {
        "error": False, "processing": False, "imageShape": {"height": 3, "width": 4},
        "processingTime": 0.5, "save": False,
    }  # fmt: skip
