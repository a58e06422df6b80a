"""Graphs written node by node, so that each holds one thing that a checker must see."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geodl_lab.errors import ModelError
from geodl_lab.packages.archives import open_files
from geodl_lab.packages.onnx_graph import image_input, import_onnx, join_images, read_graph, tensors

onnx = pytest.importorskip("onnx")
helper, FLOAT = onnx.helper, onnx.TensorProto.FLOAT


def value(name, shape=("n", 3, "h", "w"), kind=FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def stored(name, numbers=(1.0, 2.0, 3.0)):
    return onnx.numpy_helper.from_array(np.array(numbers, dtype="float32").reshape(3, 1, 1), name)


def model(nodes=None, inputs=None, tensors=None, functions=(), domains=()):
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["y"])] if nodes is None else nodes,
        "g",
        [value("x")] if inputs is None else inputs,
        [value("y", None)],
        [stored("w")] if tensors is None else tensors,
    )
    opsets = [helper.make_opsetid(d, 17 if d == "" else 1) for d in ("", *domains)]
    return helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=8)


def save(folder, made, name="net.onnx"):
    path = folder / name
    path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    return path


def read(path):
    files = open_files(path)
    return read_graph(files, files.main)


def outside(tensor, **entries):
    """Return the tensor with its numbers in a side file."""
    moved = onnx.TensorProto()
    moved.CopyFrom(tensor)
    moved.ClearField("raw_data")
    moved.data_location = onnx.TensorProto.EXTERNAL
    for key, entry in entries.items():
        moved.external_data.add(key=key, value=str(entry))
    return moved


def test_tensors_of_side_files_are_brought_in(tmp_path):
    (tmp_path / "side").mkdir()
    content = np.array([9, 1, 2, 3], dtype="float32").tobytes()
    (tmp_path / "side" / "w.bin").write_bytes(content)
    tensor = outside(stored("w"), location="side/w.bin", offset=4, length=12)
    found, sides = read(save(tmp_path, model(tensors=[tensor])))
    assert sides == ("side/w.bin",) and not found.graph.initializer[0].external_data
    assert onnx.numpy_helper.to_array(found.graph.initializer[0]).ravel().tolist() == [1, 2, 3]


def everywhere():
    """One tensor for each place of a file in which tensors may stand."""
    tensor = outside(stored("w"), location="/etc/passwd")
    constant = helper.make_node("Constant", [], ["w"])
    constant.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t.CopyFrom(tensor)
    mul = helper.make_node("Mul", ["x", "w"], ["y"])
    branch = helper.make_graph([constant], "b", [], [value("w", None)])
    branching = helper.make_node("If", ["c"], ["w"], then_branch=branch, else_branch=branch)
    function = helper.make_function("own", "F", ["x"], ["y"], [constant, mul],
                                    [helper.make_opsetid("", 17)])  # fmt: skip
    call = helper.make_node("F", ["x"], ["y"], domain="own")
    sparse = model()
    sparse.graph.sparse_initializer.add().values.CopyFrom(tensor)
    return {
        "initializer": model(tensors=[tensor]),
        "attribute": model([constant, mul], tensors=[]),
        "subgraph": model([branching, mul], tensors=[]),
        "function": model([call], tensors=[], functions=[function], domains=["own"]),
        "sparse": sparse,
    }


@pytest.mark.parametrize("place", everywhere())
def test_side_files_outside_the_package_are_refused_wherever_they_are_named(tmp_path, place):
    with pytest.raises(ModelError, match=r"'/etc/passwd' outside its own folder"):
        read(save(tmp_path, everywhere()[place]))


@pytest.mark.parametrize("location", ["../w.bin", "a/../../w.bin", "C:\\w.bin", "link.bin"])
def test_side_files_are_not_found_by_tricks(tmp_path, location):
    folder = tmp_path / "package"
    folder.mkdir()
    (tmp_path / "w.bin").write_bytes(bytes(12))
    (folder / "link.bin").symlink_to(tmp_path / "w.bin")
    tensor = outside(stored("w"), location=location)
    with pytest.raises(ModelError, match="outside its own folder"):
        read(save(folder, model(tensors=[tensor])))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"location": "none.bin"}, "'none.bin' is missing"),
        ({}, "is missing"),
        ({"location": "*/_ORT_MEM_ADDR_/*", "offset": 4096, "length": 12}, "is missing"),
        ({"location": "w.bin", "offset": 4}, "'all' bytes at '4' of 'w.bin', which holds 12"),
        ({"location": "w.bin", "offset": -4}, "bytes at '-4'"),
        ({"location": "w.bin", "length": 8}, "for a tensor of 12 bytes"),
        ({"location": "w.bin", "offset": "x"}, "bytes at 'x'"),
    ],
)
def test_side_files_that_do_not_fit_are_refused(tmp_path, entries, message):
    (tmp_path / "w.bin").write_bytes(bytes(12))
    with pytest.raises(ModelError, match=message):
        read(save(tmp_path, model(tensors=[outside(stored("w"), **entries)])))


def test_side_files_of_lying_sizes_are_refused_before_they_are_read(tmp_path):
    tensor = outside(stored("w"), location="w.bin")
    tensor.dims[:] = [2**20, 2**20]
    with pytest.raises(ModelError, match="more than 2 GiB"):
        read(save(tmp_path, model(tensors=[tensor])))
    tensor.dims[:] = [-3]
    with pytest.raises(ModelError, match=r"type 1 and shape \[-3\]"):
        read(save(tmp_path, model(tensors=[tensor])))


@pytest.mark.parametrize(
    ("kind", "domain"),
    [("Blur", "ai.acme"), ("EPContext", "com.microsoft"), ("Conv", "com.microsoft.nchwc")],
)
@pytest.mark.parametrize("deep", [False, True])
def test_operators_that_are_code_outside_the_file_are_refused(tmp_path, kind, domain, deep):
    node = helper.make_node(kind, ["x"], ["y"], domain=domain)
    if deep:
        branch = helper.make_graph([node], "b", [], [value("y", None)])
        node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    with pytest.raises(ModelError, match=f"operator '{kind}' of '{domain}'"):
        read(save(tmp_path, model([node], domains=[domain])))


def test_operators_that_the_file_writes_out_are_fine(tmp_path):
    body = [helper.make_node("Relu", ["x"], ["y"])]
    function = helper.make_function("own", "F", ["x"], ["y"], body, [helper.make_opsetid("", 17)])
    call = helper.make_node("F", ["x"], ["y"], domain="own")
    found, sides = read(save(tmp_path, model([call], functions=[function], domains=["own"])))
    assert len(found.functions) == 1 and sides == ()


def test_damaged_files_are_refused(tmp_path):
    whole = model().SerializeToString()
    for content in (whole[:-7], b"\xff" * 50, b"<html>not found</html>"):
        with pytest.raises(ModelError, match="no whole ONNX file"):
            read(save(tmp_path, content))
    with pytest.raises(ModelError, match="holds no network"):
        read(save(tmp_path, b""))


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_read_or_refused_in_one_sentence(tmp_path, data):
    content = bytearray(model().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        found, _ = read(save(tmp_path, bytes(content)))
        image_input(found, "net.onnx")
    except ModelError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (("n", 3, "h", "w"), (True, (None, 3, None, None))),
        ((1, 4, 256, 512), (True, (1, 4, 256, 512))),
        ((1, 256, 512, 4), (False, (1, 4, 256, 512))),
        (("n", "h", "w", 3), (False, (None, 3, None, None))),
        ((3, "h", "w"), (True, (0, 3, None, None))),
        ((64, 64, 3), (False, (0, 3, 64, 64))),
        (None, (True, (None, None, None, None))),
    ],
)
def test_the_axes_of_the_image_follow_from_its_shape(shape, expected):
    found = image_input(model(inputs=[value("x", shape)]), "net.onnx")
    assert (found.channels_first, found.shape) == expected and found.dtype == "float32"
    n, c, h, w = (side or 1 for side in found.shape)
    assert shape is None or [s if isinstance(s, int) else 1 for s in shape] == list(
        found.arrange((n, c, h, w))
    )


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (("n", 3, "h", "w"), (None, 6, None, None)),
        ((1, 64, 48, 3), (1, 6, 64, 48)),
        ((3, 64, 48), (0, 6, 64, 48)),
        (("n", "c", "h", "w"), (None, None, None, None)),
    ],
)
def test_two_images_of_one_shape_are_one_of_all_bands(shape, expected):
    made = model(inputs=[value("a", shape), value("b", shape)])
    join_images(made)
    found = image_input(made, "net.onnx")
    assert found.shape == expected and made.graph.node[0].output[:] == ["a", "b"]


@pytest.mark.parametrize(
    "inputs",
    [
        [value("a")],
        [value("a", (1, 3, 8, 8)), value("b", (1, 1, 8, 8))],
        [value("a", (1, 4)), value("b", (1, 4))],
        [value("a", None), value("b", None)],
        [value("a"), value("b", kind=onnx.TensorProto.UINT8)],
    ],
)
def test_other_inputs_stay(inputs):
    made = model(inputs=inputs)
    join_images(made)
    assert made == model(inputs=inputs)


def test_the_callers_word_on_axes_counts():
    made = model(inputs=[value("x", (1, 8, 8, 8))])
    assert image_input(made, "net.onnx").channels_first
    assert not image_input(made, "net.onnx", channels_first=False).channels_first


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], r"takes 0 inputs \(none\)"),
        ([value("x"), value("size", (2,))], r"takes 2 inputs \('x', 'size'\)"),
        ([value("x", (1, 3))], r"is float32 \(1, 3\); possible"),
        ([value("x", kind=onnx.TensorProto.STRING)], "of type 8"),
        ([value("x", (4, 3, 64, 64))], "batches of 4 images"),
    ],
)
def test_graphs_that_take_no_image_are_refused(inputs, message):
    with pytest.raises(ModelError, match=message):
        image_input(model(inputs=inputs), "net.onnx")


def test_stored_tensors_are_no_inputs():
    made = model(inputs=[value("x"), value("w", (3, 1, 1))])
    assert image_input(made, "net.onnx").name == "x"
    assert [tensor.name for tensor in tensors(made)] == ["w"]


def test_a_missing_library_is_told():
    with pytest.raises(ModelError, match=r"pip install 'geodl-lab\[onnx\]'"):
        import_onnx("onnx_that_is_not_here")
