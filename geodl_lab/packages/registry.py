"""Find a model by name or path and open it."""

from __future__ import annotations

import difflib
import functools
from pathlib import Path
from typing import Any

import torch

from geodl_lab.card_html import list_html
from geodl_lab.cards import Card, card
from geodl_lab.errors import ModelError
from geodl_lab.packages.archives import is_trusted, open_files
from geodl_lab.packages.formats import find_path, identify, read_package, refuse_facts
from geodl_lab.packages.installed import ZOO, bundled, find, installed, open_installed
from geodl_lab.runtime import Model


def open_model(model: str | Path | Model, *, trust: bool | str = False, **facts: Any) -> Model:
    """Open a model by name or path.

    A name goes before a path; write ``./name`` for a file or folder that is called like a model.

    Parameters
    ----------
    model
        Name of a bundled or installed model (``name``, ``name@version``, ``name@version#hash``; a
        name alone is its newest version, of that the one installed last); the path of a package
        (a folder, ``.emd``, ``.dlpk``, ``.zip``, ``model.json``, a STAC MLM item) or of weights
        alone (``.onnx``, ``.pt``, ...); or a model already opened.
    trust
        True lets the file's own code run; the sha256 of the file lets it run if it is that very
        file. Say so only of files whose source you know. An installed model remembers it.
    facts
        Of weights alone: what they want and give, by the names of `geodl_lab.from_torch`, as in
        ``bands=["red"], classes=["land", "water"]``.

    Returns
    -------
    Model
        Ready for ``da.dl.classify`` or ``da.dl.detect``. Models by name are opened once a process.

    Raises
    ------
    ModelError
        If there is no such model or it is damaged.
    TrustError
        If it would run its own code, or another hash is trusted.
    OptionError
        If facts are given of what says them itself.
    """
    if isinstance(model, torch.nn.Module):
        raise ModelError(
            f"{type(model).__name__} is a bare module; say what it wants and gives first, as in "
            "geodl_lab.from_torch(module, bands=['red'], classes=['a', 'b'])"
        )
    named = model if isinstance(model, Model) else _by_name(str(model), trust)
    if named is not None:
        refuse_facts(named.name, facts)
        return named
    path = find_path(model)
    if path is None:
        shown = str(model)[:200]
        raise ModelError(f"there is no model {shown!r}{_instead(shown)}")
    return _open_path(path, trust=trust, facts=facts)


class ModelNames(list[str]):
    """Names of models; a notebook shows them as a table of what the models are."""

    def _repr_html_(self) -> str:
        return list_html([card for card in model_cards() if card["name"] in self])


def list_models() -> ModelNames:
    """Return the names of the bundled and the installed models, sorted."""
    return ModelNames(sorted({*bundled(), *(one.name for one in installed())}))


def model_cards() -> list[Card]:
    """Return the cards of the bundled and of all installed models, as `cards.card`."""
    listed = [card(open_model(name), where="bundled") for name in bundled()]
    return listed + [{**one.card, **one.origin} for one in installed()]


def origin_of(model: str | Path) -> dict[str, Any]:
    """Return where a model that opens is from, for its card: format, place and hash to trust."""
    if str(model) in bundled():
        return {"where": "bundled"}
    if found := find(str(model)):
        return found[0].origin
    files = open_files(Path(model))
    return {
        "format": identify(files)[0].name,
        "content_sha256": files.sha256,
        "where": str(Path(model).absolute()),
    }


def _by_name(name: str, trust: bool | str) -> Model | None:
    if name in bundled():
        return _open_bundled(name)
    found = find(name)
    return open_installed(found[0], trust=trust) if found else None


@functools.cache
def _open_bundled(name: str) -> Model:
    # Shipped with the package, so as trusted as its own code.
    return _open_path(ZOO / name, trust=True, facts={})


def _open_path(path: Path, *, trust: bool | str, facts: dict[str, Any]) -> Model:
    files = open_files(path)
    # The hash of a large package takes a while, and only a hash is compared with it.
    trusted = is_trusted(trust, "" if isinstance(trust, bool) else files.sha256)
    return read_package(files, trust=trusted, facts=facts)


def _instead(name: str) -> str:
    """Return what can be named instead."""
    mine = [one.name for one in installed()]
    near = difflib.get_close_matches(name, list_models(), n=1, cutoff=0.6)
    head, _, rest = name.partition("@")
    if rest and head in mine:
        return f"; installed of it: {', '.join(one.reference for one in find(head))}"
    return (
        f": bundled are {', '.join(bundled())}"
        + (f"; installed are {', '.join(dict.fromkeys(mine))}" if mine else "")
        + (f"; did you mean {near[0]!r}?" if near else "")
        + "; or give the path of a package"
    )
