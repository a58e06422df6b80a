"""Earlier runs of the app: a list, and one of them opened again."""

from __future__ import annotations

from collections.abc import Callable

from geodl_lab.dashboard import words
from geodl_lab.dashboard.desk import Desk
from geodl_lab.dashboard.rasters import Rasters

MOST = 30
"""Runs that are listed."""


class History:
    """The list of earlier runs.

    Parameters
    ----------
    desk
        Page and server.
    rasters
        Knows the names of rasters.
    reopen
        Called among the chores with the id of the run that the visitor wants.
    """

    def __init__(self, desk: Desk, rasters: Rasters, reopen: Callable[[str], None]) -> None:
        self._desk, self._rasters, self._reopen = desk, rasters, reopen
        desk.page.history.observe(lambda _: self._enable(), "value")
        desk.page.open_run.on_click(lambda _: self._on_open())

    def list_all(self) -> None:
        """Ask the server which there are."""
        jobs = self._desk.client.jobs(limit=MOST)
        names, box = self._rasters.names, self._desk.page.history
        with self._desk.silence():
            chosen = box.value
            box.options = [(words.history_label(one, names), one.id) for one in jobs]
            box.value = chosen if chosen in {one.id for one in jobs} else None
        self._enable()

    def _enable(self) -> None:
        self._desk.page.open_run.disabled = self._desk.page.history.value is None

    def _on_open(self) -> None:
        if chosen := self._desk.page.history.value:
            self._desk.do(self._reopen, chosen)
