"""docs/jupyter.md runs as it stands: only ports are replaced. What it names is there."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser import servers
from tests.test_docs_server import blocks

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "jupyter.md").read_text(encoding="utf-8")
PAGE_S = 240  # for the page to end, on two busy cores


@pytest.fixture
def folder(tmp_path):
    """A root with notebooks, as a user has it who has installed the package."""
    servers.copy_notebooks(tmp_path)
    return tmp_path


def environment(folder):
    """Return that user's; the person who runs the tests may be root, whom Jupyter refuses."""
    found = servers.environment(folder / "home")
    file = folder / "home" / "config" / "jupyter_server_config.json"
    file.write_text(json.dumps({"ServerApp": {"allow_root": True}}))
    return {**found, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.mark.slow
@pytest.mark.xdist_group("browser")
def test_the_page_runs(folder):
    script = "".join(block.text for block in blocks(TEXT) if block.kind == "bash")
    for port in ("8888", "8866"):
        script = script.replace(port, str(servers.free_port()))
    said = folder / "said.txt"
    with said.open("wb") as out:
        shell = subprocess.Popen(
            ["bash", "-e", "-c", script], cwd=folder, env=environment(folder), stdout=out,
            stderr=out, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    try:
        assert shell.wait(PAGE_S) == 0, said.read_text()[-4000:]
    finally:
        os.killpg(shell.pid, signal.SIGTERM)
    status = json.loads((folder / "status.json").read_text())
    assert status["url"] == "/geodl-lab/"
    assert status["app"] == "/voila/render/notebooks/app.ipynb"
    assert json.loads((folder / "health.json").read_text())["status"] == "ok"
    assert "jupyter-config-data" in (folder / "lab.html").read_text()
    page = (folder / "app.html").read_text()
    assert "voila" in page and "cdn.jsdelivr.net" not in page


def test_what_binder_reads_is_there():
    assert re.fullmatch(r"python-3\.1[1-9]", (ROOT / "binder/runtime.txt").read_text().strip())
    pins = (ROOT / "constraints.txt").read_text()
    for line in (ROOT / "binder/requirements.txt").read_text().splitlines():
        if "==" in line:
            assert re.search(rf"^{re.escape(line)}$", pins, re.M), f"{line}: another pin"
    for name in ("postBuild", "start"):
        script = ROOT / "binder" / name
        assert os.access(script, os.X_OK)
        subprocess.run(["bash", "-n", str(script)], check=True)
    words = subprocess.run(
        [str(ROOT / "binder/start"), "printenv", "OMP_NUM_THREADS"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert words.stdout == "1\n"


def test_binder_opens_notebooks_that_are_there():
    places = re.findall(r"notebooks%2F([\w.]+)", TEXT)
    assert places
    for name in places:
        assert (ROOT / "notebooks" / name).is_file()


def test_what_the_page_says_of_files_and_words_holds():
    extras = (ROOT / "pyproject.toml").read_text()
    for name in ("lab", "serve"):
        assert f"\n{name} = [" in extras
    source = " ".join((ROOT / "geodl_lab/server/proxied.py").read_text().split())
    assert "This address was not opened from a page of this server" in source
    settings = json.loads((ROOT / "jupyter-config/voila.json").read_text())
    assert settings["VoilaConfiguration"]["template"] in TEXT
    assert settings["MappingKernelManager"]["cull_idle_timeout"] == 5 * 60
