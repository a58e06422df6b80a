"""From a file of weights to a network, whatever kind of file it is."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import safetensors
import safetensors.torch
import torch

from geodl_lab import nets
from geodl_lab.errors import ModelError, TrustError, first_line
from geodl_lab.packages.archives import Files, hash_bytes
from geodl_lab.packages.onnx_network import load_onnx


def load_network(
    files: Files,
    name: str,
    *,
    trust: bool = False,
    architecture: Mapping[str, Any] | None = None,
) -> Any:
    """Make a network of the weights in a package.

    Parameters
    ----------
    files
        The package.
    name
        Its weights, as `Files.find` gives it.
    trust
        True lets the file's own code run.
    architecture
        ``name`` and ``arguments`` of what the tensors belong to; only for files of tensors.

    Returns
    -------
    torch.nn.Module or geodl_lab.runtime.Network
        In evaluation mode.

    Raises
    ------
    ModelError
        If the weights are damaged or of a kind that cannot be run.
    TrustError
        If they are a program that nobody trusted.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if suffix == ".safetensors":
        return _tensors(files.read(name), name, architecture or {})
    if suffix == ".onnx":
        return load_onnx(files, name)
    if suffix in (".pt", ".pth"):
        return _torchscript(files, name, trust)
    raise ModelError(
        f"the weights {name!r} are of an unknown kind; possible are .onnx, .pt and .safetensors"
    )


def hash_weights(files: Files, name: str, network: Any) -> str:
    """Return the hash of a file of weights, together with the side files that ONNX has.

    Parameters
    ----------
    files, name
        As of `load_network`.
    network
        What `load_network` made of them.
    """
    sides = getattr(network, "sides", ())
    return hash_bytes(b"".join(files.read(file) for file in (name, *sides)))


def _tensors(content: bytes, name: str, architecture: Mapping[str, Any]) -> torch.nn.Module:
    known = architecture.get("name")
    if known not in nets.ARCHITECTURES:
        raise ModelError(
            f"architecture {known!r} is not known; possible are {', '.join(nets.ARCHITECTURES)}"
        )
    try:
        network = nets.build(known, architecture.get("arguments") or {})
        network.load_state_dict(safetensors.torch.load(content))
    except (RuntimeError, TypeError, safetensors.SafetensorError) as error:
        raise ModelError(
            f"the weights {name!r} do not open as those of {known!r} ({first_line(error)}); "
            "get the model again"
        ) from error
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)


def _torchscript(files: Files, name: str, trust: bool) -> Any:
    if not trust:
        raise TrustError(
            f"{name!r} is a program (TorchScript) and was not run; if you know where it is from, "
            f"open it with trust=True (sha256 {files.sha256})"
        )
    try:
        return torch.jit.load(io.BytesIO(files.read(name)), map_location="cpu").eval()
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"the weights {name!r} do not open; get the model again") from error
