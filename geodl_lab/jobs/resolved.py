"""A recipe's references as local things: files, and models that open by name or path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from geodl_lab.jobs.recipes import Ref


class Call(Protocol):
    """Calls a function with its arguments in a process whose end ends no other."""

    def __call__(self, function: Any, /, *args: Any) -> Any:
        """Return what it returns, or raise what it raises; all of it can be pickled."""
        ...


def call_here(function: Any, /, *args: Any) -> Any:
    """Call a function in this process; a `Call` for files that are trusted."""
    return function(*args)


@dataclass(frozen=True)
class Network:
    """A network that was uploaded.

    Parameters
    ----------
    folder
        Of its files.
    framework
        As `packages.deepomatic.FRAMEWORKS` calls it.
    preprocessing
        What it is fed, JSON as text.
    name
        Its number, for messages.
    trusted
        Hashes of files whose own code may run here.
    """

    folder: Path
    framework: str
    preprocessing: str
    name: str
    trusted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Resolved:
    """What the references of a recipe mean.

    Parameters
    ----------
    rasters
        Checked raster files (`rasters.check_raster`) of each reference, in item order; several
        for a folder or a service of several rasters.
    features
        A vector file (GeoPackage, GeoParquet or GeoJSON) of each reference to features.
    model
        What `geodl_lab.open_model` takes: the reference of an installed model, or a path; "" if
        the recipe names none.
    photo
        File of the photo of a `recipes.Look`.
    network
        The network of a `recipes.Look` or `recipes.Deploy`.
    """

    rasters: Mapping[Ref, tuple[Path, ...]] = field(default_factory=dict)
    features: Mapping[Ref, Path] = field(default_factory=dict)
    model: str = ""
    photo: Path | None = None
    network: Network | None = None
