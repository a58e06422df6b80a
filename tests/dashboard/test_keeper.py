"""A server that is shared ends when nobody uses it, and not before."""

import http.server
import json
import subprocess
import sys
import threading

import pytest

from geodl_lab.dashboard import keeper, servers


class FakeServer:
    """Runs until it is stopped."""

    returncode = None

    def poll(self):
        return self.returncode

    def terminate(self):
        self.returncode = 0

    def wait(self, seconds):
        return self.returncode


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(keeper, "IDLE", -1)
    monkeypatch.setattr(keeper, "LOOK", 0)


@pytest.fixture
def jobs(tmp_path):
    """States of the jobs of a server that answers."""
    states, asked = [], []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers["X-API-KEY"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"jobs": [{"state": one} for one in states]}).encode())

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        (tmp_path / "server.json").write_text(json.dumps({"url": url}))
        (tmp_path / "api-key").write_text("secret\n")
        yield states
        server.shutdown()
    assert set(asked) <= {("/jobs?limit=200", "secret")}


def test_users_are_known_by_their_locks(tmp_path):
    assert not keeper.has_users(tmp_path)
    with keeper.hold(tmp_path), keeper.hold(tmp_path):
        assert keeper.has_users(tmp_path)
    assert not keeper.has_users(tmp_path)


def test_without_users_and_jobs_it_is_stopped(tmp_path):
    server = FakeServer()
    keeper.keep(tmp_path, server)
    assert server.returncode == 0


def test_a_user_who_comes_at_the_last_moment_keeps_it(tmp_path, monkeypatch):
    server, asked = FakeServer(), []
    real = keeper.has_users

    def has_users(folder):
        asked.append(real(folder))
        return len(asked) == 2 or asked[-1]  # came between the look and the lock

    monkeypatch.setattr(keeper, "has_users", has_users)
    keeper.keep(tmp_path, server)
    assert len(asked) == 4 and server.returncode == 0


def test_jobs_that_wait_or_run_keep_it(tmp_path, jobs):
    assert not keeper.works(tmp_path)
    jobs += ["succeeded", "failed"]
    assert not keeper.works(tmp_path)
    jobs.append("pending")
    assert keeper.works(tmp_path)


def test_a_server_that_does_not_answer_has_no_jobs(tmp_path):
    assert not keeper.works(tmp_path)
    (tmp_path / "server.json").write_text('{"url": "http://127.0.0.1:9"}')
    (tmp_path / "api-key").write_text("secret")
    assert not keeper.works(tmp_path)


def test_it_runs_alone_and_ends_what_it_keeps(tmp_path, monkeypatch):
    monkeypatch.setenv("GEODL_APP_IDLE", "0")
    code = "import sys; sys.stdin.read(); sys.exit(7)"
    command = [*servers.KEEPER, str(tmp_path), sys.executable, "-c", code]
    assert subprocess.run(command, timeout=30).returncode == -15
    used = subprocess.run(
        [*servers.KEEPER[:3], "-c", _MODULES.format(keeper.__file__)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert not {"geodl_lab", "numpy", "torch", "ipywidgets"} & set(used.stdout.split())


_MODULES = "import runpy, sys; runpy.run_path({!r}); print(*sys.modules)"
