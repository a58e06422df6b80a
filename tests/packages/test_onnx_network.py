"""ONNX networks against the modules of torch that they were written from."""

import copy
import dataclasses
import json
import pickle
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from geodl_lab import from_torch
from geodl_lab.errors import ModelError, OptionError
from geodl_lab.packages import onnx_network
from geodl_lab.packages.archives import open_files
from geodl_lab.packages.facts import Said
from geodl_lab.packages.onnx_network import PlacedOnnx, describe, load_onnx
from geodl_lab.packages.wrap import wrap
from geodl_lab.testing import RandomNet, make_raster, save_onnx

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
helper = onnx.helper

FACTS = {"bands": 3, "classes": list("abcd"), "window": 64}


def load(path, **options):
    files = open_files(path)
    return load_onnx(files, files.main, **options)


def one_node(path, kind, shape, *, number=onnx.TensorProto.FLOAT, gives=("y",), **attributes):
    """Write a graph of one operator."""
    graph = helper.make_graph(
        [helper.make_node(kind, ["x"], list(gives), **attributes)], "g",
        [helper.make_tensor_value_info("x", number, shape)],
        [helper.make_tensor_value_info(name, number, None) for name in gives],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17)]
    path.write_bytes(
        helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    )
    return path


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """One net as a module and as ONNX, both models with the same facts."""
    net = RandomNet()
    live = from_torch(net, **FACTS)
    network = load(save_onnx(net, tmp_path_factory.mktemp("onnx") / "net.onnx"))
    return live, wrap(network, from_facts(live))


def from_facts(live):
    return Said(**FACTS, name="net", sha256=live.package.sha256[::-1]).facts


def test_scores_are_those_of_torch(both):
    live, ours = both
    x = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        expected = live.network(x)
    found = ours.network.placed("cpu", 1)(x)
    assert found.dtype == torch.float32 and (found - expected).abs().max() < 1e-5


def test_field_and_description_follow_from_the_graph(both):
    live, ours = both
    assert ours.network.channels == 3 and ours.network.fixed_yx is None
    assert ours.package.layout == "nchw" and not ours.package.fixed_window
    field, other = ours.package.field, live.package.field
    assert (field.finite, field.stride, field.halo) == (True, other.stride, other.halo)
    assert other.memory / 3 < field.memory < other.memory * 3
    assert "(3, ?, ?)" in describe(ours.network) and "scores float32" in describe(ours.network)


def test_maps_are_those_of_torch_and_of_any_chunks(both):
    live, ours = both
    raster = make_raster((3, 180, 150))
    expected = raster.dl.classify(live)
    found = raster.dl.classify(ours)
    assert (found == expected).all() and len(np.unique(found)) == 4
    chunked = raster.chunk({"y": 90, "x": 70}).dl.classify(ours)
    for scheduler in ("synchronous", "threads", "processes"):
        assert (chunked.compute(scheduler=scheduler) == found).all()
    scores = raster.dl.probabilities(ours).values
    assert np.array_equal(raster.chunk({"y": 100}).dl.probabilities(ours).compute().values, scores)


def test_windows_merged_are_the_whole_image(both):
    _, ours = both
    raster = make_raster((3, 256, 256))
    x = torch.from_numpy(raster.values.astype(np.float32) / 255)[None]
    whole = ours.network.placed("cpu", 1)(x).argmax(1)[0]
    found = raster.dl.classify(ours)
    assert "window_yx" in found.attrs["geodl_recipe"]
    assert json.loads(found.attrs["geodl_recipe"])["window_yx"] != [256, 256]
    assert (found.values == whole.numpy()).all()


def test_tta_works_and_other_number_types_are_refused(both):
    live, ours = both
    raster = make_raster((3, 96, 96))
    assert (raster.dl.classify(ours, tta=True) == raster.dl.classify(live, tta=True)).all()
    for precision in ("bf16", "fp16"):
        with pytest.raises(OptionError, match="precision"):
            raster.dl.classify(ours, precision=precision)
    assert '"precision": "fp32"' in raster.dl.classify(ours).attrs["geodl_recipe"]
    with pytest.raises(OptionError, match="which torch cannot compile; leave compile out"):
        raster.dl.classify(ours, compile=True)


def test_networks_travel_and_share_their_session(both):
    network = both[1].network
    other = pickle.loads(pickle.dumps(network))
    assert other == network and other.placed("cpu", 1).session is network.placed("cpu", 1).session
    assert copy.deepcopy(network).sha256 == network.sha256
    assert network.placed("cpu", 2).session is not network.placed("cpu", 1).session


def test_a_graph_of_one_size_says_so(tmp_path):
    network = load(save_onnx(RandomNet(), tmp_path / "net.onnx", (1, 3, 64, 96), free=()))
    assert network.fixed_yx == (64, 96)
    facts = dataclasses.replace(from_facts(from_torch(RandomNet(), **FACTS)), width=96)
    begun = time.process_time()
    made = wrap(network, facts)
    assert made.package.fixed_window and not made.package.field.finite
    assert time.process_time() - begun < 3
    with pytest.raises(ModelError, match="says windows of 64 x 64 pixels, the network takes 64 x "):
        wrap(network, dataclasses.replace(facts, width=None))
    inputs = dataclasses.replace(facts.inputs, count=4)
    with pytest.raises(ModelError, match="says 4 bands, the network takes 3"):
        wrap(network, dataclasses.replace(facts, inputs=inputs))
    with pytest.raises(ModelError, match=r"takes \(bands, height, width\) = \(3, 64, 96\), not"):
        network.placed("cpu", 1)(torch.zeros(1, 3, 64, 64))


def test_graphs_of_one_image_take_batches_one_by_one(tmp_path):
    net = RandomNet()
    network = load(save_onnx(net, tmp_path / "net.onnx", free=()))
    x = torch.rand(3, 3, 64, 64)
    with torch.inference_mode():
        assert (network.placed("cpu", 1)(x) - net(x)).abs().max() < 1e-5


@pytest.mark.parametrize("shape", [(1, 6, 8, 3), (6, 8, 3), (3, 6, 8), (1, 3, 6, 8)])
def test_axes_are_brought_in_order_and_back(tmp_path, shape):
    network = load(one_node(tmp_path / "net.onnx", "Neg", shape))
    x = torch.rand(2, 3, 6, 8)
    assert torch.equal(network.placed("cpu", 1)(x), -x)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("UINT8", [0.0, 3.0, 255.0]),
        ("INT16", [-8.0, 3.0, 300.0]),
        ("INT64", [-8.0, 3.0, 300.0]),
        ("FLOAT16", [-8.0, 2.599609375, 300.0]),
        ("DOUBLE", [-8.0, float(np.float32(2.6)), 300.0]),
    ],
)
def test_the_image_is_cast_as_the_graph_says(tmp_path, number, expected):
    path = one_node(
        tmp_path / "net.onnx", "Identity", (1, 1, 1, 3), number=getattr(onnx.TensorProto, number)
    )
    found = load(path).placed("cpu", 1)(torch.tensor([[[[-8.0, 2.6, 300.0]]]]))
    assert found.flatten().tolist() == expected


def test_several_outputs_are_named_and_one_can_be_picked(tmp_path):
    path = one_node(
        tmp_path / "net.onnx", "Split", ("n", 4, "h", "w"), gives=("low", "high"), axis=1
    )
    x = torch.rand(2, 4, 8, 8)
    found = load(path).placed("cpu", 1)(x)
    assert torch.equal(found["low"], x[:, :2]) and torch.equal(found["high"], x[:, 2:])
    assert torch.equal(load(path, output="high").placed("cpu", 1)(x), x[:, 2:])
    with pytest.raises(ModelError, match="no output 'mid'; possible are low, high"):
        load(path, output="mid")


def test_answers_of_single_images_are_joined():
    boxes = {"boxes": torch.zeros(2, 4), "labels": torch.ones(2, dtype=torch.int64)}
    assert onnx_network._joined([boxes, boxes]) == [boxes, boxes]
    maps = {"boxes": torch.zeros(1, 5, 4), "scores": torch.zeros(1, 5, 2)}
    assert onnx_network._joined([maps, maps])["boxes"].shape == (2, 5, 4)


def test_answers_that_are_no_tensors_are_told(tmp_path):
    path = one_node(tmp_path / "n.onnx", "SequenceConstruct", (1, 1, 2, 2))
    made = onnx.load(str(path))
    sequence = helper.make_tensor_sequence_value_info("y", onnx.TensorProto.FLOAT, None)
    made.graph.output[0].CopyFrom(sequence)
    onnx.save(made, str(path))
    placed = load(path).placed
    with pytest.raises(ModelError, match="answers a value list; possible are tensors of numbers"):
        placed("cpu", 1)(torch.zeros(1, 1, 2, 2))


def test_what_onnxruntime_refuses_is_told(tmp_path, capfd):
    path = one_node(tmp_path / "net.onnx", "NoSuchOperator", (1, 3, 8, 8))
    with pytest.raises(ModelError, match=r"onnxruntime does not take 'net.onnx': .*NoSuchOperator"):
        load(path)
    assert capfd.readouterr().err == ""


def test_there_is_no_second_try_that_prints(tmp_path, capfd):
    """Text that is none makes onnxruntime's own wrapper try again on other devices, aloud."""
    path = one_node(tmp_path / "net.onnx", "NoSuchOperator", (1, 3, 8, 8))
    path.write_bytes(path.read_bytes().replace(b"NoSuchOperator", b"NoSuch\xff\xfeerator"))
    with pytest.raises(ModelError, match=r"onnxruntime does not take 'net.onnx': "):
        load(path)
    assert capfd.readouterr() == ("", "")


def test_too_large_a_graph_is_refused(tmp_path, monkeypatch):
    path = one_node(tmp_path / "net.onnx", "Neg", (1, 3, 8, 8))
    monkeypatch.setattr(onnx_network, "LARGEST", 10)
    with pytest.raises(ModelError, match="more than 2 GiB"):
        load(path)


def test_side_files_are_part_of_the_content(tmp_path):
    net = RandomNet()
    plain = load(save_onnx(net, tmp_path / "net.onnx"))
    made = onnx.load(str(tmp_path / "net.onnx"))
    onnx.save_model(
        made, str(tmp_path / "other.onnx"), save_as_external_data=True, location="other.bin",
        size_threshold=64,
    )  # fmt: skip
    other = load(tmp_path / "other.onnx")
    assert other.sides == ("other.bin",) and plain.sides == ()
    (tmp_path / "other.bin").unlink()
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(other.placed("cpu", 1)(x), plain.placed("cpu", 1)(x))


DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.skipif(not DATA.exists(), reason="NOT RUN: ../shared/data is not here")
def test_a_real_file_keeps_the_terminal_quiet(capfd):
    network = load(DATA / "pretrained_esri_naip_landcover" / "trained.onnx")
    placed = network.placed("cpu", 1)
    assert isinstance(placed, PlacedOnnx) and network.fixed_yx == (256, 256)
    assert placed(torch.rand(1, 4, 256, 256)).shape == (1, 6, 128, 128)
    assert capfd.readouterr() == ("", "")
