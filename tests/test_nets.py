import pytest
import torch

from geodl_lab.nets import NormalizedDifference, Unet, build


@pytest.mark.parametrize("patch", [1, 2])
def test_unet_answers_at_full_resolution(patch):
    net = Unet(4, 3, widths=(4, 6, 8), encoder_convs=(1, 1, 1), decoder_convs=(1, 1), patch=patch)
    assert net(torch.rand(2, 4, 32, 48)).shape == (2, 3, 32, 48)


def test_differences_are_added_as_channels():
    x = torch.tensor([0.2, 0.0, 0.0, 0.6]).reshape(1, 4, 1, 1)
    y = NormalizedDifference([(3, 0)])(x)
    assert y.shape == (1, 5, 1, 1)
    assert float(y[0, 4]) == pytest.approx(0.4 / 0.801)


def test_architectures_are_built_by_name():
    assert isinstance(build("unet", {"in_channels": 3, "out_channels": 2}), Unet)
    with pytest.raises(KeyError, match="nope"):
        build("nope", {})
