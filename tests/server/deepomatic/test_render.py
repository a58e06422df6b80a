"""Answers of models in the words of v0.7."""

import json

from geodl_lab.photo_answers import PhotoAnswer, Scored
from geodl_lab.server.deepomatic.render import data_of


def labels_of(answer, **asked):
    values = json.loads(json.dumps({"answers": [answer.as_dict()]}))
    (output,) = data_of(values, **{"most": 100, "discarded": False, **asked})["outputs"]
    return output["labels"]


def test_regions_have_shares_of_the_whole_photo_the_best_first(answer):
    labels = labels_of(answer)
    assert labels["discarded"] == []
    assert labels["predicted"] == [
        {"label_id": 2, "label_name": "bush", "score": 1.0, "threshold": 0.5,
         "roi": {"region_id": 1, "bbox": {"xmin": 0.5, "ymin": 0.5, "xmax": 1.0, "ymax": 1.0}}},
        {"label_id": 1, "label_name": "tree", "score": 0.75, "threshold": 0.5,
         "roi": {"region_id": 0, "bbox": {"xmin": 0.0, "ymin": 0.1, "xmax": 0.25, "ymax": 0.6}}},
    ]  # fmt: skip
    assert '"score": 1.0' in json.dumps(labels)  # clients check that it is no integer


def test_another_label_of_a_region_is_discarded_under_the_same_id(answer):
    (other,) = labels_of(answer, discarded=True)["discarded"]
    assert (other["label_name"], other["roi"]["region_id"]) == ("bush", 0)


def test_labels_of_a_whole_photo_have_no_roi():
    answer = PhotoAnswer(
        (4, 4), (Scored(3, "a", 0.2, 0.025, True), Scored(1, "b", 0.01, 0.025, False))
    )
    labels = labels_of(answer, discarded=True)
    assert labels["predicted"] == [
        {"label_id": 3, "label_name": "a", "score": 0.2, "threshold": 0.025}
    ]
    assert [one["label_id"] for one in labels["discarded"]] == [1]


def test_no_more_than_asked_of_each_kind(answer):
    labels = labels_of(answer, most=1, discarded=True)
    assert [one["score"] for one in labels["predicted"]] == [1.0]
    assert len(labels["discarded"]) == 1


def test_a_tensor_says_its_shape_in_every_spelling():
    tensor = {"name": "scores", "shape": [1, 2], "data": [0.5, 1.5]}
    (told,) = data_of({"tensors": [tensor]}, most=1, discarded=False)["tensors"]
    assert told == {**tensor, "dims": [1, 2], "dim": [1, 2]}
