"""The network of a model as the bytes of one file that runs without the code that made it."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.jit import TracerWarning  # type: ignore[attr-defined]

from geodl_lab.devices import on_one_thread
from geodl_lab.errors import ModelError, first_line
from geodl_lab.runtime import Model, open_session

SEEDS = 2
"""Noise images on which what is written must answer as the network does, to the bit."""

TORCH = str(Path(torch.__file__).parent)


@dataclass(frozen=True)
class Weights:
    """A network as a file.

    Parameters
    ----------
    ending
        ``.pt`` (TorchScript) or ``.onnx``.
    framework
        As Esri names it.
    content
        The file.
    order
        Axes of what it takes: ``NCHW`` or ``NHWC``.
    """

    ending: str
    framework: str
    content: bytes
    order: str = "NCHW"


def portable_weights(model: Model) -> Weights:
    """Return the weights of a model as one file.

    Parameters
    ----------
    model
        TorchScript and ONNX are taken as they are; other modules are scripted, or else traced.

    Raises
    ------
    ModelError
        If the model does not run here, or cannot be written so that it answers alike; the message
        says why.
    """
    session = open_session(model, device="cpu", precision="fp32", threads=1)
    content = getattr(model.network, "content", None)
    if isinstance(content, bytes):
        first = getattr(getattr(model.network, "image", None), "channels_first", True)
        return Weights(".onnx", "Onnx", content, "NCHW" if first else "NHWC")
    if hasattr(model.network, "placed"):
        raise ModelError(
            f"{model.name!r} runs in a {type(model.network).__name__}, which is no file of "
            "weights; possible are TorchScript, ONNX and modules of torch"
        )
    network = session.network
    if not isinstance(network, torch.jit.ScriptModule):
        network = _compiled(network, model)
    buffer = io.BytesIO()
    torch.jit.save(network, buffer)
    return Weights(".pt", "PyTorch", buffer.getvalue())


def _compiled(network: torch.nn.Module, model: Model) -> Any:
    """Return a module as TorchScript that answers alike."""
    package = model.package
    height, width = package.shape_yx
    sizes = [(height, width)] * SEEDS + ([] if package.fixed_window else [(height, 2 * width)])
    noise = [
        torch.rand((1, package.inputs.count, *size), generator=torch.Generator().manual_seed(seed))
        for seed, size in enumerate(sizes)
    ]
    reasons = []
    for what, compile_ in (("script", _scripted), ("trace", _traced)):
        try:
            compiled = compile_(network, noise[0])
            on_one_thread(_check_alike, network, compiled, noise)
            return compiled
        except Exception as error:  # a module is anybody's code: what it raises is told
            reasons.append(f"{what}: {first_line(error)}")
    raise ModelError(
        f"{package.name!r} cannot be written: its module does not become TorchScript "
        f"({'; '.join(reasons)}); make a TorchScript or ONNX of it yourself, and open that"
    )


def _scripted(network: torch.nn.Module, x: torch.Tensor) -> Any:
    del x
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch retires TorchScript, which packages still hold
        return torch.jit.script(network)


def _traced(network: torch.nn.Module, x: torch.Tensor) -> Any:
    with warnings.catch_warnings(record=True) as said, torch.no_grad():
        warnings.simplefilter("always", TracerWarning)
        traced = torch.jit.trace(network, x, check_trace=False)
    # Torch's own checks of shapes warn as well; any other branch was frozen as this input took it.
    branches = [
        f"{Path(one.filename).name}:{one.lineno}"
        for one in said
        if issubclass(one.category, TracerWarning) and not one.filename.startswith(TORCH)
    ]
    if branches:
        raise ValueError(f"what it does depends on values of its input at {', '.join(branches)}")
    return traced


def _check_alike(
    network: Callable[[torch.Tensor], Any], compiled: Any, noise: list[torch.Tensor]
) -> None:
    for x in noise:
        with torch.inference_mode():
            same = _equal(network(x), compiled(x))
        if not same:
            raise ValueError(f"it answers otherwise than the module at {tuple(x.shape)}")


def _equal(one: Any, other: Any) -> bool:
    """Tell whether two answers are the same bits."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)
