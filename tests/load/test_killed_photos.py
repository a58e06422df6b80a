"""``kill -9`` amid photos: Deepomatic's tasks all end, with the right answers; PEKAT's say so."""

import concurrent.futures
import contextlib
import os
import signal
import time

import httpx
import pytest

from tests.load import photos
from tests.load.conftest import workers_of

pytestmark = [pytest.mark.load, pytest.mark.xdist_group("load")]
CLIENTS, ROUNDS, KILLS = 6, 12, 3


@pytest.fixture(autouse=True)
def small_windows():
    """Not here: the server runs models as they are, and so do we."""


@pytest.fixture(scope="module")
def some():
    """Photos."""
    return photos.make_photos(6)


def test_a_killed_server_loses_no_task(server, some):
    server.start()
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        sending = [pool.submit(send_all, server, some, number) for number in range(CLIENTS)]
        for _ in range(KILLS):
            time.sleep(2)
            server.kill()
            server.start()
        sent = [one for done in sending for one in done.result()]
    assert len(sent) == CLIENTS * ROUNDS
    with httpx.Client(base_url=server.url, timeout=60) as client:
        check(client, some, sent)
    assert server.stop() == 0


def test_a_killed_worker_costs_no_task_and_pekat_says_so(server, some):
    server.start()
    with httpx.Client(base_url=server.url, timeout=120) as client:
        assert photos.inspect(client, some[0]).status_code == 200  # the model is loaded
        with concurrent.futures.ThreadPoolExecutor(2 * CLIENTS) as pool:
            sending = [pool.submit(send_all, server, some, number) for number in range(CLIENTS)]
            looking = [pool.submit(look_on, server, some, number) for number in range(CLIENTS)]
            for _ in range(KILLS):
                time.sleep(2)
                for worker in workers_of(server.process.pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(worker, signal.SIGKILL)
            sent = [one for done in sending for one in done.result()]
            said = [one for done in looking for one in done.result()]
        check(client, some, sent)
    assert {status for status, _ in said} == {200, 503}
    for status, body in said:
        if status == 503:
            assert (body["error"], body["processing"]) == (True, False)
            assert "send the same request again" in body["message"]
    assert server.stop() == 0


def send_all(server, some, number: int) -> list[tuple[str, int, str]]:
    """Send photos until each is acknowledged, as clients do; return task, photo and model."""
    sent = []
    for turn in range(ROUNDS):
        which, model = (number + turn) % len(some), photos.MODELS[turn % 3]
        answer = None
        while answer is None or answer.status_code == 503:
            with (
                contextlib.suppress(httpx.TransportError),
                httpx.Client(base_url=server.url, timeout=30) as client,
            ):
                answer = photos.send(client, some[which], model)
        assert answer.status_code == 200, answer.text
        sent.append((answer.json()["task_id"], which, model))
        time.sleep(0.3)
    return sent


def look_on(server, some, number: int) -> list[tuple[int, dict]]:
    """Have photos looked at by PEKAT; return what is not the photo's own answer."""
    said, end = [], time.monotonic() + 2 * KILLS + 4
    with httpx.Client(base_url=server.url, timeout=120) as client:
        while time.monotonic() < end:
            photo = some[number % len(some)]
            answer = photos.inspect(client, photo)
            said.append((answer.status_code, answer.json()))
            if answer.status_code == 200:
                assert photos.same(photos.rectangles_of(said[-1][1]), photo.rectangles())
    return said


def check(client: httpx.Client, some, sent: list[tuple[str, int, str]]) -> None:
    """Wait for tasks and compare each answer with the photo's own."""
    for id, which, model in sent:
        task = photos.ended(client, id, lambda answer: None)
        assert photos.same(photos.labels_of(task), some[which].labels(model)), (id, which, model)
