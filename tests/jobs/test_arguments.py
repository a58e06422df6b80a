"""Arguments come as text, under several names, and none is dropped in silence."""

import dataclasses
import json

import pytest

from geodl_lab import from_torch, open_model
from geodl_lab.errors import OptionError
from geodl_lab.jobs.arguments import POSSIBLE, READERS, read_arguments
from geodl_lab.testing import RegionDetector, save_unet


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "a"
    return open_model(save_unet(folder, bands=["red"], classes=["background", "b"]))


@pytest.fixture(scope="module")
def detector():
    return from_torch(RegionDetector(), task="detect", bands=["gray"], classes=["a"], window=64)


def test_text_becomes_options(classifier):
    given = {
        "padding": "4", "Batch_Size": "8", "test_time_augmentation": "True", "threshold": "0.5",
        "merge_policy": "mean", "tile_size": "64", "predict_background": "t", "nms_overlap": "",
        "precision": "FP32", "bands": '{"red": 2}',
    }  # fmt: skip
    read = read_arguments(classifier, given)
    assert read.options == {
        "padding": 4, "batch_size": 8, "tta": True, "precision": "fp32", "bands": {"red": 2},
    }  # fmt: skip
    assert read.threshold == 0.5 and read.background and read.messages == ()
    assert set(READERS) == set(POSSIBLE)


def test_what_a_client_makes_text_of_python_values(classifier):
    given = {"bands": str({"red": 2}), "padding": str(None), "threshold": str(0.5)}
    read = read_arguments(classifier, given)
    assert read.options == {"bands": {"red": 2}} and read.threshold == 0.5
    assert read_arguments(classifier, {"bands": str([3])}).options == {"bands": [3]}


def test_a_detector_s_overlap_and_threshold(detector):
    read = read_arguments(detector, {"nms_overlap": "0.1", "score_threshold": 0.7})
    assert read.threshold == 0.7 and read.model.package.decoder.nms == 0.1
    assert read_arguments(detector, {"nms_overlap": 0}).model.package.decoder.nms > 0
    assert dataclasses.replace(read.model.package, decoder=detector.package.decoder) == (
        detector.package
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"color": "red"}, r"the argument 'color' is unknown and was ignored; possible are thresh"),
        ({"nms_overlap": "0.1"}, "nms_overlap was ignored: the model answers no overlapping boxes"),
        ({"exclude_pad_detections": "no"}, "exclude_pad_detections=False was ignored"),
        ({"merge_policy": "max"}, "merge_policy 'max' was ignored"),
        ({"tile_size": 256}, "tile_size 256 was ignored"),
    ],
)
def test_what_cannot_be_honoured_is_said(classifier, given, words):
    (message,) = read_arguments(classifier, given).messages
    assert message.startswith(words)


def test_padding_is_what_the_net_leaves_out_at_least(classifier):
    package = classifier.package
    field = dataclasses.replace(package.field, crop=16, halo=16)
    cropped = dataclasses.replace(classifier, package=dataclasses.replace(package, field=field))
    read = read_arguments(cropped, {"padding": "4"})
    assert read.options == {"padding": 16} and "padding 4 was raised to 16" in read.messages[0]
    assert read_arguments(cropped, {"padding": "20"}).options == {"padding": 20}


def test_detectors_do_not_average_turned_views(detector):
    read = read_arguments(detector, {"tta": "yes", "predict_background": "False"})
    assert read.options == {} and len(read.messages) == 2 and read.background


def test_only_a_background_is_left_out(classifier, tmp_path):
    assert not read_arguments(classifier, {"predict_background": "0"}).background
    model = open_model(save_unet(tmp_path / "b", bands=["red"], classes=["forest", "b"]))
    read = read_arguments(model, {"predict_background": "0"})
    assert read.background and "no class for a background" in read.messages[0]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"padding": "-1"}, "padding '-1' is not possible; give a whole number, from 0"),
        ({"padding": "1.5"}, "give a whole number"),
        ({"batch_size": "0"}, "give a whole number, from 1"),
        ({"threshold": "high"}, "threshold 'high' is not possible; give a number"),
        ({"threshold": "nan"}, "give a number"),
        ({"threshold": "1e9"}, "give a number from 0 to 1"),
        ({"tta": "perhaps"}, "tta 'perhaps' is not possible; give True or False"),
        ({"bands": "red=1"}, "say which band of the raster is which"),
        ({"padding": [1]}, "give a number"),
        ({"seam_tolerance": {}}, "give a number"),
    ],
)
def test_what_is_not_possible_fails(classifier, given, words):
    with pytest.raises(OptionError, match=words):
        read_arguments(classifier, given)


def test_an_overlap_is_a_share(detector):
    with pytest.raises(OptionError, match="nms_overlap '2' is not possible"):
        read_arguments(detector, {"nms_overlap": "2"})


FUNCTION = """
import numpy as np

class Bright:
    def initialize(self, **kwargs):
        self.level = 0.5

    def getParameterInfo(self):
        return [
            {"name": "raster", "dataType": "raster", "required": True},
            {"name": "model", "dataType": "string", "required": True},
            {"name": "level", "dataType": "numeric", "value": 0.5, "required": False},
            {"name": "test_time_augmentation", "dataType": "string", "value": "False",
             "required": False},
        ]

    def getConfiguration(self, **scalars):
        self.level = float(scalars["level"])
        return {"inheritProperties": 7}

    def updatePixels(self, tlc, shape, props, **blocks):
        pixels = blocks["raster_pixels"]
        return {"output_pixels": (pixels[:1] > 255 * self.level).astype("i4")}
"""


def test_a_raster_function_gets_its_own_arguments(tmp_path):

    (tmp_path / "Bright.py").write_text(FUNCTION)
    emd = {
        "Framework": "PyTorch", "ModelType": "ImageClassification", "ModelName": "Bright",
        "InferenceFunction": "Bright.py", "ModelFile": "w.txt", "ImageHeight": 64,
        "ImageWidth": 64, "ExtractBands": [0], "CropSizeFixed": 1,
        "Classes": [{"Value": 0, "Name": "dark", "Color": [0, 0, 0]},
                    {"Value": 1, "Name": "bright", "Color": [255, 255, 255]}],
    }  # fmt: skip
    (tmp_path / "Bright.emd").write_text(json.dumps(emd))
    (tmp_path / "w.txt").write_text("")
    model = open_model(tmp_path / "Bright.emd", trust=True)
    read = read_arguments(model, {"level": "0.8", "tta": "True", "foo": 1, "padding": "8"})
    assert read.model.network.scalars["level"] == 0.8
    assert read.model.network.scalars["test_time_augmentation"] == "True"
    assert read.model.package.field.halo == 8
    (message,) = read.messages
    assert "'foo' is unknown to the model and was ignored; possible are batch_size" in message
    assert "level" in message
