"""Which addresses of the web may be asked, and connections that go to no others.

A name is resolved once for each connection, all of its addresses are checked, and the connection
goes to one of these very addresses, so a name that changes its address in between gains nothing.
"""

from __future__ import annotations

import functools
import ipaddress
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx

from geodl_lab.errors import AccessError, first_line

LONGEST = 8192
"""Characters of an address."""

LOW_PORTS = (80, 443)
"""Ports below 1024 that are asked; mail and the like speak no HTTP."""

NEVER = tuple(
    ipaddress.ip_network(net)
    for net in (
        "192.0.0.0/24", "fec0::/10",
        # These hold another address, which is where the packets then go.
        "::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16",
    )
)  # fmt: skip
"""What is not public beyond what `ipaddress` of every Python says."""


def checked_url(url: str, parameters: Mapping[str, str] | None = None) -> httpx.URL:
    """Return an address that may be looked up.

    Raises
    ------
    AccessError
        If it is no plain http or https address of a host.
    """
    try:
        target = httpx.URL(url.strip() if len(url) <= LONGEST else "")
        target = target.copy_merge_params(parameters) if parameters else target
    except (httpx.InvalidURL, UnicodeError, ValueError, TypeError):
        target = httpx.URL("")
    if target.scheme not in ("http", "https") or not target.host or (target.port or 1) > 65535:
        raise AccessError(
            f"{url[:200].partition('?')[0]!r} is not an address that can be fetched; "
            "give one that begins with http:// or https:// and a host"
        )
    if target.userinfo:
        raise AccessError(
            f"the address of {target.host!r} holds a user name or a password; "
            "give it without them, with a token as a parameter where the service wants one"
        )
    return target.copy_with(fragment=None)


def shown(url: httpx.URL) -> str:
    """Return an address for a message: without its query, where tokens stand."""
    return repr(str(url.copy_with(query=None))[:200])


def is_public(address: str) -> bool:
    """Tell whether an IP address is of the public internet."""
    ip = ipaddress.ip_address(address)
    never = any(ip in net for net in NEVER if net.version == ip.version)
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or never)


@dataclass(frozen=True)
class Guard:
    """Which addresses may be connected to."""

    allowed_hosts: tuple[str, ...]

    def addresses(self, host: str, port: int) -> list[str]:
        """Return the checked IP addresses of a host."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise AccessError(
                f"the host {host!r} was not found ({first_line(error)}); look at its spelling"
            ) from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if not self._is_allowed(host, port):
            self._check(host, port, addresses)
        return addresses

    def _is_allowed(self, host: str, port: int) -> bool:
        name = f"[{host}]" if ":" in host else host
        known = {one.strip().lower() for one in self.allowed_hosts}
        return not known.isdisjoint({host.lower(), name.lower(), f"{name}:{port}".lower()})

    def _check(self, host: str, port: int, addresses: list[str]) -> None:
        if wrong := [address for address in addresses if not is_public(address)]:
            raise AccessError(
                f"the host {host!r} has the address {wrong[0]}, which is not public, and is not "
                f"asked; if it may be, start the server with --allow-url-host {host}"
            )
        if port < 1024 and port not in LOW_PORTS:
            raise AccessError(
                f"port {port} of {host!r} is not asked, only 80, 443 and those from 1024 up; if "
                f"it may be, start the server with --allow-url-host {host}:{port}"
            )


@dataclass(frozen=True)
class Deadline:
    """When all must be over, as `time.monotonic` counts."""

    end: float

    def left(self, timeout: float | None) -> float:
        """Return the seconds that one step may take."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the time is over")
        return left if timeout is None else min(left, timeout)


class Backend(httpcore.SyncBackend):
    """Connects to checked addresses only."""

    def __init__(self, guard: Guard, deadline: Deadline) -> None:
        self.guard, self.deadline = guard, deadline

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *args: Any, **kwargs: Any
    ) -> httpcore.NetworkStream:
        """Connect to the first address that answers."""
        addresses = self.guard.addresses(host, port)
        for last, address in enumerate(addresses, 1 - len(addresses)):
            try:
                left = self.deadline.left(timeout)
                stream = super().connect_tcp(address, port, left, *args, **kwargs)
                return _Stream(stream, self.deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if not last:
                    raise
        raise httpcore.ConnectError(f"{host} has no address")

    def connect_unix_socket(self, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        """Refuse: nothing on this machine is asked."""
        raise httpcore.ConnectError("sockets of this machine are not asked")


class _Stream(httpcore.NetworkStream):
    """A connection whose every step ends before the deadline: drops of a byte do not prolong it."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self.stream, self.deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.stream.read(max_bytes, self.deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.stream.write(buffer, self.deadline.left(timeout))

    def close(self) -> None:
        self.stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:  # fmt: skip
        left = self.deadline.left(timeout)
        return _Stream(self.stream.start_tls(ssl_context, server_hostname, left), self.deadline)

    def get_extra_info(self, info: str) -> Any:
        return self.stream.get_extra_info(info)


class _Body(httpx.SyncByteStream):
    """The body of an answer, as httpx takes it."""

    def __init__(self, body: Any) -> None:
        self.body = body

    def __iter__(self) -> Iterator[bytes]:
        yield from self.body

    def close(self) -> None:
        self.body.close()


class Transport(httpx.BaseTransport):
    """Joins httpx to a pool with a backend of our own; httpx names no public way to say it."""

    def __init__(self, backend: Backend) -> None:
        self.pool = httpcore.ConnectionPool(
            ssl_context=tls_context(), max_keepalive_connections=0, network_backend=backend
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        url = request.url
        answer = self.pool.handle_request(
            httpcore.Request(
                request.method,
                httpcore.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer.stream))

    def close(self) -> None:
        """Close its connections."""
        self.pool.close()


@functools.cache
def tls_context() -> ssl.SSLContext:
    """Return certifi's authorities and those of this machine, where operators add their own."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context
