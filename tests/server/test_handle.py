"""``geodl_lab.serve()``: a server beside a notebook, with the options of the command line."""

import inspect
import os
import select
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import typer.main

import geodl_lab
from geodl_lab import cli
from geodl_lab.errors import OptionError
from geodl_lab.server import handle, serve
from geodl_lab.server.options import ServerOptions

ROOT = Path(__file__).parents[2]


@pytest.fixture
def fake(monkeypatch):
    """Servers that are started have no workers."""
    tests = str(Path(__file__).parent)
    code = (
        f"import sys; sys.path.insert(0, {tests!r}); import geodl_lab.jobs.core as core;"
        "from conftest import FakeCore; core.open_core = FakeCore;"
    )
    monkeypatch.setattr(handle, "_COMMAND", code + handle._COMMAND)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(ROOT)


def test_it_serves_until_it_is_stopped(fake, tmp_path):
    with geodl_lab.serve(tmp_path / "d", port=0) as server:
        assert httpx.get(f"{server.url}/health").json()["status"] == "ok"
        headers = {"X-API-KEY": server.api_key}
        assert httpx.get(f"{server.url}/nowhere", headers=headers).status_code == 404
        assert server.running and repr(server) == f"<geodl_lab server {server.url}>"
        html = server._repr_html_()
        assert server.url in html and server.api_key not in html
        with pytest.raises(OptionError, match=r"did not start: cannot listen on .* already in use"):
            geodl_lab.serve(tmp_path / "e", port=int(server.url.rpartition(":")[2]))
    assert not server.running and "(stopped)" in repr(server)
    log = server.log_file.read_text()
    assert "message=" in log and server.api_key not in log
    with pytest.raises(httpx.ConnectError, match="refused"):
        httpx.get(f"{server.url}/health")
    server.stop()


def test_with_https_it_says_whom_to_trust(fake, tmp_path):
    with geodl_lab.serve(tmp_path, port=0, self_signed=True, api_key="mine") as server:
        assert server.url.startswith("https://") and server.api_key == "mine"
        assert server.ca_file == tmp_path / "tls" / "ca.pem"
        assert str(server.ca_file) in server._repr_html_()


def test_it_ends_with_the_program_that_started_it(fake, tmp_path):
    code = (
        "import os, geodl_lab; from geodl_lab.server import handle;"
        f"handle._COMMAND = {handle._COMMAND!r};"
        f"server = geodl_lab.serve({str(tmp_path)!r}, port=0);"
        "print(server._process.pid, flush=True); os._exit(9)"
    )
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False
    )
    pid = int(answer.stdout)
    assert _gone(pid)


def _gone(pid):
    """Whether a process ends within seconds; asked of the system, as it is not our child."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with os.fdopen(descriptor):
        return bool(select.select([descriptor], [], [], 20)[0])


def test_keys_are_not_on_the_command_line():
    options = ServerOptions(
        api_keys=("hush", "two"), admin_key="hush3", database="db://hush", pekat_stop_key="hush4"
    )
    assert "hush" not in " ".join(handle.command(options))
    given = handle.environment(options)
    assert given["GEODL_API_KEY"] == "hush two" and given["GEODL_ADMIN_KEY"] == "hush3"
    assert given["GEODL_DATABASE"] == "db://hush" and given["GEODL_PEKAT_STOP_KEY"] == "hush4"


def test_keys_of_this_process_are_not_handed_on(monkeypatch):
    monkeypatch.setenv("GEODL_API_KEY", "ours")
    assert "GEODL_API_KEY" not in handle.environment(ServerOptions(no_auth=True))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"no_auth": True, "port": 0, "keep_days": 3.5, "keep_bytes": 10, "max_form": 5000},
        {"host": "0.0.0.0", "api_keys": ("a", "b"), "admin_key": "c", "self_signed": True,
         "tls_hosts": ("x", "y"), "url_hosts": ("h",), "scheduler": "tcp://h:1", "database": "d://",
         "keep_days": None, "queue_limit": 7, "rate_limit": 2.5, "log_format": "json",
         "log_level": "debug", "max_upload": 9, "upload_quota": 8, "pekat_port": 0,
         "pekat_host": "0.0.0.0", "pekat_stop_key": "halt", "trusted": ("a" * 64, "b" * 64)},
    ],
)  # fmt: skip
def test_the_command_line_means_the_same(given, tmp_path, monkeypatch):
    (tmp_path / "s").mkdir()
    options = ServerOptions(data_dir=tmp_path / "d", stores={"s": tmp_path / "s"}, **given)
    seen = []
    monkeypatch.setattr(serve, "run", lambda chosen, **_: seen.append(chosen))
    for name, value in handle.environment(options).items():
        monkeypatch.setenv(name, value)
    cli.app(handle.command(options)[3:], standalone_mode=False)
    assert seen == [options]


def test_every_option_can_be_given_both_ways():
    command = typer.main.get_command(cli.app).commands["serve"]
    names = {name for option in command.params for name in option.opts}
    shown = {"api_keys": "--api-key", "stores": "--store", "tls_hosts": "--tls-host",
             "url_hosts": "--allow-url-host", "trusted": "--trust"}  # fmt: skip
    for name in ServerOptions.__dataclass_fields__:
        assert shown.get(name, f"--{name.replace('_', '-')}") in names
    defaults = inspect.signature(cli.serve).parameters
    for name in ("host", "port", "data_dir", "queue_limit", "rate_limit", "log_format"):
        assert defaults[name].default == getattr(ServerOptions(), name)


def test_names_of_the_command_line_and_of_ours_are_known(tmp_path):
    options = handle.make_options(
        tmp_path, api_key="a", allow_url_host=["h"], tls_host="n", trust="b" * 64
    )
    assert options.api_keys == ("a",) and options.url_hosts == ("h",)
    assert options.tls_hosts == ("n",) and options.trusted == ("b" * 64,)
    with pytest.raises(OptionError, match="there is no option colour; there are host, port"):
        handle.make_options(tmp_path, colour="red")
    with pytest.raises(OptionError, match="port 99999 is not possible"):
        geodl_lab.serve(tmp_path, port=99999)
