import contextlib
import hashlib
import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geodl_lab import nets, open_model
from geodl_lab.errors import ModelError, TrustError
from geodl_lab.packages.mlm import KEYS
from geodl_lab.runtime import open_session

HERE = Path(__file__).parent
spec = importlib.util.spec_from_file_location("mlm_items", HERE / "mlm_items.py")
items = importlib.util.module_from_spec(spec)
spec.loader.exec_module(items)
INPUT, OUTPUT = items.INPUT, items.OUTPUT


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder with one TorchScript network."""
    path = tmp_path_factory.mktemp("mlm")
    items.write_script(path)
    return path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A folder with a network of one convolution, which is measured in no time."""
    path = tmp_path_factory.mktemp("tiny")
    items.write_script(path, torch.nn.Conv2d(3, 4, 3, padding=1))
    return path


SMALL = [(f"{INPUT}/input/shape", [-1, 3, 16, 16]), (f"{OUTPUT}/result/shape", [-1, 4, 16, 16])]
FREE = [(f"{INPUT}/input/shape", [-1, 3, -1, -1]), (f"{OUTPUT}/result/shape", [-1, 4, -1, -1])]


def opened(folder, *changes, trust=True):
    return open_model(items.write_item(folder, *changes), trust=trust)


def test_the_facts_of_an_item_are_read(folder):
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


def test_weights_that_are_a_program_need_trust(folder):
    with pytest.raises(TrustError, match="is a program"):
        opened(folder, trust=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("type", "Collection")], "is of type 'Collection'; a STAC item"),
        ([("properties", None)], "properties is missing"),
        ([("properties/mlm:name", items.MISSING)], "mlm:name is missing"),
        ([("properties/mlm:input", [])], "0 entries of mlm:input"),
        ([(OUTPUT + "/tasks", ["similarity-search"])], "are not one that can be run; possible"),
        ([(OUTPUT + "/tasks", ["regression", "semantic-segmentation"])], "are not one that can"),
        ([(OUTPUT + "/tasks", ["scene-classification"])], "contradict each other"),
        ([(OUTPUT + "/result/shape", [-1, 4]),
          (OUTPUT + "/result/dim_order", ["batch", "class"])], "contradict each other"),
        ([(OUTPUT + "/post_processing_function", {"format": "python", "expression": "os:abort"})],
         "post_processing_function 'os:abort' is code, which is never run"),
        ([(INPUT + "/pre_processing_function", "os:abort")], "'os:abort' is code"),
        ([(INPUT + "/pre_processing_function", {})], "pre_processing_function missing is code"),
        ([(INPUT + "/bands/0", {"name": "ndvi", "format": "gdal-calc", "expression": "A/B"})],
         "band 'ndvi' is made by the 'gdal-calc' expression 'A/B', which is never run"),
        ([(INPUT + "/bands", ["a", "a", "b"])], "names bands more than once"),
        ([(INPUT + "/bands", ["a", "b"])], "names 2 bands for 3 channels"),
        ([(INPUT + "/variables", ["t2m"])], "variables of a data cube"),
        ([(INPUT + "/value_scaling", [{"type": "processing", "format": "python",
                                       "expression": "os:abort"}])], "'os:abort' is code"),
        ([(INPUT + "/value_scaling/0/stddev", 0)], "deviation of 0.0 is not possible"),
        ([(INPUT + "/resize_type", "interpolation-linear")], "which cell size the model has seen"),
        ([(INPUT + "/resize_type", "wrap-inverse-map")], "which cell size the model has seen"),
        ([(INPUT + "/input/dim_order", ["batch", "time", "height", "width"])], "'n.hw'; possible"),
        ([(INPUT + "/input/dim_order", ["batch", "channel"])], "give as many"),
        ([(INPUT + "/input/shape/2", -1)], "fixes one of height and width"),
        ([(INPUT + "/input/shape/2", 10**9)], "too large to run"),
        ([(INPUT + "/input/shape/1", 2)], "3 bands for 2 channels"),
        ([(OUTPUT + "/classification:classes", [])], "names no classes"),
        ([(OUTPUT + "/classification:classes/0/value", 9)], "not in the order of their values"),
        ([(OUTPUT + "/classification:classes/0/value", "0")], "needs a whole number there"),
        ([(OUTPUT + "/classification:classes/0/color_hint", "red")], "the color '#red'"),
        ([(OUTPUT + "/classification:classes/3", {"value": 5})], "value 5 has no name"),
        ([(OUTPUT + "/classification:classes/3", items.MISSING)], None),
        ([("assets", {})], "no asset with the role 'mlm:model'"),
        ([("assets/model/href", "https://example.com/net.pt")], "download it beside the item"),
        ([("assets/model/href", "s3://bucket/net.pt")], "download it beside the item"),
        ([("assets/model/href", "../net.pt")], "outside its own folder"),
        ([("assets/model/href", "..%2fnet.pt")], "outside its own folder"),
        ([("assets/model/href", "/etc/net.pt")], "outside its own folder"),
        ([("assets/model/href", "other.pt")], "is missing in"),
        ([("assets/model/mlm:artifact_type", "onnx")], "is no file of onnx; possible are"),
        ([("assets/model/mlm:artifact_type", "tf.keras.Model.save")], "convert it to ONNX"),
        ([("assets/model/file:size", 3)], "bytes and the item says 3"),
        ([("assets/model/file:checksum", "1220" + "0" * 64)], "is not the file that the item"),
        ([("assets/model/file:checksum", "d50110" + "0" * 32)], "cannot be checked"),
        ([("properties/geodl:package", {"window": [0, 1]}), (INPUT + "/input/shape/2", -1),
          (INPUT + "/input/shape/3", -1)], "give height and width"),
        ([("properties/geodl:package", {"inputs": {"mean": ["x"]}})], "which are no numbers"),
    ],
)  # fmt: skip
def test_what_cannot_be_run_rightly_is_refused(folder, changes, message):
    if message is None:  # a list has no key to take out
        changes = [(OUTPUT + "/classification:classes", [{"value": 0, "name": "one"}])]
        message = "answers 4 channels and 1 classes"
    with pytest.raises(ModelError, match=message):
        opened(folder, *changes)


@pytest.mark.parametrize("key", ["pre_processing_function", "value_scaling", "bands"])
def test_nothing_is_imported_or_run_for_an_expression(folder, key, monkeypatch, tmp_path):
    (tmp_path / "trap_of_mlm.py").write_text("raise SystemExit('it ran')")
    monkeypatch.syspath_prepend(tmp_path)
    code = {"type": "processing", "name": "x", "format": "python", "expression": "trap_of_mlm:f"}
    value = code if key == "pre_processing_function" else [code]
    with pytest.raises(ModelError, match="never run"):
        opened(folder, (f"{INPUT}/{key}", value))
    assert "trap_of_mlm" not in sys.modules


def test_classes_in_another_order_than_their_values_need_our_word(folder):
    first = (OUTPUT + "/classification:classes/0/value", 9)
    ours = ("properties/geodl:package", {"values": [9, 1, 2, 5]})
    values = [label.value for label in opened(folder, first, ours).package.classes]
    assert values == [9, 1, 2, 5]


def test_whole_images_are_told_from_pixels_by_the_outputs_shape(tmp_path):
    pooled = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1),
                                 torch.nn.Flatten())  # fmt: skip
    items.write_script(tmp_path, pooled)
    whole = [
        ("properties/mlm:tasks", ["classification"]),
        (OUTPUT + "/tasks", ["classification"]),
        (OUTPUT + "/result", {"shape": [-1, 4], "dim_order": ["batch", "class"]}),
    ]
    package = opened(tmp_path, *whole, (INPUT + "/resize_type", "interpolation-cubic")).package
    assert package.task == "recognize" and package.recognizer.activation == "softmax"
    fit = package.inputs.fit
    assert (fit.kind, fit.height, fit.width) == ("squash", 64, 64)
    crop = opened(tmp_path, *whole, (INPUT + "/resize_type", "crop")).package.inputs.fit
    assert crop.kind == "crop"
    assert opened(tmp_path, *whole).package.inputs.fit is None
    with pytest.raises(ModelError, match="does not say what whole images become"):
        opened(tmp_path, *whole, (INPUT + "/resize_type", "pad"))
    items.write_script(tmp_path, torch.nn.Sequential(pooled, torch.nn.Softmax(1)))
    assert opened(tmp_path, *whole).package.recognizer.activation == "none"


@pytest.mark.parametrize("resize", ["crop", "pad"])
def test_windows_are_cut_at_their_own_cell_size(folder, resize):
    assert opened(folder, (INPUT + "/resize_type", resize)).package.inputs.fit is None


def test_regression_answers_values(tmp_path):
    items.write_script(tmp_path, torch.nn.Conv2d(3, 2, 3, padding=1))
    package = opened(
        tmp_path,
        (OUTPUT + "/tasks", ["regression"]),
        (OUTPUT + "/result/shape/1", 2),
        (OUTPUT + "/classification:classes", items.MISSING),
    ).package
    assert package.task == "regress"
    assert [label.name for label in package.classes] == ["parcels_1", "parcels_2"]


class Boxes(torch.nn.Module):
    """One box around the whole window."""

    def forward(self, x: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        side, one = float(x.shape[3]), torch.ones(1)
        box = torch.tensor([[0.0, 0.0, side, side]])
        return [{"boxes": box, "labels": one.long(), "scores": one * 0.9} for _ in x]


def test_detectors_leave_the_background_out(tmp_path):
    items.write_script(tmp_path, Boxes())
    detect = [
        ("properties/mlm:tasks", ["object-detection"]),
        (OUTPUT + "/tasks", ["object-detection"]),
        (OUTPUT + "/classification:classes", [{"value": 0, "name": "background"},
                                              {"value": 1, "name": "tree"}]),
        (OUTPUT + "/result", {"shape": [-1, -1, 4], "dim_order": ["batch", "box", "corner"]}),
    ]  # fmt: skip
    package = opened(tmp_path, *detect).package
    assert [label.value for label in package.classes] == [1] and package.decoder.name == "boxes"
    ours = {"decoder": {"name": "boxes", "threshold": 0.7}}
    package = opened(tmp_path, *detect, ("properties/geodl:package", ours)).package
    assert package.decoder.threshold == 0.7
    outputs = items.changed(*detect)["properties"]["mlm:output"]
    scores = {**outputs[0], "name": "scores"}
    del scores["classification:classes"]
    several = ("properties/mlm:output", [scores, *outputs])
    assert len(opened(tmp_path, several, detect[0]).package.classes) == 1
    with pytest.raises(ModelError, match="count classes from 1"):
        opened(tmp_path, *detect, (OUTPUT + "/classification:classes/0/name", "shrub"))


class LastAxis(torch.nn.Module):
    """A network of (N, H, W, C) in and out."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def test_networks_whose_channels_are_last_are_turned(tmp_path):
    inner = torch.nn.Conv2d(3, 4, 3, padding=1).eval()
    items.write_script(tmp_path, LastAxis(inner))
    order = ["b", "y", "x", "c"]
    model = opened(
        tmp_path,
        (INPUT + "/input", {"shape": [1, 64, 64, 3], "dim_order": order}),
        (OUTPUT + "/result", {"shape": [1, 64, 64, 4], "dim_order": order}),
    )
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(model.network(x), inner(x), atol=1e-6)


def test_the_first_asset_that_can_be_run_is_taken(folder):
    far = {"href": "https://example.com/a.onnx", "roles": ["mlm:model"]}
    near = items.BASIC["assets"]["model"]
    model = opened(folder, ("assets", {"far": far, "near": near}))
    assert model.package.about["asset"] == "near (net.pt)"
    with pytest.raises(ModelError, match=r"'far': it lies at .*; 'web': 'a.html' is no file of"):
        opened(folder, ("assets", {"far": far, "web": {**far, "href": "a.html"}}))


def test_absolute_names_inside_the_folder_and_checksums_are_fine(folder):
    content = (folder / "net.pt").read_bytes()
    for code, digest in (("1220", hashlib.sha256), ("1340", hashlib.sha512)):
        model = opened(
            folder,
            ("assets/model/href", str(folder / "net.pt")),
            ("assets/model/file:size", len(content)),
            ("assets/model/file:checksum", code + digest(content).hexdigest()),
        )
        assert model.package.sha256 == hashlib.sha256(content).hexdigest()


def test_tensors_belong_to_the_network_that_the_item_names(tmp_path):
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
        with pytest.raises(ModelError, match="do not open"):
            opened(tmp_path, *tensors, hyper)


def test_items_of_older_versions_are_read(folder):
    old = [
        ("stac_extensions", ["https://crim-ca.github.io/mlm-extension/v1.0.0-beta4/schema.json"]),
        (INPUT + "/value_scaling", items.MISSING),
        (INPUT + "/norm_by_channel", True),
        ("properties/bands", items.MISSING),
        ("assets/model/eo:bands", [{"name": "B04", "common_name": "red"}, {"name": "B02"}]),
        ("assets/model/raster:bands", [{"name": name, "spatial_resolution": 10}
                                       for name in ("B02", "B03", "B04")]),
    ]  # fmt: skip
    statistics = [{"minimum": 0, "maximum": 100, "mean": 4 + i, "stddev": 2} for i in range(3)]
    score = (INPUT + "/norm_type", "z-score"), (INPUT + "/statistics", statistics)
    inputs = opened(folder, *old, *score).package.inputs
    assert (inputs.mean, inputs.std) == ((4, 5, 6), (2, 2, 2))
    assert inputs.bands == ("B02", "B03", "red") and inputs.cell_size == 10
    ends = (INPUT + "/norm_type", "min-max"), (INPUT + "/statistics", statistics[:1])
    assert opened(folder, *old, *ends).package.inputs.scale == 1 / 100
    clip = (INPUT + "/norm_type", "clip"), (INPUT + "/norm_clip", [3000])
    inputs = opened(folder, *old, *clip).package.inputs
    assert inputs.high == (3000,) * 3 and inputs.low == (0,) * 3 and inputs.scale == 1 / 3000
    with pytest.raises(ModelError, match=r"'l2'.* is of no kind"):
        opened(folder, *old, (INPUT + "/norm_type", "l2"), score[1])


def test_common_names_are_taken_where_they_tell_bands_apart(folder):
    names = [("B05", "rededge"), ("B06", "rededge"), ("B08", "nir")]
    package = opened(
        folder,
        (INPUT + "/bands", [name for name, _ in names]),
        ("properties/bands", [{"name": n, "common_name": c, "gsd": 10 + (c == "nir")}
                              for n, c in names]),
        ("properties/gsd", 20),
    ).package  # fmt: skip
    assert package.inputs.bands == ("B05", "B06", "nir")
    assert package.inputs.cell_size == 20 and package.inputs.dtype is None


@pytest.mark.parametrize("bands", [[], ["*"], None])
def test_any_bands_are_as_many_as_channels(folder, bands):
    inputs = opened(folder, (INPUT + "/bands", bands)).package.inputs
    assert (inputs.bands, inputs.count) == ((), 3)
    with pytest.raises(ModelError, match="neither its bands nor its number of channels"):
        opened(folder, (INPUT + "/bands", bands), (INPUT + "/input/shape/1", -1))


def test_standard_keys_win_over_ours(folder):
    ours = {"name": "Other", "inputs": {"mean": [1, 2, 3], "std": [1, 1, 1]}, "window": [96, 96],
            "field": {"finite": True, "halo": 32}, "sha256": "of another file"}  # fmt: skip
    package = opened(folder, ("properties/geodl:package", ours)).package
    assert package.name == "Fields-4" and package.window == 64
    assert package.inputs.mean == (0.28, 0.26, 0.27)
    assert package.field == opened(folder).package.field  # measured: it is not of this file


PLACES = [
    "type", "properties", "assets", "assets/model", "assets/model/href", "assets/model/roles",
    "assets/model/mlm:artifact_type", "assets/model/file:size", "assets/model/file:checksum",
    INPUT, OUTPUT, "properties/mlm:input", "properties/mlm:output", "properties/geodl:package",
    *(f"{INPUT}/{key}" for key in (
        "bands", "input", "input/shape", "input/dim_order", "value_scaling", "resize_type",
        "pre_processing_function", "variables", "norm_type", "bands/2", "value_scaling/0")),
    *(f"{OUTPUT}/{key}" for key in (
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


@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(PLACES), JUNK)
def test_wrong_types_anywhere_give_our_error_or_a_model(tiny, place, value):
    with contextlib.suppress(ModelError):
        opened(tiny, *SMALL, (place, value))


@pytest.mark.parametrize("part", ["inputs", "field", "decoder", "recognizer", "window", "about"])
def test_wrong_types_in_our_own_key_give_our_error_or_a_model(tiny, part):
    sha256 = hashlib.sha256((tiny / "net.pt").read_bytes()).hexdigest()
    whole = [
        ("properties/mlm:tasks", ["scene-classification"]),
        (OUTPUT + "/tasks", ["scene-classification"]),
        (OUTPUT + "/result", {"shape": [-1, 4], "dim_order": ["batch", "class"]}),
    ]
    boxes = (OUTPUT + "/tasks", ["object-detection"])
    for value in (None, 1, "x", [], {}, [1], [8, 8], {"x": 1}, {"mean": 3}, {"low": [None] * 3},
                  {"finite": True, "stride": 0}, {"finite": True, "halo": "a"},
                  {"thresholds": 3}, {"exclusive": 3}, {"name": []}, {"anchors": 3}):  # fmt: skip
        ours = ("properties/geodl:package", {part: value, "sha256": sha256})
        for more in (SMALL, FREE, [*SMALL, boxes], [SMALL[0], *whole]):
            with contextlib.suppress(ModelError):
                opened(tiny, *more, ours)


def test_every_key_can_be_left_out(tiny):
    item = items.changed()
    for key in item["properties"]:
        with contextlib.suppress(ModelError):
            opened(tiny, *SMALL, (f"properties/{key}", items.MISSING))


def test_the_table_of_keys_names_what_the_test_items_use():
    known = " ".join(KEYS)
    used = [key for key in items.BASIC["properties"] if ":" in key]
    assert all(key in known or key.startswith("mlm:accelerator_") for key in used)


UKIS = Path(__file__).parents[3] / "shared" / "data" / "pretrained_ukis_csmask"
NAMES = ["blue", "green", "red", "nir"]


def ukis_item(folder):
    """An item of the real cloud model, with its own statistics; and mean and std (band,)."""
    text = json.loads((UKIS / "model_4b_l1c.json").read_text())
    mean, std = text["data"]["dataset_statistics"]["img"]
    scaling = [{"type": "z-score", "mean": m, "stddev": s} for m, s in zip(mean, std, strict=True)]
    classes = ["clear", "cloud", "cloud shadow"]
    path = items.write_item(
        folder,
        ("properties/mlm:name", "UKIS clouds"),
        ("properties/mlm:framework", "ONNX"),
        (INPUT + "/bands", NAMES),
        (INPUT + "/input/shape", [-1, 4, 256, 256]),
        (INPUT + "/value_scaling", scaling),
        (OUTPUT + "/result/shape", [-1, 3, 256, 256]),
        (OUTPUT + "/classification:classes", [{"value": i, "name": c} for i, c in
                                              enumerate(classes)]),
        ("properties/bands", [{"name": name, "data_type": "float32"} for name in NAMES]),
        ("properties/gsd", 30),
        ("assets/model", {"href": "model_4b_l1c.onnx", "roles": ["mlm:model"],
                          "mlm:artifact_type": "onnx"}),
    )  # fmt: skip
    return path, np.array(mean), np.array(std)


@pytest.mark.skipif(not UKIS.exists(), reason="NOT RUN: the UKIS model is not beside us")
def test_the_facts_of_a_real_cloud_model_are_read(tmp_path, monkeypatch):
    (tmp_path / "model_4b_l1c.onnx").write_bytes(b"another engineer reads these")
    stand_in = torch.nn.Conv2d(4, 3, 3, padding=1).eval()
    monkeypatch.setattr("geodl_lab.packages.mlm.load_network", lambda *_, **__: stand_in)
    path, mean, std = ukis_item(tmp_path)
    package = open_model(path).package
    assert package.inputs.bands == tuple(NAMES)
    assert package.inputs.mean == tuple(mean) and package.inputs.std == tuple(std)
    assert (package.inputs.cell_size, package.inputs.dtype) == (30, "float32")
    assert (package.window, package.fixed_window, len(package.classes)) == (256, True, 3)


@pytest.mark.skipif(not UKIS.exists(), reason="NOT RUN: the UKIS model is not beside us")
def test_a_real_cloud_model_runs_as_its_item_says(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    shutil.copy(UKIS / "model_4b_l1c.onnx", tmp_path)
    path, mean, std = ukis_item(tmp_path)
    try:
        model = open_model(path)
    except ModelError as error:
        if "of an unknown kind" not in str(error):
            raise
        pytest.skip("NOT RUN: .onnx files are not read yet")
    pixels = np.load(UKIS / "landsat7.npz")["img"][:256, :256, :4].transpose(2, 0, 1)
    session = onnxruntime.InferenceSession(UKIS / "model_4b_l1c.onnx")
    fed = ((pixels - mean[:, None, None]) / std[:, None, None]).astype(np.float32)[None]
    (theirs,) = session.run(None, {"input": fed})
    ours = open_session(model, device="cpu", precision="fp32", threads=1)
    scores = ours.submit(ours.forward, pixels[None], model.package.inputs).result().numpy()
    assert np.abs(scores - theirs).max() < 1e-3
    assert (scores.argmax(1) == theirs.argmax(1)).mean() > 0.9999
