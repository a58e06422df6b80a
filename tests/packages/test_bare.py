"""Files of weights alone: small ones made here, and real ones where they are at hand."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from geodl_lab import from_torch, open_raster
from geodl_lab.errors import ModelError, TrustError
from geodl_lab.packages.archives import open_files
from geodl_lab.packages.bare import read_bare
from geodl_lab.testing import RandomNet, make_raster, paint, pixel_boxes, save_onnx, wrap

pytest.importorskip("onnxruntime")

DATA = Path(__file__).parents[3] / "shared" / "data"
ESRI, UKIS = DATA / "pretrained_esri_naip_landcover", DATA / "pretrained_ukis_csmask"
real = pytest.mark.skipif(not DATA.exists(), reason="NOT RUN: ../shared/data is not here")
SAID = {"bands": 3, "classes": list("abcd")}


def bare(path, **said):
    files = open_files(Path(path))
    return read_bare(files, files.main, **said)


def script(net, path, shape=(1, 3, 64, 64)):
    torch.jit.save(torch.jit.trace(net, torch.zeros(shape)), str(path))
    return path


def test_onnx_and_torchscript_answer_as_the_module(tmp_path):
    net, raster = RandomNet(), make_raster((3, 150, 130))
    expected = raster.dl.classify(from_torch(net, **SAID, window=64))
    onnx = bare(save_onnx(net, tmp_path / "net.onnx"), **SAID, window=64)
    traced = bare(script(net, tmp_path / "net.pt"), **SAID, window=64, trust=True)
    for model in (onnx, traced):
        assert (raster.dl.classify(model) == expected).all()
        assert model.name == "net" and model.package.inputs.scale == 1 / 255
    content = (tmp_path / "net.onnx").read_bytes()
    assert onnx.package.sha256 == hashlib.sha256(content).hexdigest()


def test_the_size_of_the_graph_is_the_window(tmp_path):
    path = save_onnx(RandomNet(), tmp_path / "net.onnx", (1, 3, 64, 96), free=())
    package = bare(path, **SAID).package
    assert package.shape_yx == (64, 96) and package.fixed_window
    with pytest.raises(ModelError, match="the network takes 64 x 96; give its size"):
        bare(path, **SAID, window=128)
    with pytest.raises(ModelError, match="says 4 bands, the network takes 3"):
        bare(path, **{**SAID, "bands": 4})
    with pytest.raises(ModelError, match="4 channels and 2 classes"):
        bare(path, bands=3, classes=["a", "b"])


def test_a_file_that_nothing_describes_tells_what_it_can(tmp_path):
    path = save_onnx(RandomNet(), tmp_path / "net.onnx", (1, 3, 64, 96), free=())
    with pytest.raises(ModelError, match=r"takes \(bands, height, width\) = \(3, 64, 96\) and "
                       r"gives scores float32 \(1, 4, 64, 96\); say the rest, as in "
                       r"open_model\('net.onnx', bands=\['red', 'green', 'blue'\]"):  # fmt: skip
        bare(path)
    net = RandomNet(bands=5)
    with pytest.raises(ModelError, match=r"takes 5 bands of 256 x 256 pixels and answers a tensor "
                       r"\(1, 4, 256, 256\); say .* bands=5"):  # fmt: skip
        bare(script(net, tmp_path / "net.pt", (1, 5, 64, 64)), trust=True, classes=["a"])


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"colour": 1, **SAID}, r"nothing is known of 'colour'; possible are .*bands.*window"),
        ({"output": "x", **SAID}, "has no output 'x'; possible are scores"),
        ({"bands": "red", "classes": ["a"]}, "says 1 bands, the network takes 3"),
        ({"task": "segment", **SAID}, "task 'segment' is not possible"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, said, message):
    with pytest.raises(ModelError, match=message):
        bare(save_onnx(RandomNet(), tmp_path / "net.onnx"), **said)


def test_options_of_onnx_are_refused_for_others(tmp_path):
    path = script(RandomNet(), tmp_path / "net.pt")
    with pytest.raises(ModelError, match=r"are of ONNX files, not of 'net.pt'"):
        bare(path, **SAID, channels_first=False, trust=True)
    with pytest.raises(TrustError, match="is a program"):
        bare(path, **SAID)


class PixelDetector(torch.nn.Module):
    """Answers a box of 5 pixels below and right of every bright pixel: boxes, labels, scores."""

    def forward(self, x):
        corner = (x[0, 0] > 0.5).nonzero().flip(1).float()  # (n, 2) as x, y
        labels = torch.ones_like(corner[:, 0]).long()
        return torch.cat([corner, corner + 5], dim=1), labels, corner[:, 0] * 0 + 0.9


@pytest.mark.parametrize("outputs", [("boxes", "labels", "scores"), ("out.1", "out.2", "out.3")])
def test_detectors_of_tuples_and_names_find_objects(tmp_path, outputs):
    corners = [(10, 12), (40, 33), (70, 64), (100, 90)]
    raster = paint((128, 140), [(x, y, x + 1, y + 1) for x, y in corners])
    net = PixelDetector()
    path = save_onnx(net, tmp_path / "net.onnx", (1, 1, 64, 64), free=(0,), outputs=outputs)
    said = {"task": "detect", "bands": 1, "classes": ["a"], "max_object": 8}
    expected = [(x, y, x + 5, y + 5) for x, y in corners]
    torch.jit.save(torch.jit.script(net), str(tmp_path / "net.pt"))
    for model in (
        bare(path, **said),
        bare(tmp_path / "net.pt", **said, window=64, trust=True),
        from_torch(net, window=64, **said),
    ):
        assert pixel_boxes(raster.dl.detect(model), raster) == expected


@real
def test_the_cloud_model_reaches_its_published_agreement():
    text = json.loads((UKIS / "model_4b_l1c.json").read_text())
    mean, std = text["data"]["dataset_statistics"]["img"]
    names = text["data"]["dataset_statistics"]["band_names"]
    model = bare(
        UKIS / "model_4b_l1c.onnx", bands=names, classes=["clear", "cloud", "shadow"],
        scale=1, mean=mean, std=std,
    )  # fmt: skip
    with np.load(UKIS / "landsat7.npz") as scene:
        image, hand = scene["img"], scene["msk"][..., 0]
    truth = np.select([hand == 0, hand == 4], [2, 1], 0)
    found = wrap(image[..., :4].transpose(2, 0, 1), names=tuple(names)).dl.classify(model).values
    counts = np.zeros((3, 3))
    np.add.at(counts, (truth, found), 1)
    shares = counts / counts.sum()
    chance = (shares.sum(axis=0) * shares.sum(axis=1)).sum()
    assert (np.trace(shares) - chance) / (1 - chance) >= 0.81


@real
def test_a_real_network_maps_the_same_as_onnx_and_as_torchscript():
    text = json.loads((ESRI / "trained.emd").read_text())
    said = {
        "bands": ["red", "green", "blue", "nir"],
        "classes": [label["Name"] for label in text["Classes"]],
        "window": 256, "fixed_window": True, "padding": 64,
    }  # fmt: skip
    scene = open_raster(DATA / "scenes" / "naip_m_4709963_se_14_1_20200831_rgbn_epsg26914.tif")
    part = scene[:, 100:300, 200:460].load()
    onnx = part.dl.classify(bare(ESRI / "trained.onnx", **said))
    traced = part.dl.classify(bare(ESRI / "trained_torchscript.pt", **said, trust=True))
    assert len(np.unique(onnx)) > 2 and (onnx == traced).all()
