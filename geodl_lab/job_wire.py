"""Requests to a job server, and its errors in our words. Its key goes nowhere else."""

from __future__ import annotations

import builtins
import contextlib
import ipaddress
import secrets
import ssl
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from geodl_lab.errors import AccessError, BusyError, OptionError, OutputError, RunError
from geodl_lab.staging import staged

if TYPE_CHECKING:
    import httpx

SECONDS = 60.0
"""Longest that an answer is waited for."""

LIFE = 14 * 24 * 60
"""Minutes that an address with a token in it can be read."""

PIECE = 2**20
"""Bytes of a file that are read at a time."""

Received = Callable[[int, int], None]
"""Called with the bytes that came so far, and those in all."""

ERRORS: Mapping[int, type[AccessError | BusyError | OutputError]] = {
    401: AccessError, 403: AccessError, 404: AccessError, 498: AccessError, 499: AccessError,
    429: BusyError, 503: BusyError, 507: OutputError,
}  # fmt: skip
"""Our errors by the status of HTTP or the code of an ArcGIS body; others are wrong options."""


class Wire:
    """Requests to one server with one key.

    Parameters
    ----------
    url
        Its address, also below a path, as behind a proxy.
    key
        "" where none is needed.
    ca_file
        Authority to trust, in PEM; None trusts the usual ones.
    """

    def __init__(self, url: str, *, key: str = "", ca_file: Path | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise OptionError(
                f"address {url!r} is not possible; write it like http://127.0.0.1:8000"
            )
        self.url, self.key, self.ca_file = url.rstrip("/"), key, ca_file
        self._http = _session(parts.hostname, key, ca_file)
        self.close = weakref.finalize(self, self._http.close)
        self._token: str | None = None

    def get(self, path: str, **parameters: Any) -> Any:
        """Return the JSON of an answer; raises what `ERRORS` says, or RunError."""
        return self._answer("GET", path, params=parameters)

    def post(
        self, path: str, data: Mapping[str, str], *, part: builtins.bytes | None = None
    ) -> Any:
        """Send a form, with a file called ``file`` if there is one; as `get`."""
        files = None if part is None else {"file": ("part", part)}
        return self._answer("POST", path, data={"f": "json", **data}, files=files)

    def bytes(self, path: str, **query: Any) -> bytes:
        """Return a file."""
        with self._sent("GET", path, params=query) as answer:
            return answer.read()

    def piece(self, path: str, start: int, size: int) -> builtins.bytes:
        """Return ``size`` bytes of a file from ``start``, or what is left of it."""
        wanted = {"Range": f"bytes={start}-{start + size - 1}"}
        with self._sent("GET", path, headers=wanted) as answer:
            return answer.read()

    def size(self, path: str) -> int:
        """Return the number of bytes of a file; raises AccessError where it is not there."""
        with self._sent("HEAD", path) as answer:
            if answer.headers.get("content-type", "").startswith("application/json"):
                self.get(path)  # an error of ArcGIS has status 200 and its words in the body
            return int(answer.headers["content-length"])

    def save(
        self, path: str, target: Path, *, overwrite: bool, received: Received | None = None
    ) -> None:
        """Write a file, whole or not at all; raises OutputError where that is not possible."""
        with (
            self._sent("GET", path) as answer,
            staged(target, overwrite=overwrite) as beside,
            beside.open("wb") as file,
        ):
            total = int(answer.headers.get("content-length", 0))
            for piece in answer.iter_bytes(PIECE):
                file.write(piece)
                if received:
                    received(file.tell(), total)

    def gdal_path(self, path: str) -> str:
        """Return a file's name for GDAL, which reads it by ranges; it holds a token that expires.

        No two are the same: what GDAL remembers of a name may have changed at the server.

        Raises
        ------
        OptionError
            If the server has an authority of its own, which GDAL would have to be told.
        """
        if self.ca_file is not None:
            raise OptionError(f"GDAL does not know the authority {self.ca_file}; download the file")
        query = {"token": self._expiring(), "once": secrets.token_hex(4)}
        words = urlencode({name: value for name, value in query.items() if value})
        return f"/vsicurl/{self.url}{path}?{words}"

    def _expiring(self) -> str:
        if self._token is None:
            form = {"username": "anybody", "password": self.key, "expiration": str(LIFE)}
            path = "/arcgis/sharing/rest/generateToken"
            self._token = self.post(path, form)["token"] if self.key else ""
        return self._token

    def _answer(self, method: str, path: str, **request: Any) -> Any:
        with self._sent(method, path, **request) as answer:
            answer.read()
            values = answer.json()
        if isinstance(values, dict) and "error" in values:
            raise _error(values["error"])
        return values

    @contextlib.contextmanager
    def _sent(self, method: str, path: str, **request: Any) -> Iterator[httpx.Response]:
        import httpx  # noqa: PLC0415

        try:
            with self._http.stream(method, self.url + path, **request) as answer:
                if answer.status_code >= 400:
                    answer.read()
                    raise _refused(answer, self.url)
                yield answer
        except httpx.ConnectError as error:
            raise AccessError(
                f"no job server answers at {self.url} ({error}); start one with geodl serve, or "
                "look at its address"
            ) from None
        except httpx.TimeoutException:
            raise BusyError(f"{self.url} did not answer within {SECONDS:g} s; try again") from None
        except httpx.HTTPError as error:
            raise RunError(f"{self.url} broke off ({error}); try again") from None


def _session(host: str, key: str, ca_file: Path | None) -> httpx.Client:
    try:
        import httpx  # noqa: PLC0415
    except ImportError:
        raise OptionError(
            "talking to a job server needs httpx; install it: pip install 'geodl-lab[serve]'"
        ) from None

    return httpx.Client(
        headers={"X-API-KEY": key} if key else {},
        verify=ssl.create_default_context(cafile=ca_file) if ca_file else True,
        timeout=httpx.Timeout(SECONDS, connect=10.0),
        trust_env=not _is_here(host),  # the proxy of the environment leads out, not here
    )


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refused(answer: httpx.Response, url: str) -> Exception:
    try:
        return _error(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        words = " ".join(answer.text.split())[:200] or answer.reason_phrase
        kind = ERRORS.get(answer.status_code, RunError)
        return kind(f"{url} answered {answer.status_code}: {words}")


def _error(told: Mapping[str, Any]) -> Exception:
    kind: type[Exception] = ERRORS.get(int(told.get("code") or 0), OptionError)
    return kind(str(told.get("message") or "the server refused, and did not say why"))
