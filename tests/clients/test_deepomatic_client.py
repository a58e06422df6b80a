"""deepomatic-api 1.0.0 and 0.9.4, unmodified, against a server; answers as the package's own."""

import functools
import http.server
import json
import os
import subprocess
import threading
from pathlib import Path

import pytest
import torch
from PIL import Image

import geodl_lab
from geodl_lab.photo_answers import answer_photo
from geodl_lab.photos import open_photo

SCENE = Path(geodl_lab.__file__).parent / "data" / "santa_monica_naip.tif"
SCRIPT = Path(__file__).with_name("deepomatic_client.py")
PYTHONS = [one for one in os.environ.get("GEODL_DEEPOMATIC_PYTHONS", "").split(":") if one]
SHORT = ("account", "infer", "errors")
FULL = (*SHORT, "public", "crops", "batch", "own", "tensors")

pytestmark = [
    pytest.mark.skipif(
        not PYTHONS, reason="GEODL_DEEPOMATIC_PYTHONS names no Python with deepomatic-api"
    ),
    pytest.mark.xdist_group("deepomatic"),
]


@pytest.fixture(scope="session", autouse=True)
def small_windows():
    """Not here: the server runs models as they are, and so do we."""


class Colours(torch.nn.Module):
    """The share of red, green and blue."""

    def forward(self, x):
        return (x.mean((2, 3)) / 255).softmax(1)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a photo and a network."""
    folder = tmp_path_factory.mktemp("deepomatic")
    photo_of_scene().save(folder / "photo.jpg", quality=92)
    torch.jit.trace(Colours(), torch.zeros(1, 3, 32, 32)).save(folder / "model.pt")
    return folder


def photo_of_scene():
    """Return a part of the bundled scene as a photo."""
    import rasterio  # noqa: PLC0415
    from rasterio.windows import Window  # noqa: PLC0415

    with rasterio.open(SCENE) as file:
        bands = file.read([1, 2, 3], window=Window(200, 200, 240, 320))
    return Image.fromarray(bands.transpose(1, 2, 0))


@pytest.fixture(scope="module")
def web(folder):
    """The folder on the web."""
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def drive(folder, web):
    """Run steps of a client; returns what each of them saw."""
    with geodl_lab.serve(
        data_dir=folder / "data", port=0, allow_url_host="127.0.0.1"
    ) as server:  # fmt: skip

        def drive(python, steps):
            task = {
                "url": server.url, "key": server.api_key, "steps": steps,
                "photo": str(folder / "photo.jpg"), "photo_url": f"{web}/photo.jpg",
                "network": str(folder / "model.pt"),
            }  # fmt: skip
            run = subprocess.run(
                [python, str(SCRIPT)], check=False, input=json.dumps(task), capture_output=True,
                text=True, timeout=300,
            )  # fmt: skip
            assert run.returncode == 0, run.stderr[-4000:]
            return json.loads(run.stdout)

        yield drive


def scores_of(data):
    """Return label ids and scores of a task's data, predicted ones first."""
    (output,) = data["outputs"]
    rows = [*output["labels"]["predicted"], *output["labels"]["discarded"]]
    return [(row["label_id"], row["score"]) for row in rows]


def answered(folder, model, **options):
    """Return what the package itself says of the photo."""
    photo = open_photo((folder / "photo.jpg").read_bytes())
    return answer_photo(photo, model, device="cpu", **options)


def check_short(seen, folder):
    assert set(seen["account"]) == {"id", "name", "email"}
    labels = answered(folder, "aerial-scene").labels
    for way in ("bytes", "base64", "url", "file"):
        wanted = [(one.label_id, pytest.approx(one.score, abs=1e-5)) for one in labels]
        assert sorted(scores_of(seen["infer"][way])) == sorted(wanted), way
    statuses = {name: status for name, (status, _) in seen["errors"].items()}
    assert statuses == {
        "empty": 400, "missing": 404, "unknown task": 404, "key": 401, "framework": 400,
    }  # fmt: skip
    assert all(set(body) == {"error", "detail"} for _, body in seen["errors"].values())


@pytest.mark.slow
def test_a_user_sends_photos(drive, folder):
    check_short(drive(PYTHONS[0], SHORT), folder)


@pytest.mark.clients
@pytest.mark.parametrize("python", PYTHONS)
def test_a_user_does_everything(drive, folder, python):
    seen = drive(python, FULL)
    check_short(seen, folder)
    check_public(seen["public"])
    check_crops(seen["crops"], folder)
    check_batch(seen["batch"], folder)
    check_own(seen["own"], seen["tensors"], folder)


def check_public(seen):
    assert seen["specs"] == ["aerial-scene", "aerial-tags", "tree-crowns"]
    assert (seen["count"], seen["back"]) == (3, ["aerial-scene"])
    assert "naip-trees" not in seen["networks"]
    for id, (output,) in seen["outputs"].items():
        classes = geodl_lab.open_model(id).package.classes
        assert output["labels"]["labels"] == [{"id": c.value, "name": c.name} for c in classes]


def check_crops(seen, folder):
    height, width = 320, 240
    box = [0.25 * width, 0, width, 0.75 * height]
    corners = [[0, 0], [width, 0], [0.5 * width, height]]
    parts = {"area": box, "polygon": corners, "crop_background": True}
    ways = {
        "url": "area", "bytes": "area", "JSON": "area", "polygon": "polygon",
        "polygon of an address": "polygon", "background": "crop_background",
    }  # fmt: skip
    for way, part in ways.items():
        truth = answered(folder, "tree-crowns", **{part: parts[part]})
        found = seen[way]["outputs"][0]["labels"]["predicted"]
        wanted = [
            (one.x0 / width, one.y0 / height, one.x1 / width, one.y1 / height)
            for one in truth.regions
        ]
        told = [tuple(row["roi"]["bbox"].values()) for row in found]
        assert told == [pytest.approx(one, abs=1e-3) for one in wanted], way


def check_batch(seen, folder):
    assert seen["places"] == [[], [0, 2], [1]]
    labels = answered(folder, "aerial-tags").labels
    wanted = [(one.label_id, pytest.approx(one.score, abs=1e-5)) for one in labels if one.predicted]
    assert [scores_of(one) for one in [*seen["data"], seen["again"]]] == [wanted] * 3
    assert seen["listed"] == ["success", "error", "success"]
    assert seen["error"] in seen["said"]


def check_own(seen, tensors, folder):
    with Image.open(folder / "photo.jpg") as photo:
        pixels = open_photo((folder / "photo.jpg").read_bytes())
        assert pixels.shape[1:] == photo.size[::-1]
    means = torch.tensor(pixels.mean(("y", "x")).values / 255).softmax(0).tolist()
    scores = dict(zip((5, 9, 2), means, strict=True))
    for way in ("soon", "spec"):
        assert dict(scores_of(seen[way])) == pytest.approx(scores, abs=2e-3)
    assert tensors["array"] == [pytest.approx(means, abs=2e-3)]
    labels = {one.label_id: one.score for one in answered(folder, "aerial-scene").labels}
    public = torch.tensor(tensors["public"][0]).softmax(0).tolist()
    assert public == pytest.approx([labels[id] for id in sorted(labels)], abs=1e-5)
    assert seen["deployment"] == "success"
    version = seen["version"]["id"]
    assert (seen["current"], seen["versions"], seen["all"]) == (version, [version], [version])
    assert seen["begin"]["current_version_id"] is None
    assert seen["updated"] == ["other", "changed", "mine"]
    assert seen["replaced"] == ["replaced", None]
    assert (seen["deleted"], seen["left"]) == ([None] * 3, [0, 0, 0])
