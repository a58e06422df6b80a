"""The life of the child process of a Python raster function, as its parent sees it.

It is a process of its own so that a crash of a function is an error and not the end of the
notebook. It is no sandbox: a function may do whatever the user may.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from geodl_lab import settings
from geodl_lab.errors import ModelError
from geodl_lab.packages import functions_worker
from geodl_lab.packages.functions_worker import receive, send

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
ELSEWHERE = {
    "arcpy": "it comes with ArcGIS only, so run the model there, or convert it to ONNX",
    "tensorflow": "install it, as in pip install tensorflow, or convert the model to ONNX",
    "keras": "install it, as in pip install keras, or convert the model to ONNX",
    "cntk": "it is no longer made, so convert the model to ONNX",
    "cv2": "install it, as in pip install opencv-python-headless",
    "skimage": "install it, as in pip install scikit-image",
    "sklearn": "install it, as in pip install scikit-learn",
    "PIL": "install it, as in pip install pillow",
}
"""Where modules come from whose package has another name."""

LAST_WORDS = 2000
"""Bytes that are kept of what a function prints."""


class FunctionError(RuntimeError):
    """A raster function failed; the engine names the window, the opening makes it a ModelError."""


@dataclass(frozen=True)
class Function:
    """The files of one package and the names of those that matter.

    Parameters
    ----------
    content
        Bytes by name, with forward slashes.
    emd, file
        Names of the description and of the Python file.
    sha256
        Hash of the package.
    told
        Files that the function finds otherwise than the package has them.
    """

    content: Mapping[str, bytes]
    emd: str
    file: str
    sha256: str
    told: Mapping[str, bytes] = field(default_factory=dict)

    def extract(self, folder: Path) -> None:
        """Write all files into an empty folder.

        Raises
        ------
        ModelError
            If a name points outside the folder.
        """
        for name, content in {**self.content, **self.told}.items():
            target = (folder / name).resolve()
            if not target.is_relative_to(folder.resolve()):
                raise ModelError(f"the package holds the file {name!r} outside its own folder")
            if not name.endswith("/"):
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)


class Process:
    """One running child and its private folder; both end with this object.

    Parameters
    ----------
    function
        The package.
    threads
        Threads that its libraries may use.
    """

    def __init__(self, function: Function, *, threads: int) -> None:
        self._file, self._timed_out = function.file, False
        self.folder = Path(tempfile.mkdtemp(prefix="geodl-function-"))
        try:
            function.extract(self.folder)
            self._child = _start(self.folder, threads)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        self._words = bytearray()
        self._stop = weakref.finalize(self, _end, self._child, self.folder, os.getpid())
        self._listener = threading.Thread(
            target=_listen, args=(self._child.stderr, self._words), daemon=True
        )
        self._listener.start()

    def stop(self) -> None:
        """End the child and remove its folder; once is enough."""
        self._stop()
        self._listener.join(1)

    def ask(
        self, header: Mapping[str, Any], arrays: Sequence[np.ndarray] = ()
    ) -> functions_worker.Message:
        """Send a request and return the answer.

        Raises
        ------
        FunctionError
            If the function raised, crashed, hung or answered nonsense.
        """
        assert self._child.stdin is not None and self._child.stdout is not None
        timer = threading.Timer(settings.FUNCTION_TIMEOUT, self._time_out)
        timer.daemon = True
        timer.start()
        try:
            send(self._child.stdin, dict(header), arrays)  # type: ignore[arg-type]
            answer, made = receive(self._child.stdout)  # type: ignore[arg-type]
        except (OSError, EOFError):
            raise FunctionError(self._ending(str(header["do"]))) from None
        except (ValueError, TypeError, KeyError, MemoryError) as error:
            raise FunctionError(f"{self._named()} answered no message ({error})") from None
        finally:
            timer.cancel()
        if "error" in answer:
            raise FunctionError(self._told(answer["error"]))
        return answer, made

    def _time_out(self) -> None:
        self._timed_out = True
        _kill(self._child)

    def _named(self) -> str:
        return f"the raster function {self._file!r}"

    def _told(self, error: Mapping[str, Any]) -> str:
        """Word an exception."""
        if error["missing"]:
            module = str(error["missing"]).partition(".")[0]
            cure = ELSEWHERE.get(module, f"install it, as in pip install {module}")
            return f"{self._named()} needs the Python module {module!r}, which is missing: {cure}"
        place = f" ({error['place']})" if error["place"] else ""
        raised = f" raised {error['kind']}" if error["kind"] else ""
        text = f": {error['text']}" if error["text"] else ""
        return f"{self._named()} failed in {error['method']}{place}{raised}{text}{self._last()}"

    def _ending(self, doing: str) -> str:
        """Word the end of a child that did not answer."""
        if self._timed_out:
            after = f"gave no answer in {settings.FUNCTION_TIMEOUT:g} s and was stopped"
        else:
            _close(self._child)
            code = self._child.wait()
            after = f"ended with exit code {code}" if code >= 0 else f"crashed ({_signal(-code)})"
        self._listener.join(1)
        return f"{self._named()} {after} during {doing}{self._last()}"

    def _last(self) -> str:
        """Return the last line that the function printed."""
        lines = self._words.decode(errors="replace").strip().splitlines()
        return f"; it printed last: {lines[-1].strip()[-300:]}" if lines else ""


class Worker:
    """Runs one function on one device: a child that is started when needed, and again if it failed.

    Parameters
    ----------
    function
        The package.
    device
        ``cpu``, ``cuda`` or ``cuda:N``.
    threads
        Threads that its libraries may use.
    """

    def __init__(self, function: Function, *, device: str, threads: int) -> None:
        self._function, self._device, self._threads = function, device, threads
        self._lock = threading.Lock()
        self._process: Process | None = None
        self._loaded: dict[str, Any] = {}
        self._asked: Mapping[str, Any] | None = None
        self._configured: dict[str, Any] = {}

    def load(self) -> dict[str, Any]:
        """Return ``parameters`` and ``methods`` of the function."""
        with self._turn():
            self._start()
            return self._loaded

    def configure(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the function answers to arguments and raster (``scalars``, ``raster``)."""
        with self._turn():
            self._configure(settings)
            return self._configured

    def run(
        self, request: Mapping[str, Any], block: np.ndarray, settings: Mapping[str, Any]
    ) -> functions_worker.Message:
        """Run a configured function on a block (band, y, x); requests are answered in turn."""
        with self._turn():
            self._configure(settings)
            return self._start().ask(request, [block])

    def _start(self) -> Process:
        if self._process is None:
            self._process = process = Process(self._function, threads=self._threads)
            self._asked = None
            where = {
                "file": str(process.folder / self._function.file),
                "model": str(process.folder / self._function.emd),
                "device": _device_number(self._device),
            }
            self._loaded, _ = process.ask({"do": "load", **where})
        return self._process

    def _configure(self, settings: Mapping[str, Any]) -> None:
        process = self._start()
        if self._asked != settings:
            self._configured, _ = process.ask({"do": "configure", **settings})
            self._asked = settings

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Hold the child; end it if anything fails: nobody knows what it would say next."""
        with self._lock:
            try:
                yield
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        """End the child; the next request starts another."""
        if self._process is not None:
            self._process.stop()
            self._process = None


def _start(folder: Path, threads: int) -> subprocess.Popen[bytes]:
    # -P: the folder of our own packages must not be where the function's imports look.
    command = [sys.executable, "-P", functions_worker.__file__, str(os.getpid()), str(folder)]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | dict.fromkeys(THREADS, str(threads)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is the parent's, and processes of its own end with it
    )


def _listen(stream: BinaryIO, words: bytearray) -> None:
    """Keep the end of what a child prints; must not know the `Process`, which would never end."""
    while chunk := stream.read1(LAST_WORDS):  # type: ignore[attr-defined]
        words += chunk
        del words[:-LAST_WORDS]
    stream.close()


def _end(child: subprocess.Popen[bytes], folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked copy of the parent must leave its child alone
        _kill(child)
        _close(child)
        child.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _kill(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)


def _close(child: subprocess.Popen[bytes]) -> None:
    for stream in (child.stdin, child.stdout):
        assert stream is not None
        with contextlib.suppress(BrokenPipeError):  # what was on its way to a child that is gone
            stream.close()


def _signal(number: int) -> str:
    named = number in tuple(signal.Signals)  # real-time signals have no names
    name = signal.Signals(number).name if named else f"signal {number}"
    return f"{name}, as when memory runs out" if name == "SIGKILL" else name


def _device_number(device: str) -> int:
    """Return Esri's number of a device: -1 is the CPU."""
    if device == "cpu":
        return -1
    return int(device.partition(":")[2] or 0)
