"""Buckets: what an owner may take, and how they fill."""

from geodl_lab.server import limits
from geodl_lab.server.limits import Buckets


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_bucket_empties_and_fills():
    clock = Clock()
    buckets = Buckets(10, clock=clock)
    assert [buckets.take("a") for _ in range(12)] == [True] * 10 + [False] * 2
    clock.now += 0.35
    assert [buckets.take("a") for _ in range(5)] == [True] * 3 + [False] * 2
    clock.now += 1000
    assert sum(buckets.take("a") for _ in range(50)) == 10


def test_what_one_takes_another_has():
    buckets = Buckets(1, clock=Clock())
    assert buckets.take("a") and not buckets.take("a") and buckets.take("b")


def test_too_much_takes_nothing():
    buckets = Buckets(1, 100, clock=Clock())
    assert not buckets.take("a", 101)
    assert buckets.take("a", 100)
    assert not buckets.take("a", 1) and buckets.take("a", 0)


def test_the_buckets_that_are_kept_are_bounded(monkeypatch):
    monkeypatch.setattr(limits, "MOST_OWNERS", 3)
    buckets = Buckets(1, clock=Clock())
    for owner in "abcde":
        buckets.take(owner)
    assert list(buckets._levels) == ["c", "d", "e"]


def test_a_key_that_asks_too_fast_is_told_when(app, ask):
    server = app(rate_limit=3)
    answers = [ask(server, "/echo", key="key-of-one") for _ in range(5)]
    assert [one.status_code for one in answers] == [200, 200, 200, 429, 429]
    assert answers[-1].headers["retry-after"] == "1"
    assert "3 requests a second" in answers[-1].json()["error"]["message"]
    assert ask(server, "/echo", key="key-of-another").status_code == 200
    esri = ask(server, "/arcgis/echo", key="key-of-one")
    assert esri.status_code == 429 and esri.json()["error"]["code"] == 429
    assert esri.headers["retry-after"] == "1"


def test_who_has_no_key_is_limited_by_address(app, ask):
    server = app(rate_limit=2)
    tried = [ask(server, "/echo", key=f"try{number}").status_code for number in range(4)]
    assert tried == [403, 403, 429, 429]
    assert ask(server, "/echo", client=("10.0.0.9", 1)).status_code == 401
    assert ask(server, "/echo", key="key-of-one").status_code == 200
