"""Models that run: weights on a device, and forwards of one fixed shape.

CPU forwards run in our own pool of threads, each with a fixed number of intra-op threads. torch's
kernels give other bits for another number of threads, and that number is a setting of the calling
thread, so neither the caller's `torch.set_num_threads` nor a scheduler's threads may reach them.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import torch

from geodl_lab import settings
from geodl_lab.errors import ModelError, OptionError
from geodl_lab.package import InputSpec, ModelPackage

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
POOLS: dict[tuple[str, int, int], ThreadPoolExecutor] = {}
POOLS_LOCK = threading.Lock()
os.register_at_fork(
    before=POOLS_LOCK.acquire, after_in_parent=POOLS_LOCK.release, after_in_child=POOLS_LOCK.release
)
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Model:
    """A package and the network it describes, ready to run.

    Parameters
    ----------
    package
        What the model wants and gives.
    network
        Maps a float tensor (N, C, H, W) to scores (N, K, H, W) or to a list of dicts of boxes.
    token
        Tells live modules apart whose tensors are equal; "" where ``sha256`` says it all.
    state
        Fingerprint of the network's tensors when it was wrapped, or None.
    """

    package: ModelPackage
    network: Any = field(repr=False, compare=False)
    token: str = ""
    state: tuple[tuple[int, int], ...] | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """Name of the package."""
        return self.package.name

    def __dask_tokenize__(self) -> tuple[str, str]:
        """Name the model by content, so that equal calls get equal dask keys, and others do not."""
        return repr(self.package), self.token

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle; a TorchScript network, which does not pickle, travels as its archive."""
        if not isinstance(self.network, torch.jit.ScriptModule):
            return Model, (self.package, self.network, self.token)
        archive = io.BytesIO()
        torch.jit.save(self.network, archive)
        return _from_archive, (self.package, archive.getvalue(), self.token)

    def _repr_html_(self) -> str:
        """Show name, task, bands and coloured classes; text of the package is escaped."""
        package = self.package
        swatches = "".join(
            f"<span style='display:inline-block;margin:2px 10px 2px 0'><span style='display:"
            f"inline-block;width:1em;height:1em;background:{c.color};border:1px solid #888;"
            f"vertical-align:-2px'></span> {c.value} {escape(c.name)}</span>"
            for c in package.classes
        )
        wants = ", ".join(package.inputs.bands) or f"{package.inputs.count} bands"
        return (
            f"<div><b>{escape(package.name)}</b> {escape(package.version)} &middot; {package.task}"
            f"<br>{escape(str(package.about.get('description', '')))}<br>bands: {escape(wants)}"
            f"<br>{swatches}</div>"
        )


@dataclass(frozen=True, slots=True)
class Session:
    """A network on one device, with everything that decides the bits of its answer.

    Parameters
    ----------
    network
        The network, already on ``device``.
    device
        ``cpu``, ``cuda`` or ``cuda:N``.
    precision
        ``fp32``, ``bf16`` or ``fp16``.
    threads
        Intra-op threads of a CPU forward.
    """

    network: Any
    device: str
    precision: str
    threads: int

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Queue ``work`` on the threads of this session's device."""
        return _pool(self.device, self.threads, os.getpid()).submit(work, *arguments)

    def forward(self, batch: np.ndarray, inputs: InputSpec) -> Any:
        """Scale stored values and run the network; call it only through `submit`.

        Parameters
        ----------
        batch
            Stored values, shape (N, C, H, W), any numeric dtype, no NaN.
        inputs
            Scaling.

        Returns
        -------
        torch.Tensor or list of dict
            What the network answers, on the device; floats as float32.
        """
        with torch.inference_mode():
            x = _scaled(_to_tensor(batch).to(self.device), inputs)
            dtype = AUTOCAST.get(self.precision)
            kind = torch.device(self.device).type
            with torch.autocast(kind, dtype=dtype, enabled=dtype is not None):
                answer = self.network(x)
            return answer.float() if isinstance(answer, torch.Tensor) else answer


def on_one_thread(work: Callable[..., Any], *arguments: Any) -> Any:
    """Call ``work`` with one intra-op thread and wait: quickest for many small forwards."""
    return _pool("cpu", 1, os.getpid()).submit(work, *arguments).result()


def open_session(model: Model, *, device: str, precision: str, threads: int) -> Session:
    """Put ``model`` on ``device``; cached, so that weights travel once a device.

    Raises
    ------
    OptionError
        If the device or precision is not possible here.
    """
    device = resolve_device(device)
    _check_unchanged(model)
    network = model.network if device == "cpu" else _on_device(model.network, device)
    return Session(network, device, resolve_precision(precision, device), threads)


def fingerprint(network: Any) -> tuple[tuple[int, int], ...]:
    """Return where the tensors of a network lie and how often each was written in place."""
    return tuple((t.data_ptr(), t._version) for t in network.state_dict().values())


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


def hash_network(network: Any) -> str:
    """Return the sha256 of a module's tensors, names and structure."""
    digest = hashlib.sha256(str(network).encode())
    for name, tensor in sorted(network.state_dict().items()):
        if isinstance(tensor, torch.Tensor):
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(raw.numpy().tobytes())
    return digest.hexdigest()


def _to_tensor(batch: np.ndarray) -> torch.Tensor:
    """Wrap stored values; byte order and unsigned types that torch cannot cast are made native."""
    if batch.dtype.kind not in "iufb":
        raise ModelError(f"pixels of type {batch.dtype} cannot be fed to a model; use numbers")
    if not batch.dtype.isnative or (batch.dtype.kind == "f" and batch.dtype.itemsize > 8):
        batch = batch.astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(batch))


def _scaled(x: torch.Tensor, inputs: InputSpec) -> torch.Tensor:
    """Apply scale, mean and std in float32; (N, C, H, W) in and out."""
    x = x.to(torch.float32)
    if inputs.scale != 1:
        x = x * inputs.scale
    if inputs.mean is not None:
        x = (
            x - torch.tensor(inputs.mean, dtype=x.dtype, device=x.device)[:, None, None]
        )  # (C, 1, 1)
    if inputs.std is not None:
        x = x / torch.tensor(inputs.std, dtype=x.dtype, device=x.device)[:, None, None]
    return x


@functools.lru_cache(maxsize=8)
def _on_device(network: Any, device: str) -> Any:
    # A copy: moving the caller's own module would change it under their feet.
    import copy  # noqa: PLC0415

    return copy.deepcopy(network).to(device)


def _check_unchanged(model: Model) -> None:
    """Put a live module back into evaluation mode; refuse one with other weights than wrapped."""
    if getattr(model.network, "training", False):
        model.network.eval()
    if model.state is not None and model.state != fingerprint(model.network):
        raise ModelError(
            f"the weights of {model.name!r} have changed since it was wrapped, so its hash and its "
            "receptive field no longer hold; call geodl_lab.from_torch again"
        )


def _from_archive(package: ModelPackage, archive: bytes, token: str) -> Model:
    return Model(package, _load_archive(archive), token)


@functools.lru_cache(maxsize=8)
def _load_archive(archive: bytes) -> Any:
    return torch.jit.load(io.BytesIO(archive), map_location="cpu").eval()


def _pool(device: str, threads: int, process: int) -> ThreadPoolExecutor:
    """Return the threads that run forwards; one for a GPU, cores / threads of them for the CPU.

    The process id is a key because a forked child has no threads of its parent's pool.
    """
    with POOLS_LOCK:
        key = (device, threads, process)
        if key not in POOLS:
            POOLS[key] = _start_pool(device, threads)
        return POOLS[key]


def _start_pool(device: str, threads: int) -> ThreadPoolExecutor:
    workers = max(1, settings.cores() // threads) if device == "cpu" else 1
    default = torch.get_num_threads()
    pool = ThreadPoolExecutor(
        workers,
        thread_name_prefix=f"geodl-{device}",
        initializer=_begin_thread,
        initargs=(threads,),
    )
    barrier = threading.Barrier(workers)
    for started in [pool.submit(barrier.wait) for _ in range(workers)]:
        started.result()
    # set_num_threads also sets what threads born later begin with: give that back to the caller.
    restore = threading.Thread(target=torch.set_num_threads, args=(default,))
    restore.start()
    restore.join()
    return pool


def _begin_thread(threads: int) -> None:
    # The first question sets a thread to the process's default: ask before, not after, we set it.
    torch.get_num_threads()
    torch.set_num_threads(threads)
