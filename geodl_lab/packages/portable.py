"""From a network to bytes that another computer can run: tensors, TorchScript or ONNX."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch.jit import TracerWarning  # type: ignore[attr-defined]

from geodl_lab import nets
from geodl_lab.devices import on_one_thread
from geodl_lab.errors import ModelError, first_line
from geodl_lab.runtime import LAYOUTS, Model, open_session

TORCH = str(Path(torch.__file__).parent)
"""Where torch's own code lies."""


@dataclass(frozen=True)
class Portable:
    """A network as the content of a file.

    Parameters
    ----------
    content
        Bytes of the file.
    ending
        ``.safetensors``, ``.pt`` (TorchScript) or ``.onnx``.
    architecture
        ``name`` and ``arguments`` of what tensors belong to, see `geodl_lab.nets`; else None.
    order
        Axes of what it takes and of maps that it answers: ``NCHW`` or ``NHWC``.
    """

    content: bytes
    ending: str
    architecture: dict[str, Any] | None = None
    order: str = "NCHW"


def portable(model: Model, *, allow_architecture: bool = False) -> Portable:
    """Return the network of a model as the content of a file.

    Parameters
    ----------
    model
        Any; one of TorchScript or ONNX stays what it is.
    allow_architecture
        True writes networks of `geodl_lab.nets` as tensors, which need no trust; else they become
        TorchScript, which other programs run, too.

    Returns
    -------
    Portable
        What it answers is, bit for bit on the CPU, what the model answers.

    Raises
    ------
    ModelError
        If the network cannot run, has changed, or cannot be written as TorchScript.
    """
    network = model.network
    if hasattr(network, "placed"):
        return _as_it_came(model)
    open_session(model, device="cpu", precision="fp32", threads=1)  # refuses changed weights
    if allow_architecture and type(network) in nets.ARCHITECTURES.values():
        with contextlib.suppress(
            AttributeError, RuntimeError
        ):  # not made by nets.build, or altered
            return _as_tensors(model)
    if not isinstance(network, torch.jit.ScriptModule):
        network = on_one_thread(_as_script, model)
    buffer = io.BytesIO()
    torch.jit.save(network, buffer)
    return Portable(buffer.getvalue(), ".pt")


def _as_tensors(model: Model) -> Portable:
    architecture = model.network.architecture
    tensors = {name: tensor.contiguous() for name, tensor in model.network.state_dict().items()}
    again: Any = nets.build(architecture["name"], architecture["arguments"]).eval()
    again.load_state_dict(tensors)
    again.to(memory_format=torch.channels_last)  # as `weights.load_network` lays it out
    if not _alike(model.network, again, next(_trials(model))):
        raise RuntimeError("the network was altered after it was built")
    return Portable(safetensors.torch.save(tensors), ".safetensors", architecture)


def _as_it_came(model: Model) -> Portable:
    content = getattr(model.network, "content", None)
    if isinstance(content, bytes):
        image = getattr(model.network, "image", None)
        last_in = not getattr(image, "channels_first", True)
        last_out = getattr(model.network, "maps_last", None)
        if last_out is not None and last_out != last_in:
            raise ModelError(
                f"model {model.name!r} has its channels last on one side only and cannot be "
                "written; keep the file that it came in"
            )
        return Portable(content, ".onnx", order="NHWC" if last_in else "NCHW")
    model.network.placed("cpu", 1)  # one that cannot run says why
    raise ModelError(
        f"model {model.name!r} runs by a program of its own and cannot be written; keep the file "
        "that it came in"
    )


def _as_script(model: Model) -> Any:
    """Return the module as TorchScript: as it is written if that works, else as it runs."""
    reasons = []
    for turn in (_scripted, _traced):
        try:
            return _proved(turn, model)
        except Exception as error:  # a module is anybody's code: whatever it raises is told
            reasons.append(first_line(error))
    raise ModelError(
        f"model {model.name!r} cannot be written as TorchScript ({reasons[0]}; traced: "
        f"{reasons[1]}); write its forward in what torch.jit.script knows"
    )


def _proved(turn: Callable[[Model], Any], model: Model) -> Any:
    """Return what ``turn`` makes of a model if it answers alike on all trials."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch retires TorchScript, which people still use
        script = turn(model)
        if not all(_alike(model.network, script, noise) for noise in _trials(model)):
            raise ValueError("it answers otherwise on other input")
    return script


def _scripted(model: Model) -> Any:
    return torch.jit.script(model.network)


def _traced(model: Model) -> Any:
    trial = next(_trials(model))
    with (
        warnings.catch_warnings(record=True) as said,
        torch.inference_mode(False),
        torch.no_grad(),
    ):
        warnings.simplefilter("always", TracerWarning)
        script = torch.jit.trace(model.network, trial, strict=False, check_trace=False)
    # Torch's own checks of shapes warn as well; any other branch was frozen as this input took it.
    branches = [
        f"{Path(one.filename).name}:{one.lineno}"
        for one in said
        if issubclass(one.category, TracerWarning) and not one.filename.startswith(TORCH)
    ]
    if branches:
        raise ValueError(f"what it does depends on values of its input at {', '.join(branches)}")
    return script


def _trials(model: Model) -> Iterator[torch.Tensor]:
    """Yield noise (N, C, H, W), float32: one window, two others, and larger ones where they fit."""
    package = model.package
    (height, width), stride = package.shape_yx, package.field.stride
    shapes = [(1, height, width), (2, height, width)]
    fit = package.inputs.fit
    if not package.fixed_window and (fit is None or fit.kind == "network"):
        # What answers for a whole image has no stride that could be measured.
        rows, columns = (stride, stride) if package.recognizer is None else (height, width)
        shapes.append((1, height + rows, width + 2 * columns))
    for seed, (count, rows, columns) in enumerate(shapes):
        generator = torch.Generator().manual_seed(seed)
        noise = torch.rand((count, package.inputs.count, rows, columns), generator=generator)
        yield noise.contiguous(memory_format=LAYOUTS[package.layout])


def _alike(one: Any, other: Any, noise: torch.Tensor) -> bool:
    with torch.inference_mode():
        return _equal(one(noise), other(noise))


def _equal(one: Any, other: Any) -> bool:
    """Tell whether two answers are the same tensors in the same lists and dicts."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, Mapping):
        same = isinstance(other, Mapping) and one.keys() == other.keys()
        return same and all(_equal(one[key], other[key]) for key in one)
    same = isinstance(other, list | tuple) and len(one) == len(other)
    return same and all(map(_equal, one, other))
