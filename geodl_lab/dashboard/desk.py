"""What all parts of the app share: the page, the map, the job server, a thread for what takes time.

What visitors do is heard on the kernel's main thread, which must not wait: it is done in the
thread of chores, one thing after the other.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from geodl_lab.dashboard import words
from geodl_lab.dashboard.map_view import MapView
from geodl_lab.dashboard.page import Page
from geodl_lab.dashboard.servers import Shared
from geodl_lab.errors import AccessError, GeodlError, OptionError, RunError
from geodl_lab.job_client import Client

LOGGER = logging.getLogger("geodl_lab")

GONE = "The job server does not answer any more: reload the page, which starts it again."


class Desk:
    """The page and what it works with.

    Parameters
    ----------
    find
        Finds the job server; called among the chores, as it may have to be started.
    """

    def __init__(self, find: Callable[[], Shared]) -> None:
        self._find = find
        self._shared: Shared | None = None
        self._chores = ThreadPoolExecutor(1, "geodl-app")
        self._here = threading.local()
        self.transfers = ThreadPoolExecutor(1, "geodl-files")
        self.page, self.map = Page(), MapView()
        self.page.map.children = [self.map.widget]

    @property
    def client(self) -> Client:
        """A client of the server; raises OptionError as long as there is none."""
        if self._shared is None:
            raise OptionError("the job server is not there yet; wait a moment")
        return self._shared.client

    def connect(self) -> None:
        """Find the server, once."""
        if self._shared is None:
            self.say("Starting the job server; the first time takes some seconds.")
            self._shared = self._find()

    def do(self, chore: Callable[..., None], *args: Any) -> None:
        """Have something done in the thread of chores."""
        self._chores.submit(self.tried, chore, *args)

    def beside(self, chore: Callable[..., None], *args: Any) -> None:
        """Have something done in a thread of its own, as it takes long."""
        threading.Thread(target=self.tried, args=(chore, *args), daemon=True).start()

    def tried(self, chore: Callable[..., None], *args: Any) -> None:
        """Do something; what goes wrong is said in a sentence."""
        try:
            chore(*args)
        except GeodlError as error:
            self.say_bad(GONE if self._is_gone(error) else str(error))
        except Exception as error:
            LOGGER.exception("the app could not %s", getattr(chore, "__name__", chore))
            self.say_bad(f"something went wrong in the app itself ({error}); reload the page")

    def _is_gone(self, error: GeodlError) -> bool:
        """Tell whether what went wrong is that the server, which was there, does not answer."""
        if self._shared is None or not isinstance(error, AccessError | RunError):
            return False
        try:
            self._shared.client.stores()
        except GeodlError:
            return True
        return False

    def say(self, text: str, kind: str = "info") -> None:
        """Say a sentence; ``kind`` is info, good or bad."""
        self.page.status.value = words.note_html(text, kind)

    def say_bad(self, text: str) -> None:
        """Say what went wrong."""
        self.say(words.sentence(text), "bad")

    @contextlib.contextmanager
    def silence(self) -> Iterator[None]:
        """Change widgets in the block without `heard` taking it for the visitor's doing."""
        before, self._here.silent = getattr(self._here, "silent", False), True
        try:
            yield
        finally:
            self._here.silent = before

    def heard(self, call: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return an observer of a widget that passes on what the visitor chose."""

        def observer(change: Any) -> None:
            if not getattr(self._here, "silent", False):
                call(change["new"])

        return observer
