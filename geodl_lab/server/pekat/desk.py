"""What a PEKAT project holds while the server runs: its last images, and who may stop it."""

from __future__ import annotations

import hmac
from collections import OrderedDict

from geodl_lab.errors import AccessError
from geodl_lab.jobs.workers import LOCAL
from geodl_lab.server.pekat.asked import Room
from geodl_lab.server.pekat.inspection import Sent
from geodl_lab.server.pekat.project import Project

MOST_OWNERS, MOST_BYTES = 32, 512 * 2**20
"""Whose last images are kept, and their bytes in all; the oldest go first."""


class LastImages:
    """The last image of each key, as it came: its pictures are drawn when somebody asks."""

    def __init__(self) -> None:
        self._images: OrderedDict[str, Sent] = OrderedDict()

    def keep(self, owner: str, sent: Sent) -> None:
        """Remember an image instead of the owner's one before."""
        self._images.pop(owner, None)
        self._images[owner] = sent
        while len(self._images) > 1 and self._too_many():
            self._images.popitem(last=False)

    def of(self, owner: str) -> Sent:
        """Return an owner's last image; raises AccessError if there is none."""
        if (sent := self._images.get(owner)) is None:
            raise AccessError("no image of this key was analysed yet; send one to /analyze_image")
        return sent

    def _too_many(self) -> bool:
        held = sum(len(sent.data) for sent in self._images.values())
        return len(self._images) > MOST_OWNERS or held > MOST_BYTES


class Desk:
    """A project that runs.

    Parameters
    ----------
    project
        What is looked for.
    stop_key
        The key that stops the server; "" is none.
    """

    def __init__(self, project: Project, *, stop_key: str = "") -> None:
        self.project, self._stop_key = project, stop_key.encode()
        self.last, self.room = LastImages(), Room()

    @property
    def can_stop(self) -> bool:
        """Whether there is a key that stops the server."""
        return bool(self._stop_key)

    def may_stop(self, key: str) -> bool:
        """Tell whether a key stops the server; compared in constant time."""
        given = key.encode("utf-8", "backslashreplace")
        return self.can_stop and hmac.compare_digest(given, self._stop_key)


def device_of(project: Project, *, scheduler: str) -> str:
    """Return whose worker looks at images: over Dask they would travel, so one of this machine."""
    return LOCAL if scheduler else project.device
