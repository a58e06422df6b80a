"""ONNX files, read and checked as data: what a graph takes and gives, and nothing from outside it.

onnxruntime gets the bytes that were checked here, with the tensors of side files put in, so it
opens no file itself. ONNX's own rules stand in its ``IR.md`` and ``ExternalData.md``.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from geodl_lab.errors import ModelError, first_line
from geodl_lab.packages.archives import Files

DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
"""Domains of operators that every build of onnxruntime brings; others need a library's code."""

LOADERS = ("EPContext", "PythonOp", "PythonOpGrad", "TritonOp")
"""Operators of ``com.microsoft`` that load programs or files."""

LARGEST = 2**31 - 1
"""Bytes that a protobuf message can hold."""

DTYPES = {
    1: np.float32, 2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64,
    10: np.float16, 11: np.float64,
}  # fmt: skip
"""Number types of an image, by their code in ONNX's ``TensorProto.DataType``."""

JOINED = "geodl_lab_images"
"""Name of the input that stands for two."""

BITS = {21: 4, 22: 4, 23: 4, 25: 2, 26: 2}
"""Bits of a number where several share a byte, by the same code."""


@dataclass(frozen=True)
class ImageInput:
    """The one input of a graph.

    Parameters
    ----------
    name
        Its name in the graph.
    dtype
        Its number type, a numpy name.
    shape
        (N, C, H, W) as the graph says it, None where it is free; N is 0 where the graph takes one
        image without a batch.
    channels_first
        Whether the bands stand before height and width in the graph.
    """

    name: str
    dtype: str
    shape: tuple[int | None, int | None, int | None, int | None]
    channels_first: bool = True

    @property
    def one_by_one(self) -> bool:
        """Tell whether the graph takes one image at a time."""
        return self.shape[0] in (0, 1)

    def arrange(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the axes of a batch (N, C, H, W) as the graph takes them."""
        n, c, height, width = shape
        axes = (c, height, width) if self.channels_first else (height, width, c)
        return axes if self.shape[0] == 0 else (n, *axes)


def import_onnx(name: str) -> Any:
    """Return ``onnx`` or ``onnxruntime``, which are extras.

    Raises
    ------
    ModelError
        If it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ModelError(
            f"ONNX models need {name} ({first_line(error)}); install it with: "
            "pip install 'geodl-lab[onnx]'"
        ) from error


def read_graph(files: Files, name: str) -> tuple[Any, tuple[str, ...]]:
    """Read an ONNX file and the side files that it names, and check what it would run.

    Parameters
    ----------
    files
        The package.
    name
        Its ``.onnx``.

    Returns
    -------
    tuple of onnx.ModelProto and tuple of str
        The graph, with no tensor left in a side file, and the names of these files.

    Raises
    ------
    ModelError
        If the file is damaged, too large, names a file outside the package, or asks for operators
        that onnxruntime does not bring.
    """
    model = parse(files.read(name), name)
    if not model.graph.node and not model.graph.output:
        raise ModelError(f"{name!r} holds no network; get the model again")
    model.ClearField("training_info")  # graphs that are not run
    _check_operators(model, name)
    return model, _bring_in(files, name, [t for t in tensors(model) if t.data_location])


def parse(content: bytes, name: str) -> Any:
    """Return the message that some bytes hold.

    Raises
    ------
    ModelError
        If they hold none.
    """
    onnx = import_onnx("onnx")
    try:
        return onnx.ModelProto.FromString(content)
    except Exception as error:  # protobuf's errors differ by its backend
        raise ModelError(
            f"{name!r} is no whole ONNX file ({first_line(error)}); get the model again"
        ) from error


def join_images(model: Any, *, channels_first: bool | None = None) -> None:
    """Let a graph that compares two images of one shape take them as one, of all their bands.

    Parameters
    ----------
    model
        As of `read_graph`; it is changed. Other graphs stay as they are.
    channels_first
        As of `image_input`, of each image.
    """
    helper, graph, both = import_onnx("onnx").helper, model.graph, _wanted(model)
    versions = [one.version for one in model.opset_import if one.domain in DOMAINS[:2]]
    if len(both) != 2 or max(versions, default=1) < 2:
        return
    kinds = {one.type.tensor_type.elem_type for one in both}
    shape, other = map(shape_of, both)
    if len(kinds) > 1 or shape is None or shape != other or len(shape) not in (3, 4):
        return
    first, _ = _in_order(shape, channels_first)
    axis = len(shape) - (3 if first else 1)
    bands = None if (half := shape[axis]) is None else 2 * half
    sides = [*shape[:axis], bands, *shape[axis + 1 :]]
    halves = {"num_outputs": 2} if max(versions) >= 18 else {}  # wanted from 18 on, unknown before
    split = helper.make_node("Split", [JOINED], [one.name for one in both], axis=axis, **halves)
    kept, nodes = [one for one in graph.input if one not in both], [split, *graph.node]
    graph.ClearField("input")
    graph.input.extend([helper.make_tensor_value_info(JOINED, kinds.pop(), sides), *kept])
    graph.ClearField("node")
    graph.node.extend(nodes)


def image_input(model: Any, name: str, *, channels_first: bool | None = None) -> ImageInput:
    """Return the input of a graph that takes one image or a batch of them.

    Parameters
    ----------
    model
        As of `read_graph`.
    name
        The file, for errors.
    channels_first
        How the axes stand; None takes what the shape says. Where that fits both, they are N, C,
        H, W, as ONNX's own operators have them.

    Raises
    ------
    ModelError
        If the graph takes something else.
    """
    wanted = _wanted(model)
    if len(wanted) != 1:
        names = ", ".join(repr(one.name) for one in wanted) or "none"
        raise ModelError(
            f"{name!r} takes {len(wanted)} inputs ({names}); possible is one, the image, or two "
            "images of one shape: export it with the others as constants"
        )
    kind = wanted[0].type.tensor_type
    shape = shape_of(wanted[0])
    if kind.elem_type not in DTYPES or (shape is not None and len(shape) not in (3, 4)):
        raise ModelError(
            f"the input {wanted[0].name!r} of {name!r} is {told(wanted[0])}; possible are numbers "
            "(N, C, H, W), (N, H, W, C) or the same without N"
        )
    first, axes = _in_order(shape or (None,) * 4, channels_first)
    if (axes[0] or 0) > 1:
        raise ModelError(
            f"{name!r} takes batches of {axes[0]} images; possible are batches of one, or of any "
            "number: export it with a free or single batch axis"
        )
    return ImageInput(wanted[0].name, np.dtype(DTYPES[kind.elem_type]).name, axes, first)


def _wanted(model: Any) -> list[Any]:
    """Return the inputs of a graph that it does not hold itself."""
    stored = {tensor.name for tensor in model.graph.initializer}
    return [one for one in model.graph.input if one.name not in stored]


def shape_of(value: Any) -> tuple[int | None, ...] | None:
    """Return the shape of an input or output, None for what is free; None if it is not said."""
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return None
    return tuple(axis.dim_value if axis.dim_value > 0 else None for axis in kind.shape.dim)


def told(value: Any) -> str:
    """Describe an input or output, as in ``float32 (?, 3, 256, 256)``."""
    code = value.type.tensor_type.elem_type
    kind = np.dtype(DTYPES[code]).name if code in DTYPES else f"of type {code}"
    shape = shape_of(value)
    axes = "of any shape" if shape is None else ", ".join(str(axis or "?") for axis in shape)
    return f"{kind} {axes}" if shape is None else f"{kind} ({axes})"


def tensors(message: Any) -> Iterator[Any]:
    """Yield every tensor of a message, wherever it stands: in attributes, subgraphs, functions."""
    return (part for part in _parts(message) if part.DESCRIPTOR.name == "TensorProto")


def _parts(message: Any) -> Iterator[Any]:
    """Yield a message and all messages in it; by reflection, so that none is overlooked."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for part in [value] if hasattr(value, "ListFields") else value:
            if hasattr(part, "ListFields"):
                yield from _parts(part)


def _check_operators(model: Any, name: str) -> None:
    """Refuse operators that are neither onnxruntime's nor written out in the file."""
    own = {(function.domain, function.name) for function in model.functions}
    for node in (part for part in _parts(model) if part.DESCRIPTOR.name == "NodeProto"):
        brought = node.domain in DOMAINS or (node.domain, node.op_type) in own
        if not brought or node.op_type in LOADERS:
            raise ModelError(
                f"{name!r} needs the operator {node.op_type!r} of {node.domain!r}, which is code "
                f"outside the file; possible are operators of "
                f"{', '.join(repr(domain or 'ai.onnx') for domain in DOMAINS[1:])}: export it "
                "with these"
            )


def _bring_in(files: Files, name: str, outside: list[Any]) -> tuple[str, ...]:
    """Put the numbers of side files into their tensors; return the names of the files."""
    if sum(_size(tensor, name) for tensor in outside) > LARGEST:
        raise ModelError(
            f"{name!r} and its side files hold more than 2 GiB; possible is less: export it in "
            "half precision"
        )
    read: dict[str, bytes] = {}
    for tensor in outside:
        entry = {pair.key: pair.value for pair in tensor.external_data}
        side = files.find(entry.get("location", ""), beside=name)
        if side not in read:
            read[side] = files.read(side)
        tensor.raw_data = _slice(read[side], entry, _size(tensor, name), (side, name))
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
    return tuple(sorted(read))


def _slice(content: bytes, entry: dict[str, str], size: int, names: tuple[str, str]) -> bytes:
    """Return the bytes of one tensor in a side file."""
    side, name = names
    try:
        start = int(entry.get("offset") or 0)
        length = int(entry.get("length") or size)
    except ValueError:
        start, length = -1, -1
    if length != size or start < 0 or start + length > len(content):
        raise ModelError(
            f"{name!r} reads {entry.get('length', 'all')!r} bytes at {entry.get('offset', '0')!r} "
            f"of {side!r}, which holds {len(content)}, for a tensor of {size} bytes; get both "
            "files again"
        )
    return content[start : start + length]


def _size(tensor: Any, name: str) -> int:
    """Return the bytes that a tensor of this type and shape takes."""
    helper = import_onnx("onnx").helper
    try:
        width = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except (KeyError, TypeError, ValueError):
        width = 0
    if not width or min(tensor.dims, default=0) < 0 or tensor.data_type == 8:  # 8: text
        raise ModelError(
            f"{name!r} keeps a tensor of type {tensor.data_type} and shape {list(tensor.dims)} in "
            "a side file; possible are numbers: get the model again"
        )
    return -(-math.prod(tensor.dims) * BITS.get(tensor.data_type, 8 * width) // 8)


def _in_order(
    shape: tuple[int | None, ...], channels_first: bool | None
) -> tuple[bool, tuple[int | None, int | None, int | None, int | None]]:
    """Return whether the bands stand first, and the shape as (N, C, H, W); N is 0 without one."""
    batch, (a, b, c) = (0, shape) if len(shape) == 3 else (shape[0], shape[1:])
    if channels_first is None:
        channels_first = not (c and (a is None or c < a))
    return (True, (batch, a, b, c)) if channels_first else (False, (batch, c, a, b))
