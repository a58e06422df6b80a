"""Means of ONNX graphs are those of numpy in double precision, and of the same shape."""

from pathlib import Path

import numpy as np
import pytest
import torch

from geodl_lab import demo_scene, open_model, open_raster
from geodl_lab.packages.archives import open_files
from geodl_lab.packages.onnx_means import split_means
from geodl_lab.packages.onnx_network import load_onnx

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
helper = onnx.helper
ESRI = Path(__file__).parents[2].parent / "shared" / "data" / "pretrained_esri_naip_landcover"


def graph(version, axes, keepdims, *, dynamic=False):
    """A graph of x less its mean where axes are kept, else of the mean alone."""
    inputs, attributes, initializer = ["x"], {"keepdims": keepdims}, []
    if version >= 18 and axes is not None:
        inputs.append("axes")
        initializer.append(helper.make_tensor("axes", 7, [len(axes)], axes))
    elif axes is not None:
        attributes["axes"] = axes
    nodes = [helper.make_node("ReduceMean", inputs, ["mean"], **attributes)]
    nodes.append(helper.make_node("Sub", ["x", "mean"], ["y"]))
    values = [helper.make_tensor_value_info(name, 1, [1, 2, 256, 256]) for name in "xy"]
    made = helper.make_graph(nodes, "g", values[:1], values[1:], initializer)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", version)], ir_version=8)


@pytest.mark.parametrize("version", [13, 18])
@pytest.mark.parametrize("axes", [[2, 3], [1, 2, 3], [-1, -2], [3], None])
def test_a_mean_is_exact_up_to_rounding(version, axes, tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(graph(version, axes, keepdims=1).SerializeToString())
    network = load_onnx(open_files(path), path.name)
    x = np.random.default_rng(0).random((1, 2, 256, 256), dtype=np.float32) * 0.1 + 0.9
    mean = x.mean(axis=None if axes is None else tuple(axes), keepdims=True, dtype=np.float64)
    answer = network.placed("cpu", 1)(torch.from_numpy(x)).numpy()
    assert answer.shape == x.shape
    if axes is not None:  # else the graph does not say how many axes there are
        assert np.abs(answer - (x - mean)).max() < 3e-7
    kinds = [node.op_type for node in onnx.load_from_string(network.content).graph.node]
    assert kinds.count("ReduceMean") == max(len(axes or [0]), 1)


@pytest.mark.parametrize("version", [13, 18])
def test_axes_that_are_dropped_stay_dropped(version):
    model = graph(version, [2, 3], keepdims=0)
    split_means(model)
    shapes = {
        one.name: [side.dim_value for side in one.type.tensor_type.shape.dim]
        for one in onnx.shape_inference.infer_shapes(model).graph.value_info
    }
    assert shapes["mean"] == [1, 2]


@pytest.mark.parametrize("version", [13, 18])
def test_what_was_split_stays_as_it_is(version):
    model = graph(version, [1, 2, 3], keepdims=1)
    split_means(model)
    once = model.SerializeToString()
    split_means(model)
    assert model.SerializeToString() == once


@pytest.mark.skipif(not ESRI.exists(), reason="NOT RUN: Esri's ONNX file is not beside us")
@pytest.mark.parametrize(("y", "x"), [(0, 256), (256, 2048), (256, 2560)])
def test_a_real_net_that_subtracts_means_scores_as_torchscript_does(y, x):
    files = open_files(ESRI / "trained.onnx")
    stored = open_raster(demo_scene())[:, y : y + 256, x : x + 256].values
    image = torch.from_numpy(stored.astype(np.float32))[None] / 255
    ours = load_onnx(files, files.main).placed("cpu", 1)(image)
    with torch.inference_mode():
        theirs = open_model("naip-landcover").network(image)
    assert (ours - theirs).abs().max() < 1e-4  # 1.6e-4 to 4.4e-4 with one sum over the window
    assert torch.equal(ours.argmax(1), theirs.argmax(1))
