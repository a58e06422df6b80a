import copy as copies
import io
import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import geodl_lab
from geodl_lab import open_model
from geodl_lab.errors import ModelError, TrustError
from geodl_lab.packages.emd_keys import KEYS
from geodl_lab.packages.registry import ZOO
from geodl_lab.runtime import Closed, open_session

ESRI = Path(__file__).parents[3] / "shared" / "data" / "pretrained_esri_naip_landcover"


class Printing(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        print("ran")
        return x


@pytest.fixture
def copy(tmp_path):
    folder = tmp_path / "esri"
    shutil.copytree(ZOO / "naip-landcover", folder)
    return folder / "trained.emd"


def test_the_description_is_read(copy):
    package = geodl_lab.open_model(copy).package
    assert package.inputs.bands == ("red", "green", "blue", "nir")
    assert package.inputs.scale == pytest.approx(1 / 255) and package.inputs.dtype == "uint8"
    assert (package.window, package.field.halo, package.field.crop) == (256, 64, 64)
    assert not package.field.finite and package.fixed_window
    assert [label.value for label in package.classes] == [0, 1, 2, 3, 4, 5]
    assert package.classes[3].name == "Open Water" and package.classes[3].color == "#000075"


def test_weights_that_do_more_than_compute_need_trust(copy):
    weights = copy.parent / "trained_torchscript.pt"
    torch.jit.script(Printing()).save(str(weights))
    with pytest.raises(TrustError, match=r"that uses 'print'.* trust=True \(sha256 "):
        geodl_lab.open_model(copy)
    with pytest.raises(ModelError, match="answers 4 channels"):  # trusted, it runs
        geodl_lab.open_model(copy, trust=True)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("ModelFile", "trained.h5", "missing"),
        ("ModelFile", "..\\trained.pt", "outside its own folder"),
        ("ModelFile", "LICENSE.txt", "of an unknown kind"),
        ("Classes", [{"Name": "a"}], r"Classes\[0\] .*lacks the key 'Value': the number"),
        ("Classes", [{"Value": 1}], "answers 6 channels and 1 classes are named"),
        ("DataRange", [1, 0], r"DataRange \[1, 0\]; \[least, greatest\] is needed"),
    ],
)
def test_descriptions_that_do_not_fit_are_refused(copy, key, value, message):
    text = json.loads(copy.read_text())
    copy.write_text(json.dumps({**text, key: value}))
    with pytest.raises(ModelError, match=message):
        geodl_lab.open_model(copy)


def test_damaged_weights_are_refused(copy):
    (copy.parent / "trained_torchscript.pt").write_bytes(b"PK\x03\x04 nonsense")
    with pytest.raises(ModelError, match="is no whole archive"):
        geodl_lab.open_model(copy, trust=True)


def test_chips_are_cut_and_merged_as_esris_description_says():
    """A window's centre is the net's answer to that very chip, scaled to 0..1."""
    scene = geodl_lab.open_raster(geodl_lab.demo_scene())
    model = geodl_lab.open_model("naip-landcover")
    valid = (scene[0, ::256, ::256].values > 0) & (scene[0, 255::256, 255::256].values > 0)
    row, column = np.argwhere(valid)[0] * 256
    crop = scene[:, row : row + 256, column : column + 256]
    with torch.inference_mode():
        chip = torch.from_numpy(crop.values.astype(np.float32) / 255)[None]
        centre = model.network(chip).argmax(1)[0].numpy()
    merged = crop.rio.write_nodata(None, encoded=False).dl.classify(model).values
    # cores of 128 px start at 0: the window over the middle of the crop is not one of them, so
    # compare with a raster whose second core is the crop's middle
    padded = np.pad(crop.values, ((0, 0), (64, 0), (64, 0)), mode="reflect")
    shifted = geodl_lab.testing.wrap(padded).dl.classify(model).values[128:256, 128:256]
    assert merged.shape == (256, 256)
    assert (shifted == centre).mean() > 0.9999


@pytest.mark.skipif(not ESRI.exists(), reason="NOT RUN: the original files are not beside us")
def test_bundled_weights_are_the_public_ones():
    original, ours = ESRI / "trained_torchscript.pt", ZOO / "naip-landcover"
    assert original.read_bytes() == (ours / "trained_torchscript.pt").read_bytes()
    theirs = json.loads((ESRI / "trained.emd").read_text())
    text = json.loads((ours / "trained.emd").read_text())
    for key in ("Classes", "ImageHeight", "ModelPadding", "ExtractBands", "DataRange"):
        assert text[key] == theirs[key]


def answer(model, stored):
    """What the engine gets for stored values (N, C, H, W)."""
    session = open_session(model, device="cpu", precision="fp32", threads=1, layout="nchw")
    return session.submit(session.forward, stored, model.package.inputs).result()


def test_every_key_of_a_description_says_something(esri, tmp_path):
    path = esri.write(
        tmp_path / "a",
        esri.scores(size=3),
        ModelName="fields",
        Version=2021.1,
        Description="Fields and roads",
        ImageHeight="48",
        ImageWidth=32.0,
        SupportsVariableTileSize="True",
        per_class_metrics={"field": {"precision": 0.9}},
        MinCellSize={"x": 0.5, "y": 0.5, "spatialReference": {"wkid": 26911}},
        SomethingElse={"a": [1]},
    )
    package = esri.read(path).package
    assert (package.name, package.version, package.task) == ("fields", "2021.1", "classify")
    assert (package.window, package.width, package.fixed_window) == (48, 32, False)
    assert package.inputs.cell_size == 0.5 and package.field.halo == 1
    assert package.about["description"] == "Fields and roads"
    assert package.about["accuracy"] == {"field": {"precision": 0.9}}
    assert package.about["cell_size_range"]["MinCellSize"]["x"] == 0.5
    assert package.about["emd"]["SomethingElse"] == {"a": [1]}


def test_what_may_be_left_out_has_a_default(esri, tmp_path):
    path = esri.write(tmp_path / "a", drop=["Framework", "ModelConfiguration", "ImageWidth"])
    package = esri.read(path).package
    assert (package.name, package.version, package.width) == ("tiny", "1.0.0", None)
    assert package.fixed_window and package.inputs.positions == (0, 1, 2)


@pytest.mark.parametrize(
    ("key", "use"),
    [
        ("ModelType", "the task"),
        ("ModelFile", "the weights, relative to the description"),
        ("ExtractBands", "the bands that the network takes"),
        ("Classes", "value, name and color"),
    ],
)
def test_what_must_be_there_is_named_with_its_use(esri, tmp_path, key, use):
    with pytest.raises(ModelError, match=f"'tiny.emd' lacks the key '{key}': {use}"):
        esri.read(esri.write(tmp_path / "a", drop=[key]))


def test_one_side_of_the_window_is_needed(esri, tmp_path):
    with pytest.raises(ModelError, match="lacks the key 'ImageHeight': height of the network's"):
        esri.read(esri.write(tmp_path / "a", drop=["ImageHeight", "ImageWidth"]))


@pytest.mark.parametrize("key", ["ImageHeight", "ImageWidth"])
@pytest.mark.parametrize("side", [0, -1, 10**7])
def test_windows_have_a_possible_size(esri, tmp_path, key, side):
    with pytest.raises(ModelError, match=f"{key} {side}; 1 to 16384 pixels is needed"):
        esri.read(esri.write(tmp_path / "a", **{key: side}))


def test_json_that_is_none_is_named_by_its_line(esri, tmp_path):
    path = esri.write(tmp_path / "a")
    path.write_text('{"ModelType": "ImageClassification"\n "ModelFile": "tiny.pt"}')
    with pytest.raises(ModelError, match=r"'tiny\.emd' is no valid JSON: line 2, column 2"):
        esri.read(path)


def test_bands_without_names_are_taken_by_position(esri, tmp_path):
    """Channels 3, 2, 1 of four unnamed bands, of which GDAL calls the last alpha."""
    path = esri.write(tmp_path / "a", ExtractBands=[3, 2, 1])
    raster = geodl_lab.testing.make_raster((4, 40, 40), names=("", "", "", "Alpha"))
    chosen = raster.isel(band=[3, 2, 1])
    chosen.attrs["long_name"] = ("", "", "")
    by_position = raster.dl.classify(esri.read(path))
    in_order = chosen.dl.classify(esri.read(esri.write(tmp_path / "b")))
    assert (by_position.values == in_order.values).all()


class Boxes(nn.Module):
    """Answers one box of each class, with the mean of the image as a score."""

    def forward(self, x: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        box = torch.tensor([[2.0, 3.0, 9.0, 8.0], [12.0, 12.0, 20.0, 22.0]])
        scores = torch.tensor([0.9, 0.4])
        return [{"boxes": box, "labels": torch.tensor([2, 1]), "scores": scores} for _ in x]


def scripted(module):
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(module.eval()), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(("threshold", "found"), [(0.5, [4]), ("0.3", [1, 4])])
@pytest.mark.parametrize("kind", ["ObjectDetection", "ObjectionDetection"])
def test_labels_of_objects_count_the_classes_from_1(esri, tmp_path, kind, threshold, found):
    path = esri.write(tmp_path / "a", scripted(Boxes()), ModelType=kind, Threshold=threshold)
    model = esri.read(path)
    assert (model.package.task, model.package.decoder.name) == ("detect", "boxes")
    frame = geodl_lab.testing.make_raster((3, 32, 32)).dl.detect(model)
    assert sorted(frame["label_id"]) == found


class Masks(nn.Module):
    """Answers the bright pixels of each image as one object of the second class."""

    def forward(self, x: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        label, score = torch.tensor([2]), torch.tensor([0.9])
        return [
            {"masks": (image[:1] > 0.5).float()[None], "labels": label, "scores": score}
            for image in x
        ]


def test_instances_have_masks(esri, tmp_path):
    path = esri.write(
        tmp_path / "a", scripted(Masks()), ModelType="InstanceDetection", ExtractBands=[0]
    )
    model = esri.read(path)
    assert model.package.decoder.name == "masks"
    frame = geodl_lab.testing.paint((32, 32), [(10, 12, 18, 20)]).dl.detect(model)
    assert frame["label"].tolist() == ["road"]
    assert frame.geometry.area.sum() == pytest.approx(8 * 8 * 0.6**2)


def test_objects_with_chips_are_recognized(esri, tmp_path):
    weights = esri.torchscript(
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)), 1, 3, 32, 32
    )
    path = esri.write(
        tmp_path / "a",
        weights,
        ModelType="ObjectClassification",
        CropSizeFixed=1,
        BlackenAroundFeature="0",
    )
    package = esri.read(path).package
    how = package.recognizer
    assert package.task == "recognize"
    assert (how.fixed_chip, how.blacken, how.exclusive, how.activation) == (
        True, False, True, "softmax",
    )  # fmt: skip


class Change(nn.Module):
    def forward(self, before, after):
        return torch.cat([before - after, after - before], 1)


def test_change_is_classified_of_two_images(esri, tmp_path):
    net = torch.jit.trace(Change(), (torch.rand(1, 1, 32, 32),) * 2)
    buffer = io.BytesIO()
    torch.jit.save(net, buffer)
    path = esri.write(
        tmp_path / "a",
        buffer.getvalue(),
        ModelType="ChangeDetection",
        ExtractBands=["Red"],
    )
    model = esri.read(path)
    assert model.package.inputs.bands == ("before_red", "after_red")
    stored = np.random.default_rng(0).integers(0, 255, (1, 2, 32, 32)).astype(np.uint8)
    scaled = stored / np.float32(255)
    wanted = np.concatenate([scaled[:, :1] - scaled[:, 1:], scaled[:, 1:] - scaled[:, :1]], 1)
    np.testing.assert_allclose(answer(model, stored).numpy(), wanted, atol=1e-6)


@pytest.mark.parametrize("version", [11, 13, 18])
def test_change_is_classified_by_onnx_and_saved(esri, tmp_path, version):
    names, image = ["before", "after"], torch.rand(1, 1, 32, 32)
    free = {name: {0: "n", 2: "h", 3: "w"} for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of this exporter, which needs the least of packages
        torch.onnx.export(
            Change(), (image, image), str(tmp_path / "net.onnx"), dynamo=False, input_names=names,
            dynamic_axes=free, opset_version=version,
        )  # fmt: skip
    path = esri.write(
        tmp_path / "a",
        (tmp_path / "net.onnx").read_bytes(),
        weights_name="net.onnx",
        ModelFile="net.onnx",
        ModelType="ChangeDetection",
        ExtractBands=["Red"],
    )
    model = esri.read(path)
    again = geodl_lab.open_model(model.save(tmp_path / "again.dlpk"))
    stored = np.random.default_rng(0).integers(0, 255, (2, 2, 32, 32)).astype(np.uint8)
    before, after = np.split(stored / np.float32(255), 2, axis=1)
    wanted = np.concatenate([before - after, after - before], 1)
    for one in (model, again):
        assert one.package.inputs.bands == ("before_red", "after_red")
        np.testing.assert_allclose(answer(one, stored).numpy(), wanted, atol=1e-6)


@pytest.mark.parametrize("extract", [[0, 1], [0, 1, 2, 3], [0, 1, 0, 1]])
def test_the_network_tells_whose_bands_a_change_model_lists(esri, tmp_path, extract):
    path = esri.write(
        tmp_path / "a", esri.scores(bands=4), ModelType="ChangeDetection", ExtractBands=extract
    )
    model = esri.read(path)
    assert model.package.inputs.count == 4
    assert open_model(model.save(tmp_path / "x.dlpk")).package.inputs == model.package.inputs
    with pytest.raises(ModelError, match=r"does not run on float32 \(1, 2, 32, 32\)"):
        esri.read(
            esri.write(
                tmp_path / "b", esri.scores(5), ModelType="ChangeDetection", ExtractBands=[0, 1]
            )
        )


class LastIsBand(nn.Module):
    def forward(self, x):
        return x[..., :2] * 2


def test_networks_of_channels_last_are_turned(esri, tmp_path):
    weights = esri.torchscript(LastIsBand(), 1, 32, 32, 3)
    stored = np.random.default_rng(0).integers(0, 255, (1, 3, 32, 32)).astype(np.uint8)
    model = esri.read(esri.write(tmp_path / "a", weights, ModelFormat="NHWC"))
    np.testing.assert_allclose(answer(model, stored).numpy(), stored[:, :2] / 255 * 2, atol=1e-6)
    with pytest.raises(ModelError, match='ModelFormat "CHWN"; NCHW or NHWC'):
        esri.read(esri.write(tmp_path / "b", ModelFormat="CHWN"))


def test_a_function_of_the_package_does_not_run_without_trust(esri, tmp_path):
    """Not even the weights run: the function says how they are used."""
    path = esri.write(tmp_path / "a", InferenceFunction=".\\Mine.py")
    with pytest.raises(ModelError, match=r"Mine\.py' is missing"):
        esri.read(path, trust=False)
    (path.parent / "Mine.py").write_text("raise SystemExit")
    model = esri.read(path, trust=False)
    assert isinstance(model.network, Closed) and isinstance(model.network.reason, TrustError)


@pytest.mark.skipif(not ESRI.exists(), reason="NOT RUN: the original files are not beside us")
def test_the_public_original_is_read(tmp_path):
    """Its .emd names the ONNX; beside it, the same graph as TorchScript."""
    theirs = json.loads((ESRI / "trained.emd").read_text())
    shutil.copy(ESRI / "trained_torchscript.pt", tmp_path / "trained.pt")
    (tmp_path / "trained.emd").write_text(json.dumps({**theirs, "ModelFile": "trained.pt"}))
    package = geodl_lab.open_model(tmp_path / "trained.emd", trust=True).package
    bundled = geodl_lab.open_model("naip-landcover").package
    assert package.inputs.positions == (0, 1, 2, 3)
    for name in ("classes", "window", "field", "fixed_window", "task", "sha256"):
        assert getattr(package, name) == getattr(bundled, name)


WRONG = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**6) | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)
INSIDE = {
    "Classes": ("Value", "Name", "Color"),
    "NormalizationStats": ("band_min_values", "band_max_values", "scaled_std_values"),
    "MinCellSize": ("x", "y", "spatialReference"),
    "InputRastersProps": ("BandNames", "PixelType"),
    "AllTilesStats": ("BandName", "Min", "Max"),
    "GeodlLab": ("inputs", "decoder", "recognizer", "field", "weights", "about"),
}
OURS = ("inputs", "decoder", "recognizer", "field")


@pytest.fixture(scope="module")
def small(esri, tmp_path_factory):
    return esri.write(tmp_path_factory.mktemp("fuzz"), ImageHeight=16, ImageWidth=16)


@pytest.mark.parametrize("key", sorted(KEYS))
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_stands_there_is_read_or_told(esri, small, key, data):
    value = data.draw(WRONG)
    if key in INSIDE and data.draw(st.booleans()):
        value = {data.draw(st.sampled_from(INSIDE[key])): data.draw(WRONG)}
        value = [value] if key in ("Classes", "AllTilesStats") else value
    side = {"ImageHeight": 16, "ImageWidth": 16}
    if key in side and isinstance(value, int | float) and value > 64:
        value = 64
    text = {**copies.deepcopy(esri.text), **side, key: value}
    if data.draw(st.booleans()) and key == "GeodlLab":
        name = data.draw(st.sampled_from(OURS))
        fields = {"inputs": "scale", "decoder": "name", "recognizer": "thresholds", "field": "halo"}
        text[key] = {name: {fields[name]: data.draw(WRONG)}}
        text["ModelType"] = data.draw(
            st.sampled_from(["ImageClassification", "ObjectDetection", "ObjectClassification"])
        )
    small.write_text(json.dumps(text))
    try:
        esri.read(small)
    except ModelError as error:
        assert str(error) and "\n" not in str(error)
