"""The one way out to the web: addresses are checked, sizes, times and types are limited.

Redirects are followed here, and each is checked as the first address was (`addresses`).
"""

from __future__ import annotations

import contextlib
import errno
import re
import shutil
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpcore
import httpx

from geodl_lab.addresses import Backend, Deadline, Guard, Transport, checked_url, shown
from geodl_lab.checkpoints import sync
from geodl_lab.errors import AccessError, CancelledError, OutputError, first_line

CONNECT, READ = 10.0, 30.0
"""Seconds to connect, and to wait for the next bytes."""

PAUSES = (1.0, 4.0)
"""Seconds before something is asked again that failed in passing."""

PASSING = (408, 429, 500, 502, 503, 504)
"""HTTP statuses that may be others the next time."""

REDIRECTS = 5
SMALL = 2**25
"""Bytes of an answer that is kept in memory."""

ENCODINGS = ("", "identity", "gzip", "deflate")
"""One at a time: packed twice, a few bytes would unpack to more than any memory."""

HEADERS = {"Accept": "*/*", "Accept-Encoding": "gzip, identity", "User-Agent": "geodl-lab"}


Answer = TypeVar("Answer")


class _PassingError(AccessError):
    """What failed may succeed the next time."""


@dataclass(frozen=True)
class Fetcher:
    """Fetches from public hosts, and from those that are allowed by name.

    Parameters
    ----------
    allowed_hosts
        ``HOST`` or ``HOST:PORT`` that may be asked though their addresses are private.
    stop
        Looked at between pieces; True raises CancelledError.

    Raises
    ------
    AccessError
        By every method: if the address is not to be asked, does not answer in time, answers an
        error, or answers too much or of another type than wanted. No message shows what follows
        a ``?``, where tokens stand.
    """

    allowed_hosts: tuple[str, ...] = ()
    stop: Callable[[], bool] | None = None

    def get(
        self,
        url: str,
        parameters: Mapping[str, str] | None = None,
        *,
        most_bytes: int = SMALL,
        most_seconds: float = 120.0,
        types: Iterable[str] | None = None,
    ) -> bytes:
        """Return what an address answers; ``parameters`` are added to its query."""
        target = checked_url(url, parameters)
        request = _Request(target, most_bytes, most_seconds, types)
        return self._again(request, lambda: b"".join(self._stream(request)))

    def post(
        self,
        url: str,
        parameters: Mapping[str, str],
        *,
        most_bytes: int = SMALL,
        most_seconds: float = 120.0,
        types: Iterable[str] | None = None,
    ) -> bytes:
        """Send a form and return the answer; redirects are errors."""
        request = _Request(checked_url(url), most_bytes, most_seconds, types, dict(parameters))
        return self._again(request, lambda: b"".join(self._stream(request)))

    def download(
        self,
        url: str,
        path: Path,
        parameters: Mapping[str, str] | None = None,
        *,
        most_bytes: int,
        most_seconds: float = 6 * 3600.0,
        types: Iterable[str] | None = None,
    ) -> Path:
        """Write what an address answers to ``path``, which is complete or not there.

        Parameters
        ----------
        url, parameters
            The address, and what is added to its query.
        path
            The file; its folder must exist.
        most_bytes
            Of the answer, unpacked.
        most_seconds
            For all of it.
        types
            Media types, or their beginnings (``image/``), that are taken; None takes any.

        Raises
        ------
        OutputError
            If the disk is full.
        """
        target = checked_url(url, parameters)
        request = _Request(target, most_bytes, most_seconds, types, folder=path.parent)
        rough = path.with_name(f"rough-{path.name}")
        try:
            self._again(request, lambda: self._write(request, rough))
            rough.replace(path)
        finally:
            rough.unlink(missing_ok=True)
        return path

    def _write(self, request: _Request, path: Path) -> None:
        with disk_errors(path.parent), path.open("wb") as file:
            for piece in self._stream(request):
                file.write(piece)
        sync(path)

    def _again(self, request: _Request, ask: Callable[[], Answer]) -> Answer:
        """Ask, and ask again where it failed in passing and there is time left."""
        for pause in PAUSES:
            try:
                return ask()
            except _PassingError:
                if pause > request.deadline.end - time.monotonic():
                    raise
            self._check_stop()
            time.sleep(pause)
        return ask()

    def _stream(self, request: _Request) -> Iterator[bytes]:
        """Yield the pieces of the final answer."""
        for _ in range(REDIRECTS + 1):
            with self._asked(request) as answer:
                if not answer.has_redirect_location:
                    yield from self._pieces(request, answer)
                    return
                request = request.redirected(answer.headers["location"])
        raise AccessError(
            f"{shown(request.url)} redirects more than {REDIRECTS} times; give the final address"
        )

    @contextlib.contextmanager
    def _asked(self, request: _Request) -> Iterator[httpx.Response]:
        """Send one request and give the answer, whatever its status is."""
        self._check_stop()
        backend = Backend(Guard(self.allowed_hosts), request.deadline)
        with (
            _explained(request),
            Transport(backend) as transport,
            httpx.Client(transport=transport, trust_env=False, headers=HEADERS) as client,
            client.stream(
                "GET" if request.form is None else "POST",
                request.url,
                data=request.form,
                timeout=httpx.Timeout(READ, connect=CONNECT),
            ) as answer,
        ):
            yield answer

    def _pieces(self, request: _Request, answer: httpx.Response) -> Iterator[bytes]:
        request.check(answer)
        count = 0
        for piece in answer.iter_bytes():
            self._check_stop()
            request.check_size(count := count + len(piece))
            yield piece

    def _check_stop(self) -> None:
        if self.stop is not None and self.stop():
            raise CancelledError("cancelled while something was downloaded")


class _Request:
    """One request and its limits."""

    def __init__(
        self, url: httpx.URL, most_bytes: int, most_seconds: float,
        types: Iterable[str] | None, form: dict[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:  # fmt: skip
        self.url, self.most_bytes, self.seconds = url, most_bytes, most_seconds
        self.types = None if types is None else tuple(types)
        self.form, self.folder = form, folder
        self.deadline = Deadline(time.monotonic() + most_seconds)

    def redirected(self, place: str) -> _Request:
        """Return the request that a redirect asks for."""
        if self.form is not None:
            raise AccessError(f"{shown(self.url)} redirects what is posted; give the final address")
        try:
            joined = str(self.url.join(place))
        except (httpx.InvalidURL, ValueError) as error:
            raise AccessError(f"{shown(self.url)} redirects to no valid address") from error
        target = checked_url(joined)
        if (self.url.scheme, target.scheme) == ("https", "http"):
            raise AccessError(
                f"{shown(self.url)} redirects from https to http; give the final address"
            )
        other = _Request(target, self.most_bytes, self.seconds, self.types, folder=self.folder)
        other.deadline = self.deadline
        return other

    def check(self, answer: httpx.Response) -> None:
        """Refuse an answer by its status and headers."""
        if answer.status_code != 200:
            kind = _PassingError if answer.status_code in PASSING else AccessError
            raise kind(
                f"{shown(self.url)} answered HTTP {answer.status_code}; "
                "look whether the address is right and may be read without signing in"
            )
        media = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media and self.types is not None and not media.startswith(self.types):
            raise AccessError(
                f"{shown(self.url)} answered {media[:80]!r}; wanted is {', '.join(self.types)}"
            )
        packed = answer.headers.get("content-encoding", "").strip().lower()
        if packed not in ENCODINGS:
            raise AccessError(
                f"{shown(self.url)} answered packed as {packed[:80]!r}; "
                "only gzip and deflate are unpacked, and once"
            )
        length = answer.headers.get("content-length", "")
        if re.fullmatch(r"\d{1,18}", length):
            self.check_size(int(length))
            if self.folder is not None and (free := shutil.disk_usage(self.folder).free) < int(
                length
            ):
                raise _full(free, int(length))

    def check_size(self, count: int) -> None:
        """Refuse an answer that is too large."""
        if count > self.most_bytes:
            raise AccessError(
                f"{shown(self.url)} answers more than {self.most_bytes} bytes, the most that is "
                "taken; give something smaller, or put it into a store of the server"
            )


@contextlib.contextmanager
def _explained(request: _Request) -> Iterator[None]:
    """Word what the libraries raise."""
    place = shown(request.url)
    try:
        yield
    except (httpcore.TimeoutException, httpx.TimeoutException) as error:
        raise _PassingError(
            f"{place} did not answer in time ({CONNECT:.0f} s to connect, {READ:.0f} s between "
            f"two pieces, {request.seconds:.0f} s for all); try again later"
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, *_WIRE) as error:
        raise _PassingError(
            f"{place} cannot be fetched ({first_line(error)[:200]}); "
            "look whether it is right and the host is up"
        ) from error


_WIRE = (
    httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError,
    httpcore.UnsupportedProtocol, httpcore.ConnectionNotAvailable,
)  # fmt: skip


@contextlib.contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Say of a full disk how much is free; raises OutputError."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise _full(shutil.disk_usage(folder).free, None) from error


def _full(free: int, need: int | None) -> OutputError:
    wanted = "more" if need is None else f"{need} bytes"
    return OutputError(
        f"the disk is full: {free} bytes are free and {wanted} are needed; make room"
    )
