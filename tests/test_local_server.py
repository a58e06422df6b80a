"""This user's job server: found where it said it is, reached at a port of one's choice."""

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from geodl_lab import local_server, settings
from tests.browser.servers import free_port, wait_for

ROOT = Path(__file__).parents[1]


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    monkeypatch.setenv("GEODL_JOBS", str(tmp_path / "jobs"))
    (tmp_path / "jobs").mkdir()
    return tmp_path / "jobs"


def say(jobs, url, pid=None):
    """Write what a server says of itself."""
    state = {"url": url, "pid": pid or os.getpid(), "ca_file": "ca.pem"}
    (jobs / local_server.STATE_FILE).write_text(json.dumps(state))


def test_names_are_those_of_the_server():
    from geodl_lab.server import options, tokens  # noqa: PLC0415

    assert local_server.STATE_FILE == options.STATE_FILE
    assert local_server.KEY_FILE == tokens.KEY_FILE


def test_jobs_are_beside_models(monkeypatch, tmp_path):
    monkeypatch.delenv("GEODL_JOBS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert settings.jobs_folder() == tmp_path / "geodl-lab" / "jobs"
    monkeypatch.setenv("GEODL_JOBS", "some/folder")
    assert settings.jobs_folder() == Path.cwd() / "some" / "folder"


def test_a_server_is_found_with_its_key(jobs):
    assert local_server.find_server() is None
    say(jobs, "http://127.0.0.1:5")
    assert local_server.find_server() == local_server.LocalServer(
        "http://127.0.0.1:5", api_key="", ca_file="ca.pem"
    )
    (jobs / "api-key").write_text("key\n")
    found = local_server.find_server(jobs)
    assert found.api_key == "key"
    assert "key" not in repr(found).replace("api_key", "")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"url": 1}', '{"url": "u", "pid": "x"}'])
def test_what_is_half_written_is_no_server(jobs, text):
    (jobs / local_server.STATE_FILE).write_text(text)
    assert local_server.find_server() is None


def test_a_server_that_was_killed_is_none(jobs):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    say(jobs, "http://127.0.0.1:5", gone.pid)
    assert local_server.find_server() is None


def test_a_key_is_made_once_and_for_nobody_else(jobs):
    key = local_server.make_key(jobs / "new")
    assert len(key) > 30 and local_server.make_key(jobs / "new") == key
    assert stat.S_IMODE((jobs / "new" / "api-key").stat().st_mode) == 0o600


def test_a_folder_with_results_is_no_store(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    words = local_server.serve_command(1, tmp_path / "jobs")
    assert words[-1].startswith("demo=") and (Path(words[-1][5:]) / "README.md").exists()
    words = local_server.serve_command(1, Path("/elsewhere"))
    assert words[-2:] == ["--store", f"work={tmp_path}"]


def test_without_a_server_it_becomes_one(jobs, monkeypatch):
    started = []
    monkeypatch.setattr(os, "execv", lambda *call: started.append(call) or sys.exit())
    with pytest.raises(SystemExit):
        local_server.main(7)
    ((program, words),) = started
    assert program == sys.executable and words[words.index("--port") + 1] == "7"
    assert local_server.local_key()


def test_a_port_leads_to_the_server_that_runs(jobs, web):
    web.pages["/health"] = b"ours"
    web.pages["/large"] = large = os.urandom(3_000_000)
    say(jobs, web.url)
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "geodl_lab.local_server", str(port)]
    with subprocess.Popen(command, cwd=ROOT) as relay:
        try:
            wait_for(port, relay)
            url = f"http://127.0.0.1:{port}"
            answers: list[bytes] = []
            threads = [
                threading.Thread(target=lambda: answers.append(httpx.get(f"{url}/large").content))
                for _ in range(3)
            ]
            for thread in threads:
                thread.start()
            assert httpx.get(f"{url}/health").content == b"ours"
            for thread in threads:
                thread.join()
            assert answers == [large] * 3
            web.shutdown()
            web.server_close()
            with pytest.raises(httpx.TransportError, match=r"disconnected|reset"):
                httpx.get(f"{url}/health")
            assert relay.wait(10) == 0  # its supervisor starts it again, and it is the server
        finally:
            relay.kill()
