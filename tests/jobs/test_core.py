"""Jobs from submit to result, as the faces of the server see them."""

import os
import signal
import time
from pathlib import Path

import pytest
from fake_works import classify, one_device

from geodl_lab.errors import AccessError, BusyError, OptionError
from geodl_lab.jobs import retention
from geodl_lab.jobs.core import CoreOptions, open_core
from geodl_lab.jobs.job import Caller, Level, State

ANN, BEN, ADMIN = Caller("ann"), Caller("ben"), Caller("root", admin=True)


@pytest.fixture
def name():
    return f"roofs{time.monotonic_ns()}"


def submit(core, recipe, caller=ANN, **options):
    return core.submit(recipe, caller, request={"task": "T"}, **options)


def gone(folder):
    """Tell whether a folder goes soon: that happens after a job's end is written."""
    deadline = time.monotonic() + 10
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return not folder.exists()


def texts(core, job):
    return [message.text for message in core.messages(job)]


def test_a_job_runs_says_so_and_publishes(core, ended, name):
    job = submit(core, classify(3, service=name))
    done = ended(core, job)
    assert (done.state, done.percent, done.attempts) == (State.SUCCEEDED, 100, 1)
    service = core.catalog.service(name, ANN)
    assert done.results == {"service": name, "item": service.item, "values": {"count": 3}}
    assert (service.version, service.info) == (1, {"count": 3, "job": job.id})
    result = Path(service.files["raster"])
    assert result.read_text() == "0 0 0\n0 1 1\n0 2 4\n"
    assert (result.parent / "beside.txt").read_text() == "beside"
    assert core.item(service.item, ANN).title == name
    queued, started, said, last = texts(core, job)
    assert (queued, said) == ("The job is queued.", "It is fake.")
    assert started == "The job is started: classify with fake on cpu."
    assert last.startswith("The job is done: 0.003 million pixels in ")
    assert gone(core.options.data_dir / "jobs" / job.id)


def test_jobs_and_results_are_seen_by_their_key_and_the_admin(core, ended):
    job = submit(core, classify(1))
    ended(core, job)
    assert core.job(job.id, ADMIN).id == job.id
    assert core.catalog.service(job.id, ANN).owner == "ann"
    with pytest.raises(AccessError, match="there is no job"):
        core.job(job.id, BEN)
    with pytest.raises(AccessError, match="there is no service"):
        core.catalog.service(job.id, BEN)


def test_a_name_that_is_taken_fails_the_job_and_leaves_the_service(core, ended, name):
    ended(core, submit(core, classify(1, service=name)))
    before = core.catalog.service(name, ANN)
    job = ended(core, submit(core, classify(2, service=name), BEN))
    assert job.state is State.FAILED
    last = core.messages(job)[-1]
    assert last.level is Level.ERROR and f"the name {name!r} is taken" in last.text
    assert core.catalog.service(name, ANN) == before


def test_an_item_is_replaced_as_a_whole_when_the_job_succeeds_only(core, ended, name):
    ended(core, submit(core, classify(1, service=name)))
    before = core.catalog.service(name, ANN)
    failing = classify(2, item=before.item, fail_at=1, fail="geodl")
    assert ended(core, submit(core, failing)).state is State.FAILED
    assert core.catalog.service(name, ANN) == before
    done = ended(core, submit(core, classify(2, item=before.item)))
    after = core.catalog.service(name, ANN)
    assert (after.version, after.item, after.info["job"]) == (2, before.item, done.id)
    assert len(Path(after.files["raster"]).read_text().splitlines()) == 2
    assert len(Path(before.files["raster"]).read_text().splitlines()) == 1  # somebody may read it


def test_an_error_is_the_last_message_without_our_folders(core, ended):
    job = ended(core, submit(core, classify(2, fail_at=1, fail="geodl")))
    assert (job.state, texts(core, job)[-1]) == (State.FAILED, "x: the disk is full")
    assert gone(core.options.data_dir / "jobs" / job.id)


def test_a_job_leaves_the_disk_before_its_end_is_written(core, ended, monkeypatch):
    write, there = core._store.end, []

    def end(id, *args):
        there.append((core.options.data_dir / "jobs" / id).exists())
        write(id, *args)

    monkeypatch.setattr(core._store, "end", end)  # which a full disk would refuse
    ended(core, submit(core, classify(2, fail_at=1, fail="geodl")))
    assert there == [False]


def test_an_unexpected_error_is_one_sentence_and_a_trace_in_the_log(core, ended, caplog):
    job = ended(core, submit(core, classify(2, fail_at=1, fail="odd")))
    text = texts(core, job)[-1]
    assert "(KeyError)" in text and job.id in text and "\n" not in text
    record = next(record for record in caplog.records if "Traceback" in record.getMessage())
    assert record.job == job.id and "fake_works.py" in record.getMessage()


def test_warnings_of_the_package_are_said_once(core, ended):
    job = ended(core, submit(core, classify(3, warns=True)))
    said = [(m.level, m.text) for m in core.messages(job) if m.level is Level.WARNING]
    assert said == [(Level.WARNING, "this is a warning")]


def test_what_a_work_warns_of_is_a_warning(core, ended):
    job = ended(core, submit(core, classify(1, odd=True)))
    said = {(m.level, m.text) for m in core.messages(job)}
    assert {(Level.WARNING, "padding was raised"), (Level.INFO, "It is fake.")} <= said


def test_a_worker_that_is_killed_fails_no_job(core, ended):
    job = ended(core, submit(core, classify(4, crash_at=2, crash=2)))
    assert job.state is State.SUCCEEDED
    text = Path(core.catalog.service(job.id, ANN).files["raster"]).read_text()
    assert text == "0 0 0\n0 1 1\n0 2 4\n0 3 9\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"crash_at": 1, "crash": 9},
            r"killed by signal 9 (SIGKILL): probably out of memory, 3 times",
        ),
        ({"crash_inputs": 9, "signal": 11}, "3 times at the same step; it opened the rasters"),
        ({"crash_missing": 9, "signal": 11}, "killed by signal 11 (SIGSEGV), 3 times"),
        ({"crash_finish": 9}, "killed by signal 9 (SIGKILL): probably out of memory, 3 times"),
    ],
)
def test_a_part_that_kills_its_worker_again_and_again_fails_the_job(core, ended, arguments, words):
    job = ended(core, submit(core, classify(2, **arguments)))
    assert job.state is State.FAILED
    assert words in texts(core, job)[-1]
    assert ended(core, submit(core, classify(1))).state is State.SUCCEEDED


def test_a_waiting_job_is_cancelled_at_once(core, ended, tmp_path):
    running = [submit(core, classify(1, wait_for_cancel=True)) for _ in range(3)]
    for job in running:
        ended(core, job, lambda job: job.state is State.RUNNING)
    waiting = submit(core, classify(1))
    assert core.cancel(waiting).state is State.CANCELLED
    for job in running:
        assert core.cancel(job).cancelling
    for job in running:
        assert ended(core, job).state is State.CANCELLED
        assert texts(core, job)[-1] == "The job was cancelled."
    assert core.cancel(waiting) == core.job(waiting.id, ANN)


def test_a_step_that_does_not_notice_is_killed(core, ended, monkeypatch):
    monkeypatch.setattr("geodl_lab.jobs.run.CANCEL_SECONDS", 0.1)
    job = submit(core, classify(1, ignores_cancel=True))
    ended(core, job, lambda job: "started" in texts(core, job)[-1])
    core.cancel(job)
    assert ended(core, job).state is State.CANCELLED
    assert ended(core, submit(core, classify(1))).state is State.SUCCEEDED


def test_a_higher_priority_goes_first_and_jobs_take_turns(core, ended, tmp_path):
    order = str(tmp_path / "order")
    holding = submit(core, classify(1, wait_for_cancel=True))
    ended(core, holding, lambda job: len(texts(core, job)) == 2)
    asked = {"order": order, "seconds": 0.3}
    jobs = [submit(core, classify(4, name=name, **asked)) for name in "ab"]
    for job in jobs:
        ended(core, job, lambda job: job.state is State.RUNNING)
    later = [
        submit(core, classify(1, name=n, order=order), priority=p) for n, p in (("l", 0), ("h", 5))
    ]
    core.cancel(holding)
    for job in [*jobs, *later]:
        ended(core, job)
    lines = Path(order).read_text().split()
    assert lines.index("h0") < lines.index("l0")
    assert lines.index("b0") < lines.index("a3") and lines.index("a0") < lines.index("b3")
    assert core.compute(one_device).result(10) == ["cpu"]


def test_an_image_waits_for_one_step_at_most(core, ended, tmp_path):
    order = str(tmp_path / "order")
    job = submit(core, classify(6, seconds=0.6, order=order))
    ended(core, job, lambda job: Path(order).exists())
    assert core.compute(one_device, device="cpu").result(10) == ["cpu"]
    assert len(Path(order).read_text().split()) <= 2
    core.cancel(job)


def test_a_compute_that_is_cancelled_while_it_waits_never_begins(core, tmp_path):
    first, second = (core.compute(_noted, tmp_path / name) for name in "ab")
    assert second.cancel()
    first.result(20)
    core.compute(one_device).result(20)
    assert [file.name for file in tmp_path.glob("?")] == ["a"]


def _noted(file):
    time.sleep(0.3)
    file.touch()


def test_a_compute_that_fails_raises(core):
    with pytest.raises(OptionError, match="no such thing"):
        core.compute(_raises).result(20)


def _raises():
    raise OptionError("no such thing")


@pytest.mark.parametrize("device", ["", "auto"])
def test_a_compute_whose_worker_dies_may_be_asked_again(core, device):
    with pytest.raises(BusyError, match=r"killed by signal 9.*send the same request again"):
        core.compute(_kill, device=device).result(60)
    assert core.compute(os.getpid, device=device).result(60) != os.getpid()


def _kill():
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_full_queue_refuses(opened):
    core = opened(queue_limit=1)
    core._runner._stopping = True  # nothing is taken from the queue
    time.sleep(0)
    with pytest.raises(BusyError, match="the server takes no more than 1"):
        for _ in range(10):
            submit(core, classify(1))


def test_a_second_server_on_a_folder_is_refused_until_the_first_is_gone(opened, fakes):
    core = opened()
    with pytest.raises(OptionError, match=r"in use by another server \(process \d+ on "):
        open_core(CoreOptions(core.options.data_dir), resolve=fakes.resolve)
    core.close()
    opened()


def test_another_database(opened, ended, tmp_path):
    core = opened(database=f"sqlite:///{tmp_path / 'elsewhere.db'}")
    assert ended(core, submit(core, classify(1))).state is State.SUCCEEDED
    assert (tmp_path / "elsewhere.db").exists()
    assert not (core.options.data_dir / "jobs.sqlite").exists()


def test_after_close_nothing_is_taken_and_what_ran_waits_for_the_next_start(opened, ended):
    first = opened()
    job = submit(first, classify(6, seconds=0.3))
    ended(first, job, lambda job: job.percent > 0)
    first.close(seconds=5)
    with pytest.raises(BusyError, match="stopping"):
        submit(first, classify(1))
    second = opened()
    done = ended(second, job)
    assert (done.state, done.attempts) == (State.SUCCEEDED, 2)
    log = (second.options.data_dir / "computed.log").read_text().split("\n")
    assert sorted(line for line in log if job.id in line) == [f"{job.id} {i}" for i in range(6)]


def test_items_of_stores_are_listed_and_found(opened, tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "scene.tif").touch()
    core = opened(stores={"A": tmp_path / "store"})
    item = next(iter(core._listings._list_rasters().values()))
    assert (item.title, item.store, item.owner) == ("scene", "A/scene.tif", "")
    assert core.item(item.id, BEN) == item
    assert core.store_path("A/scene.tif") == tmp_path / "store" / "scene.tif"
    with pytest.raises(AccessError, match="in the stores"):
        core.store_path("A/../a")


def test_endless_work_ends(core, ended):
    job = ended(core, submit(core, classify(1, endless=True)))
    assert "missing again" in texts(core, job)[-1]


def test_a_data_folder_that_was_moved_keeps_its_results(opened, ended, name, tmp_path, monkeypatch):
    first = opened()
    ended(first, submit(first, classify(1, service=name)))
    before = Path(first.catalog.service(name, ANN).files["raster"])
    first.close(seconds=1)
    (tmp_path / "data").rename(tmp_path / "moved")
    monkeypatch.setattr(retention, "GRACE_SECONDS", 0.0)  # what nobody names goes at once
    second = opened("moved")
    second._retention.sweep(time.time() + 60)
    after = Path(second.catalog.service(name, ANN).files["raster"])
    assert after == tmp_path / "moved" / before.relative_to(tmp_path / "data")
    assert after.read_text() == "0 0 0\n"
