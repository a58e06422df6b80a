"""The job server of the app: one that is named, else the one of this user, which pages share."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from geodl_lab import settings
from geodl_lab.dashboard import examples, keeper
from geodl_lab.errors import GeodlError, OptionError, RunError
from geodl_lab.job_client import Client, connect
from geodl_lab.local_server import find_server as find_local

URL, KEY, CA = "GEODL_APP_URL", "GEODL_APP_KEY", "GEODL_APP_CA"
"""Variables that name a server to use instead: its address, key and authority."""

DEMO = "demo"
"""The store of the bundled scene."""

KEEPER = [sys.executable, "-I", "-S", keeper.__file__]
"""Alone and bare: it needs nothing but the standard library."""

SERVE = [sys.executable, "-W", "ignore", "-m", "geodl_lab", "serve", "--until-eof"]

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
        The folder of the shared one; None is `settings.jobs_folder`.
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
    folder = Path(data_dir or settings.jobs_folder()).absolute()
    stores = {name: Path(path).absolute() for name, path in (store or {}).items()}
    return _shared(folder, stores)


def make_folder(folder: Path) -> None:
    """Make the folder of a server if it is not there; raises OptionError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(
            f"the folder {folder} of jobs cannot be made: {error.strerror}; name another in "
            "GEODL_JOBS"
        ) from None


def _shared(folder: Path, stores: Mapping[str, Path]) -> Shared:
    make_folder(folder)
    with keeper.starting(folder):
        user = keeper.hold(folder)
        try:
            client = _running(folder) or _start(folder, stores)
            _check_stores(client, stores, folder)
        except BaseException:
            user.close()
            raise
    return Shared(client, user)


def _check_stores(client: Client, stores: Mapping[str, Path], folder: Path) -> None:
    if missing := sorted(stores.keys() - set(client.stores())):
        raise OptionError(
            f"the server of {folder} runs without the store {', '.join(missing)}; close the other "
            "pages, wait some minutes, and open this one again"
        )


def _running(folder: Path) -> Client | None:
    """Return a client of the server that a folder has, None if none answers."""
    if (server := find_local(folder)) is None:
        return None
    try:
        return connect(server.url, key=server.api_key, ca_file=server.ca_file or None)
    except GeodlError:
        return None


def _start(folder: Path, stores: Mapping[str, Path]) -> Client:
    offered = {DEMO: examples.SCENE.parent, **stores}
    words = [f"--store={name}={path}" for name, path in offered.items()]
    command = [*KEEPER, str(folder), *SERVE, "--port=0", f"--data-dir={folder}", *words]
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
            lines = log_file.read_text(errors="replace").strip().splitlines() or [""]
            said = lines[-1].removeprefix("geodl: ")
            raise OptionError(f"the job server did not start: {said}")
        time.sleep(0.2)
    raise RunError(f"the job server did not answer within {WAIT:g} s; {log_file} says more")
