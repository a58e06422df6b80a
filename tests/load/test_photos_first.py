"""Photos of both dialects wait for one step of a raster's job, however many rasters wait."""

import concurrent.futures
import contextlib
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.load import photos
from tests.load.conftest import write_scene

pytestmark = [pytest.mark.load, pytest.mark.xdist_group("load")]
RASTERS, PHOTOS = 3, 4


@pytest.fixture(autouse=True)
def small_windows():
    """Not here: the server runs models as they are, and so do we."""


@pytest.fixture
def client(server):
    """A client of a server that runs and has answered a photo of each kind."""
    server.start()
    with httpx.Client(base_url=server.url, timeout=120) as client:
        yield client


def test_photos_wait_for_one_step_of_a_raster(server, client, tmp_path):
    write_scene(tmp_path / "in" / "large.tif", 0, 8192)
    (photo,) = photos.make_photos(1)
    asks = [*photos.MODELS, "pekat"]
    idle = [seconds(client, photo, ask) for ask in [*asks, *asks]][len(asks) :]
    jobs = [server.classify("large.tif", f"out{number}") for number in range(RASTERS)]
    with steps_of(server, jobs) as ended:
        while len(ended) < RASTERS:
            time.sleep(0.05)
        waits, between = [], []
        for number in range(PHOTOS):
            before = len(ended)
            waits.append(seconds(client, photo, asks[number % len(asks)]))
            between.append(len(ended) - before)
    print(f"\nidle {told(idle)} s; beside {RASTERS} rasters {told(waits)} s, steps {between}")
    # The one that ran when the photo came; the next one may have ended before it is asked for.
    assert max(between) < RASTERS
    assert any(server.job(id)["jobStatus"] == "esriJobExecuting" for id in jobs)


def test_photos_that_come_together_are_each_answered_as_alone(client):
    some = photos.make_photos(6)
    turns = [(photo, name) for name in photos.MODELS for photo in some for _ in range(4)]
    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        sent = list(pool.map(lambda turn: photos.send(client, *turn).json()["task_id"], turns))
    for id, (photo, name) in zip(sent, turns, strict=True):
        task = photos.ended(client, id, lambda answer: None)
        assert photos.same(photos.labels_of(task), photo.labels(name))
    print(f"\n{len(turns)} photos in {time.monotonic() - begun:.1f} s")


def seconds(client: httpx.Client, photo: photos.Photo, ask: str) -> float:
    """Have a photo looked at, by a model over Deepomatic or over PEKAT; return how long it took."""
    begun = time.monotonic()
    if ask == "pekat":
        found, wanted = photos.inspect(client, photo).json(), photo.rectangles()
        assert photos.same(photos.rectangles_of(found), wanted)
    else:
        task = photos.send(client, photo, ask).json()["task_id"]
        found = photos.labels_of(photos.ended(client, task, lambda answer: None))
        assert photos.same(found, photo.labels(ask))
    return time.monotonic() - begun


@contextlib.contextmanager
def steps_of(server, jobs: list[str]) -> Iterator[list[tuple[str, float]]]:
    """Collect the steps of jobs as they end, seen as progress: the job, its percent."""
    ended, stop = [], threading.Event()

    def watch() -> None:
        last = dict.fromkeys(jobs, 0)
        while not stop.wait(0.03):
            for id in jobs:
                percent = server.job(id).get("progress", {}).get("percent", 0)
                if percent != last[id]:
                    last[id] = percent
                    ended.append((id, percent))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield ended
    finally:
        stop.set()
        thread.join()


def told(values: list[float]) -> str:
    """Return seconds as text."""
    return ", ".join(f"{value:.2f}" for value in values)
