"""Which class a feature has."""

import pandas
import pytest

from geodl_lab.errors import OptionError
from geodl_lab.exports.classes import check_folders, feature_classes, label_class


def classes(field="", **columns):
    values, found = feature_classes(pandas.DataFrame(columns), field)
    return values.tolist(), [(label.value, label.name) for label in found]


def test_numbers_are_values_with_names_beside():
    got = classes(ClassValue=[3, 1, 3.0], CLASSNAME=["roof", "lawn", "roof"])
    assert got == ([3, 1, 3], [(1, "lawn"), (3, "roof")])
    assert classes("kind", kind=["2", "10"], Value=[1, 1]) == ([2, 10], [(2, "2"), (10, "10")])


def test_texts_are_names_counted_by_the_alphabet():
    assert classes("crop", crop=["rye", "oat", "rye"]) == ([2, 1, 2], [(1, "oat"), (2, "rye")])


def test_without_a_column_all_are_one_class():
    assert classes(height=[2, 3]) == ([1, 1], [(1, "1")])


def test_our_objects_are_known_by_the_names_that_layers_show():
    ours = {"label": ["roof", "lawn"], "label_id": [3, 1], "score": [0.5, 0.7]}
    for field in ("", "Classvalue", "label_id"):
        assert classes(field, **ours) == ([3, 1], [(1, "lawn"), (3, "roof")])
    assert classes("Class", **ours) == ([2, 1], [(1, "lawn"), (2, "roof")])
    assert classes("Class", **ours, CLASS=[7, 7])[0] == [7, 7]


def test_colours_are_read_or_made():
    columns = {"value": [1, 2], "Red": [255, None], "Green": [0, 1], "Blue": [16, 2]}
    _, found = feature_classes(pandas.DataFrame(columns))
    assert found[0].color == "#ff0010"
    assert found[1].color == label_class(2, "2").color != label_class(3, "3").color


@pytest.mark.parametrize(
    ("columns", "field", "match"),
    [
        ({"a": [1]}, "b", "no column 'b'; they have a"),
        ({"value": [1.5]}, "", "class value 1.5; possible are whole"),
        ({"value": [-1]}, "", "class value -1"),
        ({"value": [70_000]}, "", "65535"),
        ({"value": [1, None]}, "", "features without a class"),
        ({"value": ["x", ""]}, "", "features without a class"),
    ],
)
def test_what_is_no_class_is_told(columns, field, match):
    with pytest.raises(OptionError, match=match):
        feature_classes(pandas.DataFrame(columns), field)


@pytest.mark.parametrize("name", ["../up", "a/b", "", " ", ".hidden", "a\\b", "x" * 200, "a\nb"])
def test_names_that_would_leave_the_folder_are_refused(name):
    with pytest.raises(OptionError, match="cannot be a folder's name"):
        check_folders((label_class(1, name),), "RCNN_Masks")


def test_two_folders_of_one_name_are_refused():
    with pytest.raises(OptionError, match="different names"):
        check_folders((label_class(1, "Tree"), label_class(2, "tree")), "RCNN_Masks")


def test_imagenet_folders_have_no_blanks():
    check_folders((label_class(1, "red maple"),), "RCNN_Masks")
    with pytest.raises(OptionError, match="such as 'red_maple'"):
        check_folders((label_class(1, "red maple"),), "Imagenet")
