"""A file of weights alone: what describes it is what its user says."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import torch

from geodl_lab.answers import described
from geodl_lab.devices import on_one_thread
from geodl_lab.errors import ModelError
from geodl_lab.packages.archives import Files
from geodl_lab.packages.facts import Said
from geodl_lab.packages.onnx_network import OnnxNetwork, describe, load_onnx
from geodl_lab.packages.weights import hash_weights, load_network
from geodl_lab.packages.wrap import wrap
from geodl_lab.runtime import Model

SIDES, MOST_BANDS = (256, 512, 224, 640, 64), 16
"""What a module is tried with that says nothing of itself."""

SAID = {field.name for field in dataclasses.fields(Said)} - {"sha256"}
"""Names of what a user may say."""


def read_bare(
    files: Files,
    name: str,
    *,
    trust: Any = False,
    architecture: str | Mapping[str, Any] | None = None,
    channels_first: bool | None = None,
    output: str = "",
    **said: Any,
) -> Model:
    """Open a file of weights that nothing describes but the caller.

    Parameters
    ----------
    files
        Its folder.
    name
        Its name.
    trust
        As of `geodl_lab.packages.weights.load_network`.
    architecture
        Of a file of tensors: the name of a network of ours, or a mapping of ``name`` and
        ``arguments``.
    channels_first, output
        Of ONNX: as of `geodl_lab.packages.onnx_network.load_onnx`.
    said
        As of `geodl_lab.from_torch`, and ``width``; ``bands`` is needed. Where the network has a
        fixed size, ``window`` and ``width`` are that by themselves.

    Raises
    ------
    ModelError
        If the weights do not open, or what is said is not enough or does not fit them.
    TrustError
        If they are a program that nobody trusted.
    """
    unknown = sorted(set(said) - SAID)
    if unknown:
        raise ModelError(
            f"nothing is known of {', '.join(map(repr, unknown))}; possible are "
            f"{', '.join(sorted((*SAID, 'architecture', 'channels_first', 'output')))}"
        )
    if PurePosixPath(name).suffix.lower() == ".onnx":
        network: Any = load_onnx(files, name, channels_first=channels_first, output=output)
    elif channels_first is not None or output:
        raise ModelError(
            f"channels_first and output are of ONNX files, not of {name!r}; leave them out"
        )
    else:
        network = load_network(files, name, trust=trust, architecture=_architecture(architecture))
    if "bands" not in said:
        raise ModelError(_too_little(network, name))
    if "scale" not in said and said.keys() & {"mean", "std"}:
        raise ModelError(
            f"mean and std of {name!r} are given without scale, and a value is multiplied by that "
            "first; say scale=1 if they are of values as they are stored, as of reflectance, or "
            "scale=1/255 if they are of bytes brought to 0..1"
        )
    named = {"name": PurePosixPath(name).stem, "sha256": hash_weights(files, name, network)}
    return wrap(network, Said(**{**named, **_size(network), **said}).facts)


def _architecture(given: Any) -> Mapping[str, Any] | None:
    if isinstance(given, str):
        return {"name": given}
    if given is None or (isinstance(given, Mapping) and isinstance(given.get("name"), str)):
        return given
    raise ModelError(
        f"architecture {given!r} is none; give a name, or a mapping as in "
        "{'name': 'unet', 'arguments': {'in_channels': 3, 'out_channels': 2}}"
    )


def _size(network: Any) -> dict[str, Any]:
    """Return the window that a network says itself."""
    fixed = network.fixed_yx if isinstance(network, OnnxNetwork) else None
    if fixed is None:
        return {}
    height, width = fixed
    return {"window": height, "fixed_window": True} | ({"width": width} if width != height else {})


def _too_little(network: Any, name: str) -> str:
    """Say what is missing, what the network tells itself, and how it is said."""
    told, bands = _told(network)
    named = {1: "['gray']", 3: "['red', 'green', 'blue']", 4: "['red', 'green', 'blue', 'nir']"}
    return (
        f"nothing describes {name!r}{told}; say the rest, as in open_model({name!r}, "
        f"bands={named.get(bands or 3, bands)}, classes=['background', 'building'], scale=1/255); "
        "then model.save('x.dlpk') makes a package that geodl opens by itself"
    )


def _told(network: Any) -> tuple[str, int | None]:
    """Return what a network tells itself, in words, and the bands that it takes."""
    if isinstance(network, OnnxNetwork):
        return f"; {describe(network)}", network.channels
    for side, bands in itertools.product(SIDES, range(1, MOST_BANDS + 1)):
        with contextlib.suppress(Exception):  # anybody's code: it may raise anything
            answer = on_one_thread(_run, network, torch.zeros(1, bands, side, side))
            gives = f"it takes {bands} bands of {side} x {side} pixels and answers"
            return f"; {gives} {described(answer)}", bands
    return "", None


def _run(network: Any, x: torch.Tensor) -> Any:
    with torch.inference_mode():
        return network(x)
