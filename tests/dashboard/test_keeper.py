"""A server that is shared ends when nobody uses it, and not before."""

import pytest

from geodl_lab.dashboard import keeper


class FakeServer:
    """Runs until it is stopped; has jobs for some looks."""

    def __init__(self, busy=0):
        self.running, self.looks, self._busy = True, 0, busy

    def client(self):
        return self

    def jobs(self, limit):
        self.looks += 1
        return [self] if self.looks <= self._busy else []

    state = "running"

    def stop(self):
        self.running = False


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(keeper, "IDLE", -1)
    monkeypatch.setattr(keeper, "LOOK", 0)


def test_users_are_known_by_their_locks(tmp_path):
    assert not keeper.has_users(tmp_path)
    with keeper.hold(tmp_path), keeper.hold(tmp_path):
        assert keeper.has_users(tmp_path)
    assert not keeper.has_users(tmp_path)


def test_without_users_and_jobs_it_is_stopped(tmp_path):
    server = FakeServer()
    keeper.keep(tmp_path, server)
    assert not server.running


def test_a_user_who_comes_at_the_last_moment_keeps_it(tmp_path, monkeypatch):
    server, asked = FakeServer(), []
    real = keeper.has_users

    def has_users(folder):
        asked.append(real(folder))
        return len(asked) == 2 or asked[-1]  # came between the look and the lock

    monkeypatch.setattr(keeper, "has_users", has_users)
    keeper.keep(tmp_path, server)
    assert len(asked) == 4 and not server.running


def test_jobs_that_run_keep_it(tmp_path, monkeypatch):
    monkeypatch.setattr(keeper, "IDLE", 0.05)
    server = FakeServer(busy=3)
    keeper.keep(tmp_path, server)
    assert server.looks > 3
