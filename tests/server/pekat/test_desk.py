"""Last images by key, and the key that stops."""

import pytest

from geodl_lab.errors import AccessError
from geodl_lab.server.pekat import desk
from geodl_lab.server.pekat.inspection import Sent
from geodl_lab.server.pekat.project import Project


def test_each_owner_has_a_last_image():
    last = desk.LastImages()
    last.keep("a", Sent(b"1"))
    last.keep("b", Sent(b"2"))
    last.keep("a", Sent(b"3"))
    assert (last.of("a").data, last.of("b").data) == (b"3", b"2")
    with pytest.raises(AccessError, match="no image of this key was analysed yet"):
        last.of("c")


def test_the_oldest_go_when_they_are_many(monkeypatch):
    monkeypatch.setattr(desk, "MOST_BYTES", 10)
    last = desk.LastImages()
    for owner in "abc":
        last.keep(owner, Sent(b"12345"))
    with pytest.raises(AccessError, match="no image"):
        last.of("a")
    last.keep("d", Sent(b"x" * 50))
    assert last.of("d").data == b"x" * 50
    with pytest.raises(AccessError, match="no image"):
        last.of("c")


def test_who_may_stop():
    with_key, without = desk.Desk(Project(), stop_key="halt"), desk.Desk(Project())
    assert with_key.can_stop and with_key.may_stop("halt")
    assert not any(with_key.may_stop(key) for key in ("", "hal", "halt2", "h\udc80"))
    assert not without.can_stop and not without.may_stop("")
