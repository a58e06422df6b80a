"""Architectures by name: ours, and segmentation-models-pytorch's where it is installed."""

import sys
import types

import pytest
import torch

from geodl_lab.errors import ModelError
from geodl_lab.packages import architectures
from geodl_lab.packages.architectures import build_architecture

CONVS = {"encoder_convs": [1, 1], "decoder_convs": [1]}
OURS = {"in_channels": 3, "out_channels": 2, "widths": [4, 8], **CONVS}


class Unet(torch.nn.Module):
    """Stands for the class of that name: its arguments are the ones that matter here."""

    def __init__(self, encoder_name="resnet34", encoder_weights="imagenet", classes=1, **kwargs):
        super().__init__()
        assert not kwargs
        self.made_with = encoder_name, encoder_weights, classes
        self.head = torch.nn.Conv2d(3, classes, 1)


@pytest.fixture
def smp(monkeypatch):
    module = types.ModuleType("segmentation_models_pytorch")
    module.Unet = Unet
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.parametrize("name", ["smp.Unet", "segmentation_models_pytorch.Unet", "Unet"])
def test_a_net_of_smp_is_built_without_fetching_weights(smp, name):
    arguments = {"encoder_name": "resnet18", "encoder_weights": "imagenet", "classes": 5}
    network = build_architecture({"name": name, "arguments": arguments})
    assert network.made_with == ("resnet18", None, 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"checkpoint_path": "/etc/passwd"}, "no argument 'checkpoint_path'; possible are classes"),
        ({"encoder_name": "tu-hf_hub:someone/net"}, "is no name; write it as in 'resnet34'"),
        ({"encoder_name": "../../net"}, "is no name"),
        ({"encoder_name": 3}, "is no name"),
        ({"classes": "many"}, "'smp.Unet' cannot be made of its arguments"),
    ],
)
def test_arguments_that_reach_elsewhere_are_refused(smp, arguments, message):
    with pytest.raises(ModelError, match=message):
        build_architecture({"name": "smp.Unet", "arguments": arguments})


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    with pytest.raises(ModelError, match=r"needs segmentation-models-pytorch.*import of .*\[smp\]"):
        build_architecture({"name": "smp.Unet"})


def test_a_class_that_the_library_lacks_is_told(smp):
    with pytest.raises(ModelError, match="has no 'FPN' here; install a newer one"):
        build_architecture({"name": "smp.FPN"})


def test_ours_take_no_memory_before_the_weights_come():
    network = build_architecture({"name": "unet", "arguments": OURS})
    assert {parameter.device.type for parameter in network.parameters()} == {"meta"}
    convs = {"encoder_convs": [1] * 20, "decoder_convs": [1] * 19}
    large = {**OURS, **convs, "widths": [8192] * 20}
    network = build_architecture({"name": "unet", "arguments": large})
    assert sum(parameter.nbytes for parameter in network.parameters()) > 50 * 2**30


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ("unet", "is a str; give an object with name"),
        ({"name": ["unet"]}, "is not known; possible are unet"),
        ({"name": "smp.create_model"}, "is not known"),
        ({"name": "os.system"}, "is not known"),
        ({"name": None}, "'None' is not known"),
        ({"name": "x" * 10**6}, "'x{100}' is not known"),
        ({"name": "unet", "arguments": [1]}, "no short JSON object"),
        ({"name": "unet", "arguments": {**OURS, "widths": [10**9]}}, "numbers up to 8192"),
        ({"name": "unet", "arguments": {**OURS, "widths": [4] * 5000}}, "no short JSON object"),
        ({"name": "unet", "arguments": {"a": object()}}, "no short JSON object"),
        ({"name": "unet", "arguments": {**OURS, "widths": "ab"}}, "cannot be made of its"),
        ({"name": "unet", "arguments": {"widths": []}}, "cannot be made of its"),
    ],
)
def test_what_is_no_architecture_is_refused(architecture, message):
    with pytest.raises(ModelError, match=message):
        build_architecture(architecture)


def test_deep_arguments_are_refused():
    deep = []
    for _ in range(20):
        deep = [deep]
    with pytest.raises(ModelError, match="no short JSON object"):
        build_architecture({"name": "unet", "arguments": {"widths": deep}})


def test_the_classes_are_of_the_library_by_its_documentation():
    assert "Unet" in architectures.SMP_NETS and "create_model" not in architectures.SMP_NETS
