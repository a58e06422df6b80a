import io
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch

from geodl_lab import from_torch, nets, open_model
from geodl_lab.errors import ModelError
from geodl_lab.packages.portable import portable
from geodl_lab.runtime import Closed, Model
from geodl_lab.testing import RandomNet


def answers(network, x):
    with torch.inference_mode():
        return network(x)


def unet():
    torch.manual_seed(0)
    return nets.build("unet", {"in_channels": 3, "out_channels": 2, "widths": [4, 8],
                               "encoder_convs": [1, 1], "decoder_convs": [1]})  # fmt: skip


def test_our_networks_are_tensors_or_torchscript():
    model = from_torch(unet(), bands=3, classes=["a", "b"], window=32)
    tensors = portable(model, allow_architecture=True)
    assert tensors.ending == ".safetensors" and tensors.architecture["name"] == "unet"
    again = nets.build("unet", tensors.architecture["arguments"])
    again.load_state_dict(safetensors.torch.load(tensors.content))
    x = torch.rand(2, 3, 48, 64)
    assert torch.equal(answers(again.eval(), x), answers(model.network, x))
    script = portable(model)
    assert (script.ending, script.architecture) == (".pt", None)
    loaded = torch.jit.load(io.BytesIO(script.content))
    assert torch.equal(answers(loaded, x), answers(model.network, x))


def test_bundled_networks_are_portable():
    x = torch.rand(1, 4, 256, 256)
    for name in ("naip-landcover", "naip-trees"):
        model = open_model(name)
        loaded = torch.jit.load(io.BytesIO(portable(model).content))
        assert torch.equal(answers(loaded, x), answers(model.network, x))
    assert portable(model, allow_architecture=True).ending == ".safetensors"


class Listed(torch.nn.Module):
    """Answers a list of dicts, as detectors do, and can be scripted only."""

    def forward(self, x: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        out: list[dict[str, torch.Tensor]] = []
        for image in x:
            side = image.mean() * 10 + 1
            box = torch.stack([side * 0, side * 0, side, side])[None]
            one = torch.ones(1, dtype=torch.long)
            out.append({"boxes": box, "labels": one, "scores": image.mean()[None]})
        return out


def test_lists_of_objects_are_scripted():
    model = from_torch(Listed(), "detect", bands=1, classes=["tree"], window=32)
    loaded = torch.jit.load(io.BytesIO(portable(model).content))
    x = torch.rand(3, 1, 32, 32)
    for ours, theirs in zip(answers(loaded, x), answers(model.network, x), strict=True):
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


class Kwargs(torch.nn.Module):
    """Cannot be scripted; a trace of it is right."""

    def forward(self, x, **options):
        return torch.cat([x, x * 2], dim=options.get("dim", 1))


class Branches(Kwargs):
    """Neither: a trace keeps the one branch that its noise took."""

    def forward(self, x, **options):
        return super().forward(x if x.shape[0] == 1 else -x, **options)


def test_what_cannot_be_scripted_is_traced_and_checked():
    model = from_torch(Kwargs(), bands=1, classes=["a", "b"], window=32)
    loaded = torch.jit.load(io.BytesIO(portable(model).content))
    x = torch.rand(2, 1, 32, 48)
    assert torch.equal(answers(loaded, x), answers(model.network, x))
    model = from_torch(Branches(), bands=1, classes=["a", "b"], window=32)
    with pytest.raises(ModelError, match=r"depends on values of its input at test_portable\.py:\d"):
        portable(model)


class Foreign:
    """A network with a runtime of its own."""

    def placed(self, device, threads):
        return lambda x: x


def test_networks_with_their_own_runtime_stay_what_they_are(finite_model):
    network = Foreign()
    with pytest.raises(ModelError, match="runs by a program of its own"):
        portable(Model(finite_model.package, network))
    network.content = b"onnx"
    assert portable(Model(finite_model.package, network)).ending == ".onnx"
    with pytest.raises(ModelError, match="is closed"):
        portable(Model(finite_model.package, Closed(ModelError("it is closed"))))


def test_channels_last_stays(finite_model):
    network = Foreign()
    network.content, network.image = b"onnx", SimpleNamespace(channels_first=False)
    assert portable(Model(finite_model.package, network)).order == "NHWC"


def test_changed_weights_are_refused():
    net = RandomNet()
    model = from_torch(net, bands=3, classes=list("abcd"), window=64)
    with torch.no_grad():
        net.head.bias += 1
    with pytest.raises(ModelError, match="have changed since it was wrapped"):
        portable(model)


def test_a_network_of_ours_that_was_altered_becomes_a_program():
    network = unet()
    network.pool = torch.nn.AvgPool2d(2)
    model = from_torch(network, bands=3, classes=["a", "b"], window=32)
    assert portable(model, allow_architecture=True).ending == ".pt"
    del network.architecture
    assert portable(model, allow_architecture=True).ending == ".pt"


@pytest.mark.parametrize("options", [{"fit": "squash"}, {}])
def test_nets_of_whole_images_that_take_even_sides_alone(options):
    net = torch.nn.Sequential(
        torch.nn.PixelUnshuffle(2), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    model = from_torch(net, "recognize", bands=1, classes=list("abcd"), window=32, **options)
    assert portable(model).ending == ".pt"
