"""The page at the root: the server's state and a key's jobs, links that hold behind a proxy."""

import re

import pytest
from fastapi.testclient import TestClient

from geodl_lab.jobs.job import Caller
from geodl_lab.jobs.recipes import ListModels
from geodl_lab.server.tokens import owner_of
from tests.server.arcgis.conftest import FakeCore, app, core  # noqa: F401  fixtures of a whole core

PROXIED = {
    "X-Geodl-Proxied": "yes", "X-Forwarded-Prefix": "/user/x/geodl-lab",
    "Sec-Fetch-Site": "same-origin", "X-API-KEY": "key-a",
}  # fmt: skip


@pytest.fixture
def client(app, core, monkeypatch):  # noqa: F811
    def jobs(self, caller, *, limit):
        return self.store.newest(caller, kinds=(), limit=limit)

    monkeypatch.setattr(FakeCore, "jobs", jobs, raising=False)
    monkeypatch.setattr(FakeCore, "counts", lambda self: {}, raising=False)
    monkeypatch.setattr(FakeCore, "workers_ready", True, raising=False)
    cards = [{"name": "<b>", "task": "classify"}]
    monkeypatch.setattr(FakeCore, "model_cards", lambda self: cards, raising=False)
    return TestClient(app, base_url="http://hub.org")


def links(text):
    return re.findall('formaction="([^"]+)"', text)


def test_a_stranger_sees_the_state_and_where_the_key_goes(client):
    text = client.get("/").text
    assert "workers ready" in text and "Give the key below" in text
    assert 'name="token"' in text
    assert client.post("/", data={"token": "wrong"}).status_code == 403


def test_jobs_are_those_of_the_key(client, core):  # noqa: F811
    job = core.submit(
        ListModels(), Caller(owner_of("key-a")), request={"task": "ListDeepLearningModels"}
    )
    text = client.post("/", data={"token": "key-a"}).text
    (link,) = [one for one in links(text) if "/jobs/" in one]
    assert link.endswith(f"/ListDeepLearningModels/jobs/{job.id}")
    assert client.post(link, data={"token": "key-a"}).status_code == 200
    assert "No job yet" in client.post("/", data={"token": "key-b"}).text


def test_every_link_works_behind_a_proxy(client, core):  # noqa: F811
    core.submit(ListModels(), Caller(owner_of("key-a")), request={"task": "ListDeepLearningModels"})
    seen, new = set(), {"/"}
    while new:
        path = new.pop()
        answer = client.post(path, data={"f": "html"}, headers=PROXIED)
        assert answer.status_code == 200, path
        assert 'name="token"' not in answer.text
        seen.add(path)
        for link in links(answer.text):
            assert link.startswith("/user/x/geodl-lab/"), link
            short = link.removeprefix("/user/x/geodl-lab")
            if "submitJob" not in short and "cancel" not in short:
                new |= {short} - seen
    assert len(seen) > 10


def test_models_are_shown_escaped(client):
    text = client.get("/model-cards", headers=PROXIED).text
    assert "&lt;b&gt;" in text and "<b>" not in text
