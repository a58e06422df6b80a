import numpy as np
import pytest

from geodl_lab.decoders import Decoder, Recognizer
from geodl_lab.errors import ModelError
from geodl_lab.inputs import InputSpec
from geodl_lab.package import Field, LabelClass, ModelPackage, make_classes


def package(**changes):
    values = {
        "name": "net", "task": "classify", "inputs": InputSpec(("red",)),
        "classes": make_classes(["a", "b"]), "window": 64, "field": Field(finite=True),
    }  # fmt: skip
    return ModelPackage(**{**values, **changes})


def test_classes_count_from_first_and_keep_what_is_given():
    classes = make_classes(["a", (7, "b", "#102030"), LabelClass(9, "c", "#000000")], first=1)
    assert [label.value for label in classes] == [1, 7, 9]
    assert classes[1].rgb == (16, 32, 48)


def test_class_values_are_bytes_in_channel_order():
    values = package(classes=make_classes([(7, "b", "#102030"), (2, "a", "#102030")])).class_values
    assert values.dtype == np.uint8 and values.tolist() == [7, 2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: package(classes=make_classes([(255, "x", "#000000")])), "possible are 0..254"),
        (lambda: LabelClass(-1, "x", "#000000"), "possible are 0..254"),
        (lambda: LabelClass("1", "x", "#000000"), "value '1'; possible are 0..254"),
        (lambda: LabelClass(1.5, "x", "#000000"), "value 1.5; possible are 0..254"),
        (lambda: LabelClass(1, 2, "#000000"), "class name 2 is no text"),
        (lambda: LabelClass(1, "x", "red"), "write '#rrggbb'"),
        (lambda: LabelClass(1, "x", 0), "write '#rrggbb'"),
        (lambda: make_classes([1]), "class 1 is none; give a name"),
        (lambda: make_classes([(1, "x")]), r"class \(1, 'x'\) is none; give a name"),
        (lambda: package(task="recognize"), "names no labels"),
        (lambda: package(task="recognize", recognizer=Recognizer(thresholds=(0.1,))), "for 2 lab"),
        (lambda: package(task="detect", decoder=Decoder("boxes", thresholds=(0.1,))), "for 2 lab"),
        (lambda: package(task="dream"), "'dream' is not one of classify"),
        (lambda: package(answers="words"), "'words' is not one of scores, values"),
        (lambda: package(window=0), "window 0 is not possible"),
        (lambda: package(task="detect"), "names no decoder"),
        (lambda: package(task="detect", classes=()), "names no class"),
        (lambda: package(classes=make_classes([(1, "a", "#000000")] * 2)), "same value"),
    ],
)
def test_impossible_values_are_refused(make, message):
    with pytest.raises(ModelError, match=message):
        make()


def test_labels_of_images_and_objects_may_have_large_numbers():
    many = package(
        task="recognize", recognizer=Recognizer(), classes=make_classes([(90210, "a", "#000000")])
    )
    assert many.class_values.tolist() == [90210]
    assert many.recognizer.threshold(0) == 0.025


def test_it_says_in_a_line_what_it_is():
    package = ModelPackage(
        name="net", task="classify", inputs=InputSpec(("red", "nir")),
        classes=make_classes(list("abcdef")), window=64, field=Field(True),
    )  # fmt: skip
    assert repr(package) == (
        "ModelPackage('net', '1.0.0', task='classify', bands=['red', 'nir'], 6 classes: 'a', 'b', "
        "'c', 'd', ...)"
    )
