"""Real servers on free ports, for a browser: JupyterLab, Voila alone, Voila inside Jupyter."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]
START_S = 90  # for a server to listen, on two busy cores
STOP_S = 20
LAB_SETTINGS = {
    # Cells out of sight keep what they show, so that a test finds it.
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension/notification": {
        "checkForUpdates": False, "doNotDisturbMode": True, "fetchNews": "false",
    },
}  # fmt: skip
NO_NEWS = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
# Kernels run as they are for a user; the page of a test is the only visitor.
SERVER = ["--ServerApp.ip=127.0.0.1", "--no-browser", "--allow-root"]
LAB = ["--IdentityProvider.token=", "--expose-app-in-browser", "--LabApp.news_url=None"]


def copy_notebooks(folder: Path) -> Path:
    """Copy notebooks/ as a user has it, so that what a page saves stays out of the tree."""
    ignored = shutil.ignore_patterns("training", ".ipynb_checkpoints")
    return Path(shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=ignored))


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a user who has just installed this tree, and nothing else."""
    places = {
        "JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "run",
        "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }  # fmt: skip
    for name in places.values():
        (folder / name).mkdir(parents=True, exist_ok=True)
    _write(folder / "config" / "labconfig" / "page_config.json", NO_NEWS)
    for name, values in LAB_SETTINGS.items():
        _write(folder / "settings" / f"{name}.jupyterlab-settings", values)
    path = os.pathsep.join([str(ROOT), *_installed(folder), os.environ.get("PYTHONPATH", "")])
    places["GEODL_JOBS"] = "jobs"
    places["GEODL_MODELS"] = "models"
    own = {name: str(folder / place) for name, place in places.items()}
    own["GEODL_APP_IDLE"] = "2"  # the app's job server ends soon after its last page
    return {**os.environ, **own, "PYTHONPATH": path.rstrip(os.pathsep)}


def _installed(folder: Path) -> list[str]:
    """Do what pip does with this tree, where it was not installed: configuration, entry points."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    shared = project["tool"]["hatch"]["build"]["targets"]["wheel"].get("shared-data", {})
    for source, target in shared.items():
        place = target.replace("etc/jupyter", "config").replace("share/jupyter", "data")
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / source, folder / place)
    try:
        metadata.distribution("geodl-lab")
    except metadata.PackageNotFoundError:
        return [str(_entry_points(folder / "installed", project["project"]))]
    return []


def _entry_points(folder: Path, project: dict[str, dict[str, dict[str, str]]]) -> Path:
    lines = ["Metadata-Version: 2.1", "Name: geodl-lab", "Version: 0"]
    info = folder / "geodl_lab-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    groups = [
        "\n".join([f"[{group}]", *(f"{name} = {place}" for name, place in entries.items())])
        for group, entries in project.get("entry-points", {}).items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups) + "\n")
    return folder


def _write(file: Path, values: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values))


@contextmanager
def lab(notebooks: Path, folder: Path) -> Iterator[str]:
    """Run JupyterLab on a folder of notebooks and yield its address, which ends in ``/``."""
    with _running("jupyterlab", [*SERVER, *LAB], notebooks, folder) as address:
        yield address


@contextmanager
def hub(notebooks: Path, folder: Path, *, base_url: str = "/user/x/") -> Iterator[str]:
    """Run JupyterLab, and Voila in it, where a hub has it; yield its address with the prefix."""
    options = [*SERVER, *LAB, f"--ServerApp.base_url={base_url}"]
    with _running("jupyterlab", options, notebooks, folder) as address:
        yield address.rstrip("/") + base_url


@contextmanager
def jupyter_server(
    root: Path, folder: Path, *, token: str, base_url: str = "/user/x/"
) -> Iterator[str]:
    """Run a Jupyter server that asks for a token, without JupyterLab; yield its address."""
    options = [*SERVER, f"--IdentityProvider.token={token}", f"--ServerApp.base_url={base_url}"]
    with _running("jupyter_server", options, root, folder) as address:
        yield address.rstrip("/") + base_url


@contextmanager
def voila(notebook: Path, folder: Path, *options: str) -> Iterator[str]:
    """Run Voila alone on one notebook (or a folder of them) and yield its address."""
    where = notebook if notebook.is_dir() else notebook.parent
    words = ["--Voila.ip=127.0.0.1", "--no-browser", *options, str(notebook)]
    with _running("voila", words, where, folder) as address:
        yield address


@contextmanager
def _running(module: str, options: list[str], where: Path, folder: Path) -> Iterator[str]:
    port, log = free_port(), folder / f"{module}.log"
    variables = environment(folder)
    command = [sys.executable, "-m", module, *options, f"--port={port}"]
    with log.open("w") as said:
        server = subprocess.Popen(command, stdout=said, stderr=said, cwd=where, env=variables)
        try:
            wait_for(port, server, log)
            yield f"http://127.0.0.1:{port}/"
        finally:
            _stop(server)


def free_port() -> int:
    """Return a port of loopback that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_for(port: int, server: subprocess.Popen[bytes], log: Path | None = None) -> None:
    """Wait until somebody listens; asking Voila for a page would start a kernel."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    said = log.read_text()[-4000:] if log else ""
    raise AssertionError(f"the server did not start:\n{said}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(STOP_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
