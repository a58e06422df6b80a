"""The job server of this user: where it runs, and a port of one's own choice that leads to it.

Jupyter, the app and notebooks of one user share one server and its jobs, whoever started it: what
it says of itself, and its key, lie in its folder (`settings.jobs_folder`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from geodl_lab import settings

STATE_FILE, KEY_FILE = "server.json", "api-key"
"""As `geodl_lab.server` names them."""

PROXIED = "X-Geodl-Proxied"
"""Header of a request to which Jupyter added the key, whatever page made a browser ask."""

SERVE = [sys.executable, "-W", "ignore", "-m", "geodl_lab", "serve"]


@dataclass(frozen=True)
class LocalServer:
    """A server that said where it is.

    Parameters
    ----------
    url
        Its address, on this machine.
    api_key
        The key of its folder; "" if it has none, as the operator gave keys.
    ca_file
        Authority of its certificate; "" is none.
    """

    url: str
    api_key: str = field(default="", repr=False)
    ca_file: str = ""


def find_server(folder: Path | None = None) -> LocalServer | None:
    """Return the server that runs in a folder (`settings.jobs_folder`), or None.

    It may still be starting, or have been killed a moment ago: only asking it tells.
    """
    folder = folder or settings.jobs_folder()
    try:
        state = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
        server = LocalServer(str(state["url"]), local_key(folder), str(state.get("ca_file", "")))
        os.kill(int(state["pid"]), 0)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return server


def local_key(folder: Path | None = None) -> str:
    """Return the key that a folder's server keeps there, "" before it made one."""
    try:
        return ((folder or settings.jobs_folder()) / KEY_FILE).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def make_key(folder: Path) -> str:
    """Return the key of a folder, made where there is none: a log then never shows it."""
    if key := local_key(folder):
        return key
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(FileExistsError):  # somebody was quicker: theirs holds
        descriptor = os.open(folder / KEY_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32))
    return local_key(folder)


def serve_command(port: int, folder: Path) -> list[str]:
    """Return the command of a server in a folder, with the stores ``demo`` and ``work``.

    The first is the bundled scene, the second the folder one works in; a store must not hold the
    results, which everybody could read there: then there is none.
    """
    demo, work = Path(__file__).with_name("data"), Path.cwd()
    words = [*SERVE, "--port", str(port), "--data-dir", str(folder), "--store", f"demo={demo}"]
    return words if folder.is_relative_to(work) else [*words, "--store", f"work={work}"]


def main(port: int) -> None:
    """Have a port lead to this user's server: to the one that runs, or to one that starts here."""
    folder = settings.jobs_folder()
    server = find_server(folder)
    if server is None:
        make_key(folder)
        command = serve_command(port, folder)
        os.execv(command[0], command)
    asyncio.run(_relay(port, server))


async def _relay(port: int, server: LocalServer) -> None:
    """Pass connections on; end when nobody answers, so that the next start is the server itself."""
    gone = asyncio.Event()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place = urlsplit(server.url)
        try:
            far_reader, far_writer = await asyncio.open_connection(place.hostname, place.port)
        except OSError:
            writer.close()
            gone.set()
            return
        await asyncio.gather(_pipe(reader, far_writer), _pipe(far_reader, writer))

    async with await asyncio.start_server(pass_on, "127.0.0.1", port):
        await gone.wait()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # one side hung up; so does the other
    finally:
        writer.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
