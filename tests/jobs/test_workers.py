"""Steps wait by priority, one is out on each executor, and each device has its lane."""

import weakref
from concurrent.futures import Future

import pytest
from fake_works import one_device, two_devices

from geodl_lab.errors import BusyError
from geodl_lab.jobs import workers
from geodl_lab.jobs.executors import CrashError
from geodl_lab.jobs.worker import Answer
from geodl_lab.jobs.workers import FILES, LOCAL, MODELS, Lane, Workers


class ByHand:
    """An executor whose calls end when the test says so."""

    def __init__(self, width=1):
        self.width, self.calls, self.interrupted, self.ended = width, [], 0, False

    def submit(self, fn, /, *args):
        self.calls.append((args, Future()))
        return self.calls[-1][1]

    def interrupt(self):
        self.interrupted += 1

    def shutdown(self, wait=True, *, cancel_futures=False):
        self.ended = True

    @property
    def names(self):
        return [args[0] for args, _ in self.calls]


def test_one_step_is_out_and_the_rest_waits_by_priority_and_age():
    executor = ByHand()
    lane = Lane("cpu", [executor])
    futures = [
        lane.submit(name, priority=p) for name, p in (("a", 0), ("b", 0), ("c", 0), ("i", 10))
    ]
    assert executor.names == ["a"]
    for number in range(4):
        executor.calls[number][1].set_result(Answer(number))
        assert len(executor.calls) == min(number + 2, 4)
    assert executor.names == ["a", "i", "b", "c"]
    assert [future.result(0).get() for future in futures] == [0, 2, 3, 1]


def test_what_is_overtaken_without_end_has_a_share_of_time(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(workers.time, "monotonic", lambda: now[0])
    executor = ByHand()
    lane = Lane("cpu", [executor])
    for name in "abc":
        lane.submit(name)
    for number in range(20):
        lane.submit(f"i{number}", priority=10)
        now[0] += 0.5 if executor.names[-1].startswith("i") else 1
        executor.calls[number][1].set_result(Answer())
    places = [executor.names.index(name) for name in "abc"]
    assert places == [0, 10, 20]  # a second, then more than four of photos
    assert [name for name in executor.names if len(name) > 1] == [f"i{n}" for n in range(18)]


def test_a_cancelled_step_never_begins():
    executor = ByHand()
    lane = Lane("cpu", [executor])
    first, second, third = (lane.submit(name) for name in "abc")
    assert second.cancel() and not first.cancel()
    executor.calls[0][1].set_result(Answer())
    assert executor.names == ["a", "c"] and not third.done()


def test_what_a_cancelled_step_was_given_is_let_go():
    class Large:
        pass

    lane = Lane("cpu", [ByHand()])
    lane.submit("a")
    given = Large()
    kept, future = weakref.ref(given), lane.submit("b", given)
    del given
    assert future.cancel()
    assert kept() is None


def test_a_wide_executor_has_many_out_and_another_helps_when_it_is_full():
    wide, other = ByHand(2), ByHand()
    lane = Lane("x", [wide, other])
    steps = [lane.submit(name) for name in "abcd"]
    assert (lane.width, wide.names, other.names) == (3, ["a", "b"], ["c"])
    lane.interrupt(steps[2])
    lane.interrupt(steps[3])
    assert (wide.interrupted, other.interrupted) == (0, 1)
    other.calls[0][1].set_result(Answer())
    assert other.names == ["c", "d"]


def test_a_crash_fails_its_step_and_the_next_goes_on():
    executor = ByHand()
    lane = Lane("cpu", [executor])
    first, _ = lane.submit("a"), lane.submit("b")
    executor.calls[0][1].set_exception(CrashError("killed by signal 9"))
    with pytest.raises(CrashError, match="signal 9"):
        first.result(0)
    assert executor.names == ["a", "b"]


def test_a_closed_lane_drops_what_waits_and_lets_what_runs_end():
    executor = ByHand()
    lane = Lane("cpu", [executor])
    first, second = lane.submit("a"), lane.submit("b")
    lane.close()
    assert second.cancelled()
    executor.calls[0][1].set_result(Answer(1))
    assert first.result(0).value == 1 and executor.names == ["a"]
    with pytest.raises(BusyError, match="stopping"):
        lane.submit("c")
    lane.kill()
    assert executor.ended


@pytest.fixture
def found(monkeypatch):
    """Workers that find some devices; their processes are made, and never asked to compute."""
    made = []

    def find(function):
        monkeypatch.setattr(workers, "find_devices", function)
        made.append(Workers())
        return made[-1]

    yield find
    for one in made:
        one.close()
        one.kill()


def test_each_device_has_a_lane_and_auto_takes_the_one_with_fewest_jobs(found):
    workers = found(two_devices)
    first, second = workers.lane("cuda:0"), workers.lane("cuda:1")
    assert workers.ready and workers.devices == ("cuda:0", "cuda:1")
    assert (first.name, second.name) == ("cuda:0", "cuda:1")
    first.jobs += 1
    assert workers.lane("auto") is workers.lane("cuda") is second
    second.jobs += 2
    assert workers.lane("auto") is first
    assert workers.lane("cpu").name == "cpu"
    assert workers.lane("cuda:7") is first  # whose worker says that there is none such
    assert (workers.lane(FILES).name, workers.lane(MODELS).name) == (FILES, MODELS)


def test_without_a_gpu_there_is_the_cpu(found):
    workers = found(one_device)
    assert {workers.lane(name).name for name in ("auto", "cpu", "cuda", "cuda:1")} == {"cpu"}


def test_after_close_there_is_no_lane(found):
    workers = found(one_device)
    workers.close()
    with pytest.raises(BusyError, match="stopping"):
        workers.lane("auto")
    with pytest.raises(BusyError, match="stopping"):
        workers.lane(MODELS)


def test_photos_stay_on_this_machine_where_there_is_a_cluster(monkeypatch):
    monkeypatch.setattr(workers, "DaskExecutor", lambda address: ByHand(8))
    monkeypatch.setattr(workers, "ProcessExecutor", lambda name: ByHand())
    cluster = Workers("tcp://127.0.0.1:1")
    assert cluster.lane("auto").name == "cluster"
    assert cluster.lane(LOCAL).name == LOCAL and cluster.lane(LOCAL) is cluster.lane(LOCAL)
    cluster.close()
