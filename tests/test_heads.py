import pytest
import torch

from geodl_lab.errors import ModelError
from geodl_lab.heads import ClassHead, ClassValueHead, LogitHead, ProbabilityHead


def test_class_head_maps_channels_to_values():
    scores = torch.tensor([[[[3.0, 0.0]], [[0.0, 1.0]]]])
    assert ClassHead((7, 40))(scores).tolist() == [[[[7, 40]]]]
    assert ClassHead((7, 40), threshold=0.9)(scores).tolist() == [[[[7, 255]]]]


def test_class_value_head_keeps_classes_and_nothing_else():
    answered = torch.tensor([[[[7.0, 40.0, 8.0, 7.5, -1.0, 263.0, torch.nan, torch.inf]]]])
    values = ClassValueHead((7, 40))(answered)
    assert values.dtype == torch.uint8
    assert values.tolist() == [[[[7, 40, 255, 255, 255, 255, 255, 255]]]]


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


def test_logit_head_refuses_scores_that_are_no_numbers():
    scores = torch.zeros(1, 4, 4, 5)
    scores[0, 1, 2, 3] = torch.nan
    with pytest.raises(ModelError, match="answers NaN scores; possible are numbers"):
        LogitHead(2, 4)(scores)
    with pytest.raises(ModelError, match="answers NaN scores"):
        LogitHead(3, 3)(scores)
    assert LogitHead(1, 3)(scores.flip(1)).isnan().any()  # a size; `peaks` looks at those it needs
