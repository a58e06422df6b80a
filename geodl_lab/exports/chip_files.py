"""Chips and label images as files; what is written is read back before it counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.errors
from affine import Affine

from geodl_lab.errors import OptionError
from geodl_lab.exports.formats import CHIP_FORMATS, ChipFormat
from geodl_lab.exports.frames import Frame
from geodl_lab.exports.places import Place
from geodl_lab.exports.readers import ChipReader


def check_chips(chips: ChipFormat, reader: ChipReader, path: Path) -> None:
    """Refuse a raster that a format of chips cannot hold as it is.

    Raises
    ------
    OptionError
        If so; the message names the formats that can.
    """
    if _fits(chips, reader):
        return
    possible = [kind.name for kind in CHIP_FORMATS.values() if _fits(kind, reader)]
    raise OptionError(
        f"{path.name!r} has {reader.bands} bands of {reader.dtype}, and {chips.name} chips hold "
        f"{' or '.join(map(str, chips.bands))} bands of {', '.join(chips.dtypes)}; values are "
        f"never stretched: choose {' or '.join(possible)}"
    )


def write_chip(
    path: Path, values: np.ndarray, *, chips: ChipFormat, reader: ChipReader, where: Frame
) -> list[Path]:
    """Write the pixels of a chip as they are.

    Parameters
    ----------
    path
        Of the image.
    values
        (band, y, x).
    chips
        How to write them.
    reader
        Says nodata and names of the bands.
    where
        Where the chip lies.

    Returns
    -------
    list of pathlib.Path
        All files that were written, the image first.

    Raises
    ------
    OSError
        If what is read back differs: a full disk can pass unnoticed until then.
    """
    profile = _profile(values, where) | {"driver": chips.driver, "nodata": reader.nodata}
    with rasterio.open(path, "w", **profile, **dict(chips.options)) as file:
        file.write(values)
        if chips.name == "TIFF":
            for band, name in enumerate(reader.names, 1):
                file.set_band_description(band, name)
    if chips.world:
        path.with_suffix(chips.world).write_text(world_file(where.transform), encoding="ascii")
    _read_back(path, values, exact=chips.exact)
    return [path, *sorted(set(path.parent.glob(f"{path.stem}.*")) - {path})]


def write_label(path: Path, values: np.ndarray, where: Frame) -> list[Path]:
    """Write an image (y, x) of class values, or of numbers of objects, in 8 or 16 bits."""
    small = np.uint8 if values.max(initial=0) <= 255 else np.uint16
    stored = values.astype(small)[None]
    driver = {"driver": "PNG"} if path.suffix == ".png" else {"driver": "GTiff", "compress": "lzw"}
    with rasterio.open(path, "w", **_profile(stored, where), **driver) as file:
        file.write(stored)
    _read_back(path, stored, exact=True)
    return [path, *sorted(set(path.parent.glob(f"{path.stem}.*")) - {path})]


def chip_frame(frame: Frame, place: Place, *, georeferenced: bool) -> Frame:
    """Return where a chip lies; without georeference its pixels are all there is to it."""
    photo = not frame.crs and frame.transform.is_identity
    if photo or not georeferenced:
        return Frame("", Affine.identity(), place.shape_yx)
    return Frame(frame.crs, frame.transform * place.to_frame, place.shape_yx)


def world_file(transform: Affine) -> str:
    """Return the six lines of a world file: terms of the transform, of pixel middles."""
    t = transform
    x, y = t * (0.5, 0.5)
    return "".join(f"{number:.12f}\n" for number in (t.a, t.d, t.b, t.e, x, y))


def _fits(chips: ChipFormat, reader: ChipReader) -> bool:
    if chips.bands and reader.bands not in chips.bands:
        return False
    return not chips.dtypes or reader.dtype.name in chips.dtypes


def _profile(values: np.ndarray, where: Frame) -> dict[str, Any]:
    count, height, width = values.shape
    profile = {"count": count, "height": height, "width": width, "dtype": values.dtype.name}
    if not where.crs and where.transform.is_identity:
        return profile
    return profile | {"crs": where.crs or None, "transform": where.transform}


def _read_back(path: Path, values: np.ndarray, *, exact: bool) -> None:
    try:
        with rasterio.open(path) as file:
            back = file.read()
    except rasterio.errors.RasterioError as error:
        raise OSError(f"{path.name} cannot be read back") from error
    same = np.array_equal(back, values, equal_nan=values.dtype.kind == "f")
    if back.shape != values.shape or (exact and not same):
        raise OSError("what was read back differs from what was written")
