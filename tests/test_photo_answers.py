"""What models say of photos, against the public functions on the same pixels."""

import dataclasses
import json

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import geodl_lab
from geodl_lab.errors import ModelError, OptionError
from geodl_lab.photo_answers import PhotoAnswer, answer_photo
from geodl_lab.runtime import Session
from geodl_lab.testing import MaskDetector, RegionDetector, RotatedDetector, ScoreNet, paint

NAMES = ["red", "green", "blue"]
RNG = np.random.default_rng(4)
BOXES = [(5, 8, 25, 20), (40, 10, 52, 40), (70, 50, 95, 60)]


def photo_of(values):
    return xr.DataArray(values, dims=("band", "y", "x"), coords={"band": NAMES})


NOISE = photo_of(RNG.integers(0, 256, (3, 70, 110), dtype=np.uint8))
SPOTS = photo_of(np.repeat(paint((70, 110), BOXES).values, 3, axis=0))


def made(net, task="detect", **facts):
    facts = {"bands": NAMES, "scale": 1 / 255, "classes": ["spot"], "window": 64, **facts}
    return geodl_lab.from_torch(net, task=task, **facts)


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(dim=(2, 3))


@pytest.fixture(scope="module")
def spots():
    return made(RegionDetector(), decoder="boxes")


@pytest.fixture(scope="module")
def labels():
    return made(Mean(), "recognize", classes=NAMES, activation="none", thresholds=[0.5, 0.4, 0.9])


@pytest.fixture(scope="module")
def classes():
    return made(ScoreNet(), "classify", classes=["background", "green", "blue"])


def boxes_of(answer):
    return [(one.x0, one.y0, one.x1, one.y1) for one in answer.regions]


def test_labels_are_those_of_recognize(labels):
    answer, table = answer_photo(NOISE, labels), NOISE.dl.recognize(labels)
    rows = table[["label_id", "label", "score", "threshold", "predicted"]]
    assert [dataclasses.astuple(one) for one in answer.labels] == [
        tuple(row) for row in rows.itertuples(index=False)
    ]
    assert answer.shape_yx == (70, 110) and not answer.regions and len(answer.legend) == 3


def test_thresholds_can_be_others_and_a_score_must_be_above(labels):
    assert answer_photo(NOISE, fixed([0.8] * 4), thresholds=0.8).regions == ()
    assert len(answer_photo(NOISE, fixed([0.8] * 4), thresholds=0.799).regions) == 2
    flat = photo_of(np.full((3, 70, 110), 102, np.uint8))  # 0.4 of 255
    lower = answer_photo(flat, labels, thresholds=0.39).labels
    assert all(one.predicted and one.threshold == 0.39 for one in lower)
    assert [one.predicted for one in answer_photo(flat, labels, thresholds=[0, 1, 0]).labels] == [
        True, False, True,
    ]  # fmt: skip


class Const(nn.Module):
    def forward(self, x):
        return torch.full((len(x), 3), 0.8)


def test_a_score_of_a_label_must_be_above_its_threshold_too():
    model = made(Const(), "recognize", classes=NAMES, activation="none")
    for least, predicted in ((0.8, False), (0.7999, True)):
        found = answer_photo(NOISE, model, thresholds=least).labels
        assert [one.predicted for one in found] == [predicted] * 3


def test_regions_are_those_of_detect(spots):
    answer, frame = answer_photo(SPOTS, spots), SPOTS.dl.detect(spots)
    assert sorted(boxes_of(answer)) == sorted(frame.bounds.itertuples(index=False, name=None))
    assert sorted(boxes_of(answer)) == sorted(BOXES)
    assert [one.id for one in answer.regions] == [0, 1, 2]
    assert {one.labels[0].label for one in answer.regions} == {"spot"}


def test_of_a_part_boxes_are_in_pixels_of_the_whole(spots):
    part = answer_photo(SPOTS, spots, area=(30, 5, 110, 45))
    assert boxes_of(part) == [BOXES[1]] and part.shape_yx == (70, 110)


def test_regions_outside_a_polygon_are_left_out():
    # What is outside is white, and so bright: only what has its middle inside counts.
    spots = made(RegionDetector(0.95), decoder="boxes")
    white = SPOTS.where(SPOTS < 100, 255).astype(np.uint8)
    corners = [(36, 2), (60, 2), (60, 48), (36, 48)]
    assert boxes_of(answer_photo(white, spots, polygon=corners)) == [BOXES[1]]
    assert boxes_of(answer_photo(white, spots, polygon=[(36, 2), (60, 2), (36, 9)])) == []


def test_a_background_is_cut_off_and_boxes_stay_where_they_are(spots):
    answer = answer_photo(SPOTS, spots, crop_background=True)
    assert sorted(boxes_of(answer)) == sorted(BOXES)


class Fixed(nn.Module):
    """Answers the same objects of every window."""

    def __init__(self, boxes, labels, scores):
        super().__init__()
        self.said = torch.tensor(boxes), torch.tensor(labels), torch.tensor(scores)

    def forward(self, x):
        return [dict(zip(("boxes", "labels", "scores"), self.said, strict=True)) for _ in x]


def fixed(scores, **facts):
    box, other = [4.0, 5.0, 20.0, 30.0], [40.0, 5.0, 60.0, 30.0]
    net = Fixed([box, box, other, other], [1, 2, 1, 2], scores)
    return made(net, decoder="boxes", classes=["cat", "dog"], window=110, **facts)


def test_several_labels_of_one_box_are_one_region():
    model = fixed([0.9, 0.7, 0.2, 0.8])
    found = answer_photo(NOISE, model).regions
    assert [[one.label for one in region.labels] for region in found] == [["cat", "dog"], ["dog"]]
    assert [region.id for region in found] == [0, 1]
    more = answer_photo(NOISE, model, discard=0.1).regions
    assert [[(one.label, one.predicted) for one in region.labels] for region in more] == [
        [("cat", True), ("dog", True)], [("dog", True), ("cat", False)],
    ]  # fmt: skip
    assert answer_photo(NOISE, model, discard=0.2).regions == found  # strictly more


def test_no_more_than_is_wanted_of_what_is_predicted_and_of_what_is_not(labels):
    model = fixed([0.9, 0.7, 0.2, 0.1])
    found = answer_photo(NOISE, model, discard=0.05, most=1).regions
    assert [one.labels[0].score > 0.5 for one in found] == [True, False]
    assert len(answer_photo(NOISE, labels, most=1).labels) == 2
    assert answer_photo(NOISE, labels, most=0).labels == ()


def test_each_class_has_its_threshold():
    model = fixed([0.9, 0.7, 0.2, 0.8])
    found = answer_photo(NOISE, model, thresholds=[0.95, 0.75]).regions
    assert [[one.label for one in region.labels] for region in found] == [["dog"]]
    assert found[0].labels[0].threshold == 0.75


def predicted(answer):
    pairs = ((one, label) for one in answer.regions for label in one.labels if label.predicted)
    return [(one.x0, one.y0, one.x1, one.y1, label) for one, label in pairs]


def test_what_is_not_sure_changes_nothing_of_what_is():
    photo = photo_of(RNG.integers(0, 158, (3, 70, 110), dtype=np.uint8))  # 0.9 is at 155
    facts = {"decoder": "heatmap", "box_size": 9, "threshold": 0.9}
    model = made(ScoreNet(), classes=NAMES, **facts)
    sure = answer_photo(photo, model, most=9999)
    all_of_them = answer_photo(photo, model, discard=0.0, most=9999)
    assert len(all_of_them.regions) > len(sure.regions)
    assert predicted(all_of_them) == predicted(sure)


def test_connected_regions_are_those_of_their_own_threshold(spots):
    model = made(ScoreNet(), classes=NAMES, decoder="regions", threshold=0.7)
    smooth = photo_of((NOISE.values // 2 + 60).astype(np.uint8))
    assert answer_photo(smooth, model, discard=0.1) == answer_photo(smooth, model)


def test_boxes_end_at_the_edges_of_the_photo():
    model = made(ScoreNet(), classes=NAMES, decoder="heatmap", box_size=40)
    for box in boxes_of(answer_photo(NOISE, model)):
        assert 0 <= box[0] <= box[2] <= 110 and 0 <= box[1] <= box[3] <= 70


def test_masks_have_an_outline_and_an_area():
    found = answer_photo(SPOTS, made(MaskDetector(), decoder="masks")).regions
    assert sorted(one.area for one in found) == sorted(
        (x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in BOXES
    )
    for one in found:
        x, y = np.array(one.outline).T
        assert (x.min(), y.min(), x.max(), y.max()) == (one.x0, one.y0, one.x1, one.y1)


def test_rotated_boxes_have_an_angle():
    turned = np.zeros((70, 110), np.uint8)
    y, x = np.mgrid[:70, :110]
    turned[(np.abs((x - 50) + (y - 35)) < 20) & (np.abs((x - 50) - (y - 35)) < 10)] = 230
    photo = photo_of(np.repeat(turned[None], 3, axis=0))
    model = made(RotatedDetector(), decoder="boxes", window=128)
    (one,) = answer_photo(photo, model).regions
    assert len(one.outline) == 4 and one.angle % 90 == pytest.approx(45, abs=2)


def test_class_maps_are_those_of_classify(classes):
    answer = answer_photo(NOISE, classes)
    assert (answer.classes == NOISE.dl.classify(classes).values).all() and answer.fill == 255
    shares = NOISE.dl.probabilities(classes).values
    assert (answer.scores == shares[1:].max(axis=0)).all()  # without the background
    assert answer.scores.dtype == np.float32 and answer.classes.dtype == np.uint8


def test_class_maps_of_a_part_are_empty_elsewhere(classes):
    answer = answer_photo(NOISE, classes, polygon=[(10, 10), (60, 10), (60, 40), (10, 40)])
    assert answer.classes.shape == (70, 110)
    assert (answer.classes[10:40, 10:60] != 255).all()
    outside = answer.classes == 255
    assert outside.sum() == 70 * 110 - 30 * 50 and (answer.scores[outside] == 0).all()


def test_a_heat_map_is_what_peaks_are_found_in():
    model = made(ScoreNet(), classes=NAMES, decoder="heatmap", box_size=9)
    scores = answer_photo(NOISE, model, heat=True).scores
    expected = 1 / (1 + np.exp(-20 * (NOISE.values.max(axis=0) / 255 - 0.5)))
    assert np.abs(scores - expected).max() < 1e-5
    assert answer_photo(NOISE, model).scores is None


@pytest.mark.parametrize("decoder", [{"decoder": "heatmap", "box_size": 9}, {"decoder": "regions"}])
def test_a_heat_map_takes_no_more_forwards_and_changes_no_object(decoder, monkeypatch):
    forwards, forward = [], Session.forward
    monkeypatch.setattr(Session, "forward", lambda *given: forwards.append(1) or forward(*given))
    model = made(ScoreNet(), classes=NAMES, **decoder)
    answers = [answer_photo(NOISE, model, heat=heat) for heat in (False, True)]
    count = len(forwards)
    answer_photo(NOISE, model)
    assert count == 2 * (len(forwards) - count)
    assert predicted(answers[0]) == predicted(answers[1]) != []


def test_a_heat_map_of_what_answers_boxes_is_none(spots):
    assert answer_photo(SPOTS, spots, heat=True).scores is None


def test_answers_go_through_json():
    rotated = made(RotatedDetector(), decoder="boxes", window=128)
    for model in (rotated, made(MaskDetector(), decoder="masks")):
        answer = answer_photo(SPOTS, model)
        back = PhotoAnswer.from_dict(json.loads(json.dumps(answer.as_dict())))
        assert back == answer


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"thresholds": 2}, "thresholds 2 are not possible"),
        ({"thresholds": [0.5, 0.5]}, "or 1 of them"),
        ({"discard": -1}, "discard -1 is not possible"),
        ({"discard": "a"}, "discard 'a' is not possible"),
        ({"area": (0, 0, 0, 0)}, "is no part"),
    ],
)
def test_what_is_not_possible_says_so(spots, options, words):
    with pytest.raises(OptionError, match=words):
        answer_photo(SPOTS, spots, **options)


def test_a_model_of_something_else_says_so():
    model = made(ScoreNet(), "regress", classes=NAMES)
    with pytest.raises(ModelError, match="made to regress, which says nothing of a photo"):
        answer_photo(NOISE, model)
