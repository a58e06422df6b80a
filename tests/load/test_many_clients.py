"""64 clients submit and poll for a minute: no 5xx, and every answer belongs to its question."""

import concurrent.futures
import json
import os
import time

import httpx
import numpy as np
import pytest
import rasterio

import geodl_lab
from tests.load.conftest import FINAL, KEY, MODEL, TASKS, write_scene

pytestmark = [pytest.mark.load, pytest.mark.xdist_group("load")]
CLIENTS = 64
SECONDS = float(os.environ.get("GEODL_LOAD_SECONDS", "60"))


@pytest.fixture(autouse=True)
def small_windows():
    """Not here: the server cuts windows as it does."""


def test_many_clients_get_their_own_answers(server, tmp_path):
    scenes = {}
    for seed in range(8):
        write_scene(tmp_path / "in" / f"{seed}.tif", seed, 96)
        out = tmp_path / f"{seed}.out.tif"
        geodl_lab.classify_file(tmp_path / "in" / f"{seed}.tif", out, MODEL)
        with rasterio.open(out) as file:
            scenes[seed] = file.read(1)
    server.start()
    server.wait([server.classify("0.tif", "first")], 120)  # now torch and model are loaded
    end = time.monotonic() + SECONDS
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        told = list(pool.map(lambda n: _client(server.url, n, end), range(CLIENTS)))
    statuses = [status for one in told for status in one["statuses"]]
    assert max(statuses) < 500, sorted(set(statuses))
    ended = [done for one in told for done in one["ended"]]
    last = {one["submitted"][-1]: n for n, one in enumerate(told) if one["submitted"]}
    ended += [(id, last[id], job["jobStatus"]) for id, job in server.wait(list(last), 300).items()]
    assert sum(len(one["submitted"]) for one in told) >= CLIENTS
    for id, number, status in set(ended):
        assert status == "esriJobSucceeded", server.job(id)
        assert f"/{number % 8}.tif" in _input(server.url, id)
    for id, number, _ in ended[:: max(len(ended) // 16, 1)]:
        name = server.get(f"{TASK}/jobs/{id}/results/outRaster")["value"]["url"].split("/")[-2]
        np.testing.assert_array_equal(server.pixels(name, tmp_path), scenes[number % 8])
    assert server.stop() == 0


TASK = "ClassifyPixelsUsingDeepLearning"


def _input(url: str, id: str) -> str:
    query = {"f": "json", "token": KEY}
    path = f"{url}{TASKS}/{TASK}/jobs/{id}/inputs/inputRaster"
    return json.dumps(httpx.get(path, params=query).json())


def _client(url: str, number: int, end: float) -> dict:
    """Submit a job, poll it to its end, and again; return what was seen."""
    told = {"statuses": [], "submitted": [], "ended": []}
    with httpx.Client(base_url=url + TASKS + f"/{TASK}", timeout=60) as client:
        while time.monotonic() < end:
            form = {
                "inputRaster": json.dumps({"uri": f"/fileShares/in/{number % 8}.tif"}),
                "outputClassifiedRaster": json.dumps(
                    {"serviceProperties": {"name": f"c{number}_{len(told['submitted'])}"}}
                ),
                "model": json.dumps({"uri": MODEL}), "f": "json", "token": KEY,
            }  # fmt: skip
            answer = client.post("/submitJob", data=form)
            told["statuses"].append(answer.status_code)
            id = answer.json()["jobId"]
            told["submitted"].append(id)
            while time.monotonic() < end:
                answer = client.get(f"/jobs/{id}", params={"f": "json", "token": KEY})
                told["statuses"].append(answer.status_code)
                job = answer.json()
                assert job["jobId"] == id
                if job["jobStatus"] in FINAL:
                    told["ended"].append((id, number, job["jobStatus"]))
                    break
                time.sleep(0.1)
    return told
