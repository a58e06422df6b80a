"""What a Jupyter server loads: light, a status for who is logged in, a tile that can start."""

import json
import os
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from xml.etree import ElementTree

import httpx
import pytest

from geodl_lab import __version__, jupyter
from tests.browser import servers

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TOKEN = "token-of-jupyter"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A Jupyter server below a prefix, with a token; answers its address and its folder."""
    root, folder = tmp_path_factory.mktemp("root"), tmp_path_factory.mktemp("server")
    (root / "notebooks").mkdir()
    (root / "notebooks" / "app.ipynb").write_text("{}")
    with servers.jupyter_server(root, folder, token=TOKEN) as address:
        yield address, folder


def status(server, **headers):
    return httpx.get(f"{server[0]}geodl-lab/status", headers=headers)


def test_nobody_is_told_without_jupyters_token(server):
    assert status(server).status_code == 403
    assert status(server, Authorization="token wrong").status_code == 403


def test_status_says_where_things_are(server):
    assert status(server, Authorization=f"token {TOKEN}").json() == {
        "version": __version__,
        "running": False,
        "url": "/user/x/geodl-lab/",
        "app": "/user/x/voila/render/notebooks/app.ipynb",
    }


def test_the_app_is_led_to(server):
    headers = {"Authorization": f"token {TOKEN}"}
    url = f"{server[0]}geodl-lab/app"
    answer = httpx.get(url, headers=headers)
    assert answer.status_code == 302
    assert answer.headers["location"] == "/user/x/voila/render/notebooks/app.ipynb"
    assert "/login" in httpx.get(url).headers["location"]


def test_status_sees_a_server_that_runs(server, web):
    web.pages["/health"] = b"{}"
    state = {"url": web.url, "pid": os.getpid(), "ca_file": ""}
    file = server[1] / "jobs" / "server.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(state))
    headers = {"Authorization": f"token {TOKEN}"}
    assert status(server, **headers).json()["running"] is True
    del web.pages["/health"]
    assert status(server, **headers).json()["running"] is False
    file.write_text(json.dumps(state | {"url": "http://127.0.0.1:1"}))
    assert status(server, **headers).json()["running"] is False


def test_status_changes_nothing_and_needs_xsrf_to_try(server):
    answer = httpx.post(f"{server[0]}geodl-lab/status", cookies={"_xsrf": "x"})
    assert answer.status_code == 403


def test_it_imports_nothing_heavy():
    code = (
        "import sys, geodl_lab.jupyter; heavy = {'torch', 'dask', 'rasterio', 'geopandas',"
        " 'matplotlib', 'fastapi', 'ipyleaflet'}; assert not heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, cwd=ROOT)


def test_pip_enables_what_is_here():
    shared = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    for source in shared:
        assert (ROOT / source).exists()
    enabled = json.loads((ROOT / "jupyter-config/server-config/geodl_lab.json").read_text())
    assert enabled["ServerApp"]["jpserver_extensions"] == {
        point["module"]: True for point in jupyter._jupyter_server_extension_points()
    }
    template = json.loads((ROOT / "jupyter-config/voila.json").read_text())["VoilaConfiguration"]
    assert f"share/jupyter/voila/templates/{template['template']}" in shared.values()


def test_the_tile_is_one_that_the_proxy_takes():
    config = pytest.importorskip("jupyter_server_proxy.config")
    entries = PROJECT["project"]["entry-points"]["jupyter_serverproxy_servers"]
    for name, value in entries.items():
        made = EntryPoint(name, value, "jupyter_serverproxy_servers").load()()
        process = config.ServerProcess(name=name, **made)
        assert process.launcher_entry.title
        assert ElementTree.parse(process.launcher_entry.icon_path).getroot().tag.endswith("svg")


def test_the_key_is_read_when_it_is_there(monkeypatch, tmp_path):
    monkeypatch.setenv("GEODL_JOBS", str(tmp_path))
    assert jupyter.proxied_headers()["X-API-KEY"] == ""
    (tmp_path / "api-key").write_text("a-key\n")
    assert jupyter.proxied_headers() == {"X-API-KEY": "a-key", "X-Geodl-Proxied": "yes"}


def test_the_app_is_found_where_it_lies(tmp_path):
    assert jupyter.find_app(tmp_path) == ""
    (tmp_path / "app.ipynb").touch()
    assert jupyter.find_app(tmp_path) == "app.ipynb"
