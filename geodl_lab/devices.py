"""Devices: which there are, the threads that run forwards on them, and what to do without memory.

CPU forwards run in our own pool of threads, each with a fixed number of intra-op threads. torch's
kernels give other bits for another number of threads, and that number is a setting of the calling
thread, so neither the caller's `torch.set_num_threads` nor a scheduler's threads may reach them.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import filelock
import torch

from geodl_lab import settings
from geodl_lab.errors import OptionError

PRECISIONS = ("auto", "fp32", "bf16", "fp16")

STREAMS = 2
"""Forwards under way on a GPU, each with a stream: copies of one overlap the other's computing."""


def resolve_device(device: str) -> str:
    """Turn ``auto`` into the best device here and refuse one that is not there.

    Raises
    ------
    OptionError
        If ``device`` is no device name or the machine has none such.
    """
    device = str(device)
    if device == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return device
    index = device.removeprefix("cuda").removeprefix(":") or "0"
    if not device.startswith("cuda") or not index.isdigit():
        raise OptionError(f"device {device!r} is not known; possible are auto, cpu, cuda, cuda:N")
    if int(index) >= torch.cuda.device_count():
        raise OptionError(
            f"device {device!r} is not there: torch sees {torch.cuda.device_count()} CUDA devices; "
            "use device='cpu', or install a CUDA build of torch"
        )
    return f"cuda:{index}"


def all_devices() -> list[str]:
    """Return the devices that compute here: all GPUs, or else the CPU."""
    return [f"cuda:{index}" for index in range(torch.cuda.device_count())] or ["cpu"]


def resolve_precision(precision: str, device: str) -> str:
    """Turn ``auto`` into fp32 on CPU and bf16 on CUDA.

    Raises
    ------
    OptionError
        If ``precision`` is not known or not possible on ``device``.
    """
    if precision not in PRECISIONS:
        raise OptionError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")
    if precision == "auto":
        return "fp32" if device == "cpu" else "bf16"
    if precision == "fp16" and device == "cpu":
        raise OptionError("precision 'fp16' needs a CUDA device; on CPU use 'fp32' or 'bf16'")
    return precision


def workers(device: str, threads: int) -> int:
    """Return how many forwards run at one time."""
    return max(1, settings.cores() // threads) if device == "cpu" else STREAMS


def pool(device: str, threads: int) -> ThreadPoolExecutor:
    """Return the threads that run forwards on a device, each with ``threads`` intra-op threads.

    The process id is a key because a forked child has no threads of its parent's pool.
    """
    with _POOLS_LOCK:
        key = (device, threads, os.getpid())
        if key not in _POOLS:
            _POOLS[key] = _start_pool(device, threads)
        return _POOLS[key]


def on_one_thread(work: Callable[..., Any], *arguments: Any) -> Any:
    """Call ``work`` with one intra-op thread and wait: quickest for many small forwards."""
    return pool("cpu", 1).submit(work, *arguments).result()


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that a device has no memory left."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(words in text for words in _NO_MEMORY)


@dataclass
class Turns:
    """Lets forwards of one device run together, or one of them alone.

    A forward that ran out of memory is tried again when no other is under way.
    """

    _running: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Run beside others, after any that runs alone."""
        with self._changed:
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no other forward runs, and keep others from beginning."""
        with self._changed:
            self._changed.wait_for(lambda: not self._running)
            yield


@dataclass
class ExactCudnn:
    """Holds cuDNN's settings while any forward runs: they are the process's, not a thread's.

    The first forward sets them and the last puts back what the user had.
    """

    _holders: int = 0
    _flags: Any = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """No search for the quickest kernel, the same one each time, no TF32."""
        with self._lock:
            if not self._holders:
                self._flags = torch.backends.cudnn.flags(
                    benchmark=False, deterministic=True, allow_tf32=False
                )
                self._flags.__enter__()
            self._holders += 1
        try:
            yield
        finally:
            with self._lock:
                self._holders -= 1
                if not self._holders:
                    self._flags.__exit__(None, None, None)


EXACT = ExactCudnn()


def turns(device: str) -> Turns:
    """Return the turns of a device in this process."""
    with _POOLS_LOCK:
        return _TURNS.setdefault((device, os.getpid()), Turns())


@contextlib.contextmanager
def one_run(device: str) -> Iterator[None]:
    """Hold a GPU for one run, against the other tasks of this process and of others here."""
    if device == "cpu":
        yield
        return
    name = f"geodl-{os.getuid()}-{device.replace(':', '-')}.lock"
    with filelock.FileLock(os.path.join(tempfile.gettempdir(), name)):
        yield


_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
_POOLS: dict[tuple[str, int, int], ThreadPoolExecutor] = {}
_TURNS: dict[tuple[str, int], Turns] = {}
_POOLS_LOCK = threading.Lock()
os.register_at_fork(
    before=_POOLS_LOCK.acquire,
    after_in_parent=_POOLS_LOCK.release,
    after_in_child=_POOLS_LOCK.release,
)


def _start_pool(device: str, threads: int) -> ThreadPoolExecutor:
    count = workers(device, threads)
    default = torch.get_num_threads()
    started = ThreadPoolExecutor(
        count,
        thread_name_prefix=f"geodl-{device}",
        initializer=_begin_thread,
        initargs=(device, threads),
    )
    barrier = threading.Barrier(count)
    for waiting in [started.submit(barrier.wait) for _ in range(count)]:
        waiting.result()
    # set_num_threads also sets what threads born later begin with: give that back to the caller.
    restore = threading.Thread(target=torch.set_num_threads, args=(default,))
    restore.start()
    restore.join()
    return started


def _begin_thread(device: str, threads: int) -> None:
    # The first question sets a thread to the process's default: ask before, not after, we set it.
    torch.get_num_threads()
    torch.set_num_threads(threads)
    if device != "cpu":
        torch.cuda.set_stream(torch.cuda.Stream(device))
