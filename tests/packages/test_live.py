import numpy as np
import pytest
import torch

from geodl_lab import from_torch
from geodl_lab.errors import ModelError
from geodl_lab.package import LabelClass
from geodl_lab.testing import (
    RandomNet,
    RegionDetector,
    ScoreNet,
    YoloDetector,
    make_raster,
)


def test_classes_bands_and_field_come_into_the_package():
    model = from_torch(
        RandomNet(), bands=["red", "green", "blue"], classes=["a", (9, "b", "#112233"), "c", "d"]
    )
    package = model.package
    assert package.inputs.bands == ("red", "green", "blue") and package.inputs.scale == 1 / 255
    assert [label.value for label in package.classes] == [0, 9, 2, 3]
    assert package.field.finite and package.field.stride == 4
    assert package.name == "RandomNet" and len(package.sha256) == 64


def test_detectors_count_classes_from_one():
    model = from_torch(ScoreNet(), "detect", bands=2, classes=["car", "ship"], window=64)
    assert [label.value for label in model.package.classes] == [1, 2]
    assert model.package.decoder.name == "regions"


def test_boxes_take_a_quarter_window_or_the_padding_as_largest_object():
    model = from_torch(RegionDetector(), "detect", bands=1, classes=["x"], window=128)
    assert model.package.decoder.name == "boxes" and model.package.field.halo == 32
    model = from_torch(RegionDetector(), "detect", bands=1, classes=["x"], window=128, padding=50)
    assert model.package.field.halo == 50


def test_padding_of_an_unbounded_net_is_the_callers():
    net = RandomNet(norm="group")
    model = from_torch(net, bands=3, classes=list("abcd"), window=64, padding=8)
    assert model.package.field.halo == 8


def test_the_module_is_put_into_evaluation_mode():
    net = RandomNet().train()
    assert not from_torch(net, bands=3, classes=list("abcd"), window=64).network.training


class Broken(torch.nn.Module):
    def forward(self, x):
        raise KeyError


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        (RandomNet(), {"classes": ["a"]}, r"4 channels and 1 classes.*\[1\] channels"),
        (RandomNet(), {"bands": 5}, r"does not run on float32 \(1, 5, 64, 64\)"),
        (RandomNet(), {"task": "segment"}, "'segment' is not possible"),
        (RandomNet(), {"window": 0}, "window 0"),
        (RandomNet(), {"window": 64.5}, "window 64.5 is not possible"),
        (RandomNet(), {"classes": "abcd"}, "classes 'abcd' are no list"),
        (RandomNet(), {"bands": 1.5}, "of a wrong type"),
        (RandomNet(), {"mean": 0.5}, "of a wrong type"),
        (RandomNet(), {"mean": ["a"] * 3}, "of a wrong type"),
        (RandomNet(), {"scale": "x"}, "of a wrong type"),
        (RandomNet(), {"mean": [0.5]}, "mean has 1 numbers for 3 bands"),
        (lambda x: x, {}, "is no torch.nn.Module"),
        (Broken(), {}, "does not run .* KeyError"),
        (RandomNet(), {"task": "detect", "decoder": "heatmap"}, "say how large an object is"),
        (RegionDetector(), {"task": "detect", "padding": 0}, "give 4 to 31 pixels"),
        (RandomNet(norm="group"), {"padding": 40}, "padding 40 is not possible"),
        (torch.nn.Flatten(), {}, "needs a tensor"),
        (RandomNet(), {"task": "detect", "decoder": "magic"}, "'magic' is not one of auto"),
        (RandomNet(), {"task": "detect", "decoder": "yolo"}, "decoder 'yolo' needs"),
        (RandomNet(), {"task": "detect", "decoder": "boxes"}, "needs a list of dicts"),
        (RandomNet(), {"classes": [LabelClass(1, "a", "#000000")] * 4}, "same value"),
    ],
)
def test_modules_that_do_not_fit_are_refused(module, options, message):
    defaults = {"bands": 3, "classes": list("abcd"), "window": 64}
    with pytest.raises(ModelError, match=message):
        from_torch(module, **{**defaults, **options})


class Viewing(torch.nn.Module):
    """Takes its input as rows, which only contiguous memory allows."""

    def forward(self, x):
        return x.view(x.shape[0], -1).reshape(x.shape) * 2


def test_a_module_that_does_not_take_channels_last_runs_in_nchw():
    model = from_torch(Viewing(), bands=2, classes=["a", "b"], window=64)
    assert model.package.layout == "nchw"
    raster = make_raster((2, 100, 90))
    result = raster.dl.classify(model)
    assert '"layout": "nchw"' in result.attrs["geodl_recipe"]
    assert np.array_equal(result, raster.argmax("band"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_object": 3}, "max_object or padding 3 is not possible; give 4 to 31 pixels"),
        ({"max_object": 32}, "give 4 to 31 pixels"),
        ({"max_object": 2.5}, "max_object or padding 2.5"),
        ({"max_object": 9, "padding": 9}, "say the same here"),
        ({"decoder": "masks"}, r"\['masks'\] is missing; possible is a dict of labels, masks"),
        ({"nms": 2}, "nms 2 is no IoU"),
        ({"anchors": [(5, 5, 5, 5)]}, "anchors would be ignored: the module answers a list"),
        ({"activation": "sigmoid"}, "activation would be ignored"),
        ({"classes": []}, "names no class; name them"),
    ],
)
def test_options_of_objects_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ModelError, match=message):
        from_torch(
            RegionDetector(), "detect", **{"bands": 1, "classes": ["a"], "window": 64, **options}
        )


def test_max_object_is_the_halo_of_objects_and_padding_says_the_same():
    for options, halo in (({}, 16), ({"max_object": 20}, 20), ({"padding": 9}, 9)):
        made = from_torch(RegionDetector(), "detect", bands=1, classes=["a"], window=64, **options)
        assert made.package.field.halo == halo and not made.package.field.finite
    with pytest.raises(ModelError, match="max_object 9 is of no use here"):
        from_torch(RandomNet(), bands=3, classes=list("abcd"), window=64, max_object=9)


def test_the_layout_of_yolo_is_noted_when_wrapped():
    net = YoloDetector(lambda boxes, scores: torch.cat([boxes, scores], dim=2).mT)
    made = from_torch(net, "detect", bands=1, classes=["a"], window=64, decoder="yolo")
    assert made.package.decoder.layout == "channels_first"


def test_scores_that_are_none_are_told_when_wrapped():
    net = YoloDetector(lambda boxes, scores: (boxes, scores * 50))
    with pytest.raises(ModelError, match="need activation='sigmoid'"):
        from_torch(net, "detect", bands=1, classes=["a"], window=64)


class Nothing(torch.nn.Module):
    def forward(self, x):
        return []


def test_a_module_that_answers_no_entry_is_told_when_wrapped():
    with pytest.raises(ModelError, match="answer one dict an image"):
        from_torch(Nothing(), "detect", bands=1, classes=["a"], window=64)


@pytest.mark.parametrize("options", [{"activation": "sigmoid"}, {"anchors": [(5, 5, 5, 5)]}])
def test_options_of_raw_boxes_are_refused_with_score_maps(options):
    with pytest.raises(ModelError, match=r"would be ignored: the module answers scores of pixels"):
        from_torch(ScoreNet(), "detect", bands=1, classes=["a"], window=64, **options)


def test_anchors_are_refused_with_yolo():
    net = YoloDetector(lambda boxes, scores: torch.cat([boxes, scores], dim=2).mT)
    with pytest.raises(ModelError, match=r"anchors would be ignored: the module answers YOLO"):
        from_torch(
            net, "detect", bands=1, classes=["a"], window=64, decoder="yolo",
            anchors=[(5, 5, 5, 5)],
        )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"box_unit": "metres"}, "box_unit 'metres' is not one of pixels, window"),
        ({"labels_from": 2}, "labels_from 2 is not one of None, 0, 1"),
        (
            {"box_unit": "window", "anchors": [(5, 5, 5, 5)]},
            "box_unit 'window' and anchors are not possible together",
        ),
    ],
)
def test_options_of_other_makes_are_checked(options, message):
    with pytest.raises(ModelError, match=message):
        from_torch(RegionDetector(), "detect", bands=1, classes=["a"], window=64, **options)


@pytest.mark.parametrize("option", [{"box_unit": "window"}, {"labels_from": 1}])
def test_options_of_boxes_are_refused_with_score_maps(option):
    with pytest.raises(ModelError, match=f"{next(iter(option))} would be ignored"):
        from_torch(ScoreNet(), "detect", bands=1, classes=["a"], window=64, **option)


def test_first_labels_are_refused_where_boxes_have_none():
    for answer, what in (
        (lambda boxes, scores: (boxes, scores), "dense boxes"),
        (lambda boxes, scores: torch.cat([boxes, scores], dim=2).mT, "YOLO's boxes"),
    ):
        decoder = "yolo" if "YOLO" in what else "auto"
        with pytest.raises(ModelError, match=f"labels_from would be ignored: .* {what}"):
            from_torch(
                YoloDetector(answer), "detect", bands=1, classes=["a"], window=64,
                decoder=decoder, labels_from=0,
            )  # fmt: skip


class Chosen(torch.nn.Module):
    def forward(self, x):
        return x.argmax(1, keepdim=True)


def test_chosen_classes_are_no_scores():
    with pytest.raises(ModelError, match=r"whole numbers \(int64\), which are no scores"):
        from_torch(Chosen(), bands=2, classes=["a", "b"], window=64)


def test_attributes_of_a_module_are_no_description():
    net = RandomNet()
    net.channels, net.fixed_yx, net.memory = 7, (1, 1), torch.zeros(1)
    package = from_torch(net, bands=3, classes=list("abcd"), window=64).package
    assert package.field.finite and not package.fixed_window
