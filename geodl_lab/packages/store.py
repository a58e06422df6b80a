"""Models are installed and uninstalled, whole or not at all, whoever else does so at once."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from geodl_lab import locks, settings
from geodl_lab.cards import card
from geodl_lab.errors import GeodlError, ModelError, OutputError, first_line
from geodl_lab.package import ModelPackage
from geodl_lab.packages.archives import Files, hash_bytes, is_trusted, open_files
from geodl_lab.packages.formats import BARE, find_path, identify, possible, read_package
from geodl_lab.packages.installed import WORD, Installed, bundled, named, only, read, write
from geodl_lab.packages.weights import ENDINGS
from geodl_lab.runtime import Model

TAKEN = (".dlpk", ".zip", ".emd", ".json", *ENDINGS)
"""Endings that a name must not have: it would hide a file of that name."""


def install(path: str | Path, *, trust: bool | str = False, name: str | None = None) -> Installed:
    """Copy a model into the folder of this user, so that it opens by name.

    Parameters
    ----------
    path
        A package: a folder, an archive, or the file that describes it, which stands for its
        folder. Installing the same content again changes nothing but trust.
    trust
        True, or the sha256 of the package: its own code may run whenever it is opened by name.
    name
        What to call it, as in ``"trees"`` or ``"trees@2.1"``; None takes what the package says.

    Returns
    -------
    Installed
        What is installed now.

    Raises
    ------
    ModelError
        If it does not open, or its name is not possible.
    TrustError
        If another hash is trusted.
    OutputError
        If the folder cannot be written.
    """
    found = find_path(path)
    if found is None:
        raise ModelError(f"there is no file {str(path)[:200]!r}; possible are {possible()}")
    files = open_files(found.absolute())
    if identify(files)[0] is BARE:
        raise ModelError(
            f"{str(path)!r} is weights alone, which do not say what they want and give; open them "
            "with bands= and classes=, save that with model.save('x.dlpk'), and install the file"
        )
    trusted = is_trusted(trust, "" if isinstance(trust, bool) else files.sha256)
    model = read_package(files, trust=trusted, facts={})
    called = _identity(name, model.package)
    store = settings.models_folder()
    with _explained(store), _staged(store) as staging:
        files.extract(staging / "package")
        one = _recorded(staging, files, named(model, *called), trusted=trusted)
        _sync(staging)
        with locks.alone(store / ".lock"):
            return _published(staging, one)


def uninstall(reference: str) -> Installed:
    """Remove an installed model.

    Parameters
    ----------
    reference
        ``name``, ``name@version`` or ``name@version#hash``, where the hash may be its begin.

    Returns
    -------
    Installed
        What was removed.

    Raises
    ------
    ModelError
        If there is no such model, more than one, or it is in use.
    OutputError
        If the folder cannot be written.
    """
    one, store, gone = only(reference), settings.models_folder(), _gone()
    with _explained(store):
        with locks.alone(store / ".lock"):
            _sweep(store)
            lock = _claimed(one)
            try:
                one.folder.rename(gone)
            finally:
                os.close(lock)
            _prune(one.folder)
        shutil.rmtree(gone, ignore_errors=True)
    return one


def _identity(given: str | None, package: ModelPackage) -> tuple[str, str]:
    """Return name and version to install under."""
    name, version = package.name, package.version
    if given is not None:
        name, _, other = str(given).partition("@")
        version = other or version
    for word, what in ((name, "name"), (version, "version")):
        if not re.fullmatch(WORD, word) or word.lower().endswith(TAKEN):
            safe = re.sub(r"[^A-Za-z0-9]+", "-", word).strip("-").lower()[:64] or "mine"
            other = safe if what == "name" else f"{name}@{safe}"
            raise ModelError(
                f"the {what} {word[:200]!r} is not possible: letters, digits, '.', '_' and '-' "
                "are, up to 64, and no ending of a file; give another with name= (--name), such "
                f"as {other!r}"
            )
    if name in bundled():
        raise ModelError(f"{name!r} is a bundled model; give another name with name= (--name)")
    return name, version


def _recorded(staging: Path, files: Files, model: Model, *, trusted: bool) -> Installed:
    """Write what is known of a model beside its files."""
    package = Files(staging / "package")
    one = Installed(
        name=model.package.name,
        version=model.package.version,
        sha256=package.sha256,
        folder=settings.models_folder() / model.name / model.package.version / package.sha256,
        source=(files.path / files.main).name,
        date=datetime.datetime.now(datetime.UTC).isoformat(),
        trusted=trusted,
        main=files.main,
        hashes={name: hash_bytes(package.read(name)) for name in package.names},
        card=card(model, format=identify(files)[0].name),
    )
    write(staging, one)
    return one


def _published(staging: Path, one: Installed) -> Installed:
    """Give a staged model its place, unless it is there; called under the store's lock."""
    there = read(one.folder / "installed.json")
    if there is None:
        if one.folder.exists():  # its record is damaged
            one.folder.rename(_gone())
        one.folder.parent.mkdir(parents=True, exist_ok=True)
        staging.rename(one.folder)
        _sync(one.folder.parent)
        return one
    if one.trusted and not there.trusted:
        there = dataclasses.replace(there, trusted=True)
        write(one.folder, there)
    return there


def _gone() -> Path:
    """Return the name of a hidden folder for what is removed; the next one who comes sweeps it."""
    return settings.models_folder() / f".removed-{uuid.uuid4().hex}"


@contextlib.contextmanager
def _staged(store: Path) -> Iterator[Path]:
    """Make a hidden folder, locked as long as the block runs; what it leaves there is removed."""
    store.mkdir(parents=True, exist_ok=True)
    with locks.alone(store / ".lock"):
        _sweep(store)
        staging = Path(tempfile.mkdtemp(prefix=".install-", dir=store))
        staging.chmod(0o755)
        lock = locks.claim(staging / "lock")
    try:
        yield staging
    finally:
        os.close(lock)
        shutil.rmtree(staging, ignore_errors=True)


def _sweep(store: Path) -> None:
    """Remove what processes left that were killed; called under the store's lock."""
    for left in (*store.glob(".install-*"), *store.glob(".removed-*")):
        with contextlib.suppress(OSError):
            os.close(locks.claim(left / "lock"))  # fails where its process lives
            shutil.rmtree(left, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Have the disk hold a folder and all that is in it."""
    for path in (*folder.rglob("*"), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _prune(folder: Path) -> None:
    """Remove the folders of a version and a name that are empty now."""
    with contextlib.suppress(OSError):
        folder.parent.rmdir()
        folder.parent.parent.rmdir()


def _claimed(one: Installed) -> int:
    """Return the only lock on a model.

    Raises
    ------
    ModelError
        If a process has opened it, or it is gone.
    """
    lock = one.folder / "lock"
    if not lock.exists():
        raise ModelError(f"the model {one.reference!r} was uninstalled just now")
    try:
        return locks.claim(lock)
    except BlockingIOError:
        who = [f"{p} (this one)" if p == os.getpid() else str(p) for p in locks.holders(lock)]
        raise ModelError(
            f"the model {one.reference!r} is in use by process {', '.join(who) or '(unknown)'}; "
            "end what runs it (a notebook: restart its kernel) and uninstall again"
        ) from None


@contextlib.contextmanager
def _explained(store: Path) -> Iterator[None]:
    """Word what the system raises where the folder of models cannot be written."""
    try:
        yield
    except GeodlError:
        raise
    except OSError as error:
        raise OutputError(
            f"{str(error.filename or store)!r} could not be written ({first_line(error)}); make "
            "room, or name another folder for models in the environment variable GEODL_MODELS"
        ) from error
