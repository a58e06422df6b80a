"""The formats of models: what tells each apart, what reads it, what it may hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from geodl_lab.errors import ModelError, OptionError
from geodl_lab.packages.archives import Files
from geodl_lab.packages.bare import read_bare
from geodl_lab.packages.emd import read_emd
from geodl_lab.packages.mlm import read_mlm
from geodl_lab.packages.native import FORMAT, read_native
from geodl_lab.packages.weights import ENDINGS
from geodl_lab.runtime import Model

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/+\S")


@dataclass(frozen=True)
class Format:
    """One kind of file that `geodl_lab.open_model` opens.

    Parameters
    ----------
    name
        For people.
    files
        What such a model is, for people.
    claims
        Tells whether a file of a package is of this format.
    read
        Opens the file ``name`` of a package: ``(files, name, *, trust) -> Model``.
    writer
        The call that writes it, "" for none.
    trust
        What of it runs only where it is trusted.
    holds
        What it may hold.
    """

    name: str
    files: str
    claims: Callable[[Files, str], bool]
    read: Callable[..., Model]
    writer: str
    trust: str
    holds: str


def read_package(files: Files, *, trust: bool, facts: Mapping[str, Any]) -> Model:
    """Open a package of any format.

    Parameters
    ----------
    files
        The package.
    trust
        True lets its own code run.
    facts
        What the caller says of weights that come alone.

    Raises
    ------
    ModelError
        If it is of no format, of several, or damaged.
    OptionError
        If facts are given of a package that says them itself.
    """
    kind, name = identify(files)
    if kind is BARE:
        return kind.read(files, name, trust=trust, **facts)
    refuse_facts(_shown(files), facts)
    return kind.read(files, name, **({} if kind is NATIVE else {"trust": trust}))


def refuse_facts(model: str, facts: Mapping[str, Any]) -> None:
    """Refuse to be told what a model says itself.

    Raises
    ------
    OptionError
        If anything is given.
    """
    if facts:
        raise OptionError(
            f"{model!r} says itself what it wants and gives, so {', '.join(facts)} cannot be given "
            "here; options of a run go to the run, as in "
            "da.dl.detect(model, threshold=0.5, padding=64)"
        )


def find_path(given: object) -> Path | None:
    """Return the path that was given, None if nothing is there.

    Raises
    ------
    ModelError
        If it is an address of the internet.
    """
    if ADDRESS.match(str(given)):
        raise ModelError(
            f"{str(given)[:200]!r} is an address; download the model and give the file's path"
        )
    try:
        path = Path(given)  # type: ignore[arg-type]
        return path if path.exists() else None
    except (TypeError, OSError, ValueError):  # no path at all, or one that no disk could hold
        return None


def identify(files: Files) -> tuple[Format, str]:
    """Return the format of a package and the name of the file that describes it.

    Raises
    ------
    ModelError
        If there is none, or more than one.
    """
    found = [files.main] if files.main else _candidates(files)
    if len(found) > 1:
        raise ModelError(
            f"{_shown(files)!r} describes more than one model: {', '.join(found)}; give the path "
            "of one of them (of an archive: unpack it first)"
        )
    for kind in FORMATS if found else ():
        if kind.claims(files, found[0]):
            return kind, found[0]
    raise ModelError(
        f"{_shown(files)!r} is no model package; possible are {possible()}, or a folder or "
        ".zip with one of these descriptions"
    )


def possible() -> str:
    """Return what kinds of files a model may be."""
    return f"model.json, .emd, .dlpk, a STAC MLM item (.json), or weights ({', '.join(ENDINGS)})"


def _candidates(files: Files) -> list[str]:
    """Return what describes a package; other JSON beside it is none of our business."""
    return [name for name in files.descriptions() if _describes(files, name)]


def _describes(files: Files, name: str) -> bool:
    if _is_emd(files, name) or PurePosixPath(name).name == "model.json":
        return True
    try:
        text = files.read_json(name)
    except ModelError:
        return False
    return text.get("format") == FORMAT or _is_item(text)


def _is_native(files: Files, name: str) -> bool:
    if not name.lower().endswith(".json"):
        return False
    text = files.read_json(name)
    named = PurePosixPath(name).name == "model.json"
    return text.get("format") == FORMAT or (named and not _is_item(text))


def _is_mlm(files: Files, name: str) -> bool:
    # Any STAC object that is named: its reader says best what it lacks.
    return name.lower().endswith(".json") and "stac_version" in files.read_json(name)


def _is_item(text: Mapping[str, Any]) -> bool:
    """Tell whether JSON is a STAC item that describes a model."""
    properties = text.get("properties")
    return (
        "stac_version" in text
        and isinstance(properties, dict)
        and any(key.startswith("mlm:") for key in properties)
    )


def _is_emd(files: Files, name: str) -> bool:
    return name.lower().endswith(".emd")


def _is_weights(files: Files, name: str) -> bool:
    return name.lower().endswith(ENDINGS)


def _shown(files: Files) -> str:
    return str(files.path / files.main)


NATIVE = Format(
    name="geodl model",
    files="folder or `.zip` with `model.json`",
    claims=_is_native,
    read=read_native,
    writer="",
    trust="nothing: no code in it",
    holds="safetensors of a known architecture",
)
BARE = Format(
    name="weights alone",
    files=" ".join(f"`{ending}`" for ending in ENDINGS),
    claims=_is_weights,
    read=read_bare,
    writer="",
    trust="`.pt2`",
    holds="a network; what it wants and gives is said in the call, as to `from_torch`",
)
FORMATS = (
    NATIVE,
    Format(
        name="Esri model",
        files="`.dlpk`, `.zip`, folder or `.emd`",
        claims=_is_emd,
        read=read_emd,
        writer='`model.save("x.dlpk")`',
        trust="Python raster functions, `.pt2`",
        holds="TorchScript, ONNX, Python raster functions; TensorFlow opens but does not run",
    ),
    Format(
        name="STAC MLM item",
        files="`.json` with `mlm:` properties, weights beside it",
        claims=_is_mlm,
        read=read_mlm,
        writer='`model.save("x.json")`',
        trust="`.pt2`",
        holds="TorchScript, ONNX, `.pt2`, safetensors of a known architecture",
    ),
    BARE,
)
