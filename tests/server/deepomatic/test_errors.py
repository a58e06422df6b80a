"""Every refusal under /v0.7 is JSON with ``error`` and ``detail``."""

import base64

import pytest
from fastapi.testclient import TestClient

from geodl_lab.server import auth
from geodl_lab.server.app import make_app
from geodl_lab.server.deepomatic.errors import MOST_BODY
from geodl_lab.server.options import ServerOptions
from geodl_lab.server.tokens import Tokens

PATH = "/recognition/public/tree-crowns/inference"
SENT = {"inputs": [{"image": {"source": "http://a/b"}}]}


def check(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"error", "detail"}
    return answer.json()


def test_keys(client, app):
    stranger = TestClient(app, base_url="http://testserver/v0.7")
    for path in ("/accounts/me", "/tasks", "/nowhere", ""):
        assert "credentials" in check(stranger.get(path), 401)["detail"]
        wrong = stranger.get(path, headers={"x-api-key": "wrong", "x-app-id": "1"})
        assert "not valid" in check(wrong, 401)["error"]
    check(stranger.post(PATH, json=SENT), 401)
    told = client.get("/accounts/me/", headers={"x-app-id": "1"}).json()
    assert set(told) == {"id", "name", "email"}


def test_addresses_and_methods(client):
    assert check(client.get("/nowhere"), 404)["detail"] == "Not found."
    check(client.get("/"), 404)
    check(client.get(PATH), 405)
    check(client.delete("/accounts/me"), 405)
    check(client.post("/tasks", json={}), 405)


@pytest.mark.parametrize(
    ("kind", "content", "status"),
    [
        ("text/plain", b"{}", 415),
        ("image/png", b"\x89PNG", 415),
        ("application/json", b"{", 400),
        ("application/json", b"[]", 400),
        ("application/json", b"", 400),
        ("multipart/form-data", b"x", 400),
        ("multipart/form-data; boundary=a", b"--a\r\nno header\r\n\r\nx", 400),
        ("multipart/form-data; boundary=a", b"--b\r\n\r\n", 400),
        ("multipart/form-data; boundary=a", b"", 400),
        ("application/x-www-form-urlencoded", b"%%%=%%%&&&;;=", 400),
        ("application/x-www-form-urlencoded", b"a=1&" * 30_000, 400),
    ],
)
def test_bodies(client, kind, content, status):
    check(client.post(PATH, content=content, headers={"content-type": kind}), status)


def test_json_needs_no_type(client):
    answer = client.post(PATH, content=b'{"inputs": [{"image": {"source": "http://a/b"}}]}')
    assert answer.status_code == 200


def test_bodies_that_are_too_large(client):
    form = "application/x-www-form-urlencoded"
    for path, kind, most in (
        (PATH, "application/json", MOST_BODY),
        (PATH, form, ServerOptions.max_form),
        ("/recognition/specs", "application/json", ServerOptions.max_form),
    ):
        headers = {"content-type": kind, "content-length": str(most + 1)}
        check(client.post(path, content=b"{}", headers=headers), 413)


@pytest.mark.parametrize("part", [False, True])
def test_images_in_texts_are_larger_than_forms(core, tmp_path, part):
    options = ServerOptions(data_dir=tmp_path, api_keys=("key",), max_form=1000)
    app = make_app(core, options, tokens=Tokens(options.api_keys, secret=b"secret"))
    client = TestClient(app, base_url="http://testserver/v0.7", headers={"x-api-key": "key"})
    text = "data:image/*;base64," + base64.b64encode(b"x" * 2000).decode()
    sent = {"json": {"inputs": [{"image": {"source": text}}]}}
    if part:
        sent = {"files": {"inputs[0]image.source": (None, text)}}
    id = client.post(PATH, **sent).json()["task_id"]
    assert core.files[id]["image"] == b"x" * 2000


def test_a_full_queue_says_when_to_come_again(client, core):
    core.limit = 0
    answer = client.post(PATH, json=SENT)
    check(answer, 503)
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("patience", [0, 5])
def test_too_many_requests_are_held_back_and_refused_at_last(core, tmp_path, monkeypatch, patience):
    monkeypatch.setattr(auth, "PATIENCE", patience)
    options = ServerOptions(data_dir=tmp_path, api_keys=("key",), rate_limit=20)
    app = make_app(core, options, tokens=Tokens(options.api_keys, secret=b"secret"))
    client = TestClient(app, headers={"x-api-key": "key"})
    answers = [client.get("/v0.7/tasks/17") for _ in range(40)]
    refused = [one for one in answers if one.status_code == 429]
    assert bool(refused) == (patience == 0)
    for one in refused:
        check(one, 429)
        assert int(one.headers["retry-after"]) > 0


def test_a_fault_of_ours_shows_nothing(app, core, monkeypatch):
    monkeypatch.setattr(core, "model_cards", lambda: 1 / 0)
    client = TestClient(app, raise_server_exceptions=False, headers={"x-api-key": "key-of-one"})
    assert "Traceback" not in str(check(client.get("/v0.7/recognition/public"), 500))
