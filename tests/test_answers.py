"""Every form that a detector's answer may have, against the list of dicts that says the same."""

import pytest
import torch

from geodl_lab.answers import described, in_one_form, lists_dicts
from geodl_lab.decoders import Decoder
from geodl_lab.errors import ModelError

BOXES = torch.tensor([[1.0, 2, 9, 8], [4, 4, 6, 7], [0, 0, 3, 3]])
LABELS = torch.tensor([1, 2, 1])
SCORES = torch.tensor([0.9, 0.8, 0.1])
MASKS = torch.zeros(3, 1, 16, 16)
ONE = {"boxes": BOXES, "labels": LABELS, "scores": SCORES}
TWICE = {name: torch.stack([part, part.flip(0)]) for name, part in ONE.items()}
DECODER = Decoder("boxes")


def same(found, *expected):
    assert lists_dicts(found) and len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name].to(one[name].dtype)) for name in other)


@pytest.mark.parametrize(
    "answer",
    [
        [ONE],
        ({}, [ONE]),
        ONE,
        {**ONE, "more": torch.zeros(7)},
        (BOXES, SCORES, LABELS),
        [LABELS.int(), BOXES, SCORES],
        {"3456": BOXES, "3480": LABELS, "3477": SCORES},
        tuple(TWICE[name][:1] for name in ("boxes", "labels", "scores")),
    ],
    ids=["list", "losses", "dict", "more", "row", "order", "numbered", "batch of one"],
)
def test_answers_of_one_image_become_a_list_of_one_dict(answer):
    same(in_one_form(answer, DECODER), ONE)


def test_batches_become_a_dict_an_image():
    flipped = {name: part.flip(0) for name, part in ONE.items()}
    same(in_one_form(TWICE, DECODER), ONE, flipped)
    same(in_one_form({f"o{i}": part for i, part in enumerate(TWICE.values())}, DECODER),
         ONE, flipped)  # fmt: skip


def test_nothing_found_has_the_same_form():
    none = {name: part[:0] for name, part in ONE.items()}
    same(in_one_form(tuple(none.values()), DECODER), none)


@pytest.mark.parametrize("masks", [MASKS, MASKS[:, 0]])
def test_masks_come_by_name_and_by_kind(masks):
    expected = {**ONE, "masks": masks}
    for answer in (expected, (BOXES, LABELS, SCORES, masks)):
        same(in_one_form(answer, Decoder("masks")), expected)
    without = {name: part for name, part in expected.items() if name != "boxes"}
    same(in_one_form(without, Decoder("masks")), without)


@pytest.mark.parametrize("listed", [False, True])
def test_rows_of_six_numbers_are_told_by_the_decoder_and_their_first_label(listed):
    rows = torch.cat([BOXES, SCORES[:, None], LABELS[:, None].float()], dim=1)[None]
    answer = [rows] if listed else rows
    same(in_one_form(answer, Decoder("boxes", labels_from=0)), ONE)
    with pytest.raises(ModelError, match=r"labels_from=0 \(Ultralytics\), or labels_from=1"):
        in_one_form(answer, DECODER)


@pytest.mark.parametrize(
    ("answer", "decoder"),
    [
        (torch.rand(1, 10, 6), "yolo"),
        ((BOXES[None], torch.rand(1, 3, 2)), "boxes"),
        ({"boxes": BOXES[None], "scores": torch.rand(1, 3, 2)}, "boxes"),
        ((BOXES, SCORES, SCORES), "boxes"),
        ((BOXES, BOXES, LABELS), "boxes"),
        ((BOXES, LABELS, SCORES, torch.zeros(3, 2)), "boxes"),
        ({"boxes": [], "scores": []}, "boxes"),
        ("boxes", "boxes"),
        (7, "boxes"),
    ],
)
def test_what_is_dense_or_unclear_stays_as_it_is(answer, decoder):
    assert in_one_form(answer, Decoder(decoder)) is answer


def test_errors_can_say_what_an_answer_is():
    assert described(BOXES) == "a tensor (3, 4)"
    assert described((BOXES, LABELS)) == "a tuple of 0: float32 (3, 4), 1: int64 (3,)"
    assert described({"out": SCORES}) == "a dict of out: float32 (3,)"
    assert described([ONE]) == "a list" and described(None) == "a NoneType"
