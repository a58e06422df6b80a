"""Executors answer steps, and say so when whoever ran one is no more."""

import os
import signal
import time
from concurrent.futures import wait

import pytest
from fake_works import classify

from geodl_lab.jobs import executors
from geodl_lab.jobs.core import CoreOptions, open_core
from geodl_lab.jobs.executors import CrashError, DaskExecutor, ProcessExecutor
from geodl_lab.jobs.job import Caller, State
from geodl_lab.jobs.worker import run_step

ANN = Caller("ann")


@pytest.fixture(scope="module")
def process():
    executor = ProcessExecutor("test")
    yield executor
    executor.shutdown()


def ask(executor, function, *args):
    return executor.submit(run_step, function, *args).result(30).get()


def test_calls_run_in_one_other_process(process):
    found = {ask(process, os.getpid) for _ in range(2)}
    assert len(found) == 1 and os.getpid() not in found


@pytest.mark.parametrize(
    ("number", "words"),
    [(9, r"signal 9 \(SIGKILL\): probably out of memory"), (11, r"signal 11 \(SIGSEGV\)$")],
)
def test_a_killed_process_fails_its_call_and_the_next_has_another(process, number, words):
    before = ask(process, os.getpid)
    with pytest.raises(CrashError, match=f"^killed by {words}"):
        ask(process, os.kill, before, number)
    assert ask(process, os.getpid) != before


def test_a_process_that_ends_by_itself_says_its_code(process):
    with pytest.raises(CrashError, match="ended by itself with code 7"):
        ask(process, os._exit, 7)


def test_a_process_that_dies_between_two_calls_fails_none(process):
    pid = ask(process, os.getpid)
    os.kill(pid, signal.SIGKILL)
    while not process._child.is_gone:
        time.sleep(0.01)
    assert ask(process, os.getpid) != pid


def test_signals_meant_for_the_server_do_not_end_a_worker(process):
    pid = ask(process, os.getpid)
    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGTERM)
    assert ask(process, os.getpid) == pid


def test_interrupt_kills_what_runs(process):
    pid = ask(process, os.getpid)
    future = process.submit(run_step, time.sleep, 100)
    process.interrupt()
    with pytest.raises(CrashError, match="signal 9"):
        future.result(30)
    assert ask(process, os.getpid) != pid


def test_what_cannot_be_sent_fails_its_call_only(process):
    with pytest.raises(Exception, match=r"pickle"):
        ask(process, lambda: 0)
    assert ask(process, os.getpid)


def test_after_shutdown_the_process_is_gone():
    executor = ProcessExecutor("test")
    pid = ask(executor, os.getpid)
    executor.shutdown()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and _is_there(pid):
        time.sleep(0.01)
    assert not _is_there(pid)


def _is_there(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        yield cluster


on_a_cluster = [
    pytest.mark.xdist_group("cluster"),
    pytest.mark.filterwarnings("ignore"),  # distributed's own, of ports and slow loops
]


class TestCluster:
    pytestmark = on_a_cluster

    def test_steps_are_spread_over_the_workers(self, cluster):
        executor = DaskExecutor(cluster.scheduler_address)
        ask(executor, os.getpid)
        assert executor.width == 2
        steps = [executor.submit(run_step, _pid_slowly) for _ in range(4)]
        wait(steps, 30)
        assert len({step.result().get() for step in steps}) == 2
        executor.shutdown()

    def test_a_job_survives_a_killed_worker(self, cluster, fakes, tmp_path, ended):
        core = open_core(
            CoreOptions(tmp_path, scheduler=cluster.scheduler_address), resolve=fakes.resolve
        )
        try:
            job = core.submit(classify(8, seconds=0.2), ANN, request={})
            ended(core, job, lambda job: job.percent > 0)
            killed = core.compute(os.getpid).result(30)
            os.kill(killed, signal.SIGKILL)
            assert ended(core, job, seconds=60).state is State.SUCCEEDED
            path = core.catalog.service(job.id, ANN).files["raster"]
            with open(path) as file:
                assert file.read() == "".join(f"0 {i} {i**2}\n" for i in range(8))
        finally:
            core.close(seconds=1)

    def test_without_a_scheduler_a_job_fails_and_says_why(
        self, fakes, tmp_path, ended, monkeypatch
    ):
        monkeypatch.setattr(executors, "CONNECT_SECONDS", 0.2)
        core = open_core(
            CoreOptions(tmp_path, scheduler="tcp://127.0.0.1:9"), resolve=fakes.resolve
        )
        try:
            job = ended(core, core.submit(classify(1), ANN, request={}))
            assert job.state is State.FAILED
            text = core.messages(job)[-1].text
            assert "lost on the Dask cluster at tcp://127.0.0.1:9" in text
        finally:
            core.close(seconds=1)


def _pid_slowly():
    time.sleep(0.3)
    return os.getpid()
