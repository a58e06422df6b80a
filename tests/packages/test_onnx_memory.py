"""Bytes counted by hand, and against the shapes that onnxruntime itself computes."""

import numpy as np
import pytest
import torch
from torch import nn

from geodl_lab.errors import ModelError
from geodl_lab.packages.archives import open_files
from geodl_lab.packages.onnx_memory import tensor_sizes
from geodl_lab.packages.onnx_network import load_onnx
from geodl_lab.receptive import measure_memory
from geodl_lab.testing import RandomNet, save_onnx

onnxruntime = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")


def load(net, path, shape=(1, 3, 64, 64)):
    files = open_files(save_onnx(net.eval(), path, shape))
    return load_onnx(files, files.main)


@pytest.mark.parametrize(
    ("layers", "channels"),
    [
        ([nn.Conv2d(2, 16, 1)], 2 + 16),
        ([nn.Conv2d(2, 16, 1), nn.Sigmoid()], 16 + 16),
        ([nn.Conv2d(2, 16, 1), nn.Conv2d(16, 3, 1), nn.Sigmoid()], 16 + 3),
        ([nn.Conv2d(2, 16, 1), nn.AvgPool2d(2), nn.Conv2d(16, 8, 1)], 16 + 16 / 4),
        ([nn.Conv2d(2, 4, 1), nn.Upsample(scale_factor=2)], 4 + 4 * 4),
    ],
)
def test_bytes_are_those_of_tensors_that_live_together(tmp_path, layers, channels):
    placed = load(nn.Sequential(*layers), tmp_path / "net.onnx", (1, 2, 64, 64)).placed("cpu", 1)
    assert placed.memory((1, 2, 32, 40)) == channels * 4 * 32 * 40
    assert placed.memory((3, 2, 32, 40)) == 3 * channels * 4 * 32 * 40
    assert measure_memory(placed, torch.zeros(1, 2, 32, 40)) == channels * 4


class Skip(nn.Module):
    def forward(self, x):
        return torch.cat([x, x.sigmoid().tanh()], dim=1)


def test_what_is_read_later_stays_alive(tmp_path):
    placed = load(Skip(), tmp_path / "net.onnx").placed("cpu", 1)
    assert placed.memory((1, 3, 8, 8)) == (3 + 3 + 6) * 4 * 64  # tanh frees the sigmoid


def test_every_size_is_that_of_the_tensor_itself(tmp_path):
    network = load(RandomNet(stride=8), tmp_path / "net.onnx")
    found = tensor_sizes(network.content, network.image, (1, 3, 64, 96))
    model = onnx.ModelProto.FromString(network.content)
    inner = [name for node in model.graph.node for name in node.output]
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in inner)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    answers = session.run(inner, {"image": np.zeros((1, 3, 64, 96), dtype="float32")})
    expected = {name: answer.nbytes for name, answer in zip(inner, answers, strict=True)}
    assert found == {"image": 3 * 64 * 96 * 4, **expected}


def test_a_shape_that_does_not_fit_is_told(tmp_path):
    placed = load(RandomNet(stride=8), tmp_path / "net.onnx").placed("cpu", 1)
    with pytest.raises(ModelError, match=r"does not run on an image of shape \(1, 3, 9, 9\)"):
        placed.memory((1, 3, 9, 9))
