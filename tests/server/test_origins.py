"""Web pages: those of other hosts may ask with a key, and never without."""

import pytest

KEY = "key-of-one"


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [("/echo", KEY, 200), ("/echo", None, 401), ("/nowhere", KEY, 404), ("/fail/x", KEY, 500)],
)
def test_every_answer_may_be_read_by_a_page(app, ask, path, key, status):
    answer = ask(app(), path, key=key, headers={"Origin": "https://maps.example.org"})
    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "Content-Range" in answer.headers["access-control-expose-headers"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_preflight_needs_no_key(app, ask):
    answer = ask(app(), "/arcgis/echo", "OPTIONS", headers={
        "Origin": "https://maps.example.org", "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-esri-authorization,range",
    })  # fmt: skip
    assert answer.status_code == 204
    allowed = answer.headers["access-control-allow-headers"].lower()
    for name in ("x-esri-authorization", "authorization", "x-api-key", "range", "content-type"):
        assert name in allowed
    assert "POST" in answer.headers["access-control-allow-methods"]


def test_a_page_of_ours_loads_nothing_and_tells_nobody_its_address(app, ask):
    headers = ask(app(), "/page", key=KEY).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "content-security-policy" not in ask(app(), "/echo", key=KEY).headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://localhost:8888"}, 200),
        ({"Origin": "https://evil.org"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost.evil.org"}, 403),
        ({"Referer": "https://evil.org/page"}, 403),
        ({"Referer": "http://127.0.0.1:8888/lab", "Sec-Fetch-Site": "cross-site"}, 200),
        ({"Referer": "http"}, 200),  # what the ArcGIS API for Python sends
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "rebound.evil.org"}, 403),
        ({"Host": "127.0.0.1:8000"}, 200),
        ({"Host": "[::1]:8000"}, 200),
    ],
)
def test_without_keys_pages_of_other_hosts_are_kept_out(app, ask, headers, status):
    assert ask(app(no_auth=True), "/echo", headers=headers).status_code == status
    assert ask(app(), "/echo", key=KEY, headers=headers).status_code == 200
