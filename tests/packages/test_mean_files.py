"""Mean files: numpy's own, and Caffe's written here byte by byte."""

import contextlib
import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodl_lab.errors import ModelError
from geodl_lab.packages.mean_files import read_mean

MEAN = np.arange(24, dtype=np.float32).reshape(2, 4, 3)  # (y, x, channel)


def npy(values, **options):
    buffer = io.BytesIO()
    np.save(buffer, values, **options)
    return buffer.getvalue()


def read(content, name="m.npy", channels=3, order="NCHW"):
    return read_mean(content, name, channels=channels, order=order)


@pytest.mark.parametrize(
    "values", [MEAN, MEAN.transpose(2, 0, 1), MEAN[None], np.asfortranarray(MEAN)]
)
def test_any_order_of_sides(values):
    assert np.array_equal(read(npy(values)), MEAN.transpose(2, 0, 1))


@pytest.mark.parametrize("shape", [(3,), (1, 1, 3), (3, 1, 1), (1, 3, 1, 1), (1, 1, 1, 3)])
def test_one_number_a_channel(shape):
    mean = read(npy(np.array([1, 2, 3.0]).reshape(shape)))
    assert mean.shape == (3, 1, 1) and mean.ravel().tolist() == [1, 2, 3]


def test_the_order_of_the_network_tells_what_the_shape_does_not():
    cube = np.arange(27.0).reshape(3, 3, 3)
    assert np.array_equal(read(npy(cube)), cube)
    assert np.array_equal(read(npy(cube), order="NHWC"), cube.transpose(2, 0, 1))
    assert np.array_equal(read(npy(cube), order="NWHC"), cube.transpose(2, 1, 0))
    assert read(npy(np.ones((4, 5))), channels=1).shape == (1, 4, 5)


def varint(number):
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def blob(packed=True, legacy=True):
    values = MEAN.transpose(2, 0, 1).ravel()
    sides = [1, 3, 2, 4]
    if legacy:
        head = b"".join(varint(i << 3) + varint(n) for i, n in enumerate(sides, 1))
    else:
        head = field(7, field(1, b"".join(map(varint, sides))))
    if packed:
        return head + field(5, values.astype("<f4").tobytes())
    return head + b"".join(varint(5 << 3 | 5) + struct.pack("<f", v) for v in values)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("legacy", [True, False])
def test_binaryproto(packed, legacy):
    mean = read(blob(packed, legacy), "m.binaryproto", order="NHWC")
    assert np.array_equal(mean, MEAN.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (npy(np.array([{}], dtype=object), allow_pickle=True), "m.npy", "no .npy of numbers"),
        (npy(MEAN)[:-4], "m.npy", "no .npy of numbers"),
        (b"", "m.npy", "no .npy of numbers"),
        (npy(np.array(["a"])), "m.npy", "no .npy of numbers"),
        (npy(np.ones((2, 2))), "m.npy", r"has the shape \(2, 2\); possible are \(1, 1, 3\)"),
        (npy(np.full(3, np.nan)), "m.npy", "holds NaN"),
        (blob()[:-1], "m.binaryproto", "no BlobProto of Caffe"),
        (b"\xff" * 40, "m.binaryproto", "no BlobProto"),
        (b"", "m.binaryproto", "no BlobProto"),
        (b"x", "m.txt", "possible are .npy and .binaryproto"),
    ],
)
def test_damaged_files_are_refused(content, name, message):
    with pytest.raises(ModelError, match=message):
        read(content, name)


@given(st.binary(max_size=60), st.integers(0, 200), st.sampled_from([".npy", ".binaryproto"]))
def test_garbage_raises_nothing_else(garbage, at, ending):
    whole = npy(MEAN) if ending == ".npy" else blob()
    for content in (garbage, whole[:at] + garbage + whole[at + len(garbage) :]):
        with contextlib.suppress(ModelError):
            read(content, "m" + ending)
