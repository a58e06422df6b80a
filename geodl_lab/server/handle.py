"""``geodl_lab.serve()``: a server in a process of its own, held by a notebook."""

from __future__ import annotations

import atexit
import json
import os
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from html import escape
from pathlib import Path
from types import TracebackType
from typing import Any

from geodl_lab import html_pieces
from geodl_lab.errors import OptionError, RunError
from geodl_lab.job_client import Client, connect
from geodl_lab.server import check_installed

check_installed()

from geodl_lab.server.options import STATE_FILE, ServerOptions  # noqa: E402
from geodl_lab.server.tokens import KEY_FILE  # noqa: E402

WAIT = 60.0
"""Seconds that a server may take to answer."""

STOP = 20.0
"""Seconds that it may take to stop before it is killed; its jobs go on at the next start."""

_COMMAND = "from geodl_lab.cli import main; main()"
_FLAGS = ("no_auth", "self_signed")
_MANY = {"tls_hosts": "--tls-host", "url_hosts": "--allow-url-host", "trusted": "--trust"}
_SECRET = {
    "api_keys": "GEODL_API_KEY",
    "admin_key": "GEODL_ADMIN_KEY",
    "database": "GEODL_DATABASE",
    "pekat_stop_key": "GEODL_PEKAT_STOP_KEY",
}


class Server:
    """A server that runs beside this process, and stops with it.

    Parameters
    ----------
    process
        The process.
    options
        How it was started.
    state
        What it says of itself: ``url``, ``ca_file``.
    log_file
        Where its log goes.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        options: ServerOptions,
        *,
        state: Mapping[str, Any],
        log_file: Path,
    ) -> None:
        self._process, self.log_file = process, log_file
        self.url = str(state["url"])
        self.pekat_url = str(state.get("pekat_url", ""))
        self.ca_file = Path(state["ca_file"]) if state["ca_file"] else None
        self.api_key = _key(options)
        atexit.register(self.stop)

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def client(self) -> Client:
        """Return a client with its key: models, rasters, jobs; see `geodl_lab.connect`."""
        return connect(self.url, key=self.api_key, ca_file=self.ca_file)

    def stop(self) -> None:
        """Stop it: running steps finish, and jobs go on at the next start."""
        atexit.unregister(self.stop)
        _stop(self._process)

    def __enter__(self) -> Server:
        """Return the server itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the server."""
        self.stop()

    def __repr__(self) -> str:
        return f"<geodl_lab server {self.url}{'' if self.running else ' (stopped)'}>"

    def _repr_html_(self) -> str:
        """Show where it is; the key is not shown, as notebooks are passed on."""
        rows = [
            ("key", "in .api_key" if self.api_key else "none is needed"),
            ("PEKAT", self.pekat_url),
            ("authority", str(self.ca_file or "")),
            ("log", str(self.log_file)),
        ]
        url = escape(self.url, quote=True)
        link = f"<a href='{url}/health' target='_blank' rel='noreferrer'>{url}</a>"
        return html_pieces.panel(
            html_pieces.headline("geodl-lab server", "running" if self.running else "stopped"),
            f"<div>{link}</div>",
            html_pieces.table([row for row in rows if row[1]]),
        )


def serve(data_dir: str | os.PathLike[str] = "geodl-data", **options: Any) -> Server:
    """Start the job server in a process of its own, and return when it answers.

    It stops with ``.stop()``, at the end of a ``with`` block, and with this process however that
    ends; jobs go on at the next start.

    Parameters
    ----------
    data_dir
        Its folder; jobs and results are kept there.
    **options
        As of `geodl serve`: ``host``, ``port`` (0 takes a free one), ``api_key`` (one, or
        several), ``admin_key``, ``no_auth``, ``store`` (folders by name), ``tls_cert``,
        ``tls_key``, ``self_signed``, ``scheduler``, ``allow_url_host``, ``trust``,
        ``database``, ``pekat_port`` and the others of `ServerOptions`.

    Returns
    -------
    Server
        With ``url``, ``pekat_url`` ("" without a port of its own), ``api_key`` ("" if none is
        needed), ``ca_file`` (None without a certificate of its own), ``log_file`` and ``stop()``.

    Raises
    ------
    OptionError
        If an option is not possible, or the server does not start; the message says why.
    RunError
        If it does not answer in time.

    Examples
    --------
    >>> with geodl_lab.serve("jobs", port=0) as server:  # doctest: +SKIP
    ...     print(server.url, server.api_key)
    """
    chosen = make_options(data_dir, **options)
    try:
        chosen.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        log_file = chosen.data_dir.absolute() / "server.log"
        begins = log_file.stat().st_size if log_file.exists() else 0
        with log_file.open("ab") as log:
            process = subprocess.Popen(
                command(chosen), stdin=subprocess.PIPE, stdout=log, stderr=log,
                env=environment(chosen), start_new_session=True,
            )  # fmt: skip
    except OSError as error:
        raise OptionError(f"the server cannot be started in {chosen.data_dir}: {error}") from None
    try:
        state = _wait(process, chosen, log_file=log_file, begins=begins)
    except BaseException:
        _stop(process)
        raise
    return Server(process, chosen, state=state, log_file=log_file)


def make_options(data_dir: str | os.PathLike[str], **given: Any) -> ServerOptions:
    """Return options from the names of the command line, or our own; raises OptionError."""
    names = {"api_key": "api_keys", "store": "stores", "allow_url_host": "url_hosts"}
    names |= {"tls_host": "tls_hosts", "trust": "trusted"}
    values = {names.get(name, name): value for name, value in given.items() if value is not None}
    for name in ("api_keys", "url_hosts", "tls_hosts", "trusted"):
        if isinstance(values.get(name), str):
            values[name] = (values[name],)
        values[name] = tuple(values.get(name, ()))
    values["stores"] = {name: Path(path) for name, path in values.get("stores", {}).items()}
    for name in ("tls_cert", "tls_key", "pekat_project"):
        if name in values:
            values[name] = Path(values[name])
    possible = ServerOptions.__dataclass_fields__
    if unknown := values.keys() - possible:
        raise OptionError(
            f"there is no option {', '.join(sorted(unknown))}; there are {', '.join(possible)}"
        )
    return ServerOptions(data_dir=Path(data_dir), **values)


def command(options: ServerOptions) -> list[str]:
    """Return the command that starts a server; keys are not in it, as every user can read it."""
    words = [sys.executable, "-c", _COMMAND, "serve", "--until-eof"]
    for name in ServerOptions.__dataclass_fields__:
        value = getattr(options, name)
        flag = f"--{name.replace('_', '-')}"
        if name == "keep_days":
            words.append(f"{flag}={'never' if value is None else value}")
        elif name in _SECRET or value is None:
            continue
        elif name in _FLAGS:
            words += [flag] if value else []
        elif name == "stores":
            words += [f"--store={key}={path.absolute()}" for key, path in value.items()]
        elif name in _MANY:
            words += [f"{_MANY[name]}={one}" for one in value]
        elif value != "":
            words.append(f"{flag}={value.absolute() if isinstance(value, Path) else value}")
    return words


def environment(options: ServerOptions) -> dict[str, str]:
    """Return the environment of a server: ours, with the keys that it is told that way."""
    ours = {name: value for name, value in os.environ.items() if name not in _SECRET.values()}
    values = {**vars(options), "api_keys": " ".join(options.api_keys)}
    return ours | {variable: values[name] for name, variable in _SECRET.items() if values[name]}


def _wait(
    process: subprocess.Popen[bytes], options: ServerOptions, *, log_file: Path, begins: int
) -> dict[str, Any]:
    """Return what a server says of itself once it answers."""
    ends = time.monotonic() + WAIT
    while time.monotonic() < ends:
        if process.poll() is not None:
            text = log_file.read_bytes()[begins:].decode(errors="replace").strip().splitlines()
            said = text[-1].removeprefix("geodl: ") if text else f"status {process.returncode}"
            raise OptionError(f"the server did not start: {said}")
        state = _state(options.data_dir / STATE_FILE)
        if state.get("pid") == process.pid and _answers(state):
            return state
        time.sleep(0.05)
    raise RunError(f"the server did not answer within {WAIT:g} s; {log_file} says more")


def _state(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _answers(state: Mapping[str, Any]) -> bool:
    context = ssl.create_default_context(cafile=state["ca_file"] or None)
    if not state["ca_file"]:  # whom the operator's certificate names is for clients to check
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with urllib.request.build_opener(*handlers).open(f"{state['url']}/health", timeout=5) as it:
            return it.status == 200
    except (urllib.error.URLError, OSError):
        return False


def _key(options: ServerOptions) -> str:
    if options.no_auth or options.api_keys:
        return options.api_keys[0] if options.api_keys else ""
    return (options.data_dir / KEY_FILE).read_text(encoding="ascii").strip()


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdin:
        process.stdin.close()
