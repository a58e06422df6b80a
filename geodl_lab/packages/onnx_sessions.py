"""Sessions of onnxruntime: one for each graph, device and number of threads in a process."""

from __future__ import annotations

import functools
import os
import threading
from typing import Any, Protocol

import numpy as np
import torch

from geodl_lab.errors import ModelError, first_line
from geodl_lab.packages.onnx_graph import import_onnx

QUIET = 4
"""onnxruntime's log severity "fatal": its errors are raised, and told by us."""


class Graph(Protocol):
    """A checked graph; equal ones have equal bytes."""

    @property
    def content(self) -> bytes:
        """Its bytes."""
        ...

    @property
    def name(self) -> str:
        """Its file, for errors."""
        ...

    def __hash__(self) -> int: ...


def open_session(graph: Graph, device: str, threads: int) -> Any:
    """Return the session of a graph.

    Parameters
    ----------
    graph
        The graph.
    device
        ``cpu`` or ``cuda:N``.
    threads
        Threads of a forward on the CPU.

    Returns
    -------
    onnxruntime.InferenceSession
        Started once, however many ask for it at one time.

    Raises
    ------
    ModelError
        If onnxruntime refuses the graph, or has nothing for this device.
    """
    with _LOCK:
        return _session(graph, device, threads, os.getpid())


def run_on_cpu(
    session: Any, name: str, x: torch.Tensor, outputs: tuple[str, ...], device: str
) -> list[torch.Tensor]:
    """Run on the CPU.

    Parameters
    ----------
    session
        As of `open_session`.
    name, x
        The input's name, and its numbers as the graph takes them, contiguous.
    outputs
        Names of what is wanted.
    device
        Where ``x`` lies.

    Raises
    ------
    ModelError
        If an output is no tensor of numbers.
    """
    found = session.run(list(outputs), {name: x.numpy()})
    return [_tensor(answer) for answer in found]


def run_bound(
    session: Any, name: str, x: torch.Tensor, outputs: tuple[str, ...], device: str
) -> list[torch.Tensor]:
    """Run on tensors that stay on their device; parameters as of `run_on_cpu`."""
    kind, _, index = device.partition(":")
    binding = session.io_binding()
    kind_of_number = np.dtype(str(x.dtype).removeprefix("torch."))
    binding.bind_input(name, kind, int(index or 0), kind_of_number, tuple(x.shape), x.data_ptr())
    for output in outputs:
        binding.bind_output(output, kind, int(index or 0))
    if kind == "cuda":  # the session has a stream of its own
        torch.cuda.current_stream(x.device).synchronize()
    session.run_with_iobinding(binding)
    binding.synchronize_outputs()
    found = binding.get_outputs_as_ortvaluevector()
    return [torch.utils.dlpack.from_dlpack(value.to_dlpack()) for value in found]


def _tensor(answer: Any) -> torch.Tensor:
    if not isinstance(answer, np.ndarray) or answer.dtype.kind not in "iufb":
        what = f"of {answer.dtype}" if isinstance(answer, np.ndarray) else type(answer).__name__
        raise ModelError(f"the network answers a value {what}; possible are tensors of numbers")
    return torch.from_numpy(answer)


def _options(threads: int) -> Any:
    runtime = import_onnx("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = QUIET
    only_onnx(options)
    # Waiting threads would burn the cores that other forwards need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def only_onnx(options: Any) -> None:
    """Have onnxruntime read its bytes as ONNX, whatever they begin with.

    Else a file may be ONNX to our checks and its own format ("ORTM" at byte 4) to onnxruntime.
    """
    options.add_session_config_entry("session.load_model_format", "ONNX")


def _providers(device: str) -> list[Any]:
    """Return what onnxruntime runs a device with.

    Raises
    ------
    ModelError
        If this build of onnxruntime has nothing for it.
    """
    if device == "cpu":
        return ["CPUExecutionProvider"]
    there = import_onnx("onnxruntime").get_available_providers()
    if "CUDAExecutionProvider" not in there:
        raise ModelError(
            f"this onnxruntime runs nothing on {device!r}, it has {', '.join(there)}; install "
            "onnxruntime-gpu instead of onnxruntime, or use device='cpu'"
        )
    options = {
        "device_id": device.partition(":")[2] or "0",
        "cudnn_conv_algo_search": "HEURISTIC",  # a search by time picks other kernels each time
        "use_tf32": "0",
    }
    return [("CUDAExecutionProvider", options), "CPUExecutionProvider"]


@functools.lru_cache(maxsize=8)
def _session(graph: Graph, device: str, threads: int, process: int) -> Any:
    """Start a session; the process is a key because a forked child has no threads of it."""
    runtime = import_onnx("onnxruntime")
    providers = _providers(device)
    try:
        # A second try on other devices would be a silent one, and it prints.
        session = runtime.InferenceSession(
            graph.content, _options(threads), providers=providers, enable_fallback=0
        )
    except Exception as error:  # onnxruntime's errors have no common base
        raise ModelError(
            f"onnxruntime does not take {graph.name!r}: {first_line(error)}; get the model "
            "again, or export it with another opset"
        ) from error
    if device != "cpu" and "CUDAExecutionProvider" not in session.get_providers():
        raise ModelError(
            f"onnxruntime could not start CUDA on {device!r}; its CUDA and cuDNN must be those "
            "that it was built with, or use device='cpu'"
        )
    return session


_LOCK = threading.Lock()
os.register_at_fork(
    before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release
)
