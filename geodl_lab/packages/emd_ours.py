"""What the standard keys of an Esri model definition cannot say, under the one key ``GeodlLab``.

Where both speak, the standard key wins: what stands here only sharpens it (numbers that agree but
for rounding) or adds to it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from geodl_lab.bands import common_name
from geodl_lab.decoders import Decoder, Recognizer
from geodl_lab.errors import ModelError
from geodl_lab.inputs import Fit, InputSpec
from geodl_lab.package import Field, ModelPackage
from geodl_lab.packages.emd_keys import Emd

KEY = "GeodlLab"
SCALING_KEYS = (
    "DataRange",
    "NormalizationStats",
    "IsMultispectral",
    "IsImageNetNormalization",
    "ImageNetNormalization",
)
SCALING = ("dtype", "scale", "mean", "std", "low", "high")
PEOPLE = ("title", "description", "license", "attribution", "accuracy")
ROUNDING = 1e-6
"""Relative difference up to which two scalings are the same one, written in two forms."""


def write_ours(package: ModelPackage, *, weights: str) -> dict[str, Any]:
    """Return the object that stands under `KEY`.

    Parameters
    ----------
    package
        What to write.
    weights
        The sha256 of the weights that its field was measured of.
    """
    inputs = dataclasses.asdict(package.inputs)
    for name in ("low", "high"):  # JSON knows no infinity: null is "not cut"
        if inputs[name] is not None:
            inputs[name] = [side if np.isfinite(side) else None for side in inputs[name]]
    parts = {
        "inputs": inputs,
        "decoder": package.decoder and dataclasses.asdict(package.decoder),
        "recognizer": package.recognizer and dataclasses.asdict(package.recognizer),
        "field": dataclasses.asdict(package.field),
        "weights": weights,
        "about": {key: package.about[key] for key in PEOPLE if package.about.get(key)},
    }
    return {key: value for key, value in parts.items() if value}


def sharpen_inputs(spec: InputSpec, emd: Emd) -> InputSpec:
    """Return the inputs that the standard keys say, with what these leave out."""
    ours = emd.section(KEY).section("inputs")
    if not ours.text:
        return spec
    stored = _made(emd, lambda: _inputs(ours))
    if stored.count != spec.count:
        return spec
    changes: dict[str, Any] = {"fit": stored.fit}
    said = any(emd.get(key) is not None for key in SCALING_KEYS)
    if not said or _same_scaling(spec, stored):
        changes |= {name: getattr(stored, name) for name in SCALING}
    if not spec.bands or list(map(common_name, stored.bands)) == list(spec.bands):
        changes |= {"bands": stored.bands, "other_names": stored.other_names}
    if spec.positions == (stored.positions or tuple(range(spec.count))):
        changes |= {"positions": stored.positions}
    if spec.cell_size is None:
        changes |= {"cell_size": stored.cell_size}
    return dataclasses.replace(spec, **changes)


def sharpen_decoding(decoding: Mapping[str, Any], emd: Emd) -> dict[str, Any]:
    """Return the decoder's options, its name under ``name`` where it is known."""
    ours = emd.section(KEY).section("decoder")
    if not ours.text:
        return dict(decoding)
    stored: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in ours.text.items()
    }
    decoder = _made(emd, lambda: Decoder(**stored))
    return {**{f.name: getattr(decoder, f.name) for f in dataclasses.fields(decoder)}, **decoding}


def sharpen_recognizer(emd: Emd) -> Recognizer:
    """Return how labels of images are read."""
    ours = emd.section(KEY).section("recognizer")
    stored = {**ours.text, "thresholds": ours.numbers("thresholds") or ()}
    recognizer = _made(emd, lambda: Recognizer(**stored))
    flags = {"fixed_chip": emd.flag("CropSizeFixed"), "blacken": emd.flag("BlackenAroundFeature")}
    said = {name: flag for name, flag in flags.items() if flag is not None}
    return dataclasses.replace(recognizer, **said)


def stored_field(emd: Emd, *, weights: str, padding: int | None) -> Field | None:
    """Return the field that was measured, None where it was of others or is none.

    Parameters
    ----------
    emd
        The description.
    weights
        The sha256 of the weights that are there; the field of others does not hold.
    padding
        What the standard keys say, in pixels; another one than the field's wins.
    """
    section = emd.section(KEY)
    ours = section.section("field")
    if not ours.text or section.get("weights") != weights:
        return None
    field = _made(emd, lambda: _field(ours))
    return None if not field.finite and padding not in (None, field.halo) else field


def stored_about(emd: Emd) -> dict[str, Any]:
    """Return what is known for people."""
    about = emd.section(KEY).section("about").text
    return {key: about[key] for key in PEOPLE if key in about}


def _inputs(ours: Emd) -> InputSpec:
    fit, bands = ours.section("fit"), ours.items("bands") or []
    scale = ours.number("scale")
    return InputSpec(
        tuple(map(str, bands)),
        ours.whole("count") or 0,
        ours.word("dtype"),
        1.0 if scale is None else scale,
        ours.numbers("mean"),
        ours.numbers("std"),
        ours.number("cell_size"),
        _limits(ours, "low", -np.inf),
        _limits(ours, "high", np.inf),
        Fit(fit.word("kind") or "", fit.whole("height") or 0, fit.whole("width") or 0)
        if fit.text
        else None,
        tuple(int(place) for place in ours.numbers("positions") or ()),
        tuple(map(str, ours.items("other_names") or ())),
    )


def _limits(ours: Emd, key: str, none: float) -> tuple[float, ...] | None:
    """Return clips, of which ``null`` cuts nothing."""
    values = ours.items(key)
    if values is None:
        return None
    known = iter(Emd(ours.name, {key: [v for v in values if v is not None]}).numbers(key) or ())
    return tuple(none if value is None else next(known) for value in values)


def _field(ours: Emd) -> Field:
    memory = ours.number("memory")
    whole = {name: ours.whole(name) or 0 for name in ("halo", "crop")}
    field = Field(
        finite=bool(ours.flag("finite")),
        stride=ours.whole("stride") or 1,
        memory=2048.0 if memory is None else memory,
        seams=ours.numbers("seams") or (),
        **whole,
    )
    if min(field.stride - 1, field.halo, field.crop) < 0 or field.memory <= 0:
        raise ValueError("a field of less than nothing")
    return field


def _same_scaling(spec: InputSpec, stored: InputSpec) -> bool:
    """Tell whether two scalings map values alike but for rounding."""
    if spec.dtype not in (None, stored.dtype):
        return False
    return bool(np.allclose(_ends(spec), _ends(stored), rtol=ROUNDING, atol=ROUNDING))


def _ends(spec: InputSpec) -> np.ndarray:
    """Return gain and offset of each band, shape (2, band)."""
    zero, one = np.zeros(spec.count), np.ones(spec.count)
    mean = zero if spec.mean is None else np.array(spec.mean)
    std = one if spec.std is None else np.array(spec.std)
    return np.array([one * spec.scale / std, -mean / std])


def _made(emd: Emd, make: Callable[[], Any]) -> Any:
    """Return a value made of what stands under `KEY`; what cannot be made is told."""
    try:
        return make()
    except (TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            f"{emd.name!r} has a damaged {KEY!r} ({error}); leave the key out"
        ) from error
