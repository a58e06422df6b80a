"""Models that run: weights on a device, and forwards of one fixed shape."""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import io
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import cloudpickle
import numpy as np
import torch

from geodl_lab import devices
from geodl_lab.errors import ModelError, OptionError
from geodl_lab.inputs import InputSpec
from geodl_lab.package import ModelPackage

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
WRITERS: dict[str, Callable[[Model, Path], None]] = {}
"""What `Model.save` can write, by the ending of the file; `packages` fills it."""

VIEWS: dict[str, Callable[[Model], str]] = {}
"""How a model shows itself, as ``text`` and ``html``; `cards` fills it."""

LAYOUTS = {"channels_last": torch.channels_last, "nchw": torch.contiguous_format}


class Network(Protocol):
    """A network that brings its own runtime, such as onnxruntime; modules of torch need none.

    What `placed` returns may have ``takes_stored``: True gets stored values in their own type.
    """

    def placed(self, device: str, threads: int) -> Callable[[torch.Tensor], Any]:
        """Return what maps (N, C, H, W) on ``device`` to scores there, with ``threads`` threads."""
        ...


@dataclass(frozen=True)
class Closed:
    """A network that may not or cannot run here; its package can still be looked at.

    Parameters
    ----------
    reason
        The error of every attempt to run it.
    files
        Its `geodl_lab.packages.archives.Files` where it can be saved as it came.
    """

    reason: ModelError
    files: Any = None

    def placed(self, device: str, threads: int) -> Callable[[torch.Tensor], Any]:
        """Refuse to run.

        Raises
        ------
        ModelError
            Always.
        """
        raise self.reason


@dataclass(frozen=True, repr=False)
class Model:
    """A package and the network it describes, ready to run.

    Parameters
    ----------
    package
        What the model wants and gives.
    network
        Maps a float tensor (N, C, H, W) to scores (N, K, H, W) or to a list of dicts of boxes; a
        module of torch, or a `Network`.
    token
        Tells live modules apart whose tensors are equal; "" where ``sha256`` says it all.
    state
        Fingerprint of the network's tensors when it was wrapped, or None.
    """

    package: ModelPackage
    network: Any = field(compare=False)
    token: str = ""
    state: tuple[tuple[int, int], ...] | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """Name of the package."""
        return self.package.name

    def save(self, target: str | Path) -> Path:
        """Write the model to a file that `geodl_lab.open_model` reads.

        Parameters
        ----------
        target
            ``.dlpk`` (Esri package) or ``.json`` (STAC MLM item, its weights beside it).

        Returns
        -------
        Path
            The file.

        Raises
        ------
        ModelError
            If there is no such format, or the model does not fit it.
        """
        path = Path(target)
        if path.suffix not in WRITERS:
            raise ModelError(
                f"a model cannot be saved as {path.name!r}; possible are names that end in "
                f"{', '.join(sorted(WRITERS))}"
            )
        WRITERS[path.suffix](self, path)
        return path

    def __dask_tokenize__(self) -> tuple[str, str]:
        """Name the model by content, so that equal calls get equal dask keys, and others do not."""
        return repr(vars(self.package)), self.token

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle; a process that receives it keeps one network, however often it comes."""
        return _received, (self.package, _packed(self.network), self.token)

    def __repr__(self) -> str:
        """Say what there is to know of the model, as lines."""
        return VIEWS["text"](self) if "text" in VIEWS else f"Model({self.name!r})"

    def _repr_html_(self) -> str | None:
        """Show it in a notebook."""
        return VIEWS["html"](self) if "html" in VIEWS else None


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
    layout
        ``channels_last`` or ``nchw``: how the input lies in memory.
    tta
        True answers the mean over the eight turns and mirrors of the input.
    """

    network: Any
    device: str
    precision: str
    threads: int
    layout: str = "channels_last"
    tta: bool = False

    @property
    def workers(self) -> int:
        """Forwards that run at one time."""
        return devices.workers(self.device, self.threads)

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Queue ``work`` on the threads of this session's device."""
        return devices.pool(self.device, self.threads).submit(work, *arguments)

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
        with torch.inference_mode(), self._numbers():
            stored = _to_tensor(batch)
            if self.device != "cpu":
                stored = stored.pin_memory().to(self.device, non_blocking=True)
            # Laid out before it is scaled: stored values are smaller than floats.
            x = stored.contiguous(memory_format=LAYOUTS[self.layout])
            if not getattr(self.network, "takes_stored", False):
                x = _scaled(x, inputs)
            answer = self._mean_of_turns(x) if self.tta else self.network(x)
            return answer.float() if isinstance(answer, torch.Tensor) else answer

    def turns(self) -> devices.Turns:
        """Return the turns that forwards on this device take."""
        return devices.turns(self.device)

    @contextlib.contextmanager
    def _numbers(self) -> Iterator[None]:
        """Fix number types: autocast below fp32, and no TF32 in what is called fp32."""
        dtype, kind = AUTOCAST.get(self.precision), torch.device(self.device).type
        with (
            devices.EXACT.held() if kind == "cuda" else contextlib.nullcontext(),
            torch.autocast(kind, dtype=dtype, enabled=dtype is not None),
        ):
            yield

    def _mean_of_turns(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mean of the scores over the dihedral group of the square, turned back."""
        total: Any = 0
        for mirrored in (False, True):
            for quarter in range(4):
                turned = torch.rot90(x.flip(3) if mirrored else x, quarter, (2, 3))
                turned = turned.contiguous(memory_format=LAYOUTS[self.layout])
                answer = torch.rot90(self.network(turned), -quarter, (2, 3)).float()
                total = total + (answer.flip(3) if mirrored else answer)
        return total / 8


def open_session(
    model: Model,
    *,
    device: str,
    precision: str,
    threads: int,
    layout: str = "channels_last",
    compiled: bool = False,
    tta: bool = False,
) -> Session:
    """Put ``model`` on ``device``; cached, so that weights travel once a device.

    Raises
    ------
    OptionError
        If the device or precision is not possible here.
    ModelError
        If a live module has changed since it was wrapped.
    """
    device = devices.resolve_device(device)
    _check_unchanged(model)
    if hasattr(model.network, "placed"):
        network = model.network.placed(device, threads)
    else:
        network = model.network if device == "cpu" else _on_device(model.network, device)
    if compiled:
        network = _compiled(network)
    precision = choose_precision(model.network, precision, device)
    return Session(network, device, precision, threads, layout, tta)


def choose_precision(network: Any, precision: str, device: str) -> str:
    """Return the number type of a run; a network that brings its own runtime has its own.

    Raises
    ------
    OptionError
        If ``precision`` is not known or not possible for this network on ``device``.
    """
    resolved = devices.resolve_precision(precision, device)
    if not hasattr(network, "placed"):
        return resolved
    if precision not in ("auto", "fp32"):
        raise OptionError(
            f"precision {precision!r} is not possible: this network has its own runtime and "
            "number type; leave it out"
        )
    return "fp32"


def fingerprint(network: Any) -> tuple[tuple[int, int], ...]:
    """Return where the tensors of a network lie and how often each was written in place."""
    return tuple((t.data_ptr(), t._version) for t in network.state_dict().values())


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
    """Apply low, high, scale, mean and std in float32; (N, C, H, W) in and out."""
    x = x.to(torch.float32)
    if inputs.low is not None:
        x = x.maximum(_per_band(inputs.low, x))
    if inputs.high is not None:
        x = x.minimum(_per_band(inputs.high, x))
    if inputs.scale != 1:
        x = x * inputs.scale
    if inputs.mean is not None:
        x = x - _per_band(inputs.mean, x)
    if inputs.std is not None:
        x = x / _per_band(inputs.std, x)
    return x


def _per_band(numbers: tuple[float, ...], x: torch.Tensor) -> torch.Tensor:
    """Return one number a band as (C, 1, 1)."""
    return torch.tensor(numbers, dtype=x.dtype, device=x.device)[:, None, None]


@functools.lru_cache(maxsize=8)
def _on_device(network: Any, device: str) -> Any:
    # A copy: moving the caller's own module would change it under their feet.
    moved = copy.deepcopy(network).to(device)
    torch.cuda.synchronize(device)  # forwards run on streams of their own
    return moved


@functools.lru_cache(maxsize=8)
def _compiled(network: Any) -> Any:
    return torch.compile(network, dynamic=False)


def _check_unchanged(model: Model) -> None:
    """Put a live module back into evaluation mode; refuse one with other weights than wrapped."""
    if getattr(model.network, "training", False):
        model.network.eval()
    if model.state is not None and model.state != fingerprint(model.network):
        raise ModelError(
            f"the weights of {model.name!r} have changed since it was wrapped, so its hash and its "
            "receptive field no longer hold; call geodl_lab.from_torch again"
        )


_NETWORKS: dict[tuple[str, ...], Any] = {}
_NETWORKS_LOCK = threading.Lock()


def _packed(network: Any) -> bytes:
    """Return the network as bytes: TorchScript as its archive, any other as a pickle."""
    if not isinstance(network, torch.jit.ScriptModule):
        return cloudpickle.dumps(network)  # also takes classes written in a notebook
    buffer = io.BytesIO()
    torch.jit.save(network, buffer)
    return buffer.getvalue()


def _received(package: ModelPackage, packed: bytes, token: str) -> Model:
    """Return a model that came from another process, with this process's one copy of its net."""
    key = package.sha256, token, package.name, package.version
    with _NETWORKS_LOCK:
        if key not in _NETWORKS:
            _NETWORKS[key] = _unpacked(packed)
        return Model(package, _NETWORKS[key], token)


def _unpacked(packed: bytes) -> Any:
    if packed[:2] == b"PK":  # a TorchScript archive is a zip file
        return torch.jit.load(io.BytesIO(packed), map_location="cpu").eval()
    return pickle.loads(packed)
