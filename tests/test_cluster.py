"""The same lazy result on dask.distributed: processes, a killed worker, two hosts."""

import os
import shutil
import signal
import subprocess
import sys
import time

import cloudpickle
import numpy as np
import pytest

from geodl_lab import from_torch, runtime, settings
from geodl_lab.testing import RandomNet, RegionDetector, make_raster, paint, pixel_boxes

distributed = pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.xdist_group("cluster"),  # one cluster at a time
    pytest.mark.filterwarnings("ignore"),  # distributed's own, of ports and slow loops
]


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def lazy(monkeypatch):
    """Model, result on this process's threads, and the same result still lazy, in many chunks."""
    monkeypatch.setattr(settings, "CHUNK", 60)
    model = from_torch(RandomNet(), bands=3, classes=list("abcd"), window=64)
    raster = make_raster((3, 700, 600))
    expected = raster.dl.classify(model)
    return expected, raster.chunk(x=200, y=150).dl.classify(model)


def test_processes_give_the_same_bits_and_load_the_model_once(client, lazy):
    expected, result = lazy
    assert result.data.npartitions > 12
    for _ in range(2):
        assert np.array_equal(client.compute(result).result(), expected)
        client.cancel(client.futures)
    loaded = client.run(_networks)
    assert len(loaded) == 2 and max(loaded.values()) == 1


def _networks():
    return len(runtime._NETWORKS)


def test_a_task_refers_to_the_model_and_does_not_carry_it(lazy):
    graph = lazy[1].__dask_graph__()
    carriers = [key for key in graph if b"RandomNet" in cloudpickle.dumps(graph[key])]
    assert len(graph) > 24 and len(carriers) == 1


def test_a_worker_killed_in_the_middle_changes_nothing(client, lazy):
    expected, result = lazy
    before = set(client.run(os.getpid).values())
    future = client.compute(result)
    time.sleep(0.5)
    os.kill(min(before), signal.SIGKILL)
    assert np.array_equal(future.result(timeout=120), expected)
    assert len(_processes(client, until_not=before)) == 2


def _processes(client, *, until_not):
    """The workers' processes, once the scheduler knows that those before are no more."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        # A worker that is dead and still listed cannot be asked.
        found = set(client.run(os.getpid, on_error="ignore").values())
        if len(found) == 2 and found != until_not:
            return found
        time.sleep(0.1)
    raise AssertionError(f"the workers still are {found}, of {until_not}")


def test_objects_on_a_cluster(client, monkeypatch):
    monkeypatch.setattr(settings, "CHUNK", 100)
    boxes = [(10, 10, 20, 22), (90, 95, 108, 111), (30, 200, 290, 210)]
    raster = paint((300, 320), boxes)
    model = from_torch(RegionDetector(), task="detect", bands=1, classes=["lamp"], window=64)
    assert pixel_boxes(raster.chunk(x=100, y=100).dl.detect(model), raster) == sorted(boxes)


@pytest.fixture
def hosts():
    """Two network namespaces with one wire between them: the names and their addresses."""
    if os.getuid() or shutil.which("ip") is None:
        pytest.skip("NO TWO HOSTS: network namespaces need root and iproute2; not tested here")
    tag = f"geodl{os.getpid()}"
    names, ends = [f"{tag}a", f"{tag}b"], [f"v{os.getpid()}a", f"v{os.getpid()}b"]
    addresses = ["10.213.7.1", "10.213.7.2"]
    steps = [["netns", "add", name] for name in names]
    steps += [["link", "add", ends[0], "type", "veth", "peer", "name", ends[1]]]
    for name, end, address in zip(names, ends, addresses, strict=True):
        inside = ["-n", name]
        steps += [["link", "set", end, "netns", name]]
        steps += [[*inside, "address", "add", f"{address}/24", "dev", end]]
        steps += [[*inside, "link", "set", end, "up"], [*inside, "link", "set", "lo", "up"]]
    try:
        for step in steps:
            done = subprocess.run(["ip", *step], capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"NO TWO HOSTS: ip {' '.join(step)}: {done.stderr.strip()}")
        yield list(zip(names, addresses, strict=True))
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


ASK = """
import sys, distributed, numpy as np
from geodl_lab import from_torch, settings
from geodl_lab.testing import RandomNet, make_raster

def hosts():
    import socket, os
    return os.readlink("/proc/self/ns/net")

if __name__ == "__main__":
    settings.CHUNK, settings.MEMORY_BUDGET = 60, 2**23
    raster = make_raster((3, 500, 400))
    model = from_torch(RandomNet(), bands=3, classes=list("abcd"), window=64)
    lazy = raster.chunk(x=200, y=150).dl.classify(model)
    with distributed.Client(sys.argv[1]) as client:
        client.wait_for_workers(2, timeout=60)
        there = set(client.run(hosts).values())
        result = client.compute(lazy).result()
    np.save(sys.argv[2], result.values)
    print(len(there | {hosts()}))
"""


def test_workers_on_another_host_give_the_same_bits(hosts, tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "CHUNK", 60)
    (here, address), (there, other) = hosts
    scheduler = f"tcp://{address}:8786"
    commands = [
        (here, ["distributed.cli.dask_scheduler", "--host", address, "--port", "8786",
                "--no-dashboard"]),
        *[(there, ["distributed.cli.dask_worker", scheduler, "--host", other, "--nthreads", "1",
                   "--no-dashboard", "--local-directory", str(tmp_path)])] * 2,
    ]  # fmt: skip
    started = [
        subprocess.Popen(
            ["ip", "netns", "exec", name, sys.executable, "-m", *command],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )
        for name, command in commands
    ]  # fmt: skip
    script, answer = tmp_path / "ask.py", tmp_path / "answer.npy"
    script.write_text(ASK)
    try:
        asked = subprocess.run(
            ["ip", "netns", "exec", here, sys.executable, script, scheduler, answer],
            capture_output=True, text=True, check=False, timeout=150,
        )  # fmt: skip
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.split() == ["2"]  # the workers really were on the other host
    model = from_torch(RandomNet(), bands=3, classes=list("abcd"), window=64)
    assert np.array_equal(np.load(answer), make_raster((3, 500, 400)).dl.classify(model))
