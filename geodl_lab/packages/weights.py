"""From a file of weights to a network, whatever kind of file it is.

What a file is, its first bytes say; its ending only decides where they do not.
"""

from __future__ import annotations

import io
import pickle
import warnings
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import safetensors
import safetensors.torch
import torch

from geodl_lab.errors import ModelError, TrustError, first_line
from geodl_lab.packages.architectures import build_architecture
from geodl_lab.packages.archives import Files, hash_bytes
from geodl_lab.packages.torchscript import is_torchscript, load_torchscript
from geodl_lab.packages.zips import SIGNATURE, Zip, foreign, pack

STATES = ("state_dict", "model_state_dict", "model", "net")
"""Keys under which training programs save the tensors of a network, beside other things."""

PREFIXES = ("module.", "model.", "_orig_mod.")
"""What DataParallel, Lightning and torch.compile put before the name of every tensor."""

ENDINGS = (".onnx", ".pt", ".pth", ".pt2", ".ckpt", ".bin", ".safetensors")
"""How files of weights are called."""


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
        If they are a program that does more than compute, and nobody trusted it.
    """
    content = files.read(name)
    if content[8:9] == b"{" and int.from_bytes(content[:8], "little") < len(content):
        return _network(_safetensors(content, name), name, architecture)
    _check_content(content, name)
    if content.startswith(SIGNATURE):
        return _archive(Zip(content, name), files, trust, architecture)
    if PurePosixPath(name).suffix.lower() == ".onnx":
        from geodl_lab.packages.onnx_network import load_onnx  # noqa: PLC0415  an extra

        return load_onnx(files, name)
    if content.startswith(b"\x80"):
        return _network(_unpickled(io.BytesIO(content), name), name, architecture)
    raise ModelError(
        f"the weights {name!r} are of an unknown kind; possible are {', '.join(ENDINGS)}"
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


def _check_content(content: bytes, name: str) -> None:
    """Say what a file is that cannot be weights, whatever it is called."""
    what = foreign(content)
    if content[4:8] == b"TFL3":
        what = "TensorFlow Lite; convert the model to ONNX"
    if what:
        raise ModelError(f"the weights {name!r} are {what}")


def _archive(
    archive: Zip, files: Files, trust: bool, architecture: Mapping[str, Any] | None
) -> Any:
    """Open what torch writes as an archive: TorchScript, an exported program or tensors."""
    if is_torchscript(archive):
        return load_torchscript(archive, trusted=trust, sha256=files.sha256)
    names = {name.removeprefix(archive.top) for name in archive.names}
    if "archive_format" in names or archive.title.lower().endswith(".pt2"):
        return _exported(archive, files, trust)
    if "data.pkl" in names:
        return _network(_unpickled(_anew(archive), archive.title), archive.title, architecture)
    raise ModelError(
        f"the weights {archive.title!r} are an archive without any weights that torch wrote; if it "
        "is a whole package, open it by itself, with the ending .dlpk or .zip"
    )


def _anew(archive: Zip) -> io.BytesIO:
    """Write an archive of torch anew from its checked files, so that torch reads no others."""
    return pack({name: archive.read(name) for name in archive.names})


def _exported(archive: Zip, files: Files, trust: bool) -> Any:
    if not trust:
        raise TrustError(
            f"{archive.title!r} is a program (torch.export) and was not run; export it as ONNX, "
            f"or, if you know where it is from, open it with trust=True (sha256 {files.sha256})"
        )
    try:
        network = torch.export.load(_anew(archive)).module()
    except Exception as error:  # the program is anybody's: whatever it raises, it does not open
        raise _damaged(archive.title, error) from error
    network.training = False  # exported for answering already; .eval() is refused
    return network


def _safetensors(content: bytes, name: str) -> dict[str, torch.Tensor]:
    try:
        return safetensors.torch.load(content)
    except Exception as error:  # headers that lie make it raise about anything
        raise _damaged(name, error) from error


def _unpickled(stream: io.BytesIO, name: str) -> dict[str, torch.Tensor]:
    """Read pickled tensors; a pickle that holds anything else is never read, trusted or not."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old kinds of storages, which are no one's fault
            held = torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"the weights {name!r} are damaged, or a pickle that holds more than tensors, which "
            "could run anything and is never opened; save model.state_dict(), or the model as "
            "TorchScript or ONNX"
        ) from error
    except Exception as error:  # torch's reader raises about anything on bytes that lie
        raise _damaged(name, error) from error
    return _state(held, name)


def _state(held: Any, name: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a network, from under the key and the prefix they were saved with."""
    for key in STATES:
        if isinstance(held, Mapping) and isinstance(held.get(key), Mapping):
            held = held[key]
    fine = isinstance(held, Mapping) and all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in held.items()
    )
    odd = next((key for key, value in held.items() if not _is_plain(value)), None) if fine else None
    if odd is not None:
        raise ModelError(
            f"the weights {name!r} hold {odd[:100]!r} as a tensor of an unusual kind (sparse, "
            "nested, quantized, complex or without numbers); save it as plain numbers"
        )
    if not fine or not held:
        raise ModelError(
            f"the weights {name!r} hold no state_dict; save them as in "
            "torch.save(model.state_dict(), 'weights.pth')"
        )
    return dict(held)


def _is_plain(tensor: torch.Tensor) -> bool:
    """Tell whether a tensor is what networks here are made of."""
    fine = tensor.layout == torch.strided and not tensor.is_nested and not tensor.is_meta
    return fine and not tensor.is_complex() and not tensor.is_quantized


def _network(
    state: dict[str, torch.Tensor], name: str, architecture: Mapping[str, Any] | None
) -> torch.nn.Module:
    """Put tensors into the architecture that the package names."""
    if not architecture:
        raise ModelError(
            f"the weights {name!r} are tensors alone and the package does not say of which "
            "architecture; open them with one, or save the model as TorchScript or ONNX"
        )
    network = build_architecture(architecture)
    try:
        network.load_state_dict(_unprefixed(state, network.state_dict()), assign=True)
    except (RuntimeError, TypeError) as error:
        told = " ".join(line.strip() for line in str(error).splitlines()[1:2])
        raise ModelError(
            f"the weights {name!r} do not open as those of {architecture['name']!r} "
            f"({told[:200] or first_line(error)}); get the model again"
        ) from error
    network.float().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)


def _unprefixed(state: dict[str, torch.Tensor], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Take off what stands before every name, unless the architecture has such names itself."""
    while not wanted.keys() & state.keys():
        prefix = next((p for p in PREFIXES if all(key.startswith(p) for key in state)), "")
        if not prefix:
            break
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _damaged(name: str, error: Exception) -> ModelError:
    return ModelError(
        f"the weights {name!r} do not open ({first_line(error)}); get the model again"
    )
