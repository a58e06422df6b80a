import numpy as np
import pytest

from geodl_lab.decoders import Decoder, Recognizer
from geodl_lab.errors import ModelError


def test_the_least_score_of_all_classes_is_the_least_of_each():
    assert Decoder("boxes", thresholds=[0.3, 0.2]).threshold == 0.2
    assert Decoder("boxes", threshold=0.7).threshold == 0.7


def test_labels_have_the_usual_thresholds_where_none_are_given():
    assert Recognizer().threshold(0) == 0.025 and Recognizer(False).threshold(0) == 0.5
    assert Recognizer(thresholds=(0.1, 0.2)).threshold(1) == 0.2


@pytest.mark.parametrize(
    ("make", "message"),
    [
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
        (lambda: Decoder("boxes", nms=0), "nms 0 is no IoU"),
        (lambda: Decoder("boxes", activation="relu"), "'relu' is not one of none, sigmoid"),
        (lambda: Decoder("yolo", layout="mixed"), "layout 'mixed' is not one of"),
        (lambda: Decoder("boxes", anchors=((1, 1, 0, 2),)), "an anchor is cx, cy"),
        (lambda: Decoder("boxes", thresholds=(0.5, 2)), "outside 0..1; give a list"),
        (lambda: Decoder("boxes", thresholds="0.5"), "outside 0..1; give a list"),
        (lambda: Decoder("heatmap", thresholds=(0.5,)), "thresholds are for decoders that answer"),
        (lambda: Recognizer(thresholds=(-1,)), "outside 0..1"),
        (lambda: Recognizer(activation="relu"), "'relu' is not one of none"),
    ],
)
def test_impossible_values_are_refused(make, message):
    with pytest.raises(ModelError, match=message):
        make()
