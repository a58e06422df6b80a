"""Mean images of Caffe's times: ``.npy``, and ``.binaryproto`` read field by field."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator

import numpy as np

from geodl_lab.errors import ModelError

# Fields of Caffe's BlobProto (caffe.proto): legacy sides 1 to 4, numbers 5 (float) or 8 (double),
# and shape 7 with its sides in field 1.
SIDES, DATA, SHAPE, DOUBLES = (1, 2, 3, 4), 5, 7, 8
LARGEST = 2**28
"""Most bytes of a file."""


def read_mean(content: bytes, name: str, *, channels: int, order: str) -> np.ndarray:
    """Read what is taken off the pixels.

    Parameters
    ----------
    content
        Of a ``.npy`` (written by `numpy.save`, without pickle) or a ``.binaryproto``.
    name
        Of the file; its ending says what it is.
    channels
        Number of channels of the network.
    order
        Order of the network's dimensions, such as ``NHWC``; says which side is the channels where
        the shape does not.

    Returns
    -------
    numpy.ndarray
        (channel, y, x) float32; (channel, 1, 1) for one number a channel.

    Raises
    ------
    ModelError
        If it is damaged, or of a shape that does not fit.
    """
    if len(content) > LARGEST:
        raise ModelError(f"the mean file {name!r} holds {len(content)} bytes; that is no mean")
    if name.endswith(".npy"):
        values = _npy(content, name)
    elif name.endswith(".binaryproto"):
        values, order = _binaryproto(content, name), "NCHW"
    else:
        raise ModelError(f"the mean file {name!r} is unknown; possible are .npy and .binaryproto")
    if not np.isfinite(values).all():
        raise ModelError(f"the mean file {name!r} holds NaN or infinity; give numbers")
    return _bands_first(values, name, channels, order)


def _bands_first(values: np.ndarray, name: str, channels: int, order: str) -> np.ndarray:
    """Return (channel, y, x) of any shape that a mean may have."""
    given = values.shape
    if values.ndim == 4 and values.shape[0] == 1:
        values = values[0]
    if values.ndim == 1 or (values.ndim == 2 and channels == 1):
        values = values.reshape(-1, 1, 1) if values.ndim == 1 else values[None]
        order = "NCHW"
    places = [place for place in (0, 2) if values.ndim == 3 and values.shape[place] == channels]
    if not places:
        raise ModelError(
            f"the mean file {name!r} has the shape {given}; possible are (1, 1, {channels}), "
            f"(height, width, {channels}), ({channels},) or ({channels}, height, width)"
        )
    sides = order.replace("N", "")
    place = places[0] if len(places) == 1 else sides.index("C")
    if place == 2:
        values = values.transpose(2, 0, 1)
    if sides.index("W") < sides.index("H"):
        values = values.transpose(0, 2, 1)
    return np.ascontiguousarray(values, dtype=np.float32)


def _npy(content: bytes, name: str) -> np.ndarray:
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran, dtype = read(stream)
        plain = dtype.kind in "iuf"
        # The header may lie: numbers are only made of bytes that are there.
        if not plain or math.prod(shape) * dtype.itemsize != len(content) - stream.tell():
            raise ValueError("its header and its content do not agree, or it holds objects")
        flat = np.frombuffer(content, dtype, offset=stream.tell())
        return flat.reshape(shape, order="F" if fortran else "C").astype(np.float32)
    except Exception as error:  # numpy parses the header as Python: what it raises may be anything
        raise ModelError(f"the mean file {name!r} is no .npy of numbers; save it again") from error


def _binaryproto(content: bytes, name: str) -> np.ndarray:
    sides: dict[int, int] = {}
    shape: list[int] = []
    numbers: list[np.ndarray] = []
    try:
        for field, value in _fields(content):
            if field in SIDES and isinstance(value, int):
                sides[field] = value
            elif field == SHAPE and isinstance(value, bytes):
                shape = [side for part in _fields(value) for side in _sides(*part)]
            elif field in (DATA, DOUBLES) and isinstance(value, bytes):
                numbers.append(np.frombuffer(value, "<f4" if field == DATA else "<f8"))
        values = np.concatenate(numbers)
        return values.reshape(shape or [sides[side] for side in SIDES])
    except (ValueError, KeyError, struct.error, IndexError) as error:
        raise ModelError(
            f"the mean file {name!r} is no BlobProto of Caffe; save the mean as .npy instead"
        ) from error


def _sides(field: int, value: int | bytes) -> list[int]:
    """Return the sides of a shape, packed or one by one."""
    if isinstance(value, int):
        return [value]
    found, at = [], 0
    while at < len(value):
        side, at = _varint(value, at)
        found.append(side)
    return found


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field of a protobuf message."""
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(content, at)
            yield key >> 3, value
            continue
        if kind == 2:
            length, at = _varint(content, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError("a field of an unknown kind")
        if at + length > len(content):
            raise ValueError("a field that ends behind the file")
        yield key >> 3, content[at : at + length]
        at += length


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """Return a number of up to 64 bits and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        byte = content[at]
        number |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return number, at
    raise ValueError("a number that does not end")
