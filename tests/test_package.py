import numpy as np
import pytest

from geodl_lab.errors import ModelError
from geodl_lab.package import (
    Decoder,
    Field,
    Fit,
    InputSpec,
    LabelClass,
    ModelPackage,
    Recognizer,
    make_classes,
)


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
        (lambda: InputSpec(("red",), positions=(0, 1)), "2 positions for 1 bands"),
        (lambda: InputSpec(("red",), positions=(-1,)), "they count from 0"),
        (lambda: package(classes=make_classes([(255, "x", "#000000")])), "possible are 0..254"),
        (lambda: LabelClass(-1, "x", "#000000"), "possible are 0..254"),
        (lambda: LabelClass("1", "x", "#000000"), "value '1'; possible are 0..254"),
        (lambda: LabelClass(1.5, "x", "#000000"), "value 1.5; possible are 0..254"),
        (lambda: LabelClass(1, 2, "#000000"), "class name 2 is no text"),
        (lambda: LabelClass(1, "x", "red"), "write '#rrggbb'"),
        (lambda: LabelClass(1, "x", 0), "write '#rrggbb'"),
        (lambda: make_classes([1]), "class 1 is none; give a name"),
        (lambda: make_classes([(1, "x")]), r"class \(1, 'x'\) is none; give a name"),
        (lambda: InputSpec(()), "at least one band"),
        (lambda: InputSpec(("a", "b"), 3), "2 band names for 3 bands"),
        (lambda: InputSpec(("a", "a")), "band names repeat"),
        (lambda: InputSpec(("a", "b"), mean=(1.0,)), "mean has 1 numbers for 2 bands"),
        (lambda: InputSpec(("a",), std=(0.0,)), "std holds a 0"),
        (lambda: InputSpec(("a",), dtype="bogus"), "dtype 'bogus' is no pixel type"),
        (lambda: InputSpec(("a",), dtype="complex64"), "'complex64' is no pixel type"),
        (lambda: Decoder("magic"), "'magic' is not one of boxes"),
        (lambda: Decoder("boxes", threshold=2), "threshold 2 is outside"),
        (lambda: Decoder("boxes", threshold="0.5"), "threshold '0.5' is outside"),
        (lambda: Decoder("heatmap", radius=0), "radius 0"),
        (lambda: Decoder("heatmap", radius=1.5), "radius 1.5 is not possible; give whole pixels"),
        (lambda: Decoder("heatmap", box_size="6"), "box_size '6' is not possible"),
        (lambda: Decoder("heatmap", box_size=-6), "box_size -6 is not possible; give pixels"),
        (lambda: Decoder("heatmap", size_unit=0), "size_unit 0 is not possible"),
        (lambda: Decoder("heatmap", size_unit=None), "size_unit None is not possible"),
        (lambda: Decoder("heatmap", size_unit=-1), "size_unit -1 is not possible"),
        (lambda: Decoder("boxes", nms="a"), "nms 'a' is no IoU"),
        (lambda: Decoder("boxes", anchors=(5, 5, 5, 5)), "an anchor is cx, cy"),
        (lambda: Decoder("boxes", anchors=((np.nan, 1, 1, 1),)), "an anchor is cx, cy"),
        (lambda: InputSpec(("a",), cell_size="x"), "cell_size 'x' is none; give metres"),
        (lambda: InputSpec(("a",), cell_size=0), "cell_size 0 is none; give metres"),
        (lambda: Decoder("boxes", nms=0), "nms 0 is no IoU"),
        (lambda: Decoder("boxes", activation="relu"), "'relu' is not one of none, sigmoid"),
        (lambda: Decoder("yolo", layout="mixed"), "layout 'mixed' is not one of"),
        (lambda: Decoder("boxes", anchors=((1, 1, 0, 2),)), "an anchor is cx, cy"),
        (lambda: Decoder("boxes", thresholds=(0.5, 2)), "outside 0..1; give a list"),
        (lambda: Decoder("boxes", thresholds="0.5"), "outside 0..1; give a list"),
        (lambda: Decoder("heatmap", thresholds=(0.5,)), "thresholds are for decoders that answer"),
        (lambda: Recognizer(thresholds=(-1,)), "outside 0..1"),
        (lambda: Recognizer(activation="relu"), "'relu' is not one of none"),
        (lambda: Fit("stretch", 8, 8), "'stretch' is not one of squash, crop, fill, network"),
        (lambda: Fit("squash", 0, 8), "fit to 0 x 8 is not possible"),
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
    assert many.recognizer.threshold(0) == 0.025 and Recognizer(False).threshold(0) == 0.5
