"""The PEKAT VISION SDK, unmodified, of both generations, with the model that is bundled."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

import geodl_lab
from geodl_lab import open_model, photo_answers, photos

ROOT = Path(__file__).parents[2]
SCENE = ROOT / "geodl_lab" / "data" / "santa_monica_naip.tif"
SCRIPT = Path(__file__).with_name("pekat_client.py")
PYTHONS = os.environ.get("GEODL_PEKAT_PYTHONS", "").split()
KEY = "key-of-the-project"

pytestmark = pytest.mark.skipif(
    len(PYTHONS) != 2, reason="GEODL_PEKAT_PYTHONS names no two Pythons with pekat-vision-sdk"
)

# What the SDK starts when it is told where PEKAT VISION is installed.
PROGRAM = """#!{python}
import json, os, pathlib, subprocess, sys, threading, time, urllib.request
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
folder = pathlib.Path(given["-data"])
server = subprocess.Popen(
    [sys.executable, "-W", "ignore", "-m", "geodl_lab", "serve", "--port", "0", "--data-dir",
     str(folder / "data"), "--pekat-port", given["-port"], "--pekat-project",
     str(folder / "project.json"), "--pekat-stop-key", given["-stop_key"]],
    env={{**os.environ, "PYTHONPATH": {root!r}}},
)
while True:
    try:
        urllib.request.urlopen("http://127.0.0.1:" + given["-port"] + "/ping", timeout=5)
        break
    except OSError:
        time.sleep(0.1)
print("__SERVER_RUNNING__", flush=True)
sys.exit(server.wait())
"""


@pytest.fixture(scope="session", autouse=True)
def small_windows():
    """Not here: the server runs models as they are, and so do we."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A photo, project files, and an installation as the SDK looks for one."""
    folder = tmp_path_factory.mktemp("pekat")
    with rasterio.open(SCENE) as file:
        pixels = file.read((1, 2, 3))[:, 100:356, 100:420].transpose(1, 2, 0)
    Image.fromarray(pixels).save(folder / "photo.png")
    (folder / "open.json").write_text('{"api_key": null, "threshold": 0.3}')
    (folder / "secured.json").write_text(json.dumps({"api_key": KEY, "processing": False}))
    (folder / "project").mkdir()
    (folder / "project" / "pekat_package.json").write_text("{}")
    (folder / "project" / "project.json").write_text('{"api_key": null, "processing": false}')
    program = folder / "dist" / "pekat_vision" / "pekat_vision"
    program.parent.mkdir(parents=True)
    program.write_text(PROGRAM.format(python=sys.executable, root=str(ROOT)))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return folder


@pytest.fixture(scope="module")
def ports(folder):
    """Ports of a server without a key and of one with the project's."""

    def served(name):
        options = {"port": 0, "pekat_port": 0, "pekat_project": folder / f"{name}.json"}
        return geodl_lab.serve(folder / f"data-{name}", **options)

    with served("open") as one, served("secured") as other:
        yield [server.pekat_url.rpartition(":")[2] for server in (one, other)]


@pytest.fixture(scope="module")
def direct(folder):
    """What a direct call says of the photo."""
    photo = photos.open_photo((folder / "photo.png").read_bytes())
    model = open_model("tree-crowns")
    return photo_answers.answer_photo(photo, model, most=100_000, thresholds=0.3, device="cpu")


def talk(python, folder, ports):
    words = [python, SCRIPT, ports[0], folder / "photo.png", ports[1], KEY, folder]
    done = subprocess.run(
        list(map(str, words)), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module", params=[0, 1], ids=["2.3.3", "1.4.4"])
def seen(request, folder, ports):
    """What a client saw."""
    return talk(PYTHONS[request.param], folder, ports)


def boxes(context):
    return [
        (one["x"], one["y"], one["width"], one["height"], one["confidence"])
        for one in context["detectedRectangles"]
    ]


@pytest.mark.clients
def test_every_call_answers_what_a_direct_call_does(seen, direct, folder):
    with Image.open(folder / "photo.png") as photo:
        size, mean = photo.size, np.asarray(photo).mean()
    wanted = [
        (round(r.x0), round(r.y0), round(r.x1) - round(r.x0), round(r.y1) - round(r.y0),
         r.labels[0].score)
        for r in direct.regions
    ]  # fmt: skip
    assert len(wanted) > 3
    kinds = ("file", "array", "bytes", "image", "annotated_image", "heatmap")
    looked = {name: one for name, one in seen.items() if name.split()[0] in kinds}
    assert len(looked) >= 12
    for name, one in looked.items():
        context = one["context"]
        found = boxes(context)
        assert [box[:4] for box in found] == [box[:4] for box in wanted], name
        assert np.allclose([box[4] for box in found], [box[4] for box in wanted], atol=1e-4), name
        assert context["result"] is False and context["threshold"] == 0.3
        assert context["imageShape"] == {"width": size[0], "height": size[1]}
        assert one["shape"] is None or one["shape"][:2] == [size[1], size[0]]
        if name.startswith("image"):
            assert abs(one["mean"] - mean) < 1e-9
    for place in (True, False):
        assert seen[f"file {place}"]["context"]["data"] == "lot-7"
        assert seen[f"array {place}"]["context"]["data"] == ""
        assert seen[f"grey {place}"]["context"]["error"] is False


@pytest.mark.clients
def test_versions_and_keys(seen):
    if seen["version"] is True:  # 1.x asks for no version, and can send a key
        assert seen["key"]["context"]["error"] is False
        assert seen["key"]["context"]["processing"] is False
        assert seen["no key"]["context"]["error"] is True
        assert "result" not in seen["no key"]["context"]
    else:
        assert tuple(map(int, seen["version"].partition("+")[0].split("."))) < (3, 18)
        assert seen["ping"] == 200
        for place in (True, False):
            assert seen[f"random {place}"]["shape"] == [30, 40, 3]


@pytest.mark.clients
def test_a_server_that_the_client_started_is_stopped_by_it(seen):
    assert seen["started"]["context"]["processing"] is False
    assert seen["stopped"] == 0
