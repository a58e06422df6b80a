"""What jobs know of models: lists, cards, installed packages. Imports torch: for workers only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geodl_lab.cards import card
from geodl_lab.errors import ModelError
from geodl_lab.packages.archives import hash_bytes, open_files
from geodl_lab.packages.installed import find, installed, only
from geodl_lab.packages.registry import open_model, origin_of
from geodl_lab.packages.store import install, uninstall
from geodl_lab.zoo_cards import zoo_cards

PRIVATE = ("where", "source")
"""What a card says of this machine's disk, which is nobody's business."""

LISTED = ("reference", "name", "version", "task")


def model_list() -> list[dict[str, str]]:
    """Return reference, name, version and task of all models: ours, then the installed ones."""
    return [{key: str(one[key]) for key in LISTED} for one in all_cards()]


def all_cards() -> list[dict[str, Any]]:
    """Return the cards of all models, with the reference of each, without paths."""
    return [*(public(one) for one in zoo_cards()), *installed_cards()]


def installed_cards() -> list[dict[str, Any]]:
    """Return the cards of the installed models alone, as `all_cards`."""
    return [public({"reference": one.reference, **one.card}) for one in installed()]


def card_of(model: str) -> dict[str, Any]:
    """Return the card of a model, by name or path, without paths; raises ModelError."""
    return public(card(open_model(model), **origin_of(model)))


def install_package(path: str) -> tuple[str, dict[str, Any], str]:
    """Install a package, whose own code stays untrusted.

    Returns
    -------
    tuple
        Its reference, its card, and a sentence that says what is to be done before it runs.

    Raises
    ------
    ModelError
        If it does not open.
    """
    one = install(path, trust=False)
    said = f"{one.reference} is installed."
    if not one.card.get("runnable", True):
        said = f"{one.reference} is installed, but does not run as it is: {one.card['reason']}"
    return one.reference, public(one.card), said


def installed_reference(model: str) -> str:
    """Return the installed model that a reference, or the path of the same package, means.

    Raises
    ------
    ModelError
        If it means none, or more than one.
    """
    if not Path(model).is_absolute():
        return only(model).reference
    files = open_files(Path(model))  # an archive has another hash than what is installed of it
    content = {name: hash_bytes(files.read(name)) for name in files.members}
    found = [one.reference for one in installed() if dict(one.hashes) == content]
    if not found:
        raise ModelError(f"{Path(model).name!r} is not installed; install it, or name a model")
    return found[0]


def is_installed(reference: str) -> bool:
    """Tell whether a model is installed."""
    return bool(find(reference))


def remove(reference: str) -> str:
    """Uninstall a model; returns its reference, raises ModelError."""
    return uninstall(reference).reference


def public(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return a card without what it says of this machine's disk."""
    return {key: value for key, value in card.items() if key not in PRIVATE}
