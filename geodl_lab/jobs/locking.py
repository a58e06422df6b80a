"""One server for one data folder: a lock that ends with its process, however that ends."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from geodl_lab.errors import OptionError
from geodl_lab.locks import claim


def hold(folder: Path) -> int:
    """Make a data folder if it is missing, and hold it until `os.close` of what is returned.

    Raises
    ------
    OptionError
        If another server holds it, or it cannot be written to.
    """
    file = folder / "server.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = claim(file, mode=0o600)
    except BlockingIOError:
        raise OptionError(
            f"the data folder {str(folder)!r} is in use by another server "
            f"({_holder(file)}); stop that one, or give another --data-dir"
        ) from None
    except OSError as error:
        raise OptionError(
            f"the data folder {str(folder)!r} cannot be used ({error.strerror}); "
            "give another --data-dir"
        ) from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
    return descriptor


def _holder(file: Path) -> str:
    return file.read_text(encoding="utf-8").strip() or "its process is not known"
