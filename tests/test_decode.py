import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from geodl_lab.decode import (
    ClassHead,
    LogitHead,
    PeakFinder,
    ProbabilityHead,
    RegionFinder,
    read_boxes,
)
from geodl_lab.errors import ModelError
from geodl_lab.grid import Axis, Grid, Window
from geodl_lab.package import Decoder, Field, InputSpec, ModelPackage, make_classes

VALUES = (1, 2)


def score_map(seed, shape=(2, 83, 97), smooth=1.5):
    noise = np.random.default_rng(seed).normal(size=shape)
    field = ndimage.gaussian_filter(noise, (0, smooth, smooth))
    return (field / field.std() * 3).astype(np.float32)


def fed(finder_type, decoder, scores, window):
    height, width = scores.shape[1:]
    area = Window(0, 0, height, width)
    finder = finder_type(decoder, VALUES, area)
    axes = (Axis(size, window, 0, clamped=False, fixed=True) for size in (height, width))
    for tile in Grid(*axes).tiles():
        finder.feed(tile.core, scores[:, *tile.core.slices_yx])
    return finder.finish()


def same(one, other):
    return (
        np.array_equal(one.boxes, other.boxes)
        and np.array_equal(one.label_ids, other.label_ids)
        and np.array_equal(one.scores, other.scores)
    )


@given(seed=st.integers(0, 1000), window=st.integers(1, 60), radius=st.integers(1, 5))
def test_peaks_do_not_depend_on_the_blocks(seed, window, radius):
    decoder = Decoder("heatmap", threshold=0.6, radius=radius, box_size=4)
    scores = score_map(seed)
    scores = np.round(scores, 1)  # makes equal neighbours, where order could matter
    assert same(fed(PeakFinder, decoder, scores, window), fed(PeakFinder, decoder, scores, 999))


@given(seed=st.integers(0, 1000), window=st.integers(1, 60))
def test_regions_do_not_depend_on_the_blocks(seed, window):
    decoder = Decoder("regions", threshold=0.6)
    scores = score_map(seed)
    assert same(fed(RegionFinder, decoder, scores, window), fed(RegionFinder, decoder, scores, 999))


def test_peaks_are_maxima_of_their_square():
    scores = score_map(3)
    decoder = Decoder("heatmap", threshold=0.5, radius=3, box_size=10)
    found = fed(PeakFinder, decoder, scores, 40)
    highest = ndimage.maximum_filter(scores, (1, 7, 7), mode="constant", cval=-np.inf)
    k, y, x = np.nonzero((scores == highest) & (scores > 0))
    assert len(found) == len(k) > 20
    expected = sorted(zip(x + 0.5, y + 0.5, np.array(VALUES)[k], strict=True))
    assert sorted(zip(*found.centres.T, found.label_ids, strict=True)) == expected
    assert (found.boxes[:, 2] - found.boxes[:, 0] == 10).all()


def test_of_equal_peaks_the_first_counts():
    scores = np.full((2, 9, 9), -5, dtype=np.float32)
    scores[0, 3, 3:6] = 2
    found = fed(PeakFinder, Decoder("heatmap", radius=2, box_size=1), scores, 4)
    assert found.centres.tolist() == [[3.5, 3.5]]


def test_sizes_are_read_at_the_peak():
    scores = np.full((4, 20, 20), -5, dtype=np.float32)
    scores[0, 7, 9] = 3
    scores[2:, 7, 9] = np.log(2), np.log(4)
    decoder = Decoder("heatmap", radius=2, size_unit=2.0)
    found = fed(PeakFinder, decoder, scores, 6)
    assert np.allclose(found.boxes, [[9.5 - 4, 7.5 - 2, 9.5 + 4, 7.5 + 2]])


def test_regions_are_those_of_scipy():
    scores = score_map(5)
    found = fed(RegionFinder, Decoder("regions", threshold=0.7), scores, 30)
    limit = np.log(0.7 / 0.3)
    expected = []
    for value, plane in zip(VALUES, scores, strict=True):
        labels, _ = ndimage.label(plane > limit, np.ones((3, 3)))
        for index, (rows, columns) in enumerate(ndimage.find_objects(labels), 1):
            score = 1 / (1 + np.exp(-plane[labels == index].max().astype(float)))
            box = (columns.start, rows.start, columns.stop, rows.stop)
            expected.append((*map(float, box), value, score))
    rows = zip(*found.boxes.T, found.label_ids, found.scores, strict=True)
    assert np.allclose(sorted(rows), sorted(expected))


def test_class_head_maps_channels_to_values():
    scores = torch.tensor([[[[3.0, 0.0]], [[0.0, 1.0]]]])
    assert ClassHead((7, 40))(scores).tolist() == [[[[7, 40]]]]
    assert ClassHead((7, 40), threshold=0.9)(scores).tolist() == [[[[7, 255]]]]


def test_probability_head_is_a_softmax():
    scores = torch.randn(1, 3, 4, 5)
    assert torch.allclose(ProbabilityHead(3)(scores), scores.softmax(1))
    binary = ProbabilityHead(2)(torch.zeros(1, 1, 2, 2))
    assert binary.shape == (1, 2, 2, 2) and (binary == 0.5).all()


def test_logit_head_takes_the_background_off():
    scores = torch.randn(1, 3, 4, 5)
    logits = LogitHead(2, 2)(scores)
    assert torch.allclose(torch.sigmoid(logits), scores.softmax(1)[:, 1:], atol=1e-5)
    assert torch.equal(LogitHead(3, 3)(scores), scores)


def package(decoder="boxes", classes=("car", "ship")):
    return ModelPackage(
        "fake", "detect", InputSpec(("gray",)), make_classes(classes, first=1), 64,
        Field(finite=False), Decoder(decoder),
    )  # fmt: skip


def test_boxes_move_to_the_raster_and_background_is_dropped():
    answer = {
        "boxes": torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8], [0, 0, 1, 1]]),
        "labels": torch.tensor([2, 0, 1]),
        "scores": torch.tensor([0.9, 0.9, 0.5]),
    }
    found = read_boxes(answer, package(), Window(100, 200, 64, 64))
    assert found.boxes.tolist() == [[201, 102, 203, 104]] and found.label_ids.tolist() == [2]


def test_answers_that_do_not_fit_are_named():
    with pytest.raises(ModelError, match=r"\['scores'\] is missing"):
        read_boxes({"boxes": [], "labels": []}, package(), Window(0, 0, 1, 1))
    answer = {"boxes": [[0, 0, 1, 1.0]], "labels": [3], "scores": [0.9]}
    with pytest.raises(ModelError, match="label 3 but names 2 classes"):
        read_boxes(answer, package(), Window(0, 0, 1, 1))
    for box in ([0, 0, float("nan"), 1], [5, 0, 1, 1]):
        answer = {"boxes": [box], "labels": [1], "scores": [0.9]}
        with pytest.raises(ModelError, match="a box that is none"):
            read_boxes(answer, package(), Window(0, 0, 1, 1))
