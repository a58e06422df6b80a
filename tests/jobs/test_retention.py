"""What is old goes; what is not finished, named by a client, or just read, stays."""

import os
from pathlib import Path

import pytest
from fake_works import classify

from geodl_lab.jobs import catalog as catalogs
from geodl_lab.jobs import recipes
from geodl_lab.jobs import store as stores
from geodl_lab.jobs.catalog import Catalog, Item, new_item_id
from geodl_lab.jobs.database import Database
from geodl_lab.jobs.job import Caller, Job, State, new_id
from geodl_lab.jobs.retention import GRACE_SECONDS, Retention
from geodl_lab.jobs.store import Store

ANN = Caller("ann")
DAY = 86_400.0
NOW = 100 * DAY


class Server:
    """Jobs and services on the disk, with ends at chosen times."""

    def __init__(self, folder):
        self.database = Database(f"sqlite:///{folder / 'jobs.sqlite'}")
        self.store, self.catalog = Store(self.database), Catalog(self.database)
        self.jobs, self.services = folder / "jobs", folder / "services"
        self.jobs.mkdir()
        self.services.mkdir()

    def ended(self, day, *, service="", size=10):
        """A job that succeeded on a day, with a service of some bytes."""
        job = Job(new_id(), "ann", recipes.to_json(classify()))
        self.store.add(job, lane="device", admin=False, limit=100)
        self.store.claim("device")
        name, item = service or job.id, Item(new_item_id(), "ann", "Image Service", "t")
        file = self.write(self.services / name / job.id / "a.tif", size)
        self.catalog.create(name, "raster", "ann", item)
        fill = {"raster": str(file)}
        self.database.write(lambda c: catalogs.fill_service(c, name, fill, {}))
        self.database.write(lambda c: stores.end(c, job.id, State.SUCCEEDED, {}))
        values = stores.JOBS.update().where(stores.JOBS.c.id == job.id).values(finished=day * DAY)
        self.database.write(lambda c: c.execute(values) and None)
        return job.id

    def write(self, file, size=1, day=0.0):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(size))
        os.utime(file.parent, (day * DAY, day * DAY))
        return file

    def sweep(self, *, keep_days=None, keep_bytes=None):
        retention = Retention(
            self.store, self.catalog, self.jobs.parent, keep_days=keep_days, keep_bytes=keep_bytes
        )
        retention.sweep(NOW)

    def left(self):
        return [id for id, _ in self.store.finished()]


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path)
    yield server
    server.database.close()


def test_jobs_go_by_age_and_those_with_a_name_leave_their_service(server):
    old, named, young = server.ended(60), server.ended(60, service="roofs"), server.ended(90)
    server.sweep(keep_days=30)
    assert server.left() == [young]
    assert server.catalog.is_free(old) and not (server.services / old).exists()
    assert Path(server.catalog.service("roofs", ANN).files["raster"]).exists()
    assert server.store.messages(named) == []


def test_the_oldest_go_until_the_rest_is_small_enough(server):
    ids = [server.ended(day, size=10) for day in (3, 1, 2)]
    server.sweep(keep_bytes=25)
    assert server.left() == [ids[2], ids[0]]
    server.sweep(keep_bytes=20)
    assert len(server.left()) == 2
    server.sweep(keep_bytes=0)
    assert server.left() == []


def test_without_limits_nothing_goes(server):
    server.ended(0)
    server.sweep()
    assert len(server.left()) == 1


def test_unfinished_jobs_are_never_touched(server):
    job = Job(new_id(), "ann", {}, created=0.0)
    server.store.add(job, lane="device", admin=False, limit=100)
    block = server.write(server.jobs / job.id / "block")
    server.sweep(keep_days=0, keep_bytes=0)
    assert server.store.get(job.id) and block.exists()


def test_files_that_nothing_names_go_after_a_while(server):
    server.ended(99, service="roofs")
    older = server.write(server.services / "roofs" / "jold" / "a.tif")
    deleted = server.write(server.services / "gone" / "j1" / "a.tif")
    orphan = server.write(server.jobs / "jorphan" / "block")
    soon = (NOW - GRACE_SECONDS / 2) / DAY
    read = server.write(server.services / "roofs" / "jread" / "a.tif", day=soon)
    server.sweep()
    assert [file.exists() for file in (older, deleted, orphan, read)] == [False, False, False, True]
    assert not (server.services / "gone").exists()
    assert Path(server.catalog.service("roofs", ANN).files["raster"]).exists()


def test_uploads_go_with_their_items(server):
    uploads = server.jobs.parent / "uploads"
    kept, deleted = (server.write(uploads / name / "m.dlpk") for name in ("kept", "deleted"))
    server.catalog.save(Item(new_item_id(), "ann", "x", "t", file=str(kept)))
    server.sweep()
    assert (kept.exists(), deleted.exists()) == (True, False)
