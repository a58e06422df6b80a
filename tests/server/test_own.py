"""Routes of our own: a key's jobs, the models' cards, stores and their files."""

import time

import pytest
from fastapi.testclient import TestClient

from geodl_lab.jobs.core import CoreOptions
from geodl_lab.jobs.database import Database
from geodl_lab.jobs.job import Caller, Job, Level, State, new_id
from geodl_lab.jobs.listings import raster_item
from geodl_lab.jobs.store import Store, end
from geodl_lab.jobs.stores import Stores
from geodl_lab.server.app import make_app
from geodl_lab.server.options import ServerOptions
from geodl_lab.server.tokens import Tokens

ALL = Caller("", admin=True)


class FakeCore:
    """Jobs are those of a real store; nothing runs."""

    workers_ready = True

    def __init__(self, folder):
        self.options = CoreOptions(folder / "data", stores={"images": folder})
        self.database = Database(f"sqlite:///{folder / 'jobs.sqlite'}")
        self.store, self.stores = Store(self.database), Stores(self.options.stores)

    def add(self, owner, kind="classify", **request):
        job = Job(new_id(), owner, {"kind": kind}, request, created=time.time())
        self.store.add(job, lane="device", admin=False, limit=100)
        return job

    def jobs(self, caller, *, kinds, limit):
        return self.store.newest(caller, kinds=kinds, limit=limit)

    def job(self, id, caller):
        return next(one for one in self.store.newest(caller, limit=100) if one.id == id)

    def messages(self, job):
        return self.store.messages(job.id)

    def model_cards(self):
        return [{"name": "one", "task": "classify"}]

    def stored_rasters(self):
        return [raster_item(one) for one in self.stores.rasters()]

    def store_path(self, reference):
        return self.stores.path(reference)


@pytest.fixture
def core(tmp_path):
    (tmp_path / "a.tif").write_bytes(bytes(range(100)))
    (tmp_path / "secret.txt").write_text("hush")
    core = FakeCore(tmp_path)
    yield core
    core.database.close()


@pytest.fixture
def owners(core):
    tokens = Tokens(("key-a", "key-b"), admin_key="key-z", secret=b"s")
    options = ServerOptions(data_dir=core.options.data_dir)
    client = TestClient(make_app(core, options, tokens=tokens))
    return client, {key: tokens.check(key).owner for key in ("key-a", "key-b")}


@pytest.fixture
def ask(owners):
    client, _ = owners

    def get(path, key="key-a", **headers):
        return client.get(path, headers={"x-api-key": key, **headers})

    return get


def test_a_key_sees_its_own_jobs_the_newest_first(core, owners, ask):
    own = [core.add(owners[1]["key-a"]) for _ in range(3)]
    other = core.add(owners[1]["key-b"])
    told = [one["id"] for one in ask("/jobs").json()["jobs"]]
    assert told == [one.id for one in reversed(own)]
    assert [one["id"] for one in ask("/jobs?limit=1").json()["jobs"]] == [own[-1].id]
    assert ask("/jobs", "key-z").json()["jobs"][0]["id"] == other.id


def test_jobs_of_some_kinds(core, owners, ask):
    owner = owners[1]["key-a"]
    found = {kind: core.add(owner, kind).id for kind in ("classify", "detect", "look")}
    told = [one["id"] for one in ask("/jobs?kind=detect&kind=classify").json()["jobs"]]
    assert told == [found["detect"], found["classify"]]


def test_a_job_tells_times_parameters_and_messages(core, owners, ask):
    job = core.add(owners[1]["key-a"], task="Some", parameters={"model": "m"})
    (begun,) = core.store.claim("device")
    core.store.say(job.id, Level.WARNING, "Mind the gap.")
    core.database.write(
        lambda connection: end(connection, job.id, State.SUCCEEDED, {"service": "out"})
    )
    told = ask(f"/jobs/{job.id}").json()
    assert (told["state"], told["percent"], told["service"]) == ("succeeded", 100.0, "out")
    assert (told["task"], told["parameters"]) == ("Some", {"model": "m"})
    assert told["seconds"] == pytest.approx(told["finished"] - begun.started, abs=0.002)
    assert [one["text"] for one in told["messages"]] == ["The job is queued.", "Mind the gap."]
    assert told["messages"][1]["level"] == "warning"


def test_how_long_a_job_runs_is_known_as_soon_as_it_has_begun(core, owners, ask):
    job = core.add(owners[1]["key-a"])
    assert ask(f"/jobs/{job.id}").json()["seconds"] is None
    core.store.claim("device")
    assert 0 <= ask(f"/jobs/{job.id}").json()["seconds"] < 60


def test_stores_list_their_rasters_and_give_them_by_ranges(ask):
    (store,) = ask("/stores").json()["stores"]
    (raster,) = store["rasters"]
    assert (store["name"], raster["uri"]) == ("images", "/fileShares/images/a.tif")
    assert ask("/stores/images/a.tif").content == bytes(range(100))
    part = ask("/stores/images/a.tif", Range="bytes=10-19")
    assert (part.status_code, part.content) == (206, bytes(range(10, 20)))


@pytest.mark.parametrize(
    "path", ["images/secret.txt", "images/../a.tif", "images/b.tif", "nowhere/a.tif", "images"]
)
def test_nothing_else_of_a_store_is_given(ask, path):
    answer = ask(f"/stores/{path}")
    assert answer.status_code == 404
    assert b"hush" not in answer.content


def test_models_are_told_by_their_cards(ask):
    assert ask("/models").json() == {"models": [{"name": "one", "task": "classify"}]}


def test_what_is_not_possible_is_said_in_a_sentence(ask):
    answer = ask("/jobs?limit=0")
    assert answer.status_code == 400
    assert "limit: Input should be greater than or equal to 1" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/jobs", "/jobs/x", "/models", "/stores", "/stores/images/a.tif"])
def test_a_key_is_needed(ask, path):
    assert ask(path, "no-key").status_code == 403
