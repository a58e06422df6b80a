"""Photos that wait are answered together, each by itself, and none is lost."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import fake_looks
import pytest
from fake_works import classify

from geodl_lab.errors import AccessError
from geodl_lab.jobs import looks, photo_works
from geodl_lab.jobs.core import CoreOptions, open_core
from geodl_lab.jobs.job import Caller, State
from geodl_lab.jobs.recipes import Look, Ref
from geodl_lab.jobs.resolved import Resolved

ANN = Caller("ann")
HERE = Path(__file__).parent
ASKED = []


def resolve(recipe, core, caller, folder, call):
    """Take the image that came along; an address is written into the file that it fetches."""
    if not isinstance(recipe, Look):
        return Resolved(model="fake")
    if recipe.model.value == "secret":
        raise AccessError(f"{folder}/secret is not for {caller.owner}")
    if recipe.image.kind == "file":
        return Resolved(model=recipe.model.value, photo=folder / recipe.image.value)
    if not (folder / "fetched").exists():
        ASKED.append(recipe.image.value)
        while recipe.image.value == "http://slow" and not (folder / "cancel").exists():
            time.sleep(0.01)
        (folder / "fetched").write_text(recipe.image.value)
    return Resolved(model=recipe.model.value, photo=folder / "fetched")


@pytest.fixture
def core(fakes, monkeypatch, tmp_path):
    monkeypatch.setattr(photo_works, "look", fake_looks.look)
    monkeypatch.setattr(looks, "CANCEL_SECONDS", 0.3)
    core = open_core(CoreOptions(tmp_path / "data"), resolve=resolve)
    yield core
    core.close(seconds=1)


def send(core, text, *, model="m", **options):
    recipe = Look(Ref("model", model), Ref("file", "image"))
    return core.submit(recipe, ANN, request={}, files={"image": text.encode()}, **options)


def send_url(core, url):
    return core.submit(Look(Ref("model", "m"), Ref("url", url)), ANN, request={})


def last(core, job):
    return core.messages(job)[-1].text


def steps(core):
    return list(map(int, (core.options.data_dir / "steps.log").read_text().split()))


def test_each_photo_has_its_answer_and_many_share_a_step(core, ended):
    sent = [send(core, f"photo {number}") for number in range(40)]
    assert {job.priority for job in sent} == {10}
    jobs = [ended(core, job) for job in sent]
    for number, job in enumerate(jobs):
        assert job.state is State.SUCCEEDED and job.percent == 100
        (answer,) = job.results["values"]["answers"]
        assert answer == {"text": f"photo {number}", "model": "m", "device": "cpu"}
        assert last(core, job).startswith("The job is done after")
    assert sum(steps(core)) == 40 and max(steps(core)) == 16 and len(steps(core)) < 20


def test_one_that_fails_fails_alone(core, ended):
    texts = ("a", "bad", "odd", "b")
    first = send(core, "sleep0.3")  # the others wait together meanwhile
    jobs = [ended(core, send(core, text)) for text in texts]
    jobs = [core.job(job.id, ANN) for job in jobs]
    states = [job.state for job in jobs]
    assert states == [State.SUCCEEDED, State.FAILED, State.FAILED, State.SUCCEEDED]
    assert last(core, jobs[1]) == "image is bad"  # without the server's folders
    assert "did not expect (KeyError)" in last(core, jobs[2])
    secret = ended(core, send(core, "c", model="secret"))
    assert secret.state is State.FAILED and last(core, secret) == "secret is not for ann"
    ended(core, first)


def test_a_photo_that_kills_its_worker_takes_no_other_along(core, ended):
    first = send(core, "sleep0.5")
    jobs = [send(core, text) for text in ("a", "b", "kill", "c")]
    states = [ended(core, job).state for job in (first, *jobs)]
    assert states == [State.SUCCEEDED] * 3 + [State.FAILED, State.SUCCEEDED]
    assert "killed by signal 9" in last(core, jobs[2]) and "3 times" in last(core, jobs[2])


def test_photos_that_are_cancelled(core, ended):
    running, waiting = send(core, "endless"), None
    ended(core, running, lambda job: job.state is State.RUNNING)
    beside = send(core, "a")
    waiting = [send(core, "b") for _ in range(3)]
    for job in (*waiting, running):
        core.cancel(job)
    assert {ended(core, job).state for job in (running, *waiting)} == {State.CANCELLED}
    assert ended(core, beside).state is State.SUCCEEDED


def test_a_photo_goes_before_the_steps_of_a_raster(core, ended):
    raster = core.submit(classify(40, seconds=0.1), ANN, request={})
    ended(core, raster, lambda job: job.state is State.RUNNING)
    photo = ended(core, send(core, "a"))
    assert photo.state is State.SUCCEEDED
    assert core.job(raster.id, ANN).state is State.RUNNING
    core.cancel(raster)


def test_photos_elsewhere_are_fetched_and_hold_up_nobody(core, ended):
    slow = [send_url(core, "http://slow") for _ in range(8)]
    quick, here = send_url(core, "http://quick"), send(core, "a")
    assert ended(core, here).state is ended(core, quick).state is State.SUCCEEDED
    (answer,) = core.job(quick.id, ANN).results["values"]["answers"]
    assert answer["text"] == "http://quick" and ASKED.count("http://quick") == 1
    for job in slow:
        assert not core.job(job.id, ANN).state.final
        core.cancel(job)
    assert {ended(core, job).state for job in slow} == {State.CANCELLED}


def test_a_full_queue_keeps_no_image(fakes, tmp_path, monkeypatch):
    core = open_core(CoreOptions(tmp_path / "data", queue_limit=0), resolve=resolve)
    try:
        with pytest.raises(Exception, match="0 jobs wait and the server takes no more than 0"):
            send(core, "a")
        assert list((tmp_path / "data" / "jobs").iterdir()) == []
    finally:
        core.close(seconds=1)


def test_photos_wait_for_the_next_server(fakes, monkeypatch, tmp_path, ended):
    monkeypatch.setattr(photo_works, "look", fake_looks.look)
    first = open_core(CoreOptions(tmp_path / "data"), resolve=resolve)
    jobs = [send(first, "sleep0.4") for _ in range(5)]
    ended(first, jobs[0], lambda job: job.state is State.RUNNING)
    first.close(seconds=0)
    second = open_core(CoreOptions(tmp_path / "data"), resolve=resolve)
    try:
        assert {ended(second, job).state for job in jobs} == {State.SUCCEEDED}
    finally:
        second.close(seconds=1)


def test_photos_survive_a_kill(tmp_path, ended, fakes, monkeypatch):
    environment = {**os.environ, "PYTHONPATH": f"{HERE.parents[1]}:{HERE}"}
    program = [sys.executable, HERE / "killed_looks.py", tmp_path / "data"]
    with subprocess.Popen(program, env=environment, stdout=subprocess.PIPE, text=True) as server:
        ids = [server.stdout.readline().strip() for _ in range(30)]
        deadline = time.monotonic() + 60
        while not (tmp_path / "data" / "steps.log").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(server.pid, signal.SIGKILL)
    monkeypatch.setattr(photo_works, "look", fake_looks.look)
    core = open_core(CoreOptions(tmp_path / "data"), resolve=resolve)
    try:
        for number, id in enumerate(ids):
            job = ended(core, core.job(id, ANN))
            assert job.state is State.SUCCEEDED
            assert job.results["values"]["answers"][0]["text"].endswith(f".{number:03}1")
    finally:
        core.close(seconds=1)
