"""The job server of the app: the one that the environment names, else one that all pages share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from geodl_lab.dashboard import keeper
from geodl_lab.demo import demo_scene
from geodl_lab.errors import GeodlError, OptionError, RunError
from geodl_lab.job_client import Client, connect
from geodl_lab.server.options import STATE_FILE
from geodl_lab.server.tokens import KEY_FILE
from geodl_lab.settings import models_folder

URL, KEY, CA, DATA = "GEODL_APP_URL", "GEODL_APP_KEY", "GEODL_APP_CA", "GEODL_APP_DATA"
"""Variables by which ``geodl app`` says where the server is, or who runs Voila where to keep it."""

DEMO = "demo"
"""The store of the bundled scene."""

WAIT = 90.0
"""Seconds that a server may take to start."""


@dataclass(frozen=True)
class Shared:
    """A server that is used as long as ``user`` is open.

    Parameters
    ----------
    client
        To it.
    user
        The lock that says so; None of a server that others look after.
    """

    client: Client
    user: IO[bytes] | None = None


def find_server(
    *,
    url: str | None = None,
    key: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    store: Mapping[str, str | os.PathLike[str]] | None = None,
) -> Shared:
    """Return a server for a page.

    Parameters
    ----------
    url, key
        Of a server that runs; None takes ``GEODL_APP_URL`` and ``GEODL_APP_KEY``, and where these
        are not set the server that all pages of this user share, started if it is not there.
    data_dir
        The folder of the shared one; None takes ``GEODL_APP_DATA``, else one of this user.
    store
        Folders by name whose rasters are offered, beside the bundled scene.

    Raises
    ------
    AccessError, OptionError, RunError
        If it is not to be had.
    """
    if url := url or os.environ.get(URL):
        key = os.environ.get(KEY, "") if key is None else key
        return Shared(connect(url, key=key, ca_file=os.environ.get(CA) or None))
    folder = Path(data_dir or os.environ.get(DATA) or default_folder()).absolute()
    stores = {name: Path(path).absolute() for name, path in (store or {}).items()}
    return _shared(folder, {DEMO: demo_scene().parent, **stores})


def default_folder() -> Path:
    """Return the folder of this user's shared server, beside that of installed models."""
    return models_folder().parent / "app"


def _shared(folder: Path, stores: Mapping[str, Path]) -> Shared:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(
            f"the app's folder {folder} cannot be made: {error.strerror}; name another in {DATA}"
        ) from None
    with keeper.starting(folder):
        user = keeper.hold(folder)
        client = _running(folder) or _start(folder, stores)
    if missing := sorted(stores.keys() - set(client.stores())):
        raise OptionError(
            f"the server of {folder} runs without the store {', '.join(missing)}; close the other "
            "pages, wait some minutes, and open this one again"
        )
    return Shared(client, user)


def _running(folder: Path) -> Client | None:
    """Return a client of the server that a folder has, None if none answers."""
    try:
        state: dict[str, Any] = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
        key = (folder / KEY_FILE).read_text(encoding="ascii").strip()
        return connect(state["url"], key=key, ca_file=state["ca_file"] or None)
    except (OSError, ValueError, KeyError, GeodlError):
        return None


def _start(folder: Path, stores: Mapping[str, Path]) -> Client:
    words = [f"{name}={path}" for name, path in stores.items()]
    command = [sys.executable, "-m", "geodl_lab.dashboard.keeper", str(folder), *words]
    log_file = folder / "keeper.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    ends = time.monotonic() + WAIT
    while time.monotonic() < ends:
        if client := _running(folder):
            return client
        if process.poll() is not None:
            said = log_file.read_text(errors="replace").strip().splitlines()[-1:]
            raise OptionError(f"the job server did not start: {' '.join(said)}")
        time.sleep(0.2)
    raise RunError(f"the job server did not answer within {WAIT:g} s; {log_file} says more")
