"""A real server as its own process, small rasters, and what they become without a server."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import rasterio
from affine import Affine

KEY = "load-test-key"
MODEL = "aerial-landcover"
TASKS = "/arcgis/rest/services/System/RasterAnalysisTools/GPServer"
FINAL = ("esriJobSucceeded", "esriJobFailed", "esriJobCancelled", "esriJobTimedOut")


class Server:
    """``geodl serve`` on a data folder; may be killed and started again."""

    def __init__(self, folder: Path, *options: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url, self.folder = f"http://127.0.0.1:{self.port}", folder
        self.log = folder / "server.log"
        self.command = [
            sys.executable, "-m", "geodl_lab", "serve", "--port", str(self.port),
            "--data-dir", str(folder / "data"), "--store", f"in={folder / 'in'}",
            "--api-key", KEY, *options,
        ]  # fmt: skip

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/health").status_code == 200:
                    return
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def kill(self) -> None:
        """End the server alone, as the system would where memory is short."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end; return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def get(self, path: str, **query: str) -> dict:
        """Return the JSON of a resource of the tasks."""
        query |= {"f": "json", "token": KEY}
        return httpx.get(f"{self.url}{TASKS}/{path}", params=query, timeout=60).json()

    def classify(self, name: str, output: str) -> str:
        """Submit a classification of a file of the store; return the job's id."""
        form = {
            "inputRaster": json.dumps({"uri": f"/fileShares/in/{name}"}),
            "outputClassifiedRaster": json.dumps({"serviceProperties": {"name": output}}),
            "model": json.dumps({"uri": MODEL}), "f": "json", "token": KEY,
        }  # fmt: skip
        path = f"{self.url}{TASKS}/ClassifyPixelsUsingDeepLearning/submitJob"
        return httpx.post(path, data=form, timeout=60).json()["jobId"]

    def job(self, id: str) -> dict:
        """Return a job."""
        return self.get(f"ClassifyPixelsUsingDeepLearning/jobs/{id}")

    def wait(self, ids: list[str], seconds: float) -> dict[str, dict]:
        """Wait for the end of jobs."""
        deadline, jobs = time.monotonic() + seconds, {}
        while time.monotonic() < deadline and len(jobs) < len(ids):
            for id in ids:
                if id not in jobs and (job := self.job(id))["jobStatus"] in FINAL:
                    jobs[id] = job
            time.sleep(0.2)
        assert len(jobs) == len(ids), self.log.read_text()[-5000:]
        return jobs

    def pixels(self, service: str, folder: Path) -> np.ndarray:
        """Download a result and return its classes."""
        path = (
            f"{self.url}/arcgis/rest/services/Hosted/{service}/ImageServer/download/{service}.tif"
        )
        answer = httpx.get(path, params={"token": KEY}, timeout=60)
        assert answer.status_code == 200, answer.text
        file = folder / f"{service}.tif"
        file.write_bytes(answer.content)
        with rasterio.open(file) as opened:
            return opened.read(1)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that is not started yet; whatever is left of it is killed."""
    (tmp_path / "in").mkdir()
    one = Server(tmp_path, "--rate-limit", "100000")
    yield one
    with contextlib.suppress(AttributeError, ProcessLookupError):
        os.killpg(one.process.pid, signal.SIGKILL)
        one.process.wait()


def write_scene(path: Path, seed: int, side: int) -> None:
    """Write an RGB raster of smooth random colours."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (3, side // 16, side // 16), dtype=np.uint8)
    fine = np.kron(coarse, np.ones((1, 16, 16), np.uint8))
    profile = {
        "driver": "GTiff", "height": side, "width": side, "count": 3, "dtype": "uint8",
        "crs": "EPSG:26911", "transform": Affine(0.5, 0, 400000 + 1000 * seed, 0, -0.5, 4e6),
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        file.write(fine)


def workers_of(pid: int) -> list[int]:
    """Return the living processes that a process has started, and theirs."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True)
    pairs = [tuple(map(int, line)) for line in re.findall(r"(\d+)\s+(\d+)", listed.stdout)]
    found = [child for child, parent in pairs if parent == pid]
    return found + [one for child in found for one in workers_of(child)]
