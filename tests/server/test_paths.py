"""Each path has one spelling, hosts are hosts, and HEAD answers."""

import pytest

from geodl_lab.server.paths import canonical

KEY = "key-of-one"


@pytest.mark.parametrize(
    ("path", "one"),
    [
        ("/", "/"), ("", "/"), ("//", "/"), ("/health/", "/health"), ("/server", "/arcgis"),
        ("/server/rest/services/", "/arcgis/rest/services"), ("/serverx/y", "/serverx/y"),
        ("/portal/sharing/rest/", "/arcgis/sharing/rest"), ("/a/server/b", "/a/server/b"),
    ],
)  # fmt: skip
def test_one_spelling(path, one):
    assert canonical(path) == one
    assert canonical(one) == one


@pytest.mark.parametrize(
    "path", ["/arcgis/echo", "/server/echo", "/portal/echo/", "/arcgis/echo//"]
)
def test_no_path_is_redirected(app, ask, path):
    answer = ask(app(), path, "POST", key=KEY, data={"a": "b"})
    assert answer.status_code == 200
    assert answer.json()["form"] == {"a": "b"}
    assert answer.json()["path"] == "/arcgis/echo"


@pytest.mark.parametrize("path", ["/echo%00", "/echo?where=%00", "/echo%0a"])
def test_control_characters_are_refused(app, ask, path):
    assert ask(app(), path, key=KEY).status_code == 400


@pytest.mark.parametrize("host", ["a b", "x<script>", "evil.org/path", "", "a:99999999", "ü"])
def test_a_host_that_is_none_is_refused(app, ask, host):
    answer = ask(app(), "/echo", key=KEY, headers={b"Host": host.encode()})
    assert answer.status_code == 400
    assert "Host header" in answer.json()["error"]["message"]


@pytest.mark.parametrize("host", ["maps.example.org:8443", "[::1]:8000", "10.0.0.1"])
def test_urls_have_the_host_that_the_client_used(app, ask, host):
    answer = ask(app(), "/echo", key=KEY, headers={"Host": host})
    assert answer.json()["base"] == f"http://{host}/"


def test_head_is_get_without_a_body(app, ask):
    got, head = (ask(app(), "/echo", method, key=KEY) for method in ("GET", "HEAD"))
    assert head.status_code == 200
    assert head.headers["content-length"] == got.headers["content-length"]
    assert ask(app(), "/nowhere", "HEAD", key=KEY).status_code == 404
    assert ask(app(), "/upload", "HEAD", key=KEY).status_code == 405


def test_headers_that_are_too_long_are_refused_in_the_dialect(app, ask):
    long = {"headers": {"x-long": "y" * 2**16}}
    words = "The headers have more than 65536 bytes; send fewer or shorter ones."
    ours, arcgis, pekat = (
        ask(app(), path, **long) for path in ("/echo", "/arcgis/echo", "/analyze_image")
    )
    assert ours.status_code == pekat.status_code == 431
    assert ours.json()["error"] == {"code": 431, "message": words}
    assert arcgis.json()["error"]["message"] == pekat.json()["message"] == words
