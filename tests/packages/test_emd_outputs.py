import pytest

from geodl_lab.errors import ModelError
from geodl_lab.package import DEFAULT_COLORS
from geodl_lab.packages.emd_keys import Emd
from geodl_lab.packages.emd_outputs import model_type, read_classes, read_threshold

ROAD = {"Value": 4, "Name": "road", "Color": [1, 128, 255]}


def classes(*parts, task="classify", background=False):
    return read_classes(Emd("a.emd", {"Classes": list(parts)}), task, background=background)


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ("ImageClassification", "ImageClassification"),
        ("imageclassification", "ImageClassification"),
        ("ObjectionDetection", "ObjectDetection"),
        ("Pix2Pix", "Pix2Pix"),
    ],
)
def test_model_types_are_known_by_any_spelling(given, known):
    assert model_type(Emd("a.emd", {"ModelType": given})) == known


def test_a_model_type_is_needed():
    with pytest.raises(ModelError, match="lacks the key 'ModelType': the task, one of ImageCl"):
        model_type(Emd("a.emd", {}))


def test_classes_are_read():
    (road,) = classes(ROAD)
    assert (road.value, road.name, road.color) == (4, "road", "#0180ff")
    (road,) = classes({"Value": "4", "Name": 12, "Color": ["1", 128.0, 255, 0]})  # alpha
    assert (road.value, road.name, road.color) == (4, "12", "#0180ff")


def test_colours_and_names_have_defaults():
    first, second = classes({"Value": 1}, {"Value": 2})
    assert (first.color, second.color) == DEFAULT_COLORS[:2] and second.name == "Class 2"


def test_a_background_that_is_not_listed_comes_first():
    assert [c.value for c in classes(ROAD, background=True)] == [0, 4]
    zero = {**ROAD, "Value": 0}
    assert [c.value for c in classes(zero, background=True)] == [0]
    assert [c.value for c in classes(ROAD)] == [4]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({}, r"'Classes\[0\] of a.emd' lacks the key 'Value'"),
        ({"Value": "a"}, 'Value "a"; a number'),
        ({"Value": -1}, r"Classes\[0\].* value -1; possible are 0\.\.254"),
        ({"Value": 1, "Name": [1]}, "a text is needed"),
        ({"Value": 1, "Color": [1, 2]}, r"\[red, green, blue\], each 0 to 255, is needed"),
        ({"Value": 1, "Color": [1, 2, 256]}, "each 0 to 255"),
        ({"Value": 1, "Color": "red"}, "a list is needed"),
    ],
)
def test_damaged_classes_are_named(part, message):
    with pytest.raises(ModelError, match=message):
        classes(part)


def test_classes_are_needed_but_for_quantities():
    with pytest.raises(ModelError, match="lacks the key 'Classes'"):
        read_classes(Emd("a.emd", {}), "classify", background=False)
    with pytest.raises(ModelError, match="at least one class"):
        classes()
    assert [c.name for c in classes(task="regress")] == ["value"]


def test_thresholds():
    assert read_threshold(Emd("a.emd", {"Threshold": "0.3"})) == {"threshold": 0.3}
    assert read_threshold(Emd("a.emd", {})) == {}
