"""Files of weights alone: small ones made here, and real ones where they are at hand."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from geodl_lab import from_torch, nets, open_raster
from geodl_lab.errors import ModelError
from geodl_lab.packages.archives import open_files
from geodl_lab.packages.bare import read_bare
from geodl_lab.testing import RandomNet, make_raster, paint, pixel_boxes, save_onnx, wrap

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")

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
    exported = bare(save_onnx(net, tmp_path / "net.onnx"), **SAID, window=64)
    traced = bare(script(net, tmp_path / "net.pt"), **SAID, window=64, trust=True)
    for model in (exported, traced):
        assert (raster.dl.classify(model) == expected).all()
        assert model.name == "net" and model.package.inputs.scale == 1 / 255
    content = (tmp_path / "net.onnx").read_bytes()
    assert exported.package.sha256 == hashlib.sha256(content).hexdigest()


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
    assert bare(path, **SAID).package.inputs.count == SAID["bands"]


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


class Ends(torch.nn.Module):
    """Answers six numbers an object: shares of the window, labels from 0; one is of nothing."""

    def forward(self, x):
        boxes, labels, scores = PixelDetector()(x)
        rows = torch.cat([boxes / 64, scores[:, None], labels[:, None] - 1], dim=1)
        return torch.nn.functional.pad(rows, (0, 0, 0, 1))[None]  # (1, n + 1, 6)


def test_end_to_end_detectors_answer_rows(tmp_path):
    raster = paint((64, 100), [(10, 12, 11, 13), (70, 33, 71, 34)])
    path = save_onnx(Ends(), tmp_path / "net.onnx", (1, 1, 64, 64), free=())
    said = {"task": "detect", "bands": 1, "classes": ["a"], "max_object": 8, "decoder": "boxes",
            "box_unit": "window"}  # fmt: skip
    model = bare(path, **said, labels_from=0)
    assert pixel_boxes(raster.dl.detect(model), raster) == [(10, 12, 15, 17), (70, 33, 75, 38)]
    with pytest.raises(ModelError, match="say from where its labels count"):
        bare(path, **said)


def test_one_of_several_outputs_can_be_the_scores(tmp_path):
    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = RandomNet()

        def forward(self, x):
            scores = self.net(x)
            return scores, scores[:, :1]

    path = save_onnx(Two().eval(), tmp_path / "net.onnx", outputs=("scores", "extra"))
    with pytest.raises(ModelError, match=r"a dict of scores: float32 .* extra: .*output='scores'"):
        bare(path, **SAID, window=64)
    assert bare(path, **SAID, window=64, output="scores").package.field.finite


def test_files_of_tensors_need_their_architecture(tmp_path):
    arguments = {"in_channels": 3, "out_channels": 2, "widths": [4, 4, 4, 4]}
    net = nets.build("unet", arguments)
    path = tmp_path / "net.safetensors"
    safetensors.torch.save_file(net.state_dict(), str(path))
    said = {"bands": 3, "classes": ["a", "b"], "window": 64}
    model = bare(path, **said, architecture={"name": "unet", "arguments": arguments})
    with torch.inference_mode():
        x = torch.rand(1, 3, 64, 64)
        assert (model.network(x) - net.eval()(x)).abs().max() < 1e-5
    with pytest.raises(ModelError, match="does not say of which architecture; open them with one"):
        bare(path, **said)
    with pytest.raises(ModelError, match="'resnet9000' is not known"):
        bare(path, **said, architecture="resnet9000")
    for given in (5, {"name": ["unet"]}, {}):
        with pytest.raises(ModelError, match=r"architecture .* is none; give a name, or"):
            bare(path, **said, architecture=given)


def test_the_hash_covers_side_files(tmp_path):
    path, other = save_onnx(RandomNet(), tmp_path / "net.onnx"), tmp_path / "other.onnx"
    onnx.save_model(
        onnx.load(str(path)), str(other), save_as_external_data=True, location="other.bin",
        size_threshold=64,
    )  # fmt: skip
    first = bare(other, **SAID, window=64).package.sha256
    content = bytearray((tmp_path / "other.bin").read_bytes())
    content[0] ^= 1
    (tmp_path / "other.bin").write_bytes(content)
    assert bare(other, **SAID, window=64).package.sha256 != first


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
    exported = part.dl.classify(bare(ESRI / "trained.onnx", **said))
    traced = part.dl.classify(bare(ESRI / "trained_torchscript.pt", **said, trust=True))
    assert len(np.unique(exported)) > 2 and (exported == traced).all()


def test_mean_and_std_need_a_scale(tmp_path):
    net = torch.nn.Conv2d(1, 2, 1)
    torch.jit.trace(net, torch.zeros(1, 1, 64, 64)).save(tmp_path / "net.pt")
    said = {"bands": ["red"], "classes": ["a", "b"], "mean": [0.3], "std": [0.2]}
    with pytest.raises(ModelError, match=r"mean and std of 'net.pt' are given without scale"):
        bare(tmp_path / "net.pt", **said)
    assert bare(tmp_path / "net.pt", **said, scale=1).package.inputs.mean == (0.3,)
