"""How much memory a forward of an ONNX graph takes, from the shapes of its tensors.

Method: run the graph once with a ``Shape`` node on every tensor, since many graphs compute shapes
that no look at them can tell; then walk the nodes in order, as onnxruntime's sequential executor
does, and sum the bytes of the tensors that a later node still reads. Fused operators take less.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from geodl_lab.errors import ModelError, first_line
from geodl_lab.packages.onnx_graph import DTYPES, ImageInput, import_onnx, parse
from geodl_lab.packages.onnx_sessions import QUIET, only_onnx

SUFFIX = "/geodl shape"


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
        Bytes, without weights and constants.

    Raises
    ------
    ModelError
        If the graph does not run on this shape.
    """
    graph = parse(content, "the graph").graph
    sizes = tensor_sizes(content, image, shape)
    last = {name: step for step, node in enumerate(graph.node) for name in _reads(node)}
    kept = {output.name for output in graph.output}
    alive, peak = {image.name: sizes[image.name]}, 0
    for step, node in enumerate(graph.node):
        if node.op_type != "Constant":
            alive |= {name: sizes.get(name, 0) for name in node.output}
        peak = max(peak, sum(alive.values()))
        for name in [n for n in alive if last.get(n, -1) <= step and n not in kept]:
            del alive[name]
    return peak


def tensor_sizes(content: bytes, image: ImageInput, shape: tuple[int, ...]) -> dict[str, int]:
    """Return the bytes of every tensor that a forward makes, by name; arguments as above."""
    onnx, runtime = import_onnx("onnx"), import_onnx("onnxruntime")
    model = parse(content, "the graph")
    kinds = _kinds(model)
    made = (name for node in model.graph.node for name in node.output if kinds.get(name) != 0)
    names = [image.name, *filter(None, made)]
    del model.graph.output[:]
    for name in names:
        model.graph.node.append(onnx.helper.make_node("Shape", [name], [name + SUFFIX]))
        output = onnx.helper.make_tensor_value_info(name + SUFFIX, onnx.TensorProto.INT64, None)
        model.graph.output.append(output)
    batch = np.zeros(image.arrange(shape), dtype=image.dtype)
    try:
        session = runtime.InferenceSession(
            model.SerializeToString(), _plain(runtime), providers=["CPUExecutionProvider"]
        )
        shapes = session.run(None, {image.name: batch})
    except Exception as error:  # onnxruntime's errors have no common base
        raise ModelError(
            f"the graph does not run on an image of shape {shape}: {first_line(error)}; check "
            "bands= and window="
        ) from error
    return {
        name: math.prod(map(int, sides)) * _width(kinds.get(name))
        for name, sides in zip(names, shapes, strict=True)
    }


def _plain(runtime: Any) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = QUIET
    only_onnx(options)
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def _kinds(model: Any) -> dict[str, int]:
    """Return the number types of tensors as far as they can be told, 0 for what is no tensor."""
    graph = model.graph
    with contextlib.suppress(Exception):  # a graph is anybody's: then nothing is told
        graph = import_onnx("onnx").shape_inference.infer_shapes(model).graph
    values = (*graph.input, *graph.value_info, *graph.output)
    return {value.name: value.type.tensor_type.elem_type for value in values}


def _width(kind: int | None) -> int:
    """Return the bytes of a number; those of float32 where the type is not known."""
    return 1 if kind == 9 else np.dtype(DTYPES.get(kind or 1, np.float32)).itemsize  # 9: bool


def _reads(node: Any) -> Iterator[str]:
    """Yield the names that a node reads, also in its subgraphs."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (*attribute.graphs, attribute.g):
            for inner in graph.node:
                yield from _reads(inner)
