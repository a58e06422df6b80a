"""Means over whole windows in ONNX graphs, taken one axis after the other.

onnxruntime adds up all pixels of a ``ReduceMean`` in one float32 sum. Over a window of 256 x 256 it
is off by 4e-6, and the scores of a net that subtracts such a mean (Esri's land cover) by 5e-4,
which turns a class here and there: 10 of 2.5 million pixels against torch, and none with a mean of
means, axis by axis, which is the same number and off by rounding only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from geodl_lab.packages.onnx_graph import import_onnx

STANDARD = ("", "ai.onnx")
"""Names of the domain of ONNX's own operators."""

AXES_ARE_INPUT = 18
"""The operator set from which the axes are an input instead of an attribute."""


def split_means(model: Any) -> None:
    """Put a mean over each single axis before every ``ReduceMean`` over several.

    What was one sum then is one along an axis; the operator itself only drops the axes that are
    left with one pixel.

    Parameters
    ----------
    model
        An ``onnx.ModelProto``; it is changed.
    """
    graph, numbers = model.graph, import_onnx("onnx").numpy_helper
    version = max((one.version for one in model.opset_import if one.domain in STANDARD), default=0)
    known = {one.name: one for one in graph.initializer}
    made = {name for node in graph.node for name in node.output}
    nodes = []
    for node in graph.node:
        axes: list[int] = []
        mean = node.op_type == "ReduceMean" and node.domain in STANDARD
        if mean and version < AXES_ARE_INPUT:
            axes = [axis for one in node.attribute if one.name == "axes" for axis in one.ints]
        elif mean and len(node.input) > 1 and node.input[1] in known:
            axes = numbers.to_array(known[node.input[1]]).tolist()
        if axes and _name(node, axes[-1]) in made:  # a graph that was saved after this
            axes = []
        nodes += [*_single_means(model, node, axes[1:], version), node]
    del graph.node[:]
    graph.node.extend(nodes)


def _single_means(model: Any, node: Any, axes: list[int], version: int) -> Iterator[Any]:
    """Yield a mean over each axis, one after the other, and let ``node`` take what they give."""
    helper = import_onnx("onnx").helper
    for axis in axes:
        source, target = node.input[0], _name(node, axis)
        if version < AXES_ARE_INPUT:
            yield helper.make_node("ReduceMean", [source], [target], axes=[axis], keepdims=1)
        else:
            name = f"{target}/axes"
            model.graph.initializer.append(helper.make_tensor(name, 7, [1], [axis]))  # int64
            yield helper.make_node("ReduceMean", [source, name], [target], keepdims=1)
        node.input[0] = target


def _name(node: Any, axis: int) -> str:
    return f"{node.output[0]}/mean_{axis}"
