"""A job server that all pages of this user share, and that ends when nobody uses it any more.

``python keeper.py FOLDER SERVE...`` runs the command ``SERVE`` as long as it is needed. Who uses
the server holds a shared lock on ``users.lock`` in the folder, which the system lets go when a
kernel ends, however it ends. Run as a file, and with the standard library alone: it lives as long
as the server and should cost next to no memory.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO

IDLE = float(os.environ.get("GEODL_APP_IDLE", "300"))
"""Seconds without pages and without jobs after which the server stops."""

LOOK = 2.0
"""Seconds between two looks."""

PATIENCE = 30.0
"""Seconds that the server may take to answer, and to stop."""

ACTIVE = ("pending", "running")


def users_file(folder: Path) -> Path:
    """Return the file that users hold a lock on."""
    return folder / "users.lock"


@contextlib.contextmanager
def starting(folder: Path) -> Iterator[None]:
    """Hold the lock under which a server is looked for, started or given up."""
    with (folder / "start.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


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


def works(folder: Path) -> bool:
    """Tell whether the folder's server has jobs that wait or run; False where none answers."""
    try:
        url = json.loads((folder / "server.json").read_text(encoding="utf-8"))["url"]
        key = (folder / "api-key").read_text(encoding="ascii").strip()
        asked = urllib.request.Request(f"{url}/jobs?limit=200", headers={"X-API-KEY": key})
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(asked, timeout=PATIENCE) as answer:
            return any(one["state"] in ACTIVE for one in json.load(answer)["jobs"])
    except (OSError, urllib.error.URLError, ValueError, KeyError):
        return False


def keep(folder: Path, server: subprocess.Popen[bytes]) -> None:
    """Return when the server has been of no use for `IDLE` seconds, or has ended by itself."""
    used = time.monotonic()
    while server.poll() is None:
        if has_users(folder) or works(folder):
            used = time.monotonic()
        if time.monotonic() - used > IDLE:
            with starting(folder):  # who looks for it now waits, and starts another
                if not has_users(folder):
                    stop(server)
                    return
        time.sleep(LOOK)


def stop(server: subprocess.Popen[bytes]) -> None:
    """Stop the server; jobs that run go on at its next start."""
    server.terminate()
    try:
        server.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def main() -> None:
    """Serve a folder's jobs until nobody needs them; the status is that of the server."""
    folder, command = Path(sys.argv[1]), sys.argv[2:]
    server = subprocess.Popen(command, stdin=subprocess.PIPE)  # it ends with this process
    try:
        keep(folder, server)
    finally:
        stop(server)
    sys.exit(server.returncode)


if __name__ == "__main__":
    main()
