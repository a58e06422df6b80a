"""Rasters to measure on: a smooth texture of any size, and painted rectangles of known truth."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

TILE = 512
PERIOD = 2048
"""Side in pixels of the texture; it repeats without a seam."""

CELL_SIZE = 0.6
ORIGIN_XY = (400_000.0, 3_700_000.0)
EPSG = 26911


def texture(side: int = PERIOD, *, seed: int = 0) -> np.ndarray:
    """Return a smooth periodic uint8 texture, shape (3, side, side).

    Normal noise is smoothed in the frequency domain at three scales, so that a net sees detail as
    well as large shapes, and the left edge goes on at the right one.
    """
    noise = np.random.default_rng(seed).normal(size=(3, side, side))
    across = np.fft.rfftfreq(side)  # (side/2 + 1,)
    down = np.fft.fftfreq(side)[:, None]  # (side, 1)
    squared = across**2 + down**2  # (side, side/2 + 1)
    scales = (1.5, 6.0, 24.0)
    smooth = sum(s * np.exp(-2 * np.pi**2 * s**2 * squared) for s in scales)
    values = np.fft.irfft2(np.fft.rfft2(noise) * smooth, s=(side, side))
    return np.clip(128 + 55 * values / values.std(), 0, 255).astype(np.uint8)


def write_scene(path: Path, size: int) -> Path:
    """Write ``size`` x ``size`` pixels as a lightly compressed GeoTIFF, tile by tile."""
    pattern = texture()
    with rasterio.open(path, "w", **_profile(size), predictor=2) as target:
        for y in range(0, size, TILE):
            rows = np.arange(y, min(y + TILE, size)) % PERIOD
            strip = np.take(pattern[:, rows], np.arange(size) % PERIOD, axis=2)
            target.write(strip, window=Window(0, y, size, len(rows)))
    return path


def write_endless(path: Path, size: int) -> Path:
    """Write ``size`` x ``size`` pixels that take 13 MB of disk: the tiles share their bytes.

    A TIFF says for each tile where its bytes lie, and nothing forbids two tiles to say the same.
    So GDAL reads tiles of pixels as from any uncompressed file, however large.
    """
    pattern = texture().transpose(1, 2, 0)  # (y, x, band)
    n = PERIOD // TILE
    tiles = [
        np.ascontiguousarray(pattern[y * TILE : (y + 1) * TILE, x * TILE : (x + 1) * TILE])
        for y in range(n)
        for x in range(n)
    ]
    count = -(-size // TILE)
    order = [(y % n) * n + x % n for y in range(count) for x in range(count)]
    length = tiles[0].nbytes
    begin = 8
    with open(path, "wb") as file:
        directory = begin + length * len(tiles)
        file.write(struct.pack("<2sHI", b"II", 42, directory))
        for tile in tiles:
            file.write(tile.tobytes())
        offsets = [begin + length * index for index in order]
        file.write(_directory(directory, size, offsets, [length] * len(order)))
    return path


def _profile(size: int) -> dict[str, Any]:
    """Return rasterio's options of a lightly compressed, tiled RGB GeoTIFF."""
    return {
        "driver": "GTiff", "width": size, "height": size, "count": 3, "dtype": "uint8",
        "tiled": True, "blockxsize": TILE, "blockysize": TILE, "compress": "deflate", "zlevel": 1,
        "crs": f"EPSG:{EPSG}",
        "transform": rasterio.Affine(CELL_SIZE, 0, ORIGIN_XY[0], 0, -CELL_SIZE, ORIGIN_XY[1]),
    }  # fmt: skip


def _directory(position: int, size: int, offsets: list[int], lengths: list[int]) -> bytes:
    """Return the TIFF directory that begins at byte ``position``, values and all."""
    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, EPSG)
    entries: list[tuple[int, str, tuple[float, ...]]] = [
        (256, "I", (size,)),
        (257, "I", (size,)),
        (258, "H", (8, 8, 8)),
        (259, "H", (1,)),  # no compression
        (262, "H", (2,)),  # RGB
        (277, "H", (3,)),
        (284, "H", (1,)),  # pixel by pixel
        (322, "I", (TILE,)),
        (323, "I", (TILE,)),
        (324, "I", tuple(offsets)),
        (325, "I", tuple(lengths)),
        (33550, "d", (CELL_SIZE, CELL_SIZE, 0.0)),
        (33922, "d", (0.0, 0.0, 0.0, *ORIGIN_XY, 0.0)),
        (34735, "H", keys),
    ]
    codes = {"H": 3, "I": 4, "d": 12}
    free = position + 2 + 12 * len(entries) + 4
    head, body = struct.pack("<H", len(entries)), b""
    for tag, kind, values in entries:
        packed = struct.pack(f"<{len(values)}{kind}", *values)
        if len(packed) > 4:
            field = struct.pack("<I", free + len(body))
            body += packed + b"\0" * (len(packed) % 2)
        else:
            field = packed.ljust(4, b"\0")
        head += struct.pack("<HHI", tag, codes[kind], len(values)) + field
    return head + struct.pack("<I", 0) + body


def rectangles(size: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes x0, y0, x1, y1 that do not touch, and which of them are long.

    One rectangle a cell of 128 px. The cells lie half a cell off the raster's origin, so that the
    lines of any usual tile size run through the middle of cells; where two lines of 512 px meet
    the rectangle sits on the crossing. Three long ones go over most of the raster: across, down,
    and across on a line of 512 px.

    Returns
    -------
    tuple of numpy.ndarray
        Boxes in pixels, shape (object, 4), int64, and (object,), bool.
    """
    random = np.random.default_rng(seed)
    middle = size // 2 // 128 * 128
    rows, column = (1024, middle + 384), middle + 256
    boxes = [(160, y - 12, column - 64, y + 12) for y in rows]
    boxes.append((column - 10, 160, column + 10, size - 160))
    long = len(boxes)
    for y in range(128, size - 64, 128):
        for x in range(128, size - 64, 128):
            if y in rows or x == column:
                continue
            extent = random.integers(12, 60, size=2)
            start = np.array([x, y]) - 58 + random.integers(0, 117 - extent)
            if x % 512 == 0 and y % 512 == 0:
                start = np.array([x, y]) - extent // 2
            boxes.append((*start, *(start + extent)))
    return np.array(boxes), np.arange(len(boxes)) < long


def write_rectangles(path: Path, size: int) -> Path:
    """Paint the rectangles bright on dark into three bands."""
    values = np.full((3, size, size), 10, dtype=np.uint8)
    for x0, y0, x1, y1 in rectangles(size)[0]:
        values[:, y0:y1, x0:x1] = 230
    with rasterio.open(path, "w", **_profile(size)) as target:
        target.write(values)
    return path
