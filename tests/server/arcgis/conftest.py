"""A core whose jobs are ended by the test, and an app around the ArcGIS face."""

import hashlib

import pytest
from fastapi.testclient import TestClient

from geodl_lab.errors import AccessError
from geodl_lab.jobs.catalog import Catalog, Item
from geodl_lab.server.app import make_app
from geodl_lab.server.options import ServerOptions
from geodl_lab.server.tokens import Tokens
from tests.server.fake_core import StoreCore


class FakeCore(StoreCore):
    """With the real catalog."""

    def __init__(self, folder):
        super().__init__(folder, stores={"images": folder})
        self.catalog, self.models = Catalog(self.database), ["naip-landcover"]

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
