"""What the operator says when the server starts: one frozen value that checks itself."""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from geodl_lab.errors import OptionError
from geodl_lab.jobs.core import CoreOptions
from geodl_lab.server.pekat.project import Project, load_project

LOG_FORMATS = ("text", "json")
LOG_LEVELS = ("debug", "info", "warning", "error")
OURS = ("outputs",)
"""Names of stores that have a meaning of their own."""

STATE_FILE = "server.json"
"""Of a running server, in its data folder: ``url``, ``pid``, ``ca_file``."""

MIB, GIB = 2**20, 2**30


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """How the server is set up.

    Parameters
    ----------
    host, port
        Where it listens; port 0 takes a free one.
    data_dir
        The folder of this server, made when it is not there. One server at a time uses it.
    api_keys
        Keys of clients; without one, a key is made and kept in the folder.
    admin_key
        A key that sees the jobs and results of all keys; "" is none.
    no_auth
        Whether anybody on this machine may do everything; only with a loopback host.
    stores
        Folders by name whose files may be named in requests; they are only read.
    tls_cert, tls_key
        Files in PEM, for https.
    self_signed
        Whether to make an authority and a certificate of our own, for https.
    tls_hosts
        More names and addresses for the certificate of our own.
    scheduler, database, url_hosts, trusted, queue_limit, keep_days, keep_bytes
        As in `CoreOptions`.
    rate_limit
        Requests a second for a key, and for an address without one.
    max_form, max_upload
        Largest form, and largest other body of a request, bytes.
    upload_quota
        Most bytes that a key may upload in a day.
    pekat_port, pekat_host
        Where PEKAT's protocol is spoken without TLS, too; None is nowhere but at the root of
        ``port`` if that has no TLS, 0 takes a free port.
    pekat_project
        File that says what PEKAT's clients are answered (`Project`); None takes ``tree-crowns``.
    pekat_stop_key
        The key with which PEKAT's clients stop this server; "" is none.
    log_format, log_level
        ``text`` (name=value) or ``json``; the least level that is written.

    Raises
    ------
    OptionError
        If a value is not possible, or two do not go together.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    data_dir: Path = Path("geodl-data")
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    admin_key: str = field(default="", repr=False)
    no_auth: bool = False
    stores: Mapping[str, Path] = field(default_factory=dict)
    tls_cert: Path | None = None
    tls_key: Path | None = None
    self_signed: bool = False
    tls_hosts: tuple[str, ...] = ()
    scheduler: str = ""
    database: str = field(default="", repr=False)
    url_hosts: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()
    queue_limit: int = 10_000
    rate_limit: float = 200.0
    max_form: int = 16 * MIB
    max_upload: int = 4 * GIB
    upload_quota: int = 64 * GIB
    keep_days: float | None = 30.0
    keep_bytes: int | None = None
    pekat_port: int | None = None
    pekat_host: str = "127.0.0.1"
    pekat_project: Path | None = None
    pekat_stop_key: str = field(default="", repr=False)
    log_format: str = "text"
    log_level: str = "info"

    def __post_init__(self) -> None:
        _check_place(self)
        _check_keys(self)
        _check_tls(self)
        _check_stores(self)
        _check_numbers(self)
        _check_words(self)
        _check_pekat(self)

    @functools.cached_property
    def project(self) -> Project:
        """What PEKAT's clients are answered, read once."""
        return load_project(self.pekat_project) if self.pekat_project else Project()

    @property
    def tls(self) -> bool:
        """Whether clients must use https."""
        return self.self_signed or self.tls_cert is not None

    @property
    def core(self) -> CoreOptions:
        """What of it concerns the core."""
        return CoreOptions(
            data_dir=self.data_dir.absolute(),
            database=self.database,
            stores={name: folder.absolute() for name, folder in self.stores.items()},
            scheduler=self.scheduler,
            url_hosts=self.url_hosts,
            trusted=tuple(one.lower() for one in self.trusted),
            queue_limit=self.queue_limit,
            keep_days=self.keep_days,
            keep_bytes=self.keep_bytes,
        )


def is_loopback(host: str) -> bool:
    """Tell whether a host's name or address is this machine's own, for itself only."""
    name = host.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def parse_stores(given: Iterable[str]) -> dict[str, Path]:
    """Return stores from ``NAME=PATH``; raises OptionError."""
    stores: dict[str, Path] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise OptionError(f"store {text!r} is not possible; write it like images=/data/images")
        if name in stores:
            raise OptionError(f"there are two stores named {name!r}; give each its own name")
        stores[name] = Path(path)
    return stores


def parse_size(text: str) -> int:
    """Return a number of bytes from text such as ``500M``, ``2G`` or ``1048576``; OptionError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if not found:
        raise OptionError(f"size {text!r} is not possible; write it like 500M or 20G")
    return int(float(found[1]) * 1024 ** " KMGT".index(found[2].upper() or " "))


def parse_days(text: str) -> float | None:
    """Return a number of days, None for ``never``; raises OptionError."""
    if text.strip().lower() == "never":
        return None
    try:
        return float(text)
    except ValueError:
        raise OptionError(f"{text!r} is not a number of days; give one, or never") from None


def _check_place(options: ServerOptions) -> None:
    _check_address("", options.host, options.port)
    if options.data_dir.exists() and not options.data_dir.is_dir():
        raise OptionError(f"the data folder {options.data_dir} is a file; name a folder")


def _check_address(prefix: str, host: str, port: int) -> None:
    if not host or not re.fullmatch(r"[\w.:\-\[\]%]+", host):
        raise OptionError(f"{prefix}host {host!r} is not possible; give an address or a name")
    if not 0 <= port <= 65535:
        raise OptionError(f"{prefix}port {port} is not possible; give one of 0 to 65535")


def _check_keys(options: ServerOptions) -> None:
    keys = [*options.api_keys, *([options.admin_key] if options.admin_key else [])]
    if not all(re.fullmatch(r"[\x21-\x7e]+", key) for key in keys):
        raise OptionError(
            "a key is empty, or has blanks or letters that no HTTP header can hold; "
            "use letters, digits and signs of ASCII"
        )
    if len(set(keys)) < len(keys):
        raise OptionError("two keys are the same; give each client, and the admin, its own")
    if options.no_auth and keys:
        raise OptionError("a key and no_auth do not go together; leave one of them out")
    if options.no_auth and not is_loopback(options.host):
        raise OptionError(
            f"no_auth is only possible on this machine alone and host {options.host!r} is open to "
            "others; use host 127.0.0.1, or keys"
        )


def _check_tls(options: ServerOptions) -> None:
    files = {"tls_cert": options.tls_cert, "tls_key": options.tls_key}
    given = {name: file for name, file in files.items() if file is not None}
    if len(given) == 1:
        other = "tls_key" if options.tls_key is None else "tls_cert"
        raise OptionError(f"{next(iter(given))} alone is not enough for https; give {other} too")
    if given and options.self_signed:
        raise OptionError("self_signed and tls_cert do not go together; leave one of them out")
    for name, file in given.items():
        if not file.is_file():
            raise OptionError(f"{name}: there is no file {file}")


def _check_stores(options: ServerOptions) -> None:
    data_dir = options.data_dir.resolve()
    for name, folder in options.stores.items():
        if not re.fullmatch(r"[A-Za-z0-9][\w.\-]*", name, re.ASCII) or name in OURS:
            raise OptionError(
                f"store name {name!r} is not possible; use letters, digits, '_', '-' and '.', "
                f"and not {', '.join(OURS)}"
            )
        if not folder.is_dir():
            raise OptionError(f"store {name!r}: there is no folder {folder}")
        if data_dir.is_relative_to(folder.resolve()):
            raise OptionError(
                f"store {name!r} holds the data folder {options.data_dir}, and so everybody's "
                "results; put one of them elsewhere"
            )


def _check_numbers(options: ServerOptions) -> None:
    for name in ("queue_limit", "rate_limit", "max_form", "max_upload", "upload_quota"):
        if not getattr(options, name) >= 1:
            raise OptionError(f"{name} {getattr(options, name)} is not possible; give 1 or more")
    for name in ("keep_days", "keep_bytes"):
        value = getattr(options, name)
        if value is not None and not value >= 0:
            raise OptionError(f"{name} {value} is not possible; give 0 or more, or leave it out")


def _check_words(options: ServerOptions) -> None:
    words = {"log_format": LOG_FORMATS, "log_level": LOG_LEVELS}
    for name, possible in words.items():
        if getattr(options, name) not in possible:
            raise OptionError(
                f"{name} {getattr(options, name)!r} is not possible; use {', '.join(possible)}"
            )
    if options.scheduler and not re.fullmatch(r"(tcp|tls|ucx|ws|wss)://\S+", options.scheduler):
        raise OptionError(
            f"scheduler {options.scheduler!r} is not possible; write it like tcp://10.0.0.5:8786"
        )
    for one in options.trusted:
        if not re.fullmatch("[0-9a-fA-F]{64}", one):
            raise OptionError(
                f"trust {one[:80]!r} is no sha256; give that of the uploaded file, as its task says"
            )


def _check_pekat(options: ServerOptions) -> None:
    _check_address("pekat_", options.pekat_host, options.pekat_port or 0)
    if not re.fullmatch(r"[\x21-\x7e]*", options.pekat_stop_key):
        raise OptionError("pekat_stop_key has blanks or other letters than of ASCII; use others")
    keyless = options.project.api_key is None
    if keyless and options.pekat_port is None:
        raise OptionError(
            "the project's api_key is null, which is for a PEKAT port; give pekat_port too, or a "
            "key in the project file"
        )
    if (keyless or options.no_auth) and not is_loopback(options.pekat_host):
        given = "the project's api_key null" if keyless else "no_auth"
        raise OptionError(
            f"{given} is only possible on this machine alone and pekat_host "
            f"{options.pekat_host!r} is open to others; use pekat_host 127.0.0.1, or keys"
        )
