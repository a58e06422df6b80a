import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import geodl_lab
from geodl_lab.errors import ModelError, TrustError
from geodl_lab.packages.registry import ZOO

ESRI = Path(__file__).parents[3] / "shared" / "data" / "pretrained_esri_naip_landcover"


@pytest.fixture
def copy(tmp_path):
    folder = tmp_path / "esri"
    shutil.copytree(ZOO / "naip-landcover", folder)
    return folder / "trained.emd"


def test_the_description_is_read(copy):
    package = geodl_lab.open_model(copy, trust=True).package
    assert package.inputs.bands == ("red", "green", "blue", "nir")
    assert package.inputs.scale == pytest.approx(1 / 255) and package.inputs.dtype == "uint8"
    assert (package.window, package.field.halo, package.field.crop) == (256, 64, 64)
    assert not package.field.finite and package.fixed_window
    assert [label.value for label in package.classes] == [0, 1, 2, 3, 4, 5]
    assert package.classes[3].name == "Open Water" and package.classes[3].color == "#000075"


def test_weights_that_are_a_program_need_trust(copy):
    with pytest.raises(TrustError, match=r"is a program .*trust=True \(sha256 "):
        geodl_lab.open_model(copy)


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
        geodl_lab.open_model(copy, trust=True)


def test_damaged_weights_are_refused(copy):
    (copy.parent / "trained_torchscript.pt").write_bytes(b"PK\x03\x04 nonsense")
    with pytest.raises(ModelError, match="do not open; get the model again"):
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
