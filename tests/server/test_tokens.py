"""Keys and tokens: who may come in, and for how long."""

import stat
import time

import pytest

from geodl_lab.errors import OutputError
from geodl_lab.jobs.job import Caller
from geodl_lab.server import tokens as module
from geodl_lab.server.tokens import LOCAL, Tokens, kept_key, kept_secret, owner_of


@pytest.fixture
def tokens():
    return Tokens(("one", "two"), admin_key="all", secret=b"secret")


def test_a_key_is_a_token(tokens):
    one, two, admin = map(tokens.check, ("one", "two", "all"))
    assert one.owner != two.owner
    assert not one.admin and admin.admin
    assert one.owner == owner_of("one") and "one" not in one.owner
    assert tokens.check("three") is None


@pytest.mark.parametrize(
    "token", ["", ".", "..", "a.b.c", "\0", "é", "\udc80", "one.ff.00", "x" * 9999]
)
def test_what_is_no_token_is_none(tokens, token):
    assert tokens.check(token) is None


def test_a_token_is_its_key_until_it_expires(tokens, monkeypatch):
    token, expires = tokens.issue(tokens.check("all"), 10)
    assert tokens.check(token) == tokens.check("all")
    assert expires == pytest.approx(time.time() + 600, abs=2)
    monkeypatch.setattr(module.time, "time", lambda: expires + 1)
    assert tokens.check(token) is None


def test_a_token_that_was_changed_is_none(tokens):
    token, _ = tokens.issue(tokens.check("one"))
    owner, expires, signature = token.split(".")
    later = f"{int(expires, 16) + 1:x}"
    assert tokens.check(f"{owner}.{later}.{signature}") is None
    assert tokens.check(f"{owner_of('two')}.{expires}.{signature}") is None
    assert tokens.check(token[:-1]) is None


def test_a_token_ends_with_its_key_and_its_secret(tokens):
    token, _ = tokens.issue(tokens.check("one"))
    assert Tokens(("one",), secret=b"secret").check(token)
    assert Tokens(("two",), secret=b"secret").check(token) is None
    assert Tokens(("one",), secret=b"other").check(token) is None


@pytest.mark.parametrize(("minutes", "most"), [(-5, 60), (1e9, 60 * module.MOST_MINUTES)])
def test_how_long_a_token_holds_is_bounded(tokens, minutes, most):
    _, expires = tokens.issue(tokens.check("one"), minutes)
    assert expires == pytest.approx(time.time() + most, abs=2)


def test_all_keys_are_compared(tokens, monkeypatch):
    seen = []
    compare = module.hmac.compare_digest
    monkeypatch.setattr(module.hmac, "compare_digest", lambda a, b: seen.append(1) or compare(a, b))
    tokens.check("one")
    assert len(seen) == 3


def test_everybody_is_the_same_without_keys():
    assert Tokens((), secret=b"s", anybody=True).check("whatever") == LOCAL


def test_a_made_key_is_kept_and_private(tmp_path):
    key, made = kept_key(tmp_path)
    assert made and len(key) > 40
    assert kept_key(tmp_path) == (key, False)
    assert stat.S_IMODE((tmp_path / "api-key").stat().st_mode) == 0o600
    assert kept_secret(tmp_path) == kept_secret(tmp_path) != key.encode()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["api-key", "token-secret"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(OutputError, match="api-key cannot be read or written"):
        kept_key(tmp_path / "nowhere")


def test_one_more_key_changes_nothing_of_before(tokens):
    more = tokens.also("three")
    assert more.check("three") == Caller(owner_of("three")) and more.check("one")
    assert tokens.check("three") is None and tokens.also("").check("") is None
    opened = tokens.also("", anybody=True)
    assert opened.anybody == LOCAL and tokens.anybody is None
