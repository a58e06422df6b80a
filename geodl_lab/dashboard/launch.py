"""``geodl app``: Voila with the app's notebook, beside this user's job server."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from geodl_lab import settings
from geodl_lab.dashboard.servers import find_server, make_folder
from geodl_lab.errors import GeodlError, OptionError, RunError
from geodl_lab.job_client import Client

NOTEBOOK = Path(__file__).parents[1] / "data" / "app.ipynb"
HOST = "127.0.0.1"
CULL = [f"--MappingKernelManager.cull_{name}" for name in ("interval=30", "idle_timeout=120")]
"""A page that was left leaves a kernel behind, of some 200 MB: it ends after two minutes."""

WAIT = 90.0
"""Seconds that Voila may take to answer."""


def run(
    port: int,
    *,
    data_dir: Path | None = None,
    stores: Mapping[str, Path] = {},
    say: Callable[[str], None] = print,
) -> int:
    """Serve the app until it is stopped; jobs that run go on to their end. Returns a status.

    Parameters
    ----------
    port
        0 takes a free one.
    data_dir
        Folder of the job server; None is `settings.jobs_folder`.
    stores
        Folders by name whose rasters are offered.
    say
        Called with what people should know.

    Raises
    ------
    OptionError
        If the port is taken, Voila is not installed, or the job server does not start.
    RunError
        If Voila does not answer.
    """
    if importlib.util.find_spec("voila") is None:
        raise OptionError("the app needs Voila; install it: pip install 'geodl-lab[lab,serve]'")
    port, folder = _free(port), (data_dir or settings.jobs_folder()).absolute()
    make_folder(folder)
    process = subprocess.Popen(
        [sys.executable, "-m", "voila", str(NOTEBOOK), "--no-browser", f"--port={port}",
         f"--Voila.ip={HOST}", "--Voila.log_level=ERROR", *CULL],
        env={**os.environ, "GEODL_JOBS": str(folder)}, cwd=folder,
    )  # fmt: skip
    try:
        shared = find_server(data_dir=folder, store=stores)  # while Voila starts
        _warm(shared.client)
        _wait(process, port)
        say(f"The app is at http://{HOST}:{port}/ (Ctrl-C ends it); its jobs are in {folder}")
        return process.wait()
    except KeyboardInterrupt:
        say("The app has ended; jobs that run go on.")
        return 0
    finally:
        process.terminate()
        process.wait()


def _free(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise OptionError(
                f"the app cannot listen on port {port} ({error}); choose another with --port"
            ) from None
        return int(probe.getsockname()[1])


def _warm(client: Client) -> None:
    """Have the models' cards made before the first page asks for them."""

    def ask() -> None:
        with contextlib.suppress(GeodlError):
            client.models()

    threading.Thread(target=ask, daemon=True).start()


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    ends = time.monotonic() + WAIT
    while time.monotonic() < ends and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
            return
        time.sleep(0.2)
    raise RunError("Voila did not start; what it said stands above")
