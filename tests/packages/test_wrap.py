import numpy as np
import pytest
import torch
from torch import nn

import geodl_lab
from geodl_lab.decoders import Decoder, Recognizer
from geodl_lab.errors import ModelError, TrustError
from geodl_lab.inputs import InputSpec
from geodl_lab.package import Field, make_classes
from geodl_lab.packages.wrap import Facts, closed, wrap
from geodl_lab.testing import make_raster


class Rectangle(nn.Module):
    """Answers pixel by pixel, and only to windows of one shape."""

    def __init__(self, height, width):
        super().__init__()
        self.shape = (height, width)

    def forward(self, x):
        assert x.shape[2:] == self.shape, f"want {self.shape}"
        return torch.cat([x[:, :1], x[:, 1:2], x[:, 2:3]], dim=1)


class Pooled(nn.Module):
    """Scores of a whole image: the mean of each band."""

    def forward(self, x):
        return x.mean(dim=(2, 3))


def facts(**changes):
    given = {
        "name": "net",
        "task": "classify",
        "inputs": InputSpec(count=3),
        "classes": make_classes("abc"),
        "window": 48,
    }
    return Facts(**{**given, **changes})


def test_windows_may_be_rectangles():
    model = wrap(Rectangle(48, 80), facts(width=80, fixed_window=True, padding=8))
    assert model.package.shape_yx == (48, 80) and not model.package.field.finite
    raster = make_raster((3, 150, 210))
    result = raster.dl.classify(model, device="cpu")
    assert (result.values == raster.values.argmax(axis=0)).all()
    assert '"window_yx": [48, 80]' in result.attrs["geodl_recipe"]
    assert '"halo": 8' in result.attrs["geodl_recipe"]


def test_a_finite_net_of_rectangles_gets_both_sides():
    model = wrap(nn.Conv2d(3, 3, 3, padding=1), facts(width=80, fixed_window=True))
    raster = make_raster((3, 100, 200))
    recipe = raster.dl.probabilities(model, device="cpu").attrs["geodl_recipe"]
    assert '"window_yx": [48, 80]' in recipe and '"exact": true' in recipe


def test_a_rectangle_that_the_net_does_not_take_is_refused():
    with pytest.raises(ModelError, match=r"does not run on float32 \(1, 3, 48, 48\): want"):
        wrap(Rectangle(48, 80), facts())


def test_values_are_cut_before_they_are_scaled():
    spec = InputSpec(
        count=3,
        low=(10, -np.inf, 0),
        high=(20, 5, np.inf),
        scale=0.5,
        mean=(1, 2, 3),
        std=(1, 2, 4),
    )
    model = wrap(nn.Identity(), facts(task="regress", inputs=spec))
    raster = make_raster((3, 60, 70)).astype("float32") * 0.2 - 10
    low, high = (np.array(row)[:, None, None] for row in (spec.low, spec.high))
    mean, std = (np.array(row)[:, None, None] for row in (spec.mean, spec.std))
    expected = (np.clip(raster.values, low, high) * 0.5 - mean) / std
    result = raster.dl.regress(model, device="cpu")
    np.testing.assert_allclose(result.values, expected, rtol=1e-6, atol=1e-6)
    assert '"low": [10, null, 0]' in result.attrs["geodl_recipe"]


def test_whole_image_models_answer_one_score_a_label():
    model = wrap(Pooled(), facts(task="recognize", recognizer=Recognizer()))
    assert model.package.recognizer == Recognizer() and model.package.field.halo == 0
    with pytest.raises(ModelError, match=r"answers a tensor \(1, 3\) and 2 labels are named"):
        wrap(Pooled(), facts(task="recognize", recognizer=Recognizer(), classes=make_classes("ab")))
    with pytest.raises(ModelError, match="recognizes images but names no labels"):
        wrap(Pooled(), facts(task="recognize"))


def test_a_closed_model_can_be_looked_at_and_does_not_run():
    reason = TrustError("nobody trusted it")
    model = closed(facts(task="detect", padding=7), reason)
    assert model.package.decoder == Decoder("boxes") and model.package.field.halo == 7
    assert "net" in repr(model) and "net" in model._repr_html_()
    raster = make_raster((3, 60, 70)).chunk()
    with pytest.raises(TrustError, match="nobody trusted it"):
        raster.dl.detect(model)
    with pytest.raises(TrustError, match="nobody trusted it"):
        raster.dl.classify(closed(facts(), reason))
    stated = Field(finite=False, halo=3, crop=3)
    assert closed(facts(field=stated), reason).package.field == stated


def test_the_padding_of_a_run_is_the_halo(finite_model):
    raster = make_raster((3, 200, 210))
    own = raster.dl.probabilities(finite_model, device="cpu")
    wide = raster.dl.probabilities(finite_model, device="cpu", padding=31)
    narrow = raster.dl.probabilities(finite_model, device="cpu", padding=2)
    assert '"halo": 32' in wide.attrs["geodl_recipe"] and '"exact": true' in str(wide.attrs)
    assert '"halo": 4' in narrow.attrs["geodl_recipe"] and '"exact": false' in str(narrow.attrs)
    np.testing.assert_allclose(own.values, wide.values, atol=1e-5)
    assert abs(own.values - narrow.values).max() > 1e-4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"padding": 40}, "padding 40 is not possible with model 'net'; give 0 to 23"),
        ({"padding": -1}, "padding -1 is not possible; give a whole number, from 0"),
        ({"padding": 1.5}, "padding 1.5 is not possible"),
        ({"batch_size": 0}, "batch_size 0 is not possible; give a whole number, from 1"),
        ({"padding": 4, "seam_tolerance": 0.1}, "give one of them"),
    ],
)
def test_paddings_that_are_not_possible_are_refused(options, message):
    field = Field(finite=False, seams=(0.2, 0.1))
    model = wrap(nn.Identity(), facts(field=field, fixed_window=True))
    with pytest.raises(geodl_lab.errors.OptionError, match=message):
        make_raster((3, 60, 70)).dl.classify(model, **options)
