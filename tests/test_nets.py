import pytest
import torch

from geodl_lab.nets import Classifier, NormalizedDifference, Unet, build


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


def test_classifiers_answer_once_a_picture_and_take_the_encoder_of_a_unet():
    shape = {"widths": (4, 6, 8), "encoder_convs": (1, 2, 1), "patch": 2}
    net, unet = Classifier(3, 5, **shape), Unet(3, 2, decoder_convs=(1, 1), **shape)
    net.encoder.load_state_dict(unet.encoder.state_dict())
    net.eval()
    x = torch.rand(2, 3, 32, 48)
    assert net(x).shape == (2, 5)
    tiled = torch.cat([x, x], dim=3)  # the mean over a picture does not count its size
    assert torch.allclose(net(tiled), net(x), atol=0.1)
