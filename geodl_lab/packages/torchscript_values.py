"""What the pickles in a TorchScript file make: tensors, lists, and objects of the file's classes.

Torch's own reader of them believes what they say: a tensor larger than its numbers, or an object of
another class than its place, would read memory that is not theirs, and deep lists end the process.
So they are read here first, with stand-ins for everything but lists, dicts and numbers.
"""

from __future__ import annotations

import ast
import io
import math
import pickle
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

from geodl_lab.errors import ModelError
from geodl_lab.packages.torchscript_code import class_types

MAX_DEPTH = 200
"""How deep lists and objects may stand in each other; modules stand in each other some ten deep."""

MAX_EXPANDED = 2**28
"""Numbers that a tensor may show of fewer that are stored (``expand``)."""

WIDTHS = {
    "FloatStorage": 4, "DoubleStorage": 8, "HalfStorage": 2, "BFloat16Storage": 2, "IntStorage": 4,
    "LongStorage": 8, "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1,
    "ComplexFloatStorage": 8, "ComplexDoubleStorage": 16, "QInt8Storage": 1, "QUInt8Storage": 1,
    "QInt32Storage": 4, "UntypedStorage": 1,
}  # fmt: skip
"""Bytes of a number of each storage that a pickle may name."""

RESTORED = ("restore_type_tag", *(f"build_{kind}list" for kind in (
    "int", "tensor", "double", "bool",
)))  # fmt: skip


class _LieError(Exception):
    """What is wrong, after "which"."""


class _Tensor:
    """Stands for a tensor."""


class _Object:
    """Stands for an object of a class of the file, and for what torch's reader makes else."""

    kind = ""

    def __init__(self, *given: Any) -> None:
        self.state: Any = given

    def __setstate__(self, state: Any) -> None:
        self.state = state


def check_values(files: Mapping[str, bytes], title: str) -> None:
    """Check what the pickles of a TorchScript file make.

    Parameters
    ----------
    files
        Its files by name; code and opcodes are checked already.
    title
        What messages call it.

    Raises
    ------
    ModelError
        If a tensor reaches beyond its numbers, or an object is not of the class of its place.
    """
    types = class_types({
        name: text.decode("latin-1") for name, text in files.items() if name.startswith("code/")
    })  # fmt: skip
    for name in ("constants.pkl", "data.pkl"):
        if name not in files:
            continue
        try:
            value = _Reader(name, files).load()
            for one in _walk(value):
                if isinstance(one, _Object) and one.kind in types:
                    _check_object(one, types)
        except Exception as error:  # bytes that lie make pickle raise about anything
            told = str(error) if isinstance(error, _LieError) else "cannot be read"
            raise ModelError(
                f"the weights {title!r} hold the part {name!r}, which {told}; get the model again"
            ) from error


class _Reader(pickle.Unpickler):
    """Makes stand-ins; nothing that a pickle names is called or imported."""

    def __init__(self, name: str, files: Mapping[str, bytes]) -> None:
        super().__init__(io.BytesIO(files[name]), encoding="latin-1")
        self._files, self._folder = files, name.removesuffix(".pkl")
        self._classes: dict[str, type] = {}

    def find_class(self, module: str, name: str, /) -> Any:
        """Return the stand-in of what a pickle names."""
        if name == "OrderedDict":
            return OrderedDict
        if module == "torch._utils" and name.startswith("_rebuild_"):
            return _first if name == "_rebuild_parameter" else _tensor
        if name in RESTORED:
            return _first
        if module == "torch" and name in WIDTHS:
            return WIDTHS[name]
        kind = f"{module}.{name}"
        if kind not in self._classes:
            self._classes[kind] = type("_Object", (_Object,), {"kind": kind})
        return self._classes[kind]

    def persistent_load(self, given: Any) -> int:
        """Return how many numbers a storage holds, once it is sure that they are there."""
        _, width, key, _, count = given
        stored = len(self._files.get(f"{self._folder}/{key}", b""))
        if not _whole(count) or count * width > stored:
            raise _LieError(f"says more numbers than there are in {str(key)[:40]!r}")
        return count


def _first(value: Any, *_: Any) -> Any:
    return value


def _tensor(stored: int, offset: Any, size: Any, stride: Any, *_: Any) -> _Tensor:
    """Refuse a tensor that shows more than its storage holds."""
    numbers = (offset, *size, *stride)
    if not all(map(_whole, numbers)) or len(size) != len(stride):
        raise _LieError("holds a tensor of no shape")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 not in size and (last >= stored or math.prod(size) > max(stored, MAX_EXPANDED)):
        raise _LieError("holds a tensor beyond its own numbers")
    return _Tensor()


def _whole(number: Any) -> bool:
    return type(number) is int and 0 <= number < 2**62


def _walk(value: Any) -> Iterator[Any]:
    """Give all that a value holds, itself too, refusing what is too deep; circles are."""
    waiting, deepest = [(value, 0)], {id(value): 0}
    while waiting:
        one, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise _LieError(f"nests more than {MAX_DEPTH} deep")
        yield one
        for part in _parts(one):
            held = isinstance(part, list | tuple | dict | _Object)
            if held and deepest.get(id(part), -1) <= depth:
                deepest[id(part)] = depth + 1
                waiting.append((part, depth + 1))


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from (part for pair in value.items() for part in pair)
    elif isinstance(value, list | tuple):
        yield from value
    elif isinstance(value, _Object):
        yield value.state


def _check_object(one: _Object, types: Mapping[str, Mapping[str, ast.expr]]) -> None:
    """Check that what an object holds is of the types that its class states."""
    stated = types[one.kind]
    if "__setstate__" in stated:
        _check_type(one.state, stated["__setstate__"], types)
    elif isinstance(one.state, dict):
        for name, value in one.state.items():
            if name in stated:
                _check_type(value, stated[name], types)


def _check_type(value: Any, kind: ast.expr, types: Mapping[str, Mapping[str, ast.expr]]) -> None:
    """Refuse an object or a tuple that is not of a type, as far as torch would not notice."""
    if isinstance(kind, ast.Subscript) and isinstance(kind.value, ast.Name):
        inner = kind.slice.elts if isinstance(kind.slice, ast.Tuple) else [kind.slice]
        outer = kind.value.id
        if outer == "Tuple" and isinstance(value, tuple):
            if len(value) != len(inner) and ast.unparse(kind.slice) != "()":
                raise _LieError("holds a tuple of another length than its place")
            for part, of in zip(value, inner, strict=False):
                _check_type(part, of, types)
        elif outer == "Optional" and value is not None:
            _check_type(value, inner[0], types)
        elif outer == "List" and isinstance(value, list):
            for part in value:
                _check_type(part, inner[0], types)
        elif outer == "Dict" and isinstance(value, dict):
            for part in value.values():
                _check_type(part, inner[-1], types)
    elif isinstance(kind, ast.Attribute) and isinstance(value, _Object):
        name = ast.unparse(kind)
        if name in types and value.kind != name:
            raise _LieError(f"holds {value.kind!r} where {name!r} belongs")
