"""Clients of three protocols at once: each answer is that of its own image, none is a 5xx."""

import concurrent.futures
import contextlib
import json
import os
import re
import time

import httpx
import numpy as np
import pytest
import rasterio

import geodl_lab
from tests.load import photos
from tests.load.conftest import MODEL, workers_of, write_scene

pytestmark = [pytest.mark.load, pytest.mark.xdist_group("load")]
KINDS = ("deepomatic",) * 28 + ("pekat",) * 28 + ("arcgis",) * 8
PHOTOS, SCENES = 12, 4
SECONDS = float(os.environ.get("GEODL_LOAD_SECONDS", "60"))


@pytest.fixture(autouse=True)
def small_windows():
    """Not here: the server runs models as they are, and so do we."""


class Client:
    """One client: what it asks of the server, and what it saw."""

    def __init__(self, server, photos, number):
        self.server, self.photos, self.number = server, photos, number
        self.seconds, self.statuses, self.wrong, self.jobs = [], [], [], []
        self.http = httpx.Client(base_url=server.url, timeout=120)

    def __call__(self, end: float) -> None:
        """Ask until a time; what is under way then is waited for."""
        turn, ask = self.number, getattr(self, KINDS[self.number])
        with self.http:
            while time.monotonic() < end:
                begun = time.monotonic()
                ask(turn)
                self.seconds.append(time.monotonic() - begun)
                turn += 5  # of 12 photos and 3 models each comes to each

    def heard(self, answer: httpx.Response) -> None:
        """Note an answer."""
        self.statuses.append(answer.status_code)

    def check(self, fine: bool, *what) -> None:
        """Note what is wrong."""
        if not fine:
            self.wrong.append(what)

    def deepomatic(self, turn: int) -> None:
        """Have a photo looked at and ask for the task."""
        photo, model = self.photos[turn % PHOTOS], photos.MODELS[turn % 3]
        self.heard(sent := photos.send(self.http, photo, model))
        task = photos.ended(self.http, sent.json()["task_id"], self.heard)
        self.check(photos.same(photos.labels_of(task), photo.labels(model)), turn, model, task)

    def pekat(self, turn: int) -> None:
        """Have a photo looked at; every third time with its picture."""
        photo, query = self.photos[turn % PHOTOS], {"data": f"{self.number}-{turn}"}
        if turn % 3 == 0:
            query |= {"response_type": "annotated_image", "context_in_body": "1"}
        self.heard(answer := photos.inspect(self.http, photo, **query))
        context = json.loads(answer.content[int(answer.headers.get("ImageLen", 0)) :])
        self.check(context.get("data") == query["data"], turn, context)
        found = photos.rectangles_of(context) if answer.status_code == 200 else None
        self.check(found is not None and photos.same(found, photo.rectangles()), turn, context)

    def arcgis(self, turn: int) -> None:
        """Have a raster classified and wait for the job."""
        id = self.server.classify(f"{turn % SCENES}.tif", f"c{self.number}_{turn}")
        job = self.server.wait([id], 300)[id]
        self.check(job["jobStatus"] == "esriJobSucceeded", turn, job)
        self.jobs.append((f"c{self.number}_{turn}", turn % SCENES))


def test_mixed_clients_get_their_own_answers(server, tmp_path):
    scenes = [classified(tmp_path, seed) for seed in range(SCENES)]
    some = photos.make_photos(PHOTOS)
    server.start()
    clients = [Client(server, some, number) for number in range(len(KINDS))]
    end = time.monotonic() + SECONDS
    with concurrent.futures.ThreadPoolExecutor(len(clients)) as pool:
        for done in [pool.submit(one, end) for one in clients]:
            done.result()
    for kind in dict.fromkeys(KINDS):
        tell(kind, clients)
    peaks = [peak_mib(pid) for pid in (server.process.pid, *workers_of(server.process.pid))]
    print(f"\npeak memory in MiB of the server, then of its workers: {peaks}")
    assert [wrong for one in clients for wrong in one.wrong][:3] == []
    statuses = {status for one in clients for status in one.statuses}
    assert statuses == {200}
    assert all(len(one.seconds) for one in clients)
    jobs = [job for one in clients for job in one.jobs]
    for name, seed in jobs[:: max(len(jobs) // 8, 1)]:
        np.testing.assert_array_equal(server.pixels(name, tmp_path), scenes[seed])
    assert server.stop() == 0


def classified(folder, seed: int) -> np.ndarray:
    """Write a raster for the server and return what the package makes of it."""
    write_scene(folder / "in" / f"{seed}.tif", seed, 96)
    geodl_lab.classify_file(folder / "in" / f"{seed}.tif", folder / f"{seed}.tif", MODEL)
    with rasterio.open(folder / f"{seed}.tif") as file:
        return file.read(1)


def peak_mib(pid: int) -> int:
    """Return the most memory that a process has had, 0 where the system does not say."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as file:
        return int(re.search(r"VmHWM:\s+(\d+)", file.read())[1]) // 1024
    return 0


def tell(kind: str, clients: list[Client]) -> None:
    """Print how much was answered, and how fast."""
    chosen = [one for one, name in zip(clients, KINDS, strict=True) if name == kind]
    seconds = np.array([second for one in chosen for second in one.seconds])
    least, most = (choose(len(one.seconds) for one in chosen) for choose in (min, max))
    median, late = np.percentile(seconds, [50, 95])
    print(
        f"\n{kind}: {len(seconds) / SECONDS:.1f} answers/s of {len(chosen)} clients "
        f"({least} to {most} each); {median:.2f} s median, {late:.2f} s 95 %, "
        f"{seconds.max():.2f} s at most; {sum(len(one.statuses) for one in chosen)} requests"
    )
