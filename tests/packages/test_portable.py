import io

import pytest
import torch
from torch import nn

from geodl_lab import from_torch
from geodl_lab.errors import ModelError, TrustError
from geodl_lab.package import InputSpec, make_classes
from geodl_lab.packages.portable import portable_weights
from geodl_lab.packages.wrap import Facts, closed
from geodl_lab.runtime import Model
from geodl_lab.testing import RandomNet, RegionDetector


def model(module, **facts):
    facts = {"bands": 3, "classes": list("abcd"), "window": 32, **facts}
    return from_torch(module, **facts)


def loaded(weights):
    return torch.jit.load(io.BytesIO(weights.content))


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_modules_become_torchscript_that_answers_alike(norm):
    net = RandomNet(norm=norm, stride=2, width=4)
    weights = portable_weights(model(net))
    x = torch.rand(2, 3, 40, 64)
    with torch.inference_mode():
        assert torch.equal(loaded(weights)(x), net(x))
    assert (weights.ending, weights.framework) == (".pt", "PyTorch")


def test_torchscript_is_taken_as_it_is():
    traced = torch.jit.trace(
        RandomNet(stride=2, width=4), torch.rand(1, 3, 32, 32), check_trace=False
    )
    kept = model(traced, fixed_window=True)
    assert portable_weights(kept) == portable_weights(kept)


FACTS = Facts("a", "classify", InputSpec((), 3), make_classes(["a"]), 32)


class Own:
    """A network of ONNX bytes, or of something else."""

    def placed(self, device, threads):
        raise NotImplementedError


class Onnx(Own):
    content = b"onnx"

    def placed(self, device, threads):
        return None


def test_onnx_is_taken_as_it_is():
    package = model(RandomNet(stride=2, width=4)).package
    weights = portable_weights(Model(package, Onnx()))
    assert (weights.ending, weights.framework, weights.content) == (".onnx", "Onnx", b"onnx")


class Engine(Own):
    def placed(self, device, threads):
        return None


def test_other_runtimes_and_closed_models_are_refused():
    package = model(RandomNet(stride=2, width=4)).package
    with pytest.raises(ModelError, match="runs in a Engine, which is no file of weights"):
        portable_weights(Model(package, Engine()))
    with pytest.raises(TrustError, match="not this one"):
        portable_weights(Model(package, closed(FACTS, TrustError("not this one")).network))


class Branch(nn.Module):
    """Does another thing with dark images than a trace of a bright one would say."""

    def forward(self, x, *rest):
        return x.repeat(1, 2, 1, 1)[:, :4] if float(x.mean()) > 0.1 else x[:, [0, 1, 2, 0]]


@pytest.mark.parametrize(
    ("net", "facts", "message"),
    [
        (Branch(), {}, r"depends on values of its input at test_portable\.py:\d+"),
        (RegionDetector(), {"task": "detect", "bands": 1, "classes": ["a"]}, "script: .*trace: "),
    ],
)
def test_modules_that_do_not_become_torchscript_are_refused(net, facts, message):
    with pytest.raises(ModelError, match=message):
        portable_weights(model(net, **facts))


def test_a_module_with_other_weights_than_wrapped_is_refused():
    net = RandomNet(stride=2, width=4)
    wrapped = model(net)
    net.head.bias.data.add_(1)
    with torch.no_grad():
        net.head.bias.add_(1)
    with pytest.raises(ModelError, match="have changed since it was wrapped"):
        portable_weights(wrapped)
