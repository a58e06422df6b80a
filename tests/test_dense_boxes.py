import numpy as np
import pytest
import torch

from geodl_lab.decoders import Decoder
from geodl_lab.dense_boxes import is_dense, read_dense, read_yolo, yolo_layout
from geodl_lab.errors import ModelError
from geodl_lab.inputs import InputSpec
from geodl_lab.package import Field, ModelPackage, make_classes


def package(name="boxes", classes=("car", "ship"), **options):
    return ModelPackage(
        "fake", "detect", InputSpec(("gray",)), make_classes(classes, first=1), 64,
        Field(finite=False), Decoder(name, **options),
    )  # fmt: skip


BOXES = torch.tensor([[[10.0, 10, 30, 20], [40, 40, 50, 60], [0, 0, 5, 5]]])
SCORES = torch.tensor([[[0.9, 0.2], [0.1, 0.7], [0.3, 0.4]]])


def check(found):
    assert found.boxes.tolist() == [[10, 10, 30, 20], [40, 40, 50, 60]]
    assert found.label_ids.tolist() == [1, 2] and np.allclose(found.scores, [0.9, 0.7])


def test_a_box_is_one_object_of_its_best_class():
    check(read_dense((BOXES, SCORES), 0, package()))
    check(read_dense({"boxes": BOXES, "scores": SCORES}, 0, package()))


def test_the_background_is_the_first_of_one_more():
    background = torch.tensor([[[0.0], [0.2], [0.95]]])
    check(read_dense((BOXES, torch.cat([background, SCORES], dim=2)), 0, package()))


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_logits_are_activated_before_the_background_goes(activation):
    logits = torch.tensor([[[0.0, 4.0, -4.0]]])
    expected = {"sigmoid": logits.sigmoid(), "softmax": logits.softmax(dim=2)}[activation][0, 0, 1]
    found = read_dense((BOXES[:, :1], logits), 0, package(activation=activation))
    assert np.allclose(found.scores, expected) and found.label_ids.tolist() == [1]


def test_offsets_move_and_scale_anchors():
    anchors = [(20, 15, 10, 20), (45, 50, 10, 20), (0, 0, 1, 1)]
    offsets = torch.tensor([[[0.0, 0, np.log(2), np.log(0.5)], [0, 0, 0, 0], [0, 0, 99, 99]]])
    check(read_dense((offsets, SCORES), 0, package(anchors=anchors)))
    moved = offsets + torch.tensor([0.5, -0.25, 0, 0])
    found = read_dense((moved, SCORES), 0, package(anchors=anchors))
    assert found.boxes[0].tolist() == [15, 5, 35, 15]


def rows(*extra):
    half = (BOXES[..., 2:] - BOXES[..., :2]) / 2
    return torch.cat([BOXES[..., :2] + half, half * 2, *extra, SCORES], dim=2)


def test_all_layouts_of_yolo_are_read():
    one = torch.ones(1, 3, 1)
    check(read_yolo(rows(), 0, package("yolo")))
    check(read_yolo(rows().mT, 0, package("yolo")))
    check(read_yolo(rows(one), 0, package("yolo")))
    check(read_yolo((rows().mT, [one]), 0, package("yolo")))
    halved = read_yolo(rows(one / 2), 0, package("yolo", threshold=0.4))
    assert np.allclose(halved.scores, [0.45])


def test_a_noted_layout_decides_where_two_would_fit():
    square = torch.zeros(1, 6, 6)
    with pytest.raises(ModelError, match="fits channels_first and channels_last"):
        yolo_layout(square, package("yolo"))
    assert yolo_layout(square, package("yolo", layout="channels_last")) == "channels_last"


@pytest.mark.parametrize(
    ("read", "answer", "message"),
    [
        (read_yolo, torch.zeros(1, 9, 100), r"needs \(N, 6, A\) or .* \(N, A, 7\) with an obj"),
        (read_yolo, torch.zeros(1, 6), r"answers \(1, 6\) for 2 classes"),
        (read_yolo, {}, "answers a dict for 2 classes"),
        (read_yolo, torch.full((1, 6, 100), 3.0), "need activation='sigmoid'"),
        (read_dense, (BOXES, SCORES * 9), "scores from 0.9 to 8.1; possible are 0 to 1"),
        (read_dense, (BOXES, SCORES * torch.nan), "possible are 0 to 1"),
        (read_dense, (BOXES, SCORES[:, :2]), r"possible are \(N, A, 4\) and \(N, A, 2\)"),
        (read_dense, (BOXES, torch.zeros(1, 3, 5)), r"or \(N, A, 3\) with the background first"),
        (read_dense, (BOXES[..., [2, 3, 0, 1]], SCORES), "a box that is none"),
        (read_dense, {"boxes": BOXES}, "possible is one with the tensors"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_is_possible(read, answer, message):
    with pytest.raises(ModelError, match=message):
        read(answer, 0, package("yolo" if read is read_yolo else "boxes"))


def test_anchors_must_be_as_many_as_boxes():
    with pytest.raises(ModelError, match="answers 3 boxes but has 1 anchors"):
        read_dense((BOXES, SCORES), 0, package(anchors=[(1, 1, 2, 2)]))


def test_lists_of_dicts_are_not_dense():
    assert not is_dense([{}, {}]) and not is_dense([]) and not is_dense(BOXES)
    assert is_dense((BOXES, SCORES)) and is_dense({"boxes": BOXES, "scores": SCORES})
