"""A job server that all pages of this user share, and that ends when nobody uses it any more.

``python -m geodl_lab.dashboard.keeper FOLDER [NAME=PATH ...]``. Who uses it holds a shared lock on
``users.lock`` in the folder, which the system lets go when a kernel ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from pathlib import Path
from typing import IO

import filelock

from geodl_lab.errors import GeodlError
from geodl_lab.job_client import Client
from geodl_lab.server.handle import Server, serve
from geodl_lab.server.options import parse_stores

IDLE = float(os.environ.get("GEODL_APP_IDLE", "300"))
"""Seconds without pages and without jobs after which the server stops."""

LOOK = 2.0
"""Seconds between two looks."""

ACTIVE = ("pending", "running")


def users_file(folder: Path) -> Path:
    """Return the file that users hold a lock on."""
    return folder / "users.lock"


def starting(folder: Path) -> filelock.FileLock:
    """Return the lock under which a server is looked for, started or given up."""
    return filelock.FileLock(folder / "start.lock")


def hold(folder: Path) -> IO[bytes]:
    """Be a user of a folder's server until the file that is returned is closed."""
    file = users_file(folder).open("ab")
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def has_users(folder: Path) -> bool:
    """Tell whether anybody holds the users' lock."""
    with users_file(folder).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def keep(folder: Path, server: Server) -> None:
    """Return when the server has been of no use for `IDLE` seconds, or has ended by itself."""
    client, used = server.client(), time.monotonic()
    while server.running:
        if has_users(folder) or _works(client):
            used = time.monotonic()
        if time.monotonic() - used > IDLE:
            with starting(folder):  # who looks for it now waits, and starts another
                if not has_users(folder):
                    server.stop()
                    return
        time.sleep(LOOK)


def main() -> None:
    """Serve a folder's jobs until nobody needs them."""
    folder = Path(sys.argv[1])
    try:
        server = serve(folder, port=0, store=parse_stores(sys.argv[2:]))
    except GeodlError as error:
        print(f"geodl: {error}", file=sys.stderr)
        sys.exit(2)
    with server:
        keep(folder, server)


def _works(client: Client) -> bool:
    try:
        return any(one.state in ACTIVE for one in client.jobs(limit=200))
    except GeodlError:
        return False


if __name__ == "__main__":
    main()
