"""How much memory a forward of an ONNX graph takes, from the shapes of its tensors.

Method: walk the nodes in order, as onnxruntime's sequential executor does, and sum the bytes of
the tensors that a later node still reads. Fused operators take less.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from geodl_lab.errors import ModelError
from geodl_lab.packages.onnx_graph import ImageInput, import_onnx, parse

SMALL = 1024
"""Numbers up to which a stored tensor may say a shape; the rest only have one."""


def peak_bytes(content: bytes, image: ImageInput, shape: tuple[int, ...]) -> int:
    """Return the most bytes of tensors alive at one time during a forward.

    Parameters
    ----------
    content
        The graph.
    image
        Its input.
    shape
        Of the batch, (N, C, H, W).

    Returns
    -------
    int
        Bytes, without the weights. Tensors of unknown shape count as the largest known one.
    """
    graph = parse(content, "the graph").graph
    sizes = _sizes(content, image, shape)
    most = max(sizes.values(), default=0)
    last = {name: step for step, node in enumerate(graph.node) for name in _reads(node)}
    kept = {output.name for output in graph.output}
    stored = {tensor.name for tensor in graph.initializer}
    alive: dict[str, int] = {image.name: sizes.get(image.name, 0)}
    peak = 0
    for step, node in enumerate(graph.node):
        alive |= {name: sizes.get(name, most) for name in node.output if name}
        peak = max(peak, sum(alive.values()))
        for name in [n for n in alive if last.get(n, -1) <= step and n not in kept | stored]:
            del alive[name]
    return peak


def _reads(node: Any) -> Iterator[str]:
    """Yield the names that a node reads, also in its subgraphs."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (*attribute.graphs, attribute.g):
            for inner in graph.node:
                yield from _reads(inner)


def _sizes(content: bytes, image: ImageInput, shape: tuple[int, ...]) -> dict[str, int]:
    """Return the bytes of every tensor whose shape follows from that of the input."""
    onnx = import_onnx("onnx")
    model = _shaped(parse(content, "the graph"), image, shape)
    try:
        graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception as error:  # a graph is anybody's: whatever it raises, it has no shapes
        raise ModelError(f"the shapes in the graph do not fit together: {error}") from error
    values = (*graph.input, *graph.value_info, *graph.output)
    return {value.name: size for value in values if (size := _bytes(value)) is not None}


def _shaped(model: Any, image: ImageInput, shape: tuple[int, ...]) -> Any:
    """Return the graph for one shape of input, its large weights replaced by their shapes."""
    helper, graph = import_onnx("onnx").helper, model.graph
    del graph.value_info[:]
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    large = [t for t in graph.initializer if math.prod(t.dims) > SMALL]
    known = {value.name for value in graph.input}
    for tensor in large:
        graph.initializer.remove(tensor)
        if tensor.name not in known:
            value = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            graph.input.append(value)
    (value,) = (value for value in graph.input if value.name == image.name)
    kind = value.type.tensor_type
    kind.ClearField("shape")
    for side in image.arrange(shape):
        kind.shape.dim.add().dim_value = side
    return model


def _bytes(value: Any) -> int | None:
    kind = value.type.tensor_type
    if not kind.HasField("shape") or any(axis.dim_value < 1 for axis in kind.shape.dim):
        return None
    try:
        width = import_onnx("onnx").helper.tensor_dtype_to_np_dtype(kind.elem_type).itemsize
    except (KeyError, TypeError, ValueError):
        width = np.dtype(np.float32).itemsize
    return math.prod(axis.dim_value for axis in kind.shape.dim) * width
