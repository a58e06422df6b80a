"""Claims that need the big data beside the repository; told loudly where it is not there."""

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

import geodl_lab
from geodl_lab.errors import BandError

DATA = Path(__file__).parents[2] / "shared" / "data"
SCENES = DATA / "scenes"
NAIP = SCENES / "naip_m_4709963_se_14_1_20200831_rgbn_epsg26914.tif"

pytestmark = pytest.mark.skipif(
    not DATA.exists(), reason="NOT RUN: the real scenes (../shared/data) are not here"
)


def test_torch_equals_onnxruntime_on_real_chips():
    onnxruntime = pytest.importorskip("onnxruntime")
    path = DATA / "pretrained_esri_naip_landcover" / "trained.onnx"
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    network = geodl_lab.open_model("naip-landcover").network
    scene = geodl_lab.open_raster(geodl_lab.demo_scene())
    chips = [(0, 512), (768, 1792), (1792, 0), (4096, 512)]
    for y, x in chips:
        chip = scene[:, y : y + 256, x : x + 256].values.astype(np.float32)[None] / 255
        (theirs,) = session.run(None, {session.get_inputs()[0].name: chip})
        with torch.inference_mode():
            ours = network(torch.from_numpy(chip)).numpy()
        assert np.abs(ours - theirs).max() < 1e-3
        assert (ours.argmax(1) == theirs.argmax(1)).mean() > 0.9999


def test_reflection_keeps_classes_where_zeros_change_them():
    """Crops of a contiguous scene against the same pixels classified within it."""
    scene = geodl_lab.open_raster(NAIP).load()
    kept = np.zeros(scene.shape[1:], dtype=bool)
    for y in range(40, 640, 320):
        for x in range(30, 640, 320):
            kept[y : y + 200, x : x + 200] = True
    kept &= (scene.values > 0).any(axis=0)
    crops = scene.where(kept, 0).astype("uint8").rio.write_nodata(0)
    whole = scene.dl.classify("naip-landcover").values
    reflected = crops.dl.classify("naip-landcover").values
    zeros = xr.DataArray(crops.values, dims=crops.dims).dl.classify("naip-landcover").values
    assert ((reflected == 255) == ~kept).all()
    assert (reflected != whole)[kept].mean() < 0.03
    assert (zeros != whole)[kept].mean() > 0.1


@pytest.mark.parametrize("path", sorted(SCENES.glob("*.tif")), ids=lambda path: path.stem[:20])
def test_scenes_of_other_sensors_are_refused_or_fit(path):
    raster = geodl_lab.open_raster(path)
    if path == NAIP:
        assert raster.dl.classify("naip-landcover", area=raster.rio.bounds()).rio.crs.to_epsg()
        return
    with pytest.raises(BandError, match="the model wants"):
        raster.dl.classify("naip-landcover")
