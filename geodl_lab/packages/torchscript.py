"""TorchScript files: programs, opened without trust where all they do is compute.

Nothing of a file runs before its code (`torchscript_code`) and its pickles are checked. It is then
written anew from what was checked, so that torch reads nothing else, and the graphs that torch made
of it are checked once more.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from typing import Any

import torch

from geodl_lab.errors import ModelError, TrustError, first_line
from geodl_lab.packages.torchscript_code import SPACES, ImpureError, check_code, listed
from geodl_lab.packages.torchscript_values import check_values
from geodl_lab.packages.zips import Zip, pack

MAX_PICKLE = 64 * 2**20
"""Bytes of one pickle; tensors lie beside it."""

# What the reader of torch itself knows, apart from classes of the file.
GLOBALS = frozenset({
    "collections OrderedDict", "torch device", "torch.jit._pickle restore_type_tag",
    *(f"torch.jit._pickle build_{kind}list" for kind in ("int", "tensor", "double", "bool")),
    *(f"torch._utils _rebuild_{kind}" for kind in ("tensor_v2", "parameter", "qtensor")),
    *(f"torch {kind}Storage" for kind in (
        "Float", "Double", "Half", "BFloat16", "Int", "Long", "Short", "Char", "Byte", "Bool",
        "ComplexFloat", "ComplexDouble", "QInt8", "QUInt8", "QInt32", "Untyped",
    )),
    "torch per_tensor_affine", "torch per_channel_affine",
})  # fmt: skip

CUSTOM = "__torch__.torch.classes"
"""Where classes of C++ are found."""


def is_torchscript(archive: Zip) -> bool:
    """Tell whether an archive is TorchScript."""
    names = [name.removeprefix(archive.top) for name in archive.names]
    return "constants.pkl" in names and any(name.startswith("code/") for name in names)


def load_torchscript(archive: Zip, *, trusted: bool, sha256: str) -> Any:
    """Open a TorchScript file.

    Parameters
    ----------
    archive
        The file.
    trusted
        True opens it whatever it does when it runs.
    sha256
        Hash of the package, for messages.

    Returns
    -------
    torch.jit.ScriptModule
        On the CPU, in evaluation mode.

    Raises
    ------
    TrustError
        If it uses more than the operators on our list, and is not trusted.
    ModelError
        If it is damaged.
    """
    files = _records(archive)
    try:
        if not trusted:
            _check_files(files)
            check_values(files, archive.title)
        module = _load(files, archive.title)
        if not trusted:
            _check_graphs(module)
    except ImpureError as error:
        raise TrustError(
            f"{archive.title!r} is a program (TorchScript) that uses {str(error)[:300]}, more than "
            f"computing with tensors, and was not run; {_hint(str(error))}if you know where it is "
            f"from, open it with trust=True (sha256 {sha256})"
        ) from error
    return _as_float32(module)


def _as_float32(module: Any) -> Any:
    """Return a module of another precision in the one that runs are in."""
    numbers = (*module.parameters(), *module.buffers())
    if any(one.is_floating_point() and one.dtype != torch.float32 for one in numbers):
        return module.float()
    return module


def _records(archive: Zip) -> dict[str, bytes]:
    """Return what torch reads of a file: tensors, pickles and code, but not what is beside them."""
    wanted = ("data.pkl", "constants.pkl", "version", ".data/version", "byteorder")
    found = {}
    for name in archive.names:
        inside = name.removeprefix(archive.top)
        code = inside.startswith("code/") and inside.endswith(".py")
        if code or inside in wanted or inside.startswith(("data/", "constants/")):
            found[inside] = archive.read(name)
    if "data.pkl" not in found or not {"version", ".data/version"} & found.keys():
        raise ModelError(
            f"{archive.title!r} is TorchScript of a very old torch, or lacks a part; save it anew "
            "with torch.jit.save, or as ONNX"
        )
    return found


def _check_files(files: dict[str, bytes]) -> None:
    code = {name: content for name, content in files.items() if name.startswith("code/")}
    check_code({name: content.decode("latin-1") for name, content in code.items()})
    for name in ("constants.pkl", "data.pkl"):
        _check_pickle(name, files.get(name, b""))


def _check_pickle(name: str, content: bytes) -> None:
    """Refuse a pickle that names anything but classes of the file and what tensors need."""
    if len(content) > MAX_PICKLE:
        raise ImpureError(f"{name!r} of more than {MAX_PICKLE / 2**20:.0f} MiB")
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name not in listed("opcode"):
                raise ImpureError(f"the opcode {opcode.name!r} in {name!r}")
            if opcode.name == "GLOBAL" and argument not in GLOBALS:
                if not str(argument).startswith("__torch__") or CUSTOM in _dotted(argument):
                    raise ImpureError(repr(_dotted(argument)))
            elif "BINPUT" in opcode.name and int(argument or 0) > len(content):
                raise ImpureError(f"{name!r}, which numbers more than it holds")
            elif isinstance(argument, str) and CUSTOM in argument:
                raise ImpureError(repr(argument[:200]))
    except ValueError as error:
        raise ImpureError(f"{name!r}, which cannot be read") from error


def _dotted(argument: Any) -> str:
    return str(argument).replace(" ", ".")


def _load(files: dict[str, bytes], title: str) -> Any:
    """Let torch read an archive of the checked files; it wants them in a folder."""
    fresh = pack({f"archive/{name}": content for name, content in files.items()})
    try:
        return torch.jit.load(fresh, map_location="cpu").eval()
    except Exception as error:  # torch and its C++ raise about anything on files that lie
        raise ModelError(
            f"the weights {title!r} do not open ({first_line(error)}); get the model again"
        ) from error


def _check_graphs(module: Any) -> None:
    seen = set()
    for part in module.modules():
        kind = str(part._c._type())
        for name in part._c._method_names():
            if (kind, name) not in seen:
                seen.add((kind, name))
                _check_graph(part._c._get_method(name).inlined_graph)


def _check_graph(graph: Any) -> None:
    for node in _nodes(graph):
        space, _, name = node.kind().partition("::")
        known = listed(space) | (listed("node") if space == "prim" else frozenset())
        if space not in SPACES or name not in known:
            raise ImpureError(repr(node.kind()))


def _nodes(graph: Any) -> Iterator[Any]:
    """Give the nodes of a graph and of all blocks and graphs in it."""
    waiting = [graph]
    while waiting:
        for node in waiting.pop().nodes():
            yield node
            waiting += node.blocks()
            names = node.attributeNames()
            waiting += [node.g(name) for name in names if node.kindOf(name) == "g"]


def _hint(what: str) -> str:
    if "torchvision::" in what:
        return "export it without, so that it answers raw boxes and scores, or as ONNX; "
    return ""
