"""ONNX networks: run by onnxruntime, from bytes that were checked."""

from __future__ import annotations

import functools
import os
import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from geodl_lab.errors import ModelError, first_line
from geodl_lab.packages.archives import Files, hash_bytes
from geodl_lab.packages.onnx_graph import (
    LARGEST,
    ImageInput,
    image_input,
    import_onnx,
    read_graph,
    told,
)
from geodl_lab.packages.onnx_memory import peak_bytes

QUIET = 4
"""onnxruntime's log severity "fatal": its errors are raised, and told by us."""


def load_onnx(
    files: Files, name: str, *, channels_first: bool | None = None, output: str = ""
) -> OnnxNetwork:
    """Make a network of an ONNX file, once it is sure that onnxruntime runs it.

    Parameters
    ----------
    files
        The package.
    name
        Its ``.onnx``.
    channels_first
        Whether the graph takes (N, C, H, W) rather than (N, H, W, C); None takes what its shape
        says, see `geodl_lab.packages.onnx_graph.image_input`.
    output
        Name of the one output that is the answer; "" takes all.

    Raises
    ------
    ModelError
        If onnx or onnxruntime is not installed, or the file cannot or must not be run.
    """
    import_onnx("onnxruntime")
    model, sides = read_graph(files, name)
    image = image_input(model, name, channels_first=channels_first)
    outputs = {one.name: told(one) for one in model.graph.output}
    if output and output not in outputs:
        raise ModelError(f"{name!r} has no output {output!r}; possible are {', '.join(outputs)}")
    if model.ByteSize() > LARGEST:
        raise ModelError(
            f"{name!r} holds more than 2 GiB; possible is less: export it in half precision"
        )
    content = model.SerializeToString(deterministic=True)
    network = OnnxNetwork(
        content,
        hash_bytes(content),
        name,
        image,
        picked=(output,) if output else tuple(outputs),
        outputs=tuple(outputs.items()),
        sides=sides,
    )
    network.placed("cpu", 1)
    return network


@dataclass(frozen=True)
class OnnxNetwork:
    """A checked ONNX graph; a `geodl_lab.runtime.Network`.

    Parameters
    ----------
    content
        The graph with its weights.
    sha256
        Hash of ``content``: equal graphs share their sessions.
    name
        The file, for errors.
    image
        What the graph takes.
    picked
        Names of the outputs that are the answer: a tensor if it is one, else a dict by name.
    outputs
        Name and description of every output.
    sides
        Names of the files beside it that held some of its tensors.
    """

    content: bytes = field(repr=False, compare=False)
    sha256: str
    name: str
    image: ImageInput
    picked: tuple[str, ...]
    outputs: tuple[tuple[str, str], ...] = ()
    sides: tuple[str, ...] = ()

    @property
    def channels(self) -> int | None:
        """Bands that the graph takes, None if it takes any number."""
        return self.image.shape[1]

    @property
    def fixed_yx(self) -> tuple[int, int] | None:
        """Height and width in pixels that the graph takes, None if it takes any."""
        _, _, height, width = self.image.shape
        return (height, width) if height and width else None

    def placed(self, device: str, threads: int) -> PlacedOnnx:
        """Return what runs batches on a device.

        Parameters
        ----------
        device
            ``cpu`` or ``cuda:N``.
        threads
            Threads of a forward on the CPU.

        Raises
        ------
        ModelError
            If onnxruntime refuses the graph, or has nothing for this device.
        """
        with _LOCK:  # one session, however many ask at once
            session = _session(self, device, threads, os.getpid())
        return PlacedOnnx(self, session, device)


@dataclass(frozen=True)
class PlacedOnnx:
    """An ONNX graph with its session on a device."""

    network: OnnxNetwork
    session: Any = field(repr=False)
    device: str

    def __call__(self, x: torch.Tensor) -> Any:
        """Map (N, C, H, W) to a tensor, a dict of tensors, or one such dict an image."""
        image = self.network.image
        _check_shape(self.network, tuple(x.shape))
        if not image.one_by_one or (len(x) == 1 and image.shape[0]):
            return self._answer(_cast(x, image.dtype))
        batch = _cast(x, image.dtype)
        return _joined([self._answer(batch[i : i + 1]) for i in range(len(batch))])

    def memory(self, shape: tuple[int, ...]) -> int:
        """Return the peak bytes of a forward of a batch (N, C, H, W), without the weights."""
        return peak_bytes(self.network.content, self.network.image, shape)

    def _answer(self, x: torch.Tensor) -> Any:
        image, names = self.network.image, self.network.picked
        fed = x if image.channels_first else x.permute(0, 2, 3, 1)  # (N, H, W, C)
        fed = fed if image.shape[0] != 0 else fed[0]  # without N
        run = _run_on_cpu if self.device == "cpu" else _run_bound
        found = run(self.session, image.name, fed.contiguous(), names, self.device)
        if len(names) > 1:
            return dict(zip(names, found, strict=True))
        return _with_bands_first(found[0], image)


def _run_on_cpu(
    session: Any, name: str, x: torch.Tensor, outputs: tuple[str, ...], device: str
) -> list[torch.Tensor]:
    found = session.run(list(outputs), {name: x.numpy()})
    return [_tensor(answer) for answer in found]


def _run_bound(
    session: Any, name: str, x: torch.Tensor, outputs: tuple[str, ...], device: str
) -> list[torch.Tensor]:
    """Run on tensors that stay on their device."""
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


def _with_bands_first(answer: torch.Tensor, image: ImageInput) -> torch.Tensor:
    """Return a map of a graph with bands last, or without batches, as (N, K, H, W)."""
    if image.shape[0] == 0 and answer.ndim < 4:
        answer = answer[None]
    if image.channels_first or answer.ndim != 4:
        return answer
    return answer.permute(0, 3, 1, 2).contiguous()


def _cast(x: torch.Tensor, dtype: str) -> torch.Tensor:
    """Return numbers of the graph's type; whole ones are rounded and cut to what it can hold."""
    if not dtype.startswith(("int", "uint")):
        return x.to(getattr(torch, dtype))
    limits = np.iinfo(dtype)
    # As float64, whose 53 bits hold the limits of all but 64-bit numbers.
    whole = x.double().round().clamp(max(limits.min, -(2**53)), min(limits.max, 2**53))
    return whole.to(getattr(torch, dtype))


def _joined(answers: list[Any]) -> Any:
    """Return the answers of several images as one: batched, or one dict an image."""
    first = answers[0]
    if isinstance(first, torch.Tensor):
        return torch.cat(answers)
    boxes = any(part.ndim == 2 and part.shape[1] in (4, 5) for part in first.values())
    if boxes:  # those of one image: the others have another number of them
        return answers
    return {name: torch.cat([answer[name] for answer in answers]) for name in first}


def _check_shape(network: OnnxNetwork, shape: tuple[int, ...]) -> None:
    """Refuse what the graph does not take, sooner and clearer than onnxruntime."""
    axes = zip(network.image.shape[1:], shape[1:], strict=True)
    if any(want is not None and want != got for want, got in axes):
        wanted = ", ".join(str(side or "any") for side in network.image.shape[1:])
        raise ModelError(
            f"{network.name!r} takes (bands, height, width) = ({wanted}), not {shape[1:]}"
        )


def _options(threads: int) -> Any:
    runtime = import_onnx("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = QUIET
    # Waiting threads would burn the cores that other forwards need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


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
def _session(network: OnnxNetwork, device: str, threads: int, process: int) -> Any:
    """Start a session; the process is a key because a forked child has no threads of it."""
    runtime = import_onnx("onnxruntime")
    providers = _providers(device)
    try:
        # A second try on other devices would be a silent one, and it prints.
        session = runtime.InferenceSession(
            network.content, _options(threads), providers=providers, enable_fallback=0
        )
    except Exception as error:  # onnxruntime's errors have no common base
        raise ModelError(
            f"onnxruntime does not take {network.name!r}: {first_line(error)}; get the model "
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


def describe(network: OnnxNetwork) -> str:
    """Tell what a graph takes and gives, as it says it itself."""
    sides = ", ".join(str(side or "?") for side in network.image.shape[1:])
    gives = "; ".join(f"{name} {what}" for name, what in network.outputs)
    return f"it takes (bands, height, width) = ({sides}) and gives {gives}"
