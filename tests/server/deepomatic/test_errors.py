"""Every refusal under /v0.7 is JSON with ``error`` and ``detail``."""

import pytest
from fastapi.testclient import TestClient

from geodl_lab.server.app import make_app
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
    most = ServerOptions.max_form
    headers = {"content-type": "application/json", "content-length": str(most + 1)}
    check(client.post(PATH, content=b"{}", headers=headers), 413)


def test_a_full_queue_says_when_to_come_again(client, core):
    core.limit = 0
    answer = client.post(PATH, json=SENT)
    check(answer, 503)
    assert int(answer.headers["retry-after"]) > 0


def test_too_many_requests(core, tmp_path):
    options = ServerOptions(data_dir=tmp_path, api_keys=("key",), rate_limit=1)
    app = make_app(core, options, tokens=Tokens(options.api_keys, secret=b"secret"))
    client = TestClient(app, headers={"x-api-key": "key"})
    answers = [client.get("/v0.7/accounts/me") for _ in range(5)]
    check(answers[-1], 429)
    assert int(answers[-1].headers["retry-after"]) > 0


def test_a_fault_of_ours_shows_nothing(app, core, monkeypatch):
    monkeypatch.setattr(core, "model_cards", lambda: 1 / 0)
    client = TestClient(app, raise_server_exceptions=False, headers={"x-api-key": "key-of-one"})
    assert "Traceback" not in str(check(client.get("/v0.7/recognition/public"), 500))
