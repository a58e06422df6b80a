"""Runs the server in this process, from its options to its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from geodl_lab._version import __version__
from geodl_lab.errors import GeodlError, OptionError, OutputError, first_line
from geodl_lab.jobs.core import Core, CoreOptions
from geodl_lab.jobs.worker import StepError
from geodl_lab.server import logs
from geodl_lab.server.app import faces, make_app
from geodl_lab.server.connections import PATIENCE, Connection
from geodl_lab.server.options import STATE_FILE, ServerOptions, is_loopback
from geodl_lab.server.pekat.app import make_pekat_app
from geodl_lab.server.pekat.desk import device_of
from geodl_lab.server.pekat.inspection import check_project
from geodl_lab.server.tls import Tls, tls_files
from geodl_lab.server.tokens import KEY_FILE, Tokens, kept_key, kept_secret, write_private

LOG = logging.getLogger("geodl_lab.server")

GRACE = 3
"""Seconds that answers which are under way may still take when the server stops."""

KEEP_ALIVE = round(2 * PATIENCE)
"""Seconds for which a connection is kept between requests, unless `Connection` ends it before. Who
sends a photo every few seconds must not meet a connection that ends just now."""

MOST_CONNECTIONS = 2000

MOST_HEAD = 2**20
"""Bytes of a request before its body that are read, so that who sends too many is told so."""


@dataclass
class Stop:
    """What a signal does: the first lets the server stop well, a second ends it at once."""

    servers: list[_Server] = field(default_factory=list)
    app: FastAPI | None = None
    asked: list[int] = field(default_factory=list)

    def __call__(self, number: int, frame: object) -> None:
        """Handle a signal."""
        self.asked.append(number)
        if len(self.asked) > 1:
            os._exit(128 + number)
        if self.app is None:
            raise SystemExit(0)
        self.app.state.stopping = True
        for server in self.servers:
            server.should_exit = True


class _Server(uvicorn.Server):
    """Leaves signals to `Stop`, as what comes after the last answer takes time too."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run(
    options: ServerOptions,
    *,
    open_core: Callable[[CoreOptions], Any],
    until_eof: bool = False,
) -> None:
    """Serve until a signal comes; then refuse new work, let steps finish, and return.

    Parameters
    ----------
    options
        How.
    open_core
        What opens the core of a data folder.
    until_eof
        Whether to stop when standard input ends, too.

    Raises
    ------
    OptionError
        If the port is taken, or certificate and key, or PEKAT's project, are not usable.
    OutputError
        If the data folder cannot be written.
    """
    logs.set_up(format=options.log_format, level=options.log_level)
    stop = Stop()
    with _handled(stop), listening(options) as sock, _pekat_listening(options) as second:
        _make_folder(options.data_dir)
        faces()  # imported before workers start, which would take the processor from us
        core = open_core(options.core)
        try:
            _serve(options, core, [sock, *second], stop, until_eof=until_eof)
            LOG.info("stopping: steps that run are finished, jobs go on at the next start")
        finally:
            core.close()


def _serve(
    options: ServerOptions, core: Core, socks: list[socket.socket], stop: Stop, *, until_eof: bool
) -> None:
    tls = tls_files(options)
    tokens, made = make_tokens(options)
    app = make_app(core, options, tokens=tokens)
    configs = [_config(app, tls)]
    if options.pekat_port is not None:
        configs.append(_config(make_pekat_app(app, options, tokens=tokens), None))
    if options.pekat_project is not None:
        _try_project(core, options)
    elif options.pekat_port is not None:
        threading.Thread(target=_open_model, args=(core, options), daemon=True).start()
    servers = [_Server(config) for config in configs]
    stop.servers, stop.app = servers, app
    urls = [url_of(options, socks[0]), *(_pekat_url(options, sock) for sock in socks[1:])]
    with _state_file(options.data_dir, urls, tls):
        # a program reads the key's file; what it makes of our words may be kept for long
        _announce(options, urls, tls, "" if until_eof else made)
        if until_eof:
            threading.Thread(target=_wait_for_eof, daemon=True).start()
        with asyncio.Runner(loop_factory=configs[0].get_loop_factory()) as runner:
            runner.run(_all(servers, socks))


async def _all(servers: list[_Server], socks: list[socket.socket]) -> None:
    """Serve each socket by its server; all end when one does."""
    tasks = [
        asyncio.ensure_future(server.serve(sockets=[sock]))
        for server, sock in zip(servers, socks, strict=True)
    ]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for server in servers:
        server.should_exit = True
    await asyncio.gather(*tasks)


def _try_project(core: Core, options: ServerOptions) -> None:
    """Have PEKAT's project look at a photo before clients send theirs; OptionError if it cannot."""
    project = options.project
    device = device_of(project, scheduler=options.scheduler)
    try:
        core.compute(check_project, project.public, device=device).result()
    except StepError as error:
        reason = f"model {project.model!r} cannot be used: {error.kind}"
    except GeodlError as error:
        reason = first_line(error)
    else:
        return
    raise OptionError(f"the project file {options.pekat_project}: {reason}")


def _open_model(core: Core, options: ServerOptions) -> None:
    """Open the model that PEKAT's port has without a project file, before an image comes."""
    try:
        _try_project(core, options)
    except Exception as error:
        LOG.debug("the model of PEKAT's port was not opened: %s", error)


def make_tokens(options: ServerOptions) -> tuple[Tokens, str]:
    """Return the keys of a server, and the one that was made just now or ""."""
    keys, made = options.api_keys, ""
    if not keys and not options.no_auth:
        key, is_new = kept_key(options.data_dir)
        keys, made = (key,), key if is_new else ""
    secret = kept_secret(options.data_dir)
    anybody = options.no_auth
    return Tokens(keys, admin_key=options.admin_key, secret=secret, anybody=anybody), made


@contextlib.contextmanager
def listening(options: ServerOptions) -> Iterator[socket.socket]:
    """Lend a socket that listens; raises OptionError if that is not possible."""
    with _listening(options.host.strip("[]"), options.port) as sock:
        yield sock


@contextlib.contextmanager
def _pekat_listening(options: ServerOptions) -> Iterator[list[socket.socket]]:
    """Lend the socket of the PEKAT port, if there is one."""
    if options.pekat_port is None:
        yield []
        return
    with _listening(options.pekat_host.strip("[]"), options.pekat_port) as sock:
        yield [sock]


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        both = host == "::" and socket.has_dualstack_ipv6()
        sock = socket.create_server(address[:2], family=family, backlog=2048, dualstack_ipv6=both)
    except OSError as error:
        # of what Python adds to the words of the system, nothing helps
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else error.strerror
        raise OptionError(
            f"cannot listen on {host} port {port}: {reason}; "
            "choose another host or port (port 0 takes a free one)"
        ) from None
    with sock:
        yield sock


def url_of(options: ServerOptions, sock: socket.socket) -> str:
    """Return the address for clients on this machine."""
    return _url("https" if options.tls else "http", options.host, sock)


def _pekat_url(options: ServerOptions, sock: socket.socket) -> str:
    return _url("http", options.pekat_host, sock)


def _url(scheme: str, host: str, sock: socket.socket) -> str:
    host = host.strip("[]")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    port = sock.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{port}"


def _config(app: FastAPI, tls: Tls | None) -> uvicorn.Config:
    return uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", ws="none", server_header=False,
        http=Connection, timeout_keep_alive=KEEP_ALIVE,
        limit_concurrency=MOST_CONNECTIONS, timeout_graceful_shutdown=GRACE,
        h11_max_incomplete_event_size=MOST_HEAD,
        ssl_certfile=tls.cert if tls else None, ssl_keyfile=tls.key if tls else None,
    )  # fmt: skip


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(folder / ".writable", b"")
        (folder / ".writable").unlink()
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(
            f"the data folder {folder} cannot be written: {reason}; see to its rights, or name "
            "another one"
        ) from None


@contextlib.contextmanager
def _handled(stop: Stop) -> Iterator[None]:
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _state_file(folder: Path, urls: list[str], tls: Tls | None) -> Iterator[None]:
    ca_file = str(tls.ca.absolute()) if tls and tls.ca else ""
    state = {"url": urls[0], "pid": os.getpid(), "ca_file": ca_file, "version": __version__}
    if len(urls) > 1:
        state["pekat_url"] = urls[1]
    write_private(folder / STATE_FILE, json.dumps(state).encode())
    try:
        yield
    finally:
        (folder / STATE_FILE).unlink(missing_ok=True)


def _announce(options: ServerOptions, urls: list[str], tls: Tls | None, made: str) -> None:
    lines = [f"geodl-lab {__version__} serves {urls[0]} from {options.data_dir}"]
    lines += [f"PEKAT's protocol: {url}, with {options.project.model}" for url in urls[1:]]
    if made:
        lines.append(f"API key, made now and kept in {options.data_dir / KEY_FILE}: {made}")
    elif not options.api_keys and not options.no_auth:
        lines.append(f"API key: the one in {options.data_dir / KEY_FILE}")
    if options.no_auth:
        lines.append("no key is needed: every program on this machine may do everything")
    if tls is None and not is_loopback(options.host):
        lines.append("keys can be read on their way here: serve https, or put a proxy before it")
    if tls and tls.ca:
        lines.append(f"authority that clients must trust: {tls.ca.absolute()}")
    print("\n".join(lines), file=sys.stderr, flush=True)


def _wait_for_eof() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
