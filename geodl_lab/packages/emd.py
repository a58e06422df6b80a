"""Esri model definitions (``.emd``): a JSON description beside the weights.

Keys as in Esri's raster-deep-learning repository (Apache-2.0); unknown ones are ignored.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from geodl_lab.errors import ModelError
from geodl_lab.package import InputSpec, LabelClass
from geodl_lab.packages.archives import Files, hash_bytes
from geodl_lab.packages.weights import load_network
from geodl_lab.packages.wrap import Facts, wrap
from geodl_lab.runtime import Model

BANDS = {"nearinfrared": "nir", "nir": "nir"}
STORED_MAX = 255
"""Largest stored value: a ``DataRange`` of 0..1 is stored bytes divided by this."""


def read_emd(files: Files, name: str, *, trust: bool) -> Model:
    """Open an ``.emd``.

    Parameters
    ----------
    files
        The package.
    name
        Its ``.emd``.
    trust
        True lets the package's own code run.

    Raises
    ------
    ModelError
        If the description is damaged or of a kind that this version does not run.
    TrustError
        If the weights are a program and are not trusted.
    """
    text = files.read_json(name)
    if text.get("ModelType") != "ImageClassification":
        raise ModelError(
            f"{name!r} is of ModelType {text.get('ModelType')!r}; this version runs "
            "'ImageClassification'"
        )
    weights = files.find(str(text.get("ModelFile")), beside=name)
    network = load_network(files, weights, trust=trust)
    try:
        facts = _facts(text, PurePosixPath(name).stem, hash_bytes(files.read(weights)))
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ModelError(f"{name!r} lacks or misuses the key {error}") from error
    return wrap(network, facts)


def _facts(text: dict[str, Any], name: str, sha256: str) -> Facts:
    padding = text.get("ModelPadding")
    return Facts(
        name=str(text.get("ModelName") or name),
        task="classify",
        inputs=_inputs(text),
        classes=tuple(_label(label) for label in text["Classes"]),
        window=int(text["ImageHeight"]),
        fixed_window=True,
        padding=None if padding is None else int(padding),
        version=str(text.get("Version", "1.0.0")),
        sha256=sha256,
        about={
            "description": text.get("Description", ""),
            "license": text.get("License", ""),
            "attribution": text.get("Attribution", ""),
        },
    )


def _inputs(text: dict[str, Any]) -> InputSpec:
    names = tuple(BANDS.get(n.lower(), n.lower()) for n in text.get("WellKnownBandNames", ()))
    low, high = text.get("DataRange", (0, STORED_MAX))
    if low != 0:
        raise ModelError(f"DataRange {[low, high]} does not begin at 0; this version needs 0")
    cell = text.get("CellSize")
    return InputSpec(names, len(text["ExtractBands"]), "uint8", high / STORED_MAX, cell_size=cell)


def _label(label: dict[str, Any]) -> LabelClass:
    color = "#{:02x}{:02x}{:02x}".format(*label["Color"][:3])
    return LabelClass(int(label["Value"]), str(label["Name"]), color)
