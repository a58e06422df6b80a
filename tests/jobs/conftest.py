"""A core whose works are fake and whose workers load no torch."""

import sys
import time
from pathlib import Path

import pytest

from geodl_lab.jobs import make, worker, workers
from geodl_lab.jobs.core import CoreOptions, open_core
from geodl_lab.jobs.job import Caller
from geodl_lab.jobs.recipes import Classify

sys.path.insert(0, str(Path(__file__).parent))  # workers find what they are to call
import fake_works

ANN = Caller("ann")


@pytest.fixture(scope="module")
def fakes():
    """Fake works for classify, and a CPU that is found without torch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(make.MAKERS, Classify, fake_works.make)
        patch.setattr(workers, "find_devices", fake_works.one_device)
        for name in worker.UNTRUSTED_ENV:
            patch.setenv(name, "")  # put back what the core sets
        yield fake_works


@pytest.fixture
def opened(fakes, tmp_path):
    """Opens a core with options; closed at the end."""
    cores = []

    def open_with(folder="data", **options):
        core = open_core(CoreOptions(tmp_path / folder, **options), resolve=fakes.resolve)
        cores.append(core)
        return core

    yield open_with
    for core in cores:
        core.close(seconds=1)


@pytest.fixture(scope="module")
def core(fakes, tmp_path_factory):
    """A core for many tests: its workers take a while to start."""
    core = open_core(CoreOptions(tmp_path_factory.mktemp("data")), resolve=fakes.resolve)
    yield core
    core.close(seconds=1)


@pytest.fixture
def ended():
    """Waits until a job has ended, or is as a test wants it; answers it."""

    def wait_for(core, job, wanted=lambda job: job.state.final, seconds=120):
        deadline = time.monotonic() + seconds
        while not wanted(now := core.job(job.id, Caller("", admin=True))):
            assert time.monotonic() < deadline, (now, core.messages(now))
            time.sleep(0.01)
        return now

    return wait_for
