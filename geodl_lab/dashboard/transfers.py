"""Files between the browser and this process, piece by piece over the comm.

Neither side holds a whole file in memory, no piece is larger than what a websocket of Jupyter
takes, and no address is needed: so it works in JupyterLab, in Voila and below any prefix.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Protocol

import anywidget
import traitlets

from geodl_lab.errors import GeodlError, OptionError

JS = Path(__file__).parent / "js"
PIECE = 4 * 2**20
"""Bytes of a piece; Tornado takes messages of 10 MiB."""

MOST = 10_000 * PIECE
"""Bytes of a file that is sent: the server takes so many parts."""

ENDINGS = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".jp2")
"""Of rasters that a server takes."""


class Sink(Protocol):
    """Where an upload goes, such as `geodl_lab.job_client.Upload`."""

    def add(self, part: bytes) -> None:
        """Take the next part."""
        ...

    def finish(self) -> Any:
        """Put the parts together."""
        ...

    def cancel(self) -> None:
        """Throw away what came."""
        ...


class FileUpload(anywidget.AnyWidget):
    """A button that takes a file of any size from the browser.

    Parameters
    ----------
    begin
        Called with the file's name; returns where it goes. A `GeodlError` refuses it.
    done
        Called with what `Sink.finish` returned.
    failed
        Called with a sentence.
    workers
        Where all of these are called.
    """

    _esm = JS / "upload.js"

    accept = traitlets.Unicode(",".join(ENDINGS)).tag(sync=True)
    busy = traitlets.Bool(False).tag(sync=True)
    words = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        begin: Callable[[str], Sink],
        *,
        done: Callable[[Any], None],
        failed: Callable[[str], None],
        workers: Executor,
    ) -> None:
        super().__init__()
        self._begin, self._done, self._failed, self._workers = begin, done, failed, workers
        self._sink: Sink | None = None
        self._size = self._sent = 0
        self.on_msg(self._on_message)

    def _on_message(self, _: Any, message: dict[str, Any], buffers: list[memoryview]) -> None:
        """Take a message; what follows of it is done elsewhere, as this must not wait."""
        pieces = [bytes(one) for one in buffers]
        self._workers.submit(self._answer, message, pieces)

    def _answer(self, message: dict[str, Any], pieces: list[bytes]) -> None:
        try:
            if "begin" in message:
                self._start(str(message["begin"]), int(message["size"]))
            elif "piece" in message and self._sink is not None:
                self._take(pieces[0])
            elif "lost" in message:
                self._stop("the file could not be read any more; choose it again")
        except GeodlError as error:
            self._stop(str(error))
        except Exception as error:
            self._stop(f"the upload broke off ({error}); try again")

    def _start(self, name: str, size: int) -> None:
        _check_file(name, size)
        self.busy, self.words = True, "0 %"
        self._size, self._sent = size, 0
        self._sink = self._begin(name)
        self._want()

    def _take(self, piece: bytes) -> None:
        assert self._sink is not None
        self._sink.add(piece)
        self._sent += len(piece)
        self.words = f"{100 * self._sent // self._size} %"
        if self._sent < self._size:
            return self._want()
        made, self._sink = self._sink.finish(), None
        self.busy, self.words = False, ""
        return self._done(made)

    def _want(self) -> None:
        self.send({"want": {"start": self._sent, "size": PIECE}})

    def _stop(self, words: str) -> None:
        sink, self._sink = self._sink, None
        self.busy, self.words = False, ""
        self._failed(words)
        if sink is not None:
            sink.cancel()


class FileDownload(anywidget.AnyWidget):
    """Buttons that each give a file to the browser.

    Parameters
    ----------
    make
        Called with an ending; returns the file, which stays as long as it is read. A `GeodlError`
        says why there is none.
    failed
        Called with a sentence.
    workers
        Where both are called.
    """

    _esm = JS / "download.js"

    formats = traitlets.List(traitlets.Dict()).tag(sync=True)

    def __init__(
        self,
        make: Callable[[str], Path],
        *,
        failed: Callable[[str], None],
        workers: Executor,
    ) -> None:
        super().__init__()
        self._make, self._failed, self._workers = make, failed, workers
        self._file: Path | None = None
        self.on_msg(self._on_message)

    def _on_message(self, _: Any, message: dict[str, Any], buffers: list[memoryview]) -> None:
        self._workers.submit(self._answer, message)

    def _answer(self, message: dict[str, Any]) -> None:
        try:
            if "open" in message:
                self._file = self._make(str(message["open"]))
                self._give(b"", 0)
            elif self._file is not None:
                self._give(_read(self._file, int(message["piece"])), int(message["piece"]))
        except GeodlError as error:
            self._stop(str(error))
        except Exception as error:
            self._stop(f"the file could not be made ({error}); try again")

    def _give(self, piece: bytes, start: int) -> None:
        assert self._file is not None
        about = {"name": self._file.name, "size": self._file.stat().st_size}
        self.send({**about, "next": start + len(piece)}, buffers=[piece] if piece else None)

    def _stop(self, words: str) -> None:
        self.send({"failed": words})
        self._failed(words)


def _read(file: Path, start: int) -> bytes:
    with file.open("rb") as stream:
        stream.seek(start)
        return stream.read(PIECE)


def _check_file(name: str, size: int) -> None:
    """Raise OptionError for a file that need not be sent, as no server would take it."""
    if not name.lower().endswith(ENDINGS):
        raise OptionError(
            f"the file {name!r} is no raster by its name; choose a GeoTIFF (.tif), PNG, JPEG or "
            "JPEG 2000"
        )
    if size == 0:
        raise OptionError(f"the file {name!r} is empty; choose another")
    if size > MOST:
        raise OptionError(
            f"the file {name!r} has {size / 2**30:.0f} GiB and {MOST / 2**30:.0f} can be sent; put "
            "it into a store of the server"
        )
