"""A core whose jobs are ended by the test, and an app around the ArcGIS face."""

import hashlib
import time

import pytest
from fastapi.testclient import TestClient

from geodl_lab.errors import AccessError
from geodl_lab.jobs import recipes
from geodl_lab.jobs.catalog import Catalog, Item
from geodl_lab.jobs.core import CoreOptions
from geodl_lab.jobs.database import Database
from geodl_lab.jobs.job import Job, Level, Message, State, new_id
from geodl_lab.jobs.store import Store, end, say
from geodl_lab.server.app import make_app
from geodl_lab.server.options import ServerOptions
from geodl_lab.server.tokens import Tokens


class FakeCore:
    """Store and catalog are the real ones; nothing runs, `succeed` and `fail` end a job."""

    def __init__(self, folder):
        self.database = Database(f"sqlite:///{folder / 'jobs.sqlite'}")
        self.options = CoreOptions(folder, stores={"images": folder})
        self.store, self.catalog = Store(self.database), Catalog(self.database)
        self.models = ["naip-landcover"]
        self.limit = 100

    def submit(self, recipe, caller, *, request, priority=0):
        job = Job(new_id(), caller.owner, recipes.to_json(recipe), request, created=time.time())
        self.store.add(job, lane="device", admin=caller.admin, limit=self.limit)
        return job

    def job(self, id, caller):
        job = self.store.get(id)
        if job is None or not caller.may_see(job.owner):
            raise AccessError(f"there is no job {id}")
        return job

    def messages(self, job):
        return self.store.messages(job.id)

    def cancel(self, job):
        return self.store.cancel(job.id)

    def items(self, caller):
        models = [
            Item(hashlib.md5(b"model:" + m.encode()).hexdigest(), "", "Deep Learning Package", m,
                 model=m)
            for m in self.models
        ]  # fmt: skip
        return [*self.catalog.items(caller), *models]

    def item(self, id, caller):
        found = next((one for one in self.items(caller) if one.id == id), None)
        if found is None:
            raise AccessError(f"there is no item {id}")
        return found

    def start(self, id):
        while self.store.get(id).state is State.PENDING:
            self.store.claim("device")

    def succeed(self, id, **results):
        self.start(id)
        self.database.write(lambda connection: end(connection, id, State.SUCCEEDED, results))

    def fail(self, id, text):
        def change(connection):
            end(connection, id, State.FAILED)
            say(connection, id, (Message(Level.ERROR, text, time.time()),))

        self.start(id)
        self.database.write(change)

    def recipe(self, id):
        return recipes.from_json(self.store.get(id).recipe)


@pytest.fixture
def core(tmp_path):
    core = FakeCore(tmp_path)
    yield core
    core.database.close()


@pytest.fixture
def app(core, tmp_path):
    options = ServerOptions(data_dir=tmp_path, api_keys=("key-a", "key-b"), admin_key="key-admin")
    tokens = Tokens(options.api_keys, admin_key=options.admin_key, secret=b"secret")
    return make_app(core, options, tokens=tokens)


@pytest.fixture
def client(app):
    return TestClient(app, base_url="https://box:8443")


@pytest.fixture
def ask(client):
    """Call with a path, parameters and a key; returns the JSON of the answer."""

    def ask(path, *, key="key-a", **parameters):
        data = {"f": "json"} | parameters
        answer = client.post(f"/arcgis{path}", data=data, headers={"x-api-key": key})
        assert answer.status_code == 200, answer.text
        return answer.json()

    return ask
