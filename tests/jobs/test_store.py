"""Jobs are kept, claimed in order and end once."""

import dataclasses

import pytest

from geodl_lab.errors import BusyError
from geodl_lab.jobs import store as stores
from geodl_lab.jobs.database import Database
from geodl_lab.jobs.job import Caller, Job, Level, Message, State, new_id
from geodl_lab.jobs.store import End, Store


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'jobs.sqlite'}"


@pytest.fixture
def database(url):
    database = Database(url)
    yield database
    database.close()


@pytest.fixture
def store(database):
    return Store(database)


def add(store, lane="device", limit=100, admin=False, **values):
    job = Job(new_id(), "owner", {"kind": "list_models"}, {"task": "T"}, **values)
    store.add(job, lane=lane, admin=admin, limit=limit)
    return job


def test_a_job_is_there_for_another_process_with_all_its_values(store, url):
    job = add(store, priority=3, created=12.5)
    other = Database(url)
    assert Store(other).get(job.id) == job
    assert Store(other).messages(job.id) == [Message(Level.INFO, "The job is queued.", 12.5)]
    other.close()


def test_an_unknown_job_is_none(store):
    assert store.get("j0") is None
    assert store.messages("j0") == []


def test_the_caller_is_remembered(store):
    assert store.caller(add(store)) == Caller("owner")
    assert store.caller(add(store, admin=True)) == Caller("owner", admin=True)


def test_a_full_queue_says_so_and_keeps_nothing(store):
    add(store, limit=2), add(store, limit=2)
    with pytest.raises(BusyError, match="2 jobs wait and the server takes no more than 2"):
        add(store, limit=2)
    assert store.counts()[State.PENDING] == 2


def test_claims_go_by_lane_priority_and_age(store):
    jobs = [
        add(store, priority=p, lane=lane) for p, lane in ((0, "a"), (0, "a"), (5, "a"), (9, "b"))
    ]
    claimed = [store.claim("a", most) for most in (1, 16, 1)]
    ids = [[job.id for job in some] for some in claimed]
    assert ids == [[jobs[2].id], [jobs[0].id, jobs[1].id], []]
    (first,) = claimed[0]
    assert first.state is State.RUNNING and first.attempts == 1
    assert store.get(jobs[2].id) == first


def test_a_released_job_has_its_old_place_and_start(store):
    first, second = add(store), add(store)
    (begun,) = store.claim("device")
    store.release(first.id)
    again, other = store.claim("device", 2)
    assert (again.id, again.attempts, again.started) == (first.id, 2, begun.started)
    assert other.id == second.id
    store.release(first.id, lane="elsewhere")
    assert [job.id for job in store.claim("elsewhere")] == [first.id]


def test_many_ends_are_one_change(store):
    jobs = [add(store) for _ in range(3)]
    store.claim("device", 2)
    store.cancel(jobs[1].id)
    word = Message(Level.INFO, "It is done.", 5.0)
    ends = [End(job.id, State.SUCCEEDED, word, {"values": {"n": 1}}) for job in jobs]
    assert store.cancelling([job.id for job in jobs]) == [jobs[1].id]
    # The second was cancelled meanwhile, the third never ran.
    assert store.end_all(ends) == {jobs[0].id: State.SUCCEEDED, jobs[1].id: State.CANCELLED}
    first, second, third = (store.get(job.id) for job in jobs)
    assert (first.state, first.results) == (State.SUCCEEDED, {"values": {"n": 1}})
    assert (second.state, second.results) == (State.CANCELLED, {})
    assert third.state is State.PENDING
    assert store.messages(first.id)[-1] == word
    assert store.messages(second.id)[-1].text == "The job was cancelled."


def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_is_marked(store):
    running, waiting = add(store), add(store)
    store.claim("device")
    assert store.cancel(waiting.id).state is State.CANCELLED
    marked = store.cancel(running.id)
    assert (marked.state, marked.cancelling) == (State.RUNNING, True)
    store.end(running.id, State.CANCELLED)
    assert store.cancel(running.id) == store.get(running.id)


def test_a_cancelled_job_cannot_succeed_and_an_end_is_the_end(store, database):
    job = add(store)
    store.claim("device")
    store.cancel(job.id)
    assert not database.write(lambda c: stores.end(c, job.id, State.SUCCEEDED, {"a": 1}))
    store.end(job.id, State.CANCELLED, [Message(Level.INFO, "stopped", 1.0)])
    store.end(job.id, State.FAILED, [Message(Level.ERROR, "late", 2.0)])
    assert store.get(job.id).state is State.CANCELLED
    assert [message.text for message in store.messages(job.id)] == ["The job is queued.", "stopped"]


def test_success_has_results_and_all_percent(store, database):
    job = add(store)
    store.claim("device")
    assert database.write(lambda c: stores.end(c, job.id, State.SUCCEEDED, {"service": "a"}))
    found = store.get(job.id)
    assert (found.percent, found.results, found.state) == (100, {"service": "a"}, State.SUCCEEDED)
    assert found.finished >= found.started


def test_progress_is_written_at_most_twice_a_second(store, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(stores.time, "monotonic", lambda: clock[0])
    job = add(store)
    store.claim("device")
    seen = []
    for tenth in range(21):
        clock[0] = 100 + tenth / 10
        store.progress(job.id, tenth)
        seen.append(store.get(job.id).percent)
    assert sorted(set(seen)) == [0, 5, 10, 15, 20]


def test_messages_keep_their_order(store):
    job = add(store)
    store.say(job.id, Level.WARNING, *"abc")
    store.say(job.id, Level.INFO)
    assert [message.text for message in store.messages(job.id)][1:] == list("abc")


def test_only_finished_jobs_are_removed(store):
    job = add(store)
    store.remove(job.id)
    assert store.finished() == [] and store.get(job.id)
    store.cancel(job.id)
    assert [id for id, _ in store.finished()] == [job.id]
    store.remove(job.id)
    assert store.get(job.id) is None and store.messages(job.id) == []


def test_running_jobs_are_found_after_a_crash(store):
    jobs = [add(store) for _ in range(3)]
    store.claim("device"), store.claim("device")
    assert [job.id for job in store.running()] == [job.id for job in jobs[:2]]
    assert (
        dataclasses.replace(store.running()[0], state=State.PENDING, attempts=0, started=None)
        == jobs[0]
    )


def test_texts_that_no_database_takes_are_kept_without_what_is_wrong(store):
    job = add(store)
    store.say(job.id, Level.ERROR, "half \ud800 and NUL \0.")
    assert store.messages(job.id)[-1].text == "half ? and NUL ."
    assert store.get("j\ud800") is None
