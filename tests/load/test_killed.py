"""``kill -9`` loses no acknowledged job, and changes no bit of a result."""

import os
import signal
import time

import numpy as np
import pytest
import rasterio

import geodl_lab
from tests.load.conftest import MODEL, Server, workers_of, write_scene

pytestmark = [pytest.mark.load, pytest.mark.xdist_group("load")]
JOBS = 12


@pytest.fixture(autouse=True)
def small_windows():
    """Not here: the server cuts windows as it does."""


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """What the package makes of each scene."""
    folder = tmp_path_factory.mktemp("truth")
    made = []
    for seed in range(JOBS):
        write_scene(folder / f"{seed}.tif", seed, 1200)
        geodl_lab.classify_file(folder / f"{seed}.tif", folder / f"out{seed}.tif", MODEL)
        with rasterio.open(folder / f"out{seed}.tif") as file:
            made.append(file.read(1))
    return made


def test_a_killed_server_loses_no_job(server, truth, tmp_path):
    for seed in range(JOBS):
        write_scene(tmp_path / "in" / f"{seed}.tif", seed, 1200)
    server.start()
    ids = [server.classify(f"{seed}.tif", f"out{seed}") for seed in range(JOBS)]
    for _ in range(3):
        _wait_for_progress(server, ids)
        server.kill()
        assert _gone(server)
        server.start()
        assert all("jobStatus" in server.job(id) for id in ids)
    jobs = server.wait(ids, 600)
    assert {job["jobStatus"] for job in jobs.values()} == {"esriJobSucceeded"}
    for seed in range(JOBS):
        np.testing.assert_array_equal(server.pixels(f"out{seed}", tmp_path), truth[seed])
    assert server.stop() == 0


def test_a_killed_worker_ends_nothing(server, truth, tmp_path):
    write_scene(tmp_path / "in" / "0.tif", 0, 1200)
    server.start()
    id = server.classify("0.tif", "out0")
    _wait_for_progress(server, [id])
    for worker in workers_of(server.process.pid):
        os.kill(worker, signal.SIGKILL)
    jobs = server.wait([id], 300)
    assert jobs[id]["jobStatus"] == "esriJobSucceeded", jobs
    np.testing.assert_array_equal(server.pixels("out0", tmp_path), truth[0])
    assert server.stop() == 0


def _wait_for_progress(server: Server, ids: list[str]) -> None:
    """Wait until a job that is not finished has computed something more."""
    before = {id: server.job(id).get("progress", {}).get("percent", 0) for id in ids}
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for id in ids:
            job = server.job(id)
            more = job.get("progress", {}).get("percent", 0) > before[id]
            if job["jobStatus"] == "esriJobExecuting" and more:
                return
        time.sleep(0.05)
    raise AssertionError("no job goes on")


def _gone(server: Server) -> bool:
    """Tell whether nothing of a killed server lives on after some seconds."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        if not workers_of(server.process.pid) and not _in_group(server.process.pid):
            return True
        time.sleep(0.1)
    return False


def _in_group(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
