"""A model's card with the keys of an .emd file."""

import json

import pytest

from geodl_lab import open_model
from geodl_lab.cards import card
from geodl_lab.server.arcgis.definitions import definition


@pytest.mark.parametrize(
    ("name", "kind"),
    [("naip-landcover", "ImageClassification"), ("naip-trees", "ObjectDetection")],
)
def test_a_bundled_model_is_told_with_its_classes_and_bands(name, kind):
    model = open_model(name)
    told = json.loads(json.dumps(definition(card(model))))
    assert (told["ModelName"], told["ModelType"]) == (name, kind)
    assert told["ImageHeight"] == told["Card"]["window"]
    assert told["WellKnownBandNames"] == list(model.package.inputs.bands)
    assert told["ExtractBands"] == [0, 1, 2, 3]
    classes = [(one["Value"], one["Name"], tuple(one["Color"])) for one in told["Classes"]]
    assert classes == [(one.value, one.name, one.rgb) for one in model.package.classes]


def test_the_arguments_are_those_that_a_model_takes():
    objects = definition(card(open_model("naip-trees")))["ModelArguments"]
    pixels = definition(card(open_model("naip-landcover")))["ModelArguments"]
    assert "threshold" in [one["name"] for one in objects]
    assert [one["name"] for one in pixels] == ["padding", "batch_size", "test_time_augmentation"]
