"""The server as a process: it starts, answers, stops well, and says in a line why it does not."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from geodl_lab import cli, server
from geodl_lab.errors import OptionError, OutputError
from geodl_lab.server import serve
from geodl_lab.server.options import ServerOptions

ROOT = Path(__file__).parents[2]

# A core without workers; `slow` makes its end take longer than anybody waits.
PROGRAM = """
import sys, time
sys.path.insert(0, {tests!r})
from concurrent.futures import Future
import geodl_lab.jobs.core as core
from geodl_lab.jobs.worker import run_step
from conftest import FakeCore
class Core(FakeCore):
    def compute(self, function, *args, device):
        answered = Future()
        answered.set_result(run_step(function, *args).get())
        return answered
    def close(self):
        time.sleep(60 if "slow" in sys.argv[0] else 0)
core.open_core = Core
from geodl_lab.cli import main
main()
"""


@pytest.fixture
def start(tmp_path):
    """Starts a server with options; answers its process and what it says of itself."""
    processes = []

    def run(*options, name="geodl", **keywords):
        code = PROGRAM.format(tests=str(Path(__file__).parent))
        code = f"import sys; sys.argv[0] = {name!r}\n{code}"
        words = [sys.executable, "-c", code, "serve", "--data-dir", str(tmp_path / "data")]
        process = subprocess.Popen(
            [*words, "--port", "0", *options], cwd=ROOT, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, **keywords,
        )  # fmt: skip
        processes.append(process)
        state = tmp_path / "data" / "server.json"
        while process.poll() is None:
            try:
                return process, json.loads(state.read_text())
            except (OSError, ValueError):
                time.sleep(0.02)
        return process, {}

    yield run
    for process in processes:
        process.kill()
        process.wait()
        for stream in (process.stderr, process.stdin):
            if stream:
                stream.close()


def test_it_answers_and_stops_well(start, tmp_path):
    process, state = start("--self-signed", "--log-format", "json")
    context = ssl.create_default_context(cafile=state["ca_file"])
    key = (tmp_path / "data" / "api-key").read_text().strip()
    with httpx.Client(verify=context, trust_env=False, base_url=state["url"]) as client:
        assert client.get("/health").json()["status"] == "ok"
        assert client.get("/nowhere", params={"token": key}).status_code == 404
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0
    assert not (tmp_path / "data" / "server.json").exists()
    first, told, authority, *lines = said.splitlines()
    assert state["url"] in first and authority.endswith(state["ca_file"])
    assert told.endswith(key) and said.count(key) == 1
    assert all(json.loads(line) for line in lines)


def test_the_key_is_told_once(start, tmp_path):
    said = []
    for _ in range(2):
        process, _ = start()
        process.send_signal(signal.SIGINT)
        said.append(process.communicate(timeout=20)[1])
        assert process.returncode == 0
    key = (tmp_path / "data" / "api-key").read_text().strip()
    assert key in said[0] and key not in said[1]


def test_a_second_signal_ends_it_at_once(start):
    process, _ = start(name="slow")
    process.send_signal(signal.SIGTERM)
    for line in process.stderr:
        if "stopping" in line:
            break
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 128 + signal.SIGTERM


def test_what_is_too_large_is_answered_before_it_comes_and_it_ends_with_who_started_it(
    start, tmp_path
):
    process, state = start("--until-eof", stdin=subprocess.PIPE)
    port = int(state["url"].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n")
        assert client.recv(20).startswith(b"HTTP/1.1 413")
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:  # as QGIS sends it
        key = (tmp_path / "data" / "api-key").read_bytes().strip()
        client.sendall(
            b"GET /x HTTP/1.1\r\nHost: localhost\r\nX-Esri-Authorization: Bearer " + key
            + b" \r\n\r\n"
        )  # fmt: skip
        assert client.recv(20).startswith(b"HTTP/1.1 404")
    process.stdin.close()
    assert process.wait(timeout=20) == 0


def test_a_taken_port_is_one_line(start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process, _ = start("--port", str(port))
        _, said = process.communicate(timeout=20)
    assert process.returncode == 2
    assert said == (
        f"geodl: cannot listen on 127.0.0.1 port {port}: Address already in use; "
        "choose another host or port (port 0 takes a free one)\n"
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--port", "99999"], "port 99999 is not possible; give one of 0 to 65535"),
        (["--host", "0.0.0.0", "--no-auth"], "use host 127.0.0.1, or keys"),
        (["--store", "images"], "write it like images=/data/images"),
        (["--max-upload", "much"], "size 'much' is not possible"),
        (["--keep-days", "long"], "give one, or never"),
        (["--colour", "red"], "No such option: --colour"),
    ],
)
def test_a_bad_option_is_one_sentence(words, says, tmp_path):
    text, status = cli._run(["serve", "--data-dir", str(tmp_path / "d"), *words], debug=False)
    assert status == 2 and says in text
    assert not (tmp_path / "d").exists()


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(server, "NEEDS", ("sqlalchemy", "no_such_library"))
    with pytest.raises(OptionError, match=r"needs no_such_library; .*geodl-lab\[serve\]"):
        server.check_installed()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::", "0.0.0.0"])
def test_who_is_on_this_machine_gets_through(host):
    with serve.listening(ServerOptions(host=host, port=0)) as sock:
        port = sock.getsockname()[1]
        with socket.create_connection(("127.0.0.1" if host != "localhost" else host, port)):
            pass


def test_a_host_of_another_machine_is_refused():
    options = ServerOptions(host="192.0.2.1")
    with (
        pytest.raises(OptionError, match=r"cannot listen on 192.0.2.1 port 8000: Cannot assign"),
        serve.listening(options),
    ):
        pass


def test_a_data_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    options = ServerOptions(data_dir=tmp_path / "file" / "data", port=0)
    with pytest.raises(OutputError, match=r"the data folder .* cannot be written: Not a directory"):
        serve.run(options, open_core=None)


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({"host": "0.0.0.0"}, "http://127.0.0.1:1"), ({"host": "::"}, "http://[::1]:1"),
        ({"self_signed": True}, "https://127.0.0.1:1"), ({"host": "::1"}, "http://[::1]:1"),
    ],
)  # fmt: skip
def test_the_address_for_clients_here(options, url):
    class Socket:
        def getsockname(self):
            return "", 1

    assert serve.url_of(ServerOptions(**options), Socket()) == url


def test_keys_that_are_given_are_the_only_ones(tmp_path):
    tokens, made = serve.make_tokens(ServerOptions(data_dir=tmp_path, api_keys=("a", "b")))
    assert not made and not (tmp_path / "api-key").exists()
    assert tokens.check("a") and tokens.check("b") and not tokens.check("c")
    tokens, made = serve.make_tokens(ServerOptions(data_dir=tmp_path, no_auth=True))
    assert not made and tokens.check("")
    tokens, made = serve.make_tokens(ServerOptions(data_dir=tmp_path, admin_key="x"))
    assert made and tokens.check(made) and tokens.check("x").admin


def test_a_pekat_port_is_plain_http_and_ends_with_the_server(start, tmp_path):
    process, state = start("--self-signed", "--pekat-port", "0", "--pekat-stop-key", "halt")
    assert state["url"].startswith("https://")
    with httpx.Client(base_url=state["pekat_url"], trust_env=False) as client:
        assert client.get("/ping").text == "pong"
        assert client.post("/analyze_image").json()["code"] == 401
        assert client.get("/health").json()["code"] == 404
        assert client.get("/stop", params={"key": "wrong"}).status_code == 403
        assert process.poll() is None
        assert client.get("/stop", params={"key": "halt"}).status_code == 200
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0 and f"PEKAT's protocol: {state['pekat_url']}" in said
    assert not (tmp_path / "data" / "server.json").exists()


def test_without_one_pekats_protocol_is_at_the_root(start, tmp_path):
    _, state = start()
    assert "pekat_url" not in state
    assert httpx.get(f"{state['url']}/version", trust_env=False).text.startswith("3.17")


@pytest.mark.parametrize(
    ("project", "words"),
    [
        ('{"threshold": 7}', "threshold 7 is not possible"),
        ('{"model": "no-such-model"}', "there is no model 'no-such-model'"),
        ('{"defects": ["crack"]}', "names 'crack', which model 'tree-crowns' does not find"),
    ],
)
def test_a_project_that_is_not_possible_is_one_line(start, tmp_path, project, words):
    (tmp_path / "p.json").write_text(project)
    process, _ = start("--pekat-project", str(tmp_path / "p.json"))
    _, said = process.communicate(timeout=20)
    assert process.returncode == 2
    assert said.count("\n") == 1 and words in said


def test_connections_outlive_the_pauses_of_a_camera():
    assert serve._config(None, None).timeout_keep_alive > 30
