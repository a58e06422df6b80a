"""Models by name: those that are bundled, and those installed into a folder of this user.

An installed model is the folder ``name/version/<sha256>``: its files in ``package``, what is known
of it in ``installed.json``, and ``lock``, on which every process that has opened it holds a shared
lock as long as it lives. What begins with a dot is being made or being removed.
"""

from __future__ import annotations

import dataclasses
import functools
import glob
import json
import logging
import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geodl_lab import locks, settings
from geodl_lab.checkpoints import sync
from geodl_lab.errors import ModelError, first_line
from geodl_lab.packages.archives import Files, hash_bytes, is_trusted
from geodl_lab.packages.formats import read_package
from geodl_lab.runtime import Model

LOGGER = logging.getLogger("geodl_lab")
ZOO = Path(__file__).parent.parent / "zoo"

WORD = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""What a name and a version may be; they are folders."""

REFERENCE = re.compile(
    rf"(?P<name>{WORD})(@(?P<version>{WORD}))?(#(?P<sha256>[0-9a-fA-F]{{4,64}}))?"
)

RECORD = {
    "source": str, "date": str, "trusted": bool, "main": str, "hashes": dict, "card": dict,
}  # fmt: skip
"""What ``installed.json`` holds."""

_OPENING = threading.RLock()
_HELD: list[int] = []
"""Locks of the models that this process has opened and holds; they end with it."""


@dataclass(frozen=True)
class Installed:
    """One installed model.

    Parameters
    ----------
    name, version
        What it is called here.
    sha256
        Hash of its files.
    folder
        Where it is.
    source
        Name of the file or folder that it was installed from.
    date
        When it was installed (UTC, ISO 8601).
    trusted
        Whether its own code may run.
    main
        File that describes it, "" where there is only one.
    hashes
        Hash of each file, by name.
    card
        What there is to know of it, as `geodl_lab.cards.card` returns.
    """

    name: str
    version: str
    sha256: str
    folder: Path
    source: str
    date: str
    trusted: bool
    main: str
    hashes: Mapping[str, str] = dataclasses.field(repr=False)
    card: Mapping[str, Any] = dataclasses.field(repr=False)

    @property
    def reference(self) -> str:
        """Name, version and the begin of the hash, which mean this one model."""
        return f"{self.name}@{self.version}#{self.sha256[:12]}"

    @property
    def origin(self) -> dict[str, Any]:
        """Where it is from, for its card."""
        return {
            "format": self.card["format"],
            "source": self.source,
            "installed": self.date[:10],
            "trusted": self.trusted,
            "content_sha256": self.sha256,
            "where": str(self.folder),
        }

    @property
    def files(self) -> Files:
        """Its files."""
        return Files(self.folder / "package", self.main)


def bundled() -> list[str]:
    """Return the names of the models that come with this package, sorted."""
    return sorted(folder.name for folder in ZOO.iterdir() if Files(folder).descriptions())


def installed() -> list[Installed]:
    """Return all installed models: by name, newest version first, then the latest installed."""
    found = _sorted(settings.models_folder(), "*/*/*/installed.json")
    return sorted(found, key=lambda one: one.name)


def find(reference: str) -> list[Installed]:
    """Return the installed models that ``name[@version][#hash]`` means, the best one first."""
    parts = REFERENCE.fullmatch(reference)
    if not parts:
        return []
    version, sha256 = parts["version"], (parts["sha256"] or "").lower()
    named = _sorted(settings.models_folder(), f"{parts['name']}/*/*/installed.json")
    return [o for o in named if version in (None, o.version) and o.sha256.startswith(sha256)]


def only(reference: str) -> Installed:
    """Return the one installed model that a reference means.

    Raises
    ------
    ModelError
        If it means none, or more than one.
    """
    found = find(str(reference))
    if len(found) == 1:
        return found[0]
    if found:
        which = ", ".join(one.reference for one in found)
        raise ModelError(f"{reference!r} may be each of {which}; name one of them")
    if reference in bundled():
        raise ModelError(f"{reference!r} is a bundled model and cannot be uninstalled")
    known = ", ".join(one.reference for one in installed()) or "none"
    raise ModelError(f"there is no installed model {str(reference)[:200]!r}; installed: {known}")


def open_installed(one: Installed, *, trust: bool | str = False) -> Model:
    """Open an installed model, once a process.

    Raises
    ------
    ModelError
        If it was changed or removed since it was installed.
    TrustError
        If another hash is trusted.
    """
    with _OPENING:
        return _opened(one.folder, is_trusted(trust, one.sha256) or one.trusted)


@functools.cache
def _opened(folder: Path, trusted: bool) -> Model:
    try:
        lock = locks.share(folder / "lock")
    except OSError as error:
        raise ModelError(
            f"the model in {str(folder)!r} cannot be opened ({first_line(error)}); it may have "
            "been uninstalled just now"
        ) from error
    try:
        one = read(folder / "installed.json")
        if one is None:
            raise ModelError(f"the model in {str(folder)!r} is damaged; remove that folder")
        files = one.files  # the very ones that are hashed
        _check_unchanged(one, files)
        model = read_package(files, trust=trusted, facts={})
    except BaseException:
        os.close(lock)
        raise
    if settings.holds_models():
        _HELD.append(lock)
    else:
        os.close(lock)
    return named(model, one.name, one.version)


def _check_unchanged(one: Installed, files: Files) -> None:
    if files.sha256 == one.sha256:
        return
    present = {name: hash_bytes(files.read(name)) for name in files.names}
    changed = sorted({name for name, _ in present.items() ^ one.hashes.items()})
    raise ModelError(
        f"the installed model {one.reference!r} is not what was installed: "
        f"{', '.join(changed[:5])} changed; uninstall it and install it again"
    )


def named(model: Model, name: str, version: str) -> Model:
    """Return the model as it is called here, which may not be what its package says."""
    package = dataclasses.replace(model.package, name=name, version=version)
    return dataclasses.replace(model, package=package)


def write(folder: Path, one: Installed) -> None:
    """Write the record of a model into its folder, or the one that it is made in."""
    text = json.dumps({key: getattr(one, key) for key in RECORD}, indent=2)
    beside = folder / "installed.json.part"
    beside.write_text(text, encoding="utf-8")
    sync(beside)
    beside.replace(folder / "installed.json")


def read(file: Path) -> Installed | None:
    """Return the model of a record, None where it is gone or damaged."""
    name, version, sha256 = file.parent.parts[-3:]
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        if wrong := [key for key, kind in RECORD.items() if not isinstance(record[key], kind)]:
            raise ValueError(f"it holds no {wrong[0]}")
        return Installed(name, version, sha256, file.parent, **record)
    except FileNotFoundError:  # uninstalled just now
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        LOGGER.warning("the installed model %s is left out: %s", file.parent, first_line(error))
        return None


def _sorted(folder: Path, records: str) -> list[Installed]:
    # Not Path.glob, which fails where another process removes a folder meanwhile.
    names = glob.glob(records, root_dir=folder)
    found = [one for name in names if (one := read(folder / name))]
    return sorted(found, key=lambda one: (_ordered(one.version), one.date), reverse=True)


def _ordered(version: str) -> tuple[tuple[int, int, str], ...]:
    """Return what sorts versions: 1.10 after 1.9, and 1.0 after 1.0rc1."""
    parts = re.findall(r"\d+|[a-z]+", version.lower().removeprefix("v"))
    end = (1, 0, "")
    return (*((2, int(p), "") if p.isdigit() else (0, 0, p) for p in parts), end)
