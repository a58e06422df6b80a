import dataclasses
import functools
import json
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import geodl_lab
from geodl_lab import from_torch, open_model
from geodl_lab.decoders import Recognizer
from geodl_lab.errors import ModelError, OutputError
from geodl_lab.inputs import Fit, InputSpec
from geodl_lab.package import make_classes
from geodl_lab.packages.wrap import Facts, wrap
from geodl_lab.runtime import Model, open_session
from geodl_lab.testing import RandomNet, RegionDetector, make_raster


def facts(model):
    """What decides bits: all but the hash of the file and what is there for people."""
    return dataclasses.replace(model.package, sha256="", about={})


def answer(model):
    """Scores of a noise window, fed as the engine does."""
    package = model.package
    shape = (1, package.inputs.count, *package.shape_yx)
    stored = np.random.default_rng(0).integers(0, 250, shape).astype(package.inputs.dtype or "u1")
    session = open_session(model, device="cpu", precision="fp32", threads=1, layout=package.layout)
    return session.submit(session.forward, stored, package.inputs).result()


def saved(model, folder, name="x.dlpk"):
    return open_model(model.save(folder / name), trust=True)


def text_of(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(path.stem + ".emd"))


def net(bands=3, classes=2, *, norm="batch"):
    return RandomNet(bands, classes, norm=norm, stride=2, width=4)


AB = ["a", "b"]


class Labels(nn.Module):
    """Scores of a whole image."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        return self.head(x.mean((2, 3)))


def recognizer():
    spec = InputSpec(("red", "green", "blue"), fit=Fit("crop", 32, 48), dtype="uint8")
    how = Recognizer(False, "sigmoid", (0.25, 0.5), fixed_chip=True)
    return wrap(
        Labels().eval(),
        Facts("labels", "recognize", spec, make_classes(AB), 32, width=48, recognizer=how),
    )


def rectangle():
    spec = InputSpec(("nir", "red"), positions=(3, 0), low=(0, -np.inf), high=(99, np.inf))
    return wrap(net(2), Facts("wide", "classify", spec, make_classes(AB), 48, width=32))


@functools.cache
def model_of(name):
    """A model that is made once."""
    return MODELS[name]()


MODELS = {
    "names, mean and std": lambda: from_torch(
        net(), bands=["red", "green", "nir"], classes=AB, window=32, mean=(0.1, 0.2, 0.3),
        std=(0.5, 0.6, 0.7), cell_size=0.3, dtype="uint8",
    ),
    "unbounded": lambda: from_torch(
        net(norm="group"), bands=3, classes=AB, window=32, padding=9, fixed_window=True
    ),
    "quantities": lambda: from_torch(
        net(), "regress", bands=3, classes=["height", "width"], window=32, scale=0.3
    ),
    "regions": lambda: from_torch(
        net(classes=3), "detect", bands=3, classes=AB, window=32, threshold=0.3
    ),
    "peaks": lambda: from_torch(
        net(), "detect", bands=3, classes=AB, window=32, decoder="heatmap", box_size=4.5, radius=3
    ),
    "change": lambda: from_torch(
        net(4), classes=AB, window=32, bands=["before_red", "before_nir", "after_red", "after_nir"]
    ),
    "labels": recognizer,
    "rectangle": rectangle,
    "naip-trees": lambda: open_model("naip-trees"),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_what_is_saved_opens_the_same(name, tmp_path):
    model = model_of(name)
    again = saved(model, tmp_path)
    assert facts(again) == facts(model)
    assert torch.equal(answer(again), answer(model))
    twice = saved(again, tmp_path, "twice.dlpk")
    assert facts(twice) == facts(model)
    about, people = again.package.about, ("title", "description", "license", "accuracy")
    assert all(about.get(key) == model.package.about.get(key) for key in people)


def test_a_bundled_esri_package_keeps_its_own_keys(tmp_path):
    model = open_model("naip-landcover")
    (tmp_path / "other").mkdir()
    path, other = (model.save(tmp_path / name) for name in ("x.dlpk", "other/x.dlpk"))
    assert path.read_bytes() == other.read_bytes()
    text, before = text_of(path), model.package.about["emd"]
    for key in ("Classes", "ExtractBands", "DataRange", "WellKnownBandNames", "Description"):
        assert text[key] == before[key]
    again = open_model(path, trust=True)
    assert facts(again) == facts(model) and torch.equal(answer(again), answer(model))


def test_the_keys_are_esris(tmp_path):
    model = model_of("names, mean and std")
    text = text_of(model.save(tmp_path / "x.dlpk"))
    assert (text["Framework"], text["ModelFile"], text["ModelFormat"]) == (
        "PyTorch",
        "x.pt",
        "NCHW",
    )
    assert text["ModelType"] == "ImageClassification" and text["ExtractBands"] == [0, 1, 2]
    assert (text["ImageHeight"], text["ImageWidth"]) == (32, 32)
    assert text["WellKnownBandNames"] == ["Red", "Green", "NearInfrared"]
    assert text["MinCellSize"]["x"] == 0.3 and text["MaxCellSize"]["spatialReference"]["wkid"]
    assert text["Classes"][1] == {"Value": 1, "Name": "b", "Color": [230, 159, 0]}
    assert text["SupportsVariableTileSize"] is True


@pytest.mark.parametrize("name", ["names, mean and std", "quantities", "rectangle", "unbounded"])
def test_the_standard_keys_alone_scale_alike(name, tmp_path):
    """A reader that does not know our key feeds the network the same, but for rounding."""
    model = model_of(name)
    path = model.save(tmp_path / "x.dlpk")
    text = text_of(path)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "open")
    (tmp_path / "open" / "x.emd").write_text(
        json.dumps({key: value for key, value in text.items() if key != "GeodlLab"})
    )
    plain = open_model(tmp_path / "open" / "x.emd", trust=True)
    low = dataclasses.replace(model.package.inputs, low=None, high=None)
    uncut = Model(dataclasses.replace(model.package, inputs=low), model.network)
    assert torch.allclose(answer(plain), answer(uncut), rtol=1e-3, atol=1e-4)


def test_a_standard_key_that_was_edited_wins(tmp_path):
    path = model_of("regions").save(tmp_path / "x.dlpk")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "open")
    emd = tmp_path / "open" / "x.emd"
    text = json.loads(emd.read_text())
    text |= {"Threshold": 0.8, "DataRange": [0, 5], "WellKnownBandNames": ["Red", "Blue", "nir"]}
    text.pop("NormalizationStats", None)
    emd.write_text(json.dumps(text | {"IsMultispectral": False}))
    package = open_model(emd, trust=True).package
    assert package.decoder.threshold == 0.8 and package.inputs.bands == ("red", "blue", "nir")
    assert package.inputs.scale == pytest.approx(5 / 255)


def test_unknown_keys_are_written_back(esri, tmp_path):
    path = esri.write(tmp_path / "a", Something={"else": [1, None]}, BatchSize=4)
    text = text_of(esri.read(path).save(tmp_path / "x.dlpk"))
    assert text["Something"] == {"else": [1, None]} and text["BatchSize"] == 4


FILES = {"a.emd": b'{"ModelType": "ObjectDetection"}', "F.py": b"class F: 1"}


class Function:
    """A network that is a Python function with its files."""

    function = SimpleNamespace(content=FILES)

    def placed(self, device, threads):
        raise NotImplementedError


def test_the_files_of_a_function_are_written_as_they_came(tmp_path):
    model = Model(model_of("unbounded").package, Function())
    with zipfile.ZipFile(model.save(tmp_path / "x.dlpk")) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == FILES


@pytest.mark.parametrize(
    "keys", [{"Framework": "CNTK", "ModelFile": "t.model"}, {"InferenceFunction": ".\\F.py"}]
)
def test_what_is_not_run_is_written_as_it_came(esri, tmp_path, keys):
    path = esri.write(tmp_path / "a", b"weights", weights_name="t.model", **keys)
    (tmp_path / "a" / "F.py").write_bytes(b"raise SystemExit")
    saved = open_model(path).save(tmp_path / "x.dlpk")
    with zipfile.ZipFile(saved) as archive:
        files = {file.name: file.read_bytes() for file in (tmp_path / "a").iterdir()}
        assert {name: archive.read(name) for name in archive.namelist()} == files
    assert facts(open_model(saved)).inputs == facts(open_model(path)).inputs


def test_what_cannot_be_written_leaves_nothing(tmp_path):
    model = from_torch(RegionDetector(), "detect", bands=1, classes=["a"], window=32)
    with pytest.raises(ModelError, match="cannot be written as TorchScript"):
        model.save(tmp_path / "x.dlpk")
    assert list(tmp_path.iterdir()) == []
    model = model_of("unbounded")
    with pytest.raises(OutputError, match="there is no folder"):
        model.save(tmp_path / "no" / "x.dlpk")
    (tmp_path / "x.dlpk").write_bytes(b"mine")
    assert open_model(model.save(tmp_path / "x.dlpk")).package.name == model.name
    assert len(list(tmp_path.iterdir())) == 1


def test_numbers_that_json_does_not_know_are_written(tmp_path):
    package = model_of("unbounded").package
    spec = dataclasses.replace(package.inputs, mean=tuple(np.float32([0.1, 0.2, 0.3])))
    about = {"accuracy": {"F1": float("nan"), "n": np.int64(3)}, "emd": {"Else": np.inf}}
    changed = dataclasses.replace(package, inputs=spec, about=about)
    path = Model(changed, model_of("unbounded").network).save(tmp_path / "x.dlpk")
    text = text_of(path)
    assert text["Else"] is None
    assert text["GeodlLab"]["about"]["accuracy"] == {"F1": None, "n": 3}
    assert facts(open_model(path, trust=True)).inputs == spec


def test_a_saved_model_maps_a_raster_to_the_same_pixels(tmp_path):
    model = model_of("names, mean and std")
    raster = make_raster((3, 80, 70), names=("nir", "green", "red"))
    again = saved(model, tmp_path)
    assert (raster.dl.classify(again).values == raster.dl.classify(model).values).all()
    assert geodl_lab.open_model(again) is again
