"""The input of a STAC MLM item: bands, shape, scaling and size of what the network is fed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from geodl_lab.checks import is_whole
from geodl_lab.errors import ModelError
from geodl_lab.inputs import Fit, InputSpec
from geodl_lab.packages.mlm_values import built, number, short, texts, typed
from geodl_lab.packages.scaling import canonical

AXES: Mapping[str, str] = {
    "batch": "n", "b": "n", "n": "n",
    "channel": "c", "channels": "c", "c": "c", "band": "c", "bands": "c",
    "class": "c", "classes": "c", "score": "c", "scores": "c", "confidence": "c",
    "height": "h", "h": "h", "y": "h",
    "width": "w", "w": "w", "x": "w",
}  # fmt: skip
"""Names of dimensions, and the letter that each is here; others are '?'."""

FREE_WINDOW = 256
"""Side in pixels that a network of any size is tried with."""

LARGEST = 2**28
"""Most numbers in a window: a GiB of float32."""

PIXEL_TYPES = (
    "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64",
    "float16", "float32", "float64",
)  # fmt: skip
BANDS = ("bands", "eo:bands", "raster:bands")
RESIZES: Mapping[str, str] = {"crop": "crop"} | {
    f"interpolation-{kind}": "squash"
    for kind in ("nearest", "linear", "cubic", "area", "lanczos4", "max")
}
"""Values of ``resize_type`` for whole images, and the `geodl_lab.inputs.Fit` that each is."""


@dataclass(frozen=True)
class Shape:
    """A tensor's axes and sizes.

    Parameters
    ----------
    axes
        One letter a dimension: n, c, h, w, or ? for another.
    sizes
        As many whole numbers; -1 is any size.
    """

    axes: str
    sizes: tuple[int, ...]

    def size(self, axis: str) -> int | None:
        """Return the size of an axis; None where it is free or there is none."""
        found = self.sizes[self.axes.index(axis)] if axis in self.axes else -1
        return None if found < 1 else found


def read_shape(text: Any, what: str) -> Shape:
    """Read ``shape`` and ``dim_order``.

    Raises
    ------
    ModelError
        If they do not fit one another.
    """
    text = typed(text, dict, what)
    sizes = typed(text.get("shape"), list, f"shape of {what}")
    names = texts(text.get("dim_order"), f"dim_order of {what}")
    whole = all(is_whole(n) and n >= -1 for n in sizes)
    if not whole or len(sizes) != len(names):
        raise ModelError(
            f"{what} has the shape {short(sizes)} and the dimensions {short(names)}; give as many "
            "whole numbers as names, -1 for any size"
        )
    return Shape("".join(AXES.get(name.lower(), "?") for name in names), tuple(sizes))


def read_input(
    text: Mapping[str, Any], shape: Shape, definitions: Sequence[Mapping[str, Any]], *, task: str
) -> InputSpec:
    """Read bands and scaling of an entry of ``mlm:input``.

    Parameters
    ----------
    text
        The entry.
    shape
        Of its tensor.
    definitions
        What the item and the asset say about bands.
    task
        One of `geodl_lab.package.TASKS`.

    Raises
    ------
    ModelError
        If a band or a scaling is code, or they do not fit one another.
    """
    if text.get("variables"):
        raise ModelError("the input names variables of a data cube; name bands instead")
    refuse_code(text, "pre_processing_function")
    own = _names(text.get("bands"))
    count = len(own) or shape.size("c") or 0
    if not count:
        raise ModelError("the input says neither its bands nor its number of channels; name them")
    if shape.size("c") not in (None, count):
        raise ModelError(f"the input names {len(own)} bands for {shape.size('c')} channels")
    defined = [_definition(name, definitions) for name in own]
    fields = {
        "bands": (bands := _common_names(own, defined)),
        "other_names": () if bands == own else own,
        "count": count,
        "dtype": _agreed([band.get("data_type") for band in defined]),
        "cell_size": _cell_size(defined),
        "fit": _fit(text.get("resize_type"), shape, task),
        **canonical(_steps(text), count),
    }
    return built(InputSpec, fields, "mlm:input")


def band_definitions(*places: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the properties and an asset say about bands, under any of the usual keys."""
    lists = [place.get(key) for place in places for key in BANDS]
    return [
        band for one in lists if isinstance(one, list) for band in one if isinstance(band, dict)
    ]


def refuse_code(text: Mapping[str, Any], key: str) -> None:
    """Refuse an expression, whatever it is; none is ever run.

    Raises
    ------
    ModelError
        If there is one.
    """
    code = text.get(key)
    if code is not None:
        what = code.get("expression") if isinstance(code, dict) else code
        raise ModelError(
            f"{key} {short(what)} is code, which is never run from a description; put it into the "
            "network itself, or set it to null where value_scaling and classes say the same"
        )


def window_of(shape: Shape) -> tuple[int, int] | None:
    """Return height and width in pixels that the network is fixed to, or None.

    Raises
    ------
    ModelError
        If the network is none of images, or only one of the sides is fixed.
    """
    if shape.axes not in ("nchw", "nhwc"):
        raise ModelError(
            f"the input has the dimensions {shape.axes!r}; possible are batch, channel, height and "
            "width, or batch, height, width and channel"
        )
    height, width = shape.size("h"), shape.size("w")
    if height is None or width is None:
        if height == width:
            return None
        raise ModelError("the input fixes one of height and width; give both, or -1 for both")
    if height * width * (shape.size("c") or 1) > LARGEST:
        raise ModelError(
            f"an input of {height} x {width} pixels is too large to run; give its tile"
        )
    return height, width


def _names(bands: Any) -> tuple[str, ...]:
    """Return the bands' own names; none for any bands."""
    if bands is None or bands in ([], ["*"]):
        return ()
    names = [_name(band) for band in typed(bands, list, "bands of mlm:input")]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ModelError(
            f"the input names bands more than once ({', '.join(twice)}); name each once, as in "
            "before_red and after_red for two dates"
        )
    return tuple(names)


def _name(band: Any) -> str:
    if isinstance(band, dict):
        name = typed(band.get("name"), str, "name of a band")
        if band.get("expression") is not None:
            raise ModelError(
                f"band {name!r} is made by the {band.get('format')!r} expression "
                f"{short(band['expression'])}, which is never run; make that band first and name it"
            )
        return name
    return typed(band, str, "a band")


def _definition(name: str, definitions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return all that is said about a band; what comes first counts."""
    found: dict[str, Any] = {}
    for band in definitions:
        if band.get("name") == name:
            found = {**band, **found}
    return found


def _common_names(own: Sequence[str], defined: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return common names where they tell the bands apart, else the bands' own."""
    common = [band.get("eo:common_name", band.get("common_name")) for band in defined]
    shared = [
        str(name) if isinstance(name, str) and name and common.count(name) == 1 else fallback
        for name, fallback in zip(common, own, strict=True)
    ]
    return tuple(shared) if len(set(shared)) == len(shared) else tuple(own)


def _agreed(values: Sequence[Any]) -> str | None:
    """Return the pixel type that all bands are said to have."""
    kinds = {value if isinstance(value, str) and value in PIXEL_TYPES else None for value in values}
    return kinds.pop() if len(kinds) == 1 else None


def _cell_size(defined: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the cell size in metres that all bands are said to have."""
    keys = ("raster:spatial_resolution", "spatial_resolution", "gsd")
    sizes = {next((number(band[key]) for key in keys if key in band), None) for band in defined}
    size = sizes.pop() if len(sizes) == 1 else None
    return size if size is None or size > 0 else None


def _fit(resize: Any, shape: Shape, task: str) -> Fit | None:
    """Return how whole images are resized; windows are cut from rasters as they are."""
    if resize is None or (task != "recognize" and resize in ("crop", "pad")):
        return None
    fixed = window_of(shape)
    if task == "recognize" and resize in tuple(RESIZES) and fixed:
        return Fit(RESIZES[resize], *fixed)
    if task == "recognize":
        raise ModelError(
            f"resize_type {short(resize)} does not say what whole images become; possible are null "
            f"and, with a fixed height and width, {', '.join(RESIZES)}"
        )
    raise ModelError(
        f"resize_type {short(resize)} does not say which cell size the model has seen; bring the "
        "raster to that cell size (cell_size=) and set resize_type to null, 'crop' or 'pad'"
    )


def _steps(text: Mapping[str, Any]) -> Any:
    """Return the scaling as `canonical` takes it, also of items older than v1.4."""
    for key in ("value_scaling", "scaling"):
        if text.get(key) is not None:
            return text[key]
    kind = text.get("norm_type")
    if kind is None:
        return None
    if kind == "clip":
        # v1.3: values are divided by norm_clip, then cut to 0..1.
        ends = {"type": "clip", "minimum": 0, "maximum": 1}
        return [
            [{"type": "scale", "value": value}, ends]
            for value in typed(text.get("norm_clip"), list, "norm_clip")
        ]
    return [
        {**typed(one, dict, "an entry of statistics"), "type": kind}
        for one in typed(text.get("statistics"), list, "statistics")
    ]
