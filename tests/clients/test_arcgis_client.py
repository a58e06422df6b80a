"""The ArcGIS API for Python, unmodified, against a server over TLS."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

import geodl_lab
from geodl_lab.packages.installed import ZOO

SCENE = Path(geodl_lab.__file__).parent / "data" / "santa_monica_naip.tif"
SCRIPT = Path(__file__).with_name("arcgis_client.py")
PYTHON = os.environ.get("GEODL_ARCGIS_PYTHON", "")
SIDE = 320  # pixels
SHORT = ("models", "classify", "fail")
FULL = (*SHORT, "detect", "replace", "cancel", "packages", "chips", "arguments", "token")

pytestmark = [
    pytest.mark.skipif(not PYTHON, reason="GEODL_ARCGIS_PYTHON names no Python with arcgis"),
    pytest.mark.xdist_group("arcgis"),
]


@pytest.fixture(scope="session", autouse=True)
def small_windows():
    """Not here: the server runs models as they are, and so do we."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a small scene, its classes as the package itself makes them, and a package."""
    folder = tmp_path_factory.mktemp("arcgis")
    (folder / "scenes").mkdir()
    with rasterio.open(SCENE) as file:
        window = Window(512, 768, SIDE, SIDE)
        profile = file.profile | {
            "width": SIDE, "height": SIDE, "transform": file.window_transform(window),
            "driver": "GTiff",
        }  # fmt: skip
        with rasterio.open(folder / "scenes" / "scene.tif", "w", **profile) as small:
            small.write(file.read(window=window))
            small.descriptions, small.colorinterp = file.descriptions, file.colorinterp
        with rasterio.open(folder / "scenes" / "rgb.tif", "w", **profile | {"count": 3}) as rgb:
            rgb.write(file.read((1, 2, 3), window=window))
    scene = folder / "scenes" / "scene.tif"
    geodl_lab.classify_file(scene, folder / "classes.tif", "naip-landcover", device="cpu")
    mine = folder / "mine"
    shutil.copytree(ZOO / "naip-trees", mine)
    for text in mine.glob("*.json"):
        text.write_text(text.read_text("utf-8").replace('"naip-trees"', '"mine"', 1), "utf-8")
    return Path(shutil.make_archive(str(mine), "zip", mine)).rename(folder / "mine.dlpk").parent


@pytest.fixture(scope="module")
def server(folder):
    """A server over TLS with an authority of its own and no models but ours."""
    patch = pytest.MonkeyPatch()
    patch.setenv("GEODL_MODELS", str(folder / "models"))
    with geodl_lab.serve(
        data_dir=folder / "data", stores={"scenes": folder / "scenes"}, self_signed=True, port=0
    ) as server:
        yield server
    patch.undo()


@pytest.fixture(scope="module")
def drive(server, folder):
    """Run steps of the client; returns what each of them saw."""

    def drive(steps):
        with rasterio.open(folder / "classes.tif") as file:
            box, crs = file.bounds, file.crs.to_epsg()
            places = [file.xy(row, column) for row, column in places_of(file.read(1))]
        task = {
            "url": server.url, "key": server.api_key, "ca": str(server.ca_file), "steps": steps,
            "raster": "/fileShares/scenes/scene.tif", "crs": {"wkid": crs}, "places": places,
            "extent": dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)),
            "size": [SIDE, SIDE], "folder": str(folder), "package": str(folder / "mine.dlpk"),
        }  # fmt: skip
        run = subprocess.run(
            [PYTHON, str(SCRIPT)], check=False, input=json.dumps(task), capture_output=True,
            text=True, timeout=600,
        )  # fmt: skip
        assert run.returncode == 0, run.stderr[-4000:]
        return json.loads(run.stdout.splitlines()[-1])

    return drive


def places_of(classes):
    """Some rows and columns, of each class one."""
    values = [value for value in np.unique(classes) if value != 255]
    return [tuple(int(i) for i in np.argwhere(classes == value)[0]) for value in values]


def check_short(seen, folder):
    """Models, a classified raster and failures are what they should be."""
    assert any("naip-landcover" in one for one in seen["models"]["listed"])
    assert seen["models"]["query"]["ModelName"] == "naip-landcover"
    with rasterio.open(folder / "classes.tif") as file:
        classes = file.read(1)
    wanted = [str(classes[place]) for place in places_of(classes)]
    assert len(wanted) > 1
    assert seen["classify"]["identify"] == wanted
    assert seen["classify"]["type"] == "Image Service"
    with rasterio.open(seen["classify"]["tiff"]) as file:
        np.testing.assert_array_equal(file.read(1), classes)
    package = geodl_lab.open_model("naip-landcover").package
    rows = [
        (row["Value"], row["Red"], row["Green"], row["Blue"]) for row in seen["classify"]["table"]
    ]
    assert rows == [(one.value, *one.rgb) for one in package.classes]
    missing, outside = seen["fail"]["said"]
    assert "there is no 'scenes/none.tif'" in missing
    assert "in no store of this server; give /fileShares/scenes/" in outside
    assert seen["fail"]["left"] == []


@pytest.mark.slow
def test_a_user_classifies_and_reads(drive, folder):
    check_short(drive(SHORT), folder)


@pytest.mark.clients
def test_a_user_does_everything(drive, folder):
    if not PYTHON:
        pytest.skip("GEODL_ARCGIS_PYTHON names no Python with arcgis")
    seen = drive([step for step in FULL if step not in SHORT])
    objects = geodl_lab.detect_file(
        folder / "scenes" / "scene.tif", folder / "trees.parquet", "naip-trees", device="cpu"
    )
    assert objects is not None
    assert seen["detect"]["count"] == len(seen["detect"]["rows"]) > 0
    assert seen["detect"]["none"] == 0
    assert {row["Class"] for row in seen["detect"]["rows"]} == {"tree"}
    assert seen["replace"]["before"] == seen["replace"]["after"]
    assert seen["cancel"]["status"] == "esriJobCancelled"
    mine = seen["packages"]
    assert mine["installed"].startswith("mine@")
    assert any("mine" in one for one in mine["listed"])
    assert mine["removed"] == mine["item"]
    assert not any("mine" in one for one in mine["after"])
    assert mine["deleted"]
    assert seen["chips"]["place"].endswith("/Hosted/ag_chips/download/ag_chips.zip")
    assert seen["chips"]["labelled"].endswith("/ag_labels.zip")
    with rasterio.open(folder / "classes.tif") as file:
        classes = file.read(1)
    wanted = [str(classes[place]) for place in places_of(classes)]
    assert seen["arguments"]["identify"] == wanted
    assert seen["token"]["same"]
