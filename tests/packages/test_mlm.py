import contextlib
import json
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geodl_lab import nets, open_model
from geodl_lab.errors import ModelError, TrustError
from geodl_lab.packages.mlm import KEYS
from geodl_lab.runtime import open_session


def test_the_facts_of_an_item_are_read(opened, folder):
    package = opened(folder).package
    assert (package.name, package.task, package.version) == ("Fields-4", "classify", "1.0.0")
    assert package.inputs.bands == ("blue", "green", "red")
    assert package.inputs.mean == (0.28, 0.26, 0.27) and package.inputs.std == (0.24, 0.23, 0.25)
    assert (package.inputs.dtype, package.inputs.cell_size) == ("uint16", 10)
    assert (package.window, package.fixed_window) == (64, True)
    assert [label.value for label in package.classes] == [0, 1, 2, 5]
    assert [label.name for label in package.classes] == ["none", "A field", "edge", "Water"]
    assert [package.classes[i].color for i in (0, 1, 3)] == ["#808080", "#00ff00", "#0000ff"]
    assert package.field.finite and package.sha256
    assert package.about["license"] == "CC-BY-4.0"
    assert package.about["attribution"] == "A survey, An office"
    assert package.about["batch_size_suggestion"] == 16
    assert package.about["asset"] == "model (net.pt)"


class Reads(torch.nn.Module):
    """Reads a file that is none of its business."""

    def forward(self, x):
        return x + torch.from_file("/etc/hostname", False, 1)


def test_weights_that_do_more_than_compute_need_trust(opened, folder, write_script, tmp_path):
    assert opened(folder, trust=False).package.task == "classify"
    write_script(tmp_path, Reads())
    with pytest.raises(TrustError, match=r"uses 'torch.from_file'"):
        opened(tmp_path, trust=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("type", "Collection")], "is of type 'Collection'; a STAC item"),
        ([("properties/mlm:name", ...)], "mlm:name is missing"),
        ([("properties/mlm:input", [])], "0 entries of mlm:input"),
    ],
)  # fmt: skip
def test_what_is_no_item_is_refused(opened, folder, changes, message):
    with pytest.raises(ModelError, match=message):
        opened(folder, *changes)


def test_tensors_belong_to_the_network_that_the_item_names(opened, tmp_path):
    arguments = {"in_channels": 3, "out_channels": 4, "widths": [4, 8], "encoder_convs": [1, 1],
                 "decoder_convs": [1]}  # fmt: skip
    network = nets.build("unet", arguments).eval()
    safetensors.torch.save_file(network.state_dict(), tmp_path / "net.safetensors")
    tensors = [
        ("properties/mlm:architecture", "U-Net"),
        ("properties/mlm:hyperparameters", {**arguments, "epochs": 9}),
        ("assets/model", {"href": "net.safetensors", "roles": ["mlm:model", "mlm:weights"]}),
    ]
    model, x = opened(tmp_path, *tensors, trust=False), torch.rand(1, 3, 64, 64)
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        assert torch.equal(model.network(x), network(x))
    with pytest.raises(ModelError, match="architecture 'ResNet' is not known; possible are unet"):
        opened(tmp_path, *tensors, ("properties/mlm:architecture", "ResNet"))
    for wrong in ({"widths": [4]}, {"widths": 4}, {"patch": "a"}, {"in_channels": -1}):
        hyper = ("properties/mlm:hyperparameters", {**arguments, **wrong})
        with pytest.raises(ModelError, match=r"architecture .unet. cannot be|do not open"):
            opened(tmp_path, *tensors, hyper)


class Unet(torch.nn.Module):
    """Stands for the class of that name of segmentation-models-pytorch."""

    def __init__(self, encoder_name="resnet34", encoder_weights=None, in_channels=3, classes=1):
        super().__init__()
        assert (encoder_name, encoder_weights) == ("resnet18", None)
        self.head = torch.nn.Conv2d(in_channels, classes, 3, padding=1)

    def forward(self, x):
        return self.head(x)


def test_networks_of_smp_are_made_with_the_hyperparameters(opened, tmp_path, monkeypatch):
    module = types.ModuleType("segmentation_models_pytorch")
    module.Unet = Unet
    monkeypatch.setitem(sys.modules, module.__name__, module)
    state = Unet("resnet18", None, 3, 4).state_dict()
    safetensors.torch.save_file(state, tmp_path / "net.safetensors")
    given = {"encoder_name": "resnet18", "encoder_weights": "imagenet", "classes": 4, "lr": 0.1}
    for name in ("smp.Unet", "segmentation_models_pytorch.decoders.unet.model.Unet"):
        model = opened(
            tmp_path,
            ("properties/mlm:architecture", name),
            ("properties/mlm:hyperparameters", given),
            ("assets/model", {"href": "net.safetensors", "roles": ["mlm:model"]}),
            trust=False,
        )
        assert torch.equal(model.network.head.weight, state["head.weight"])


@pytest.mark.parametrize("key", ["pre_processing_function", "value_scaling", "bands"])
def test_nothing_is_imported_or_run_for_an_expression(opened, folder, key, monkeypatch, tmp_path):
    (tmp_path / "trap_of_mlm.py").write_text("raise SystemExit('it ran')")
    monkeypatch.syspath_prepend(tmp_path)
    code = {"type": "processing", "name": "x", "format": "python", "expression": "trap_of_mlm:f"}
    value = code if key == "pre_processing_function" else [code]
    with pytest.raises(ModelError, match="never run"):
        opened(folder, (f"input/{key}", value))
    assert "trap_of_mlm" not in sys.modules


def test_every_key_can_be_left_out(opened, changed, tiny):
    item = changed()
    for key in item["properties"]:
        with contextlib.suppress(ModelError):
            opened(tiny, *SMALL, (f"properties/{key}", ...))


def test_the_table_of_keys_names_what_the_test_items_use(basic):
    known = " ".join(KEYS)
    used = [key for key in basic["properties"] if ":" in key]
    assert all(key in known or key.startswith("mlm:accelerator_") for key in used)


SMALL = [("input/input/shape", [-1, 3, 16, 16]), ("output/result/shape", [-1, 4, 16, 16])]


PLACES = [
    "type", "properties", "assets", "assets/model", "assets/model/href", "assets/model/roles",
    "assets/model/mlm:artifact_type", "assets/model/file:size", "assets/model/file:checksum",
    "properties/mlm:input/0", "properties/mlm:output/0", "properties/mlm:input",
    "properties/mlm:output", "properties/geodl:package",
    *(f"input/{key}" for key in (
        "bands", "input", "input/shape", "input/dim_order", "value_scaling", "resize_type",
        "pre_processing_function", "variables", "norm_type", "bands/2", "value_scaling/0")),
    *(f"output/{key}" for key in (
        "tasks", "result", "result/shape", "result/dim_order", "classification:classes",
        "classification:classes/1", "post_processing_function")),
    *(f"properties/{key}" for key in (
        "mlm:name", "mlm:tasks", "mlm:architecture", "mlm:hyperparameters", "bands", "gsd",
        "providers", "license", "version", "mlm:batch_size_suggestion")),
]  # fmt: skip


WORDS = ["name", "type", "value", "mean", "field", "decoder", "inputs", "window", "finite", "halo",
         "about", "fit", "scale", "expression", "format", "data_type", "common_name"]  # fmt: skip


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
    | st.sampled_from([10**400, "\x00", "clip", "classification", "regression", "processing"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(PLACES), JUNK)
def test_wrong_types_anywhere_give_our_error_or_a_model(opened, tiny, place, value):
    with contextlib.suppress(ModelError):
        opened(tiny, *SMALL, (place, value))


UKIS = Path(__file__).parents[3] / "shared" / "data" / "pretrained_ukis_csmask"


NAMES = ["blue", "green", "red", "nir"]


@pytest.fixture
def ukis(tmp_path, write_item):
    """An item of the real cloud model, with its own statistics; and mean and std (band,)."""
    text = json.loads((UKIS / "model_4b_l1c.json").read_text())
    mean, std = text["data"]["dataset_statistics"]["img"]
    scaling = [{"type": "z-score", "mean": m, "stddev": s} for m, s in zip(mean, std, strict=True)]
    classes = ["clear", "cloud", "cloud shadow"]
    path = write_item(
        tmp_path,
        ("properties/mlm:name", "UKIS clouds"),
        ("properties/mlm:framework", "ONNX"),
        ("input/bands", NAMES),
        ("input/input/shape", [-1, 4, 256, 256]),
        ("input/value_scaling", scaling),
        ("output/result/shape", [-1, 3, 256, 256]),
        ("output/classification:classes", [{"value": i, "name": c} for i, c in
                                              enumerate(classes)]),
        ("properties/bands", [{"name": name, "data_type": "float32"} for name in NAMES]),
        ("properties/gsd", 30),
        ("assets/model", {"href": "model_4b_l1c.onnx", "roles": ["mlm:model"],
                          "mlm:artifact_type": "onnx"}),
    )  # fmt: skip
    return path, np.array(mean), np.array(std)


@pytest.mark.skipif(not UKIS.exists(), reason="NOT RUN: the UKIS model is not beside us")
def test_the_facts_of_a_real_cloud_model_are_read(ukis, tmp_path, monkeypatch):
    (tmp_path / "model_4b_l1c.onnx").write_bytes(b"another engineer reads these")
    stand_in = torch.nn.Conv2d(4, 3, 3, padding=1).eval()
    monkeypatch.setattr("geodl_lab.packages.mlm.load_network", lambda *_, **__: stand_in)
    path, mean, std = ukis
    package = open_model(path).package
    assert package.inputs.bands == tuple(NAMES)
    assert package.inputs.mean == tuple(mean) and package.inputs.std == tuple(std)
    assert (package.inputs.cell_size, package.inputs.dtype) == (30, "float32")
    assert (package.window, package.fixed_window, len(package.classes)) == (256, True, 3)


@pytest.mark.skipif(not UKIS.exists(), reason="NOT RUN: the UKIS model is not beside us")
def test_a_real_cloud_model_runs_as_its_item_says(ukis, tmp_path):
    shutil.copy(UKIS / "model_4b_l1c.onnx", tmp_path)
    path, mean, std = ukis
    model = open_model(path)
    pixels = np.load(UKIS / "landsat7.npz")["img"][:256, :256, :4].transpose(2, 0, 1)
    session = onnxruntime.InferenceSession(UKIS / "model_4b_l1c.onnx")
    fed = ((pixels - mean[:, None, None]) / std[:, None, None]).astype(np.float32)[None]
    (theirs,) = session.run(None, {"input": fed})
    ours = open_session(model, device="cpu", precision="fp32", threads=1)
    scores = ours.submit(ours.forward, pixels[None], model.package.inputs).result().numpy()
    assert np.abs(scores - theirs).max() < 5e-3  # logits; we scale in float32
    assert (scores.argmax(1) == theirs.argmax(1)).mean() > 0.9999
