"""Keys and tokens: who may come in. A key is a token that does not expire.

A token that expires is ``owner.expires.signature``: an HMAC with a secret of the data folder, so
nothing is kept and it holds over a restart, as long as its key does.
"""

from __future__ import annotations

import copy
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Iterable
from pathlib import Path

from geodl_lab.errors import OutputError
from geodl_lab.jobs.job import Caller

LOCAL = Caller("local")
"""Who asks when nobody has to say who they are."""

KEY_FILE, SECRET_FILE = "api-key", "token-secret"
DEFAULT_MINUTES, MOST_MINUTES = 60, 15 * 24 * 60


class Tokens:
    """The keys of a server, and the tokens made of them.

    Parameters
    ----------
    keys
        Of clients.
    admin_key
        Of who sees everything; "" is none.
    secret
        What tokens are signed with.
    anybody
        Whether everybody is let in, as `LOCAL`.
    """

    def __init__(
        self, keys: Iterable[str], *, admin_key: str = "", secret: bytes, anybody: bool = False
    ) -> None:
        callers = [(key, Caller(owner_of(key))) for key in keys]
        if admin_key:
            callers.append((admin_key, Caller(owner_of(admin_key), admin=True)))
        self._callers = [(_digest(key), caller) for key, caller in callers]
        self._secret = secret
        self.anybody = LOCAL if anybody else None

    def also(self, key: str, *, anybody: bool = False) -> Tokens:
        """Return these and one more key, "" for none; or with everybody let in."""
        more = copy.copy(self)
        if key:
            more._callers = [*self._callers, (_digest(key), Caller(owner_of(key)))]
        more.anybody = LOCAL if anybody else self.anybody
        return more

    def check(self, token: str) -> Caller | None:
        """Return whose token this is, or None.

        All keys are compared, each in constant time.
        """
        if self.anybody:
            return self.anybody
        given, found = _digest(token), None
        for digest, caller in self._callers:
            if hmac.compare_digest(given, digest):
                found = caller
        return found or self._signed(token)

    def issue(self, caller: Caller, minutes: float = DEFAULT_MINUTES) -> tuple[str, float]:
        """Return a token for a caller, and when it expires in seconds since 1970."""
        expires = int(time.time() + 60 * min(max(minutes, 1), MOST_MINUTES))
        text = f"{caller.owner}.{expires:x}"
        return f"{text}.{self._sign(text)}", float(expires)

    def _signed(self, token: str) -> Caller | None:
        text, _, signature = token.rpartition(".")
        owner, _, expires = text.partition(".")
        if not hmac.compare_digest(_bytes(signature), self._sign(text).encode()):
            return None
        if int(expires, 16) <= time.time():
            return None
        return next((caller for _, caller in self._callers if caller.owner == owner), None)

    def _sign(self, text: str) -> str:
        return hmac.new(self._secret, _bytes(text), hashlib.sha256).hexdigest()


def owner_of(key: str) -> str:
    """Return what stands for a key in jobs and results."""
    return hashlib.sha256(b"geodl-lab owner " + _bytes(key)).hexdigest()[:16]


def kept_secret(folder: Path) -> bytes:
    """Return the secret of a data folder, made when it is not there; raises OutputError."""
    return _kept(folder / SECRET_FILE)[0].encode()


def kept_key(folder: Path) -> tuple[str, bool]:
    """Return the key of a data folder, and whether it was made just now; raises OutputError.

    It is kept, so that jobs of an earlier run still belong to somebody.
    """
    return _kept(folder / KEY_FILE)


def _kept(file: Path) -> tuple[str, bool]:
    """Return what a private file holds; random if it is not there yet."""
    try:
        if file.is_file() and (text := file.read_text(encoding="ascii").strip()):
            return text, False
        text = secrets.token_urlsafe(32)
        write_private(file, text.encode() + b"\n")
    except (OSError, ValueError) as error:
        raise OutputError(f"{file} cannot be read or written: {error}; see to its rights") from None
    return text, True


def write_private(file: Path, content: bytes) -> None:
    """Write a file that only its owner can read, at once or not at all."""
    beside = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(file)


def _digest(text: str) -> bytes:
    return hashlib.sha256(_bytes(text)).digest()


def _bytes(text: str) -> bytes:
    """Return text as bytes, whatever a client put into it."""
    return text.encode("utf-8", "backslashreplace")
