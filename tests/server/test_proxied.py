"""Where Jupyter added the key, only pages of the same address may make a browser ask."""

import pytest

KEY = "key-of-one"
PROXIED = {"X-Geodl-Proxied": "yes", "X-Forwarded-Prefix": "/user/x/geodl-lab", "Cookie": "jupyter"}


def status(ask, app, **headers):
    return ask(app, "/echo", key=KEY, headers={**PROXIED, "Host": "hub.org:8000", **headers})


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
        {"Origin": "http://hub.org:8000"},
        {"Origin": "http://HUB.org:8000"},
        {"Origin": "null", "Referer": "http://hub.org:8000/user/x/geodl-lab/"},
        {"Referer": "http://hub.org:8000/user/x/lab"},
        {"Cookie": ""},
    ],
)
def test_pages_of_the_same_address_may_ask(app, ask, headers):
    if headers == {"Cookie": ""}:  # a program, which gave Jupyter its token
        given = {name: text for name, text in PROXIED.items() if name != "Cookie"}
        assert ask(app(), "/echo", key=KEY, headers=given).status_code == 200
    else:
        assert status(ask, app(), **headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://hub.org:8000"},
        {"Origin": "https://evil.org"},
        {"Origin": "null"},
        {"Origin": "http://hub.org:9000"},
        {"Origin": "http://[evil"},
        {"Referer": "https://evil.org/?http://hub.org:8000"},
        {"Origin": "https://evil.org", "Referer": "http://hub.org:8000/"},
    ],
)
def test_others_may_not(app, ask, headers):
    answer = status(ask, app(), **headers)
    assert answer.status_code == 403
    assert "open its start page in Jupyter's launcher" in answer.text


def test_the_start_page_is_open_to_every_link(app, ask):
    headers = {**PROXIED, "Sec-Fetch-Site": "none"}
    assert ask(app(), "/health", key=KEY, headers=headers).status_code == 200


def test_who_sends_the_key_itself_is_asked_nothing(app, ask):
    headers = {"Origin": "https://maps.example.org", "Sec-Fetch-Site": "cross-site"}
    assert ask(app(), "/echo", key=KEY, headers=headers).status_code == 200


def test_addresses_in_answers_have_the_prefix(app, ask):
    answer = status(ask, app(), **{"Sec-Fetch-Site": "same-origin"})
    assert answer.json()["base"] == "http://hub.org:8000/user/x/geodl-lab/"
    assert answer.headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize("prefix", ["//evil.org", "https://evil.org", '/"><script>', "user"])
def test_a_prefix_that_is_none_is_not_taken(app, ask, prefix):
    given = {"Sec-Fetch-Site": "same-origin", "X-Forwarded-Prefix": prefix}
    assert status(ask, app(), **given).json()["base"] == "http://hub.org:8000/"


def test_nobody_without_the_mark_moves_addresses(app, ask):
    headers = {"X-Forwarded-Prefix": "/elsewhere"}
    assert ask(app(), "/echo", key=KEY, headers=headers).json()["base"] == "http://localhost/"
