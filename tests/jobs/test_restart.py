"""A server that is killed in the middle loses no job, and its jobs' results are the same."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_works import classify

from geodl_lab.jobs import recipes
from geodl_lab.jobs.core import CoreOptions, open_core
from geodl_lab.jobs.database import Database
from geodl_lab.jobs.job import Caller, Job, State, new_id
from geodl_lab.jobs.store import Store

ANN = Caller("ann")
HERE = Path(__file__).parent
JOBS, PARTS = 12, 6


@pytest.fixture
def server(tmp_path):
    """Starts the program; killed at the end."""
    started = []

    def start(count):
        started.append(
            subprocess.Popen(
                [sys.executable, HERE / "restarted_server.py", tmp_path, str(count)],
                env={**os.environ, "PYTHONPATH": f"{HERE.parents[1]}:{HERE}"},
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def computed(folder):
    log = folder / "computed.log"
    return log.read_text().splitlines() if log.exists() else []


def alive(group):
    """Processes of a group, the server's workers among them, that are not dead."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(stat.parent.name)
    return found


def wait_until(question, seconds=120):
    deadline = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def kill_in_the_middle(process, folder):
    """Kill a server when it has done a few parts more, and see its workers go with it."""
    before = len(computed(folder))
    wait_until(lambda: len(computed(folder)) >= before + 8)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_until(lambda: not alive(process.pid), 60)


def test_twelve_jobs_survive_two_kills(server, tmp_path, ended, fakes):
    first = server(JOBS)
    ids = [first.stdout.readline().strip() for _ in range(JOBS)]
    kill_in_the_middle(first, tmp_path)
    kill_in_the_middle(server(0), tmp_path)
    core = open_core(CoreOptions(tmp_path), resolve=fakes.resolve)
    try:
        jobs = [ended(core, core.job(id, ANN)) for id in ids]
        assert [job.state for job in jobs] == [State.SUCCEEDED] * JOBS
        for number, job in enumerate(jobs):
            service = core.catalog.service(f"s{number}", ANN)
            assert (service.info["job"], service.version) == (job.id, 1)
            expected = "".join(f"n{number} {i} {i**2}\n" for i in range(PARTS))
            assert Path(service.files["raster"]).read_text() == expected
        log = computed(tmp_path)
        # What was under way at a kill is computed again: a step on the one worker, twice.
        assert set(log) == {f"{id} {i}" for id in ids for i in range(PARTS)}
        assert len(log) <= JOBS * PARTS + 2
        assert any(job.attempts > 1 for job in jobs)
        begun = sorted(jobs, key=lambda job: job.started)
        assert [job.id for job in begun] == ids  # in the order in which they came
    finally:
        core.close(seconds=1)


@pytest.fixture
def store(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    yield Store(database)
    database.close()


def left_running(store, tmp_path, **arguments):
    """A job as a killed server leaves it."""

    job = Job(new_id(), "ann", recipes.to_json(classify(2, **arguments)))
    store.add(job, lane="device", admin=False, limit=10)
    (claimed,) = store.claim("device")
    return claimed


def test_a_job_that_was_cancelling_is_cancelled(store, tmp_path, fakes):
    job = left_running(store, tmp_path)
    store.cancel(job.id)
    core = open_core(CoreOptions(tmp_path), resolve=fakes.resolve)
    try:
        assert core.job(job.id, ANN).state is State.CANCELLED
        assert core.messages(job)[-1].text == "The job was cancelled."
    finally:
        core.close(seconds=1)


def test_a_job_that_ends_its_server_again_and_again_fails(store, tmp_path, fakes):
    job = left_running(store, tmp_path)
    for _ in range(9):
        store.release(job.id)
        assert [one.id for one in store.claim("device")] == [job.id]
    core = open_core(CoreOptions(tmp_path), resolve=fakes.resolve)
    try:
        assert core.job(job.id, ANN).state is State.FAILED
        assert "the server ended 10 times while this job began" in core.messages(job)[-1].text
    finally:
        core.close(seconds=1)
