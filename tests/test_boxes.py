import numpy as np
import pytest
import torch

from geodl_lab.boxes import corners_of, read_boxes
from geodl_lab.decoders import Decoder
from geodl_lab.errors import ModelError
from geodl_lab.grid import Window
from geodl_lab.inputs import InputSpec
from geodl_lab.package import Field, ModelPackage, make_classes

WINDOW = Window(100, 200, 64, 64)


def package(decoder="boxes", classes=("car", "ship"), **options):
    return ModelPackage(
        "fake", "detect", InputSpec(("gray",)), make_classes(classes, first=1), 64,
        Field(finite=False), Decoder(decoder, **options),
    )  # fmt: skip


def test_boxes_move_to_the_raster_and_background_is_dropped():
    answer = {
        "boxes": torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8], [0, 0, 1, 1]]),
        "labels": torch.tensor([2, 0, 1]),
        "scores": torch.tensor([0.9, 0.9, 0.5]),
    }
    found = read_boxes([answer], 0, package(), Window(100, 200, 64, 64))
    assert found.boxes.tolist() == [[201, 102, 203, 104]] and found.label_ids.tolist() == [2]


def test_answers_that_do_not_fit_are_named():
    with pytest.raises(ModelError, match=r"\['scores'\] is missing"):
        read_boxes([{"boxes": [], "labels": []}], 0, package(), Window(0, 0, 1, 1))
    answer = {"boxes": [[0, 0, 1, 1.0]], "labels": [3], "scores": [0.9]}
    with pytest.raises(ModelError, match="label 3 but names 2 classes"):
        read_boxes([answer], 0, package(), Window(0, 0, 1, 1))
    for box in ([0, 0, float("nan"), 1], [5, 0, 1, 1]):
        answer = {"boxes": [box], "labels": [1], "scores": [0.9]}
        with pytest.raises(ModelError, match="a box that is none"):
            read_boxes([answer], 0, package(), Window(0, 0, 1, 1))


def one(**answer):
    count = len(answer.get("boxes", answer.get("masks")))
    return [{"labels": torch.ones(count), "scores": torch.full((count,), 0.9), **answer}]


def test_rotated_boxes_turn_x_towards_y():
    quarter = corners_of(np.array([[10.0, 20, 8, 2, np.pi / 2]]))[0]
    assert np.allclose(quarter, [[11, 16], [11, 24], [9, 24], [9, 16]])
    slanted = corners_of(np.array([[0.0, 0, 2 * np.sqrt(2), 0, np.pi / 4]]))[0]
    assert np.allclose(slanted[1], [1, 1])


@pytest.mark.parametrize("row", [[20.0, 20, 8, 4, 0.5], [20.0, 10, 30, 20, 20, 30, 10, 20]])
def test_rotated_boxes_keep_corners_and_have_an_upright_box(row):
    found = read_boxes(one(boxes=torch.tensor([row])), 0, package(), WINDOW)
    expected = corners_of(np.array([row])) + np.array([200, 100])
    assert np.allclose(found.corners, expected)
    low, high = expected[0].min(axis=0), expected[0].max(axis=0)
    assert np.allclose(found.boxes, [[*low, *high]])


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("planes", [3, 4])
def test_masks_are_kept_as_the_pixels_in_their_box(soft, planes):
    masks = torch.zeros(2, 64, 64)
    masks[0, 5:9, 7:12], masks[1, 30:, 40:] = 0.9, 0.6
    masks[0, 50, 50] = 1.0  # outside its box
    masks = (masks if soft else masks > 0.5)[(slice(None), None)[: planes - 2]]
    answer = one(masks=masks, boxes=torch.tensor([[6.5, 4.0, 13, 10], [39, 29, 64, 64]]))
    found = read_boxes(answer, 0, package("masks"), WINDOW)
    assert found.boxes.tolist() == [[207, 105, 212, 109], [240, 130, 264, 164]]
    assert found.masks.areas.tolist() == [20, 34 * 24]


def test_masks_need_no_boxes_and_an_empty_one_is_no_object():
    masks = torch.zeros(2, 64, 64)
    masks[0, 5:9, 7:12] = 1
    found = read_boxes(one(masks=masks), 0, package("masks"), WINDOW)
    assert found.boxes.tolist() == [[207, 105, 212, 109]] and len(found.masks) == 1
    assert len(read_boxes(one(masks=masks[:0]), 0, package("masks"), WINDOW)) == 0


@pytest.mark.parametrize(
    ("decoder", "answer", "message"),
    [
        ("boxes", one(boxes=torch.zeros(2, 6)), r"boxes of shape \(2, 6\) with 2 scores"),
        ("boxes", one(boxes=torch.zeros(2, 4), scores=torch.ones(3)), "one label and one score"),
        ("boxes", one(boxes=torch.zeros(1, 4), scores=torch.tensor([7.0])), "need activation="),
        ("boxes", one(boxes=torch.tensor([[1.0, 1, -1, 1, 0]])), "must not be negative"),
        ("boxes", [torch.zeros(3)], "answers a Tensor for an image"),
        ("masks", one(boxes=torch.zeros(1, 4)), r"\['masks'\] is missing"),
        ("masks", one(masks=torch.zeros(1, 28, 28)), r"possible is \(1, 64, 64\)"),
        ("masks", one(masks=torch.full((1, 64, 64), 5.0)), "let it answer a sigmoid"),
    ],
)
def test_other_answers_are_refused_with_what_is_possible(decoder, answer, message):
    with pytest.raises(ModelError, match=message):
        read_boxes(answer, 0, package(decoder), WINDOW)


def test_suppression_is_the_models_own_unless_asked_for():
    boxes = torch.tensor([[10.0, 10, 20, 20], [11, 10, 21, 20]])
    assert len(read_boxes(one(boxes=boxes), 0, package(), WINDOW)) == 2
    assert len(read_boxes(one(boxes=boxes), 0, package(nms=0.5), WINDOW)) == 1
    dense = (boxes[None], torch.tensor([[[0.9, 0.1], [0.8, 0.1]]]))
    assert len(read_boxes(dense, 0, package(), WINDOW)) == 1
    assert len(read_boxes(dense, 0, package(nms=1.0), WINDOW)) == 2


def test_nothing_reaches_further_than_a_window_beyond_its_window():
    found = read_boxes(one(boxes=torch.tensor([[-1e6, -1e6, 1e6, 1e6]])), 0, package(), WINDOW)
    assert found.boxes.tolist() == [[136, 36, 328, 228]]


def test_an_image_without_an_entry_is_told():
    with pytest.raises(ModelError, match=r"answers 0 entries for 1 or more .* shape \(0, 4\)"):
        read_boxes([], 0, package(), WINDOW)
    answer = one(boxes=[[1, 2, 3, 4]])
    with pytest.raises(ModelError, match="answers 1 entries for 2 or more images"):
        read_boxes(answer, 1, package(), WINDOW)
    dense = torch.rand(1, 5, 4).sort().values, torch.rand(1, 5, 2)
    for short in (dense, dict(zip(("boxes", "scores"), dense, strict=True))):
        assert len(read_boxes(short, 0, package(threshold=1.0), WINDOW)) == 0
        with pytest.raises(ModelError, match="answers 1 entries for 2 or more images"):
            read_boxes(short, 1, package(), WINDOW)
    with pytest.raises(ModelError, match="answers 1 entries for 2 or more images"):
        read_boxes(torch.rand(1, 6, 9), 1, package("yolo"), WINDOW)


@pytest.mark.parametrize(
    "entry", [{"labels": ["tree"]}, {"scores": None}, {"boxes": [[1], [2, 3]]}]
)
def test_entries_that_are_no_numbers_are_told(entry):
    answer = one(boxes=[[1, 2, 3, 4]])[0] | entry
    with pytest.raises(ModelError, match=f"answers {next(iter(entry))} that are no numbers"):
        read_boxes([answer], 0, package(), WINDOW)


@pytest.mark.parametrize("row", [[np.nan] * 4, [9.0, 9, 1, 1]])
def test_what_pads_an_answer_below_the_threshold_is_not_looked_at(row):
    answer = one(boxes=torch.tensor([[1.0, 2, 3, 4], row]))[0]
    answer["scores"] = torch.tensor([0.9, 0.0])
    assert read_boxes([answer], 0, package(), WINDOW).boxes.tolist() == [[201, 102, 203, 104]]
    answer["scores"] = torch.tensor([0.9, 0.9])
    with pytest.raises(ModelError, match="a box that is none"):
        read_boxes([answer], 0, package(), WINDOW)


def test_labels_count_from_where_the_decoder_says():
    answer = one(boxes=torch.tensor([[1.0, 2, 3, 4]] * 3), labels=torch.tensor([-1, 0, 1]))
    for first, expected in ((None, [1]), (1, [1]), (0, [1, 2])):
        found = read_boxes(answer, 0, package(labels_from=first), WINDOW)
        assert found.label_ids.tolist() == expected
    with pytest.raises(ModelError, match="label 2 but names 2 classes, the first with label 0"):
        read_boxes(
            one(boxes=torch.ones(1, 4), labels=torch.tensor([2])), 0, package(labels_from=0), WINDOW
        )


@pytest.mark.parametrize("decoder", ["dict", "rows", "dense", "yolo", "masks"])
def test_boxes_in_shares_of_the_window_become_pixels(decoder):
    window = Window(100, 200, 40, 80)
    box = torch.tensor([[0.25, 0.5, 0.75, 0.75]])  # 20, 20, 60, 30
    masks = torch.zeros(1, 40, 80)
    masks[0, 20:30, 20:60] = 1
    answer, name = {
        "dict": (one(boxes=box), "boxes"),
        "rows": (torch.cat([box, torch.tensor([[0.9, 1.0]])], dim=1)[None], "boxes"),
        "dense": ((box[None], torch.tensor([[[0.9, 0.1]]])), "boxes"),
        "yolo": (torch.tensor([[[0.5, 0.625, 0.5, 0.25, 0.9, 0.1]]]), "yolo"),
        "masks": (one(boxes=box, masks=masks), "masks"),
    }[decoder]
    first = {"labels_from": 1} if decoder == "rows" else {}
    found = read_boxes(answer, 0, package(name, box_unit="window", **first), window)
    assert np.allclose(found.boxes, [[220, 120, 260, 130]]) and found.label_ids.tolist() == [1]
    assert found.masks is None or found.masks.areas.tolist() == [400]


def test_rotated_boxes_in_shares_keep_their_angle():
    square, window = Window(0, 0, 50, 50), package(box_unit="window")
    row = [0.5, 0.5, 0.2, 0.1, 0.5]
    found = read_boxes(one(boxes=torch.tensor([row])), 0, window, square)
    assert np.allclose(found.corners, corners_of(np.array([[25, 25, 10, 5, 0.5]])))


def test_classes_may_have_thresholds_of_their_own():
    answer = {
        "boxes": torch.tensor([[0.0, 0, 4, 4], [9, 9, 12, 12], [20, 20, 30, 30]]),
        "labels": torch.tensor([1, 2, 2]),
        "scores": torch.tensor([0.4, 0.4, 0.8]),
    }
    found = read_boxes([answer], 0, package(thresholds=(0.3, 0.5)), WINDOW)
    assert found.label_ids.tolist() == [1, 2] and found.scores.tolist() == pytest.approx([0.4, 0.8])
    strict = read_boxes([answer], 0, package(thresholds=(0.9, 0.4)), WINDOW)
    assert strict.scores.tolist() == pytest.approx([0.8])  # 0.4 of float32 is no more than 0.4
    least = read_boxes([answer], 0, package(threshold=0.8), WINDOW)
    assert not len(least)
    assert package(thresholds=(0.3, 0.5)).decoder.threshold == 0.3
