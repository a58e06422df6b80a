"""Who comes in: keys and tokens wherever clients put them."""

import asyncio

import pytest

from geodl_lab.server import auth
from geodl_lab.server.tokens import owner_of

KEY, OTHER, ADMIN = "key-of-one", "key-of-another", "key-of-the-admin"

WAYS = {
    "esri": {"headers": {"X-Esri-Authorization": "Bearer {}"}},
    "esri of QGIS": {"headers": {"X-Esri-Authorization": "Bearer {} "}},
    "bearer": {"headers": {"Authorization": "bearer {}"}},
    "x-api-key": {"headers": {"X-API-KEY": " {} "}},
    "query": {"params": {"f": "json", "token": "{}"}},
    "query in capitals": {"params": {"Token": "{}"}},
    "form": {"data": {"where": "1=1", "token": "{}"}},
    "multipart": {"data": {"a": "b", "token": "{}"}, "files": {"file": b"x" * 100}},
}


def filled(way, token):
    return {
        kind: {
            name: text.format(token) if isinstance(text, str) else text for name, text in of.items()
        }
        for kind, of in WAYS[way].items()
    }


@pytest.mark.parametrize("way", WAYS)
def test_a_key_is_found_wherever_it_is(app, ask, way):
    server = app()
    for key in (KEY, OTHER):
        answer = ask(server, "/arcgis/echo", "POST", **filled(way, key)).json()
        assert answer["owner"] == owner_of(key)
    wrong = ask(server, "/arcgis/echo", "POST", **filled(way, "wrong"))
    assert wrong.status_code == 200
    assert wrong.json() == {"error": {"code": 498, "message": "Invalid token", "details": []}}
    assert ask(server, "/echo", "POST", **filled(way, "wrong")).status_code == 403


def test_a_form_is_not_eaten(app, ask):
    answer = ask(app(), "/echo", "POST", data={"a": "b & c", "token": KEY}).json()
    assert answer["form"] == {"a": "b & c", "token": KEY}


def test_without_a_key(app, ask):
    server = app()
    assert ask(server, "/echo").status_code == 401
    assert "X-API-KEY" in ask(server, "/echo").json()["error"]["message"]
    assert ask(server, "/nowhere").status_code == 401
    for path in ("/arcgis/echo", "/server/echo/", "/portal/echo", "/arcgis/nowhere", "/arcgis"):
        answer = ask(server, path)
        assert answer.status_code == 200
        assert answer.json()["error"] == {"code": 499, "message": "Token Required", "details": []}
        assert answer.headers["cache-control"] == "no-store"


def test_a_file_without_a_key_is_no_success(app, ask):
    server, path = app(), "/arcgis/rest/services/Hosted/a/ImageServer/download/a.tif"
    assert ask(server, path).status_code == 401
    wrong = ask(server, path, key="wrong")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (403, 498)


def test_a_person_is_asked_for_the_key(app, ask):
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    page = ask(app(), "/server/rest/services/", headers=browser)
    assert page.status_code == 401 and page.headers["content-type"].startswith("text/html")
    assert 'type="password" name="token"' in page.text
    assert 'formaction="/arcgis/rest/services"' in page.text
    form = {"token": KEY, "f": "html"}
    signed_in = ask(app(), "/arcgis/rest/services", "POST", data=form, headers=browser)
    assert signed_in.status_code == 200 and "RasterAnalysisTools" in signed_in.text
    for f in ("json", "pjson"):
        answer = ask(app(), "/arcgis/rest/services", headers=browser, params={"f": f})
        assert answer.json()["error"]["code"] == 499


@pytest.mark.parametrize("empty", [{"params": {"token": ""}}, {"headers": {"X-API-KEY": " "}}])
def test_an_empty_token_is_none(app, ask, empty):
    assert ask(app(), "/arcgis/echo", **empty).json()["error"]["code"] == 499


@pytest.mark.parametrize("path", ["/health", "/metrics", "/openapi.json", "/ping", "/version"])
def test_what_is_open_answers_anybody(app, ask, path):
    server = app()
    assert ask(server, path).status_code == 200
    assert ask(server, path, key="wrong").status_code == 200


def test_portals_self_answers_anybody_but_with_a_wrong_key(app, ask):
    server, path = app(), "/portal/sharing/rest/portals/self"
    for form in ({}, {"params": {"f": "json"}}):
        assert "error" not in ask(server, path, **form).text
        assert "error" not in ask(server, path, key=KEY, **form).text
        assert ask(server, path, key="wrong", **form).json()["error"]["code"] == 498


@pytest.mark.parametrize(
    "path",
    [
        "/docs",
        "/redoc",
        "/health/../echo",
        "/health%2f..%2fecho",
        "/echo;/health",
        "http://localhost//echo",
        "/HEALTH",
    ],
)
def test_nothing_else_is_open(app, ask, path):
    assert ask(app(), path).status_code in (401, 404) and "owner" not in ask(app(), path).text


def test_an_issued_token_is_its_key(app, ask):
    server = app()
    token = ask(server, "/fail/token", key=ADMIN).json()["token"]
    assert ask(server, "/echo", key=token).json() == ask(server, "/echo", key=ADMIN).json()
    assert ask(server, "/echo", key=token).json()["admin"]


def test_one_right_token_among_several_is_enough(app, ask):
    headers = {"Authorization": "Bearer wrong", "X-API-KEY": KEY}
    assert ask(app(), "/echo", headers=headers).json()["owner"] == owner_of(KEY)
    basic = {"Authorization": "Basic eDp5"}
    assert ask(app(), "/echo", headers=basic).status_code == 401


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"--x\r\n\r\n"),
        ("multipart/form-data; boundary=x", b"no part at all"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="token'),
        ("multipart/form-data; boundary=" + "y" * 5000, b"--y"),
        ("application/x-www-form-urlencoded", b"\xff\xfe%zz&&==&token"),
        ("application/x-www-form-urlencoded", b"a&" * 3000),
    ],
)
def test_broken_forms_carry_no_token(app, ask, kind, body):
    answer = ask(app(), "/echo", "POST", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 401


def test_without_keys_at_all_this_machine_may(app, ask):
    server = app(no_auth=True)
    assert ask(server, "/echo").json()["owner"] == "local"
    assert ask(server, "/echo", key="whatever").json()["owner"] == "local"


@pytest.mark.parametrize("size", [{}, {"Content-Length": "10"}])
def test_a_form_of_a_stranger_is_not_waited_for(app, ask, monkeypatch, size):
    monkeypatch.setattr(auth, "SECONDS", 0.05)

    async def endless():
        yield b"a=b"
        await asyncio.Event().wait()

    form = {"Content-Type": "application/x-www-form-urlencoded", **size}
    answer = ask(app(), "/echo", "POST", content=endless(), headers=form)
    assert answer.status_code == 408
    large = {"token": KEY, "x": "y" * auth.SMALL}
    assert ask(app(), "/echo", "POST", data=large).json()["owner"] == owner_of(KEY)
