"""Locks between processes (``flock``): each ends with its process, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

LOCKS = Path("/proc/locks")
"""Where Linux lists all locks: number, kind, ..., process, device:inode, from, to."""


def share(file: Path) -> int:
    """Hold a shared lock on a file until `os.close` of the descriptor that is returned.

    Raises
    ------
    FileNotFoundError
        If the file is not there, or was removed while this waited for it.
    """
    descriptor = os.open(file, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        if not os.path.samestat(os.fstat(descriptor), os.stat(file)):
            raise FileNotFoundError(file)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def claim(file: Path, *, mode: int = 0o666) -> int:
    """Hold the only lock on a file, made with ``mode`` if it is missing, until `os.close`.

    Raises
    ------
    BlockingIOError
        If another holds a lock on it.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, mode)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextlib.contextmanager
def alone(file: Path) -> Iterator[None]:
    """Wait for the only lock on a file and hold it in the block."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def holders(file: Path) -> list[int]:
    """Return the ids of the processes that hold a lock on a file, as far as Linux tells."""
    try:
        inode, lines = str(file.stat().st_ino), LOCKS.read_text().splitlines()
    except OSError:
        return []
    held = (line.split() for line in lines if " FLOCK " in line and "->" not in line)
    return sorted({int(f[4]) for f in held if f[5].rpartition(":")[2] == inode and int(f[4]) > 0})
