"""What clients are told of an error, and what only the log knows."""

from __future__ import annotations

import errno
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from geodl_lab.errors import GeodlError
from geodl_lab.jobs.worker import StepError

LOGGER = logging.getLogger("geodl_lab.jobs")


@dataclass(frozen=True)
class Wording:
    """How one job says things.

    Parameters
    ----------
    id
        The job's.
    folder
        Its folder.
    shown
        What clients are told instead of folders of this machine.
    """

    id: str
    folder: Path
    shown: Mapping[str, str]

    def error(self, error: Exception) -> str:
        """Return what the client is told of an error; what it need not know goes to the log."""
        if isinstance(error, GeodlError):
            return self.local(str(error))
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            free = shutil.disk_usage(self.folder.parent).free
            return f"the server's disk is full ({free} bytes are free); make room and send it again"
        kind, trace = type(error).__name__, None
        if isinstance(error, StepError):
            kind, trace = error.kind, error.trace
        LOGGER.error(
            "job %s failed: %s", self.id, trace or kind, extra={"job": self.id},
            exc_info=None if trace else error,
        )  # fmt: skip
        return (
            f"the job failed by an error that the server did not expect ({kind}); its operator "
            f"finds it in the log as {self.id}"
        )

    def local(self, text: str) -> str:
        """Return a text without the server's own folders."""
        for folder, name in {f"{self.folder}/": "", **self.shown}.items():
            text = text.replace(folder, name)
        return text
