"""The files of a package, in a folder or in an archive, read by name and never from outside it."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from geodl_lab.errors import ModelError, TrustError, first_line

ENDINGS = (".dlpk", ".zip")
DESCRIPTIONS = (".emd", ".json")
"""Endings of files that describe a package; the package then is their folder."""


@dataclass(frozen=True)
class Files:
    """The files of one package.

    Parameters
    ----------
    path
        The folder, or the archive.
    main
        Name of the file that the person named, "" where it was a folder or an archive.
    """

    path: Path
    main: str = ""

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """Names of all files, sorted, with forward slashes."""
        if self.is_archive:
            return tuple(sorted(self._entries))
        files = (file for file in self.path.rglob("*") if file.is_file())
        return tuple(sorted(file.relative_to(self.path).as_posix() for file in files))

    @functools.cached_property
    def sha256(self) -> str:
        """Hash of the content: of the archive, of one file of weights, or of a whole folder."""
        if self.is_archive:
            return hash_bytes(self.path.read_bytes())
        if self.main and PurePosixPath(self.main).suffix not in DESCRIPTIONS:
            return hash_bytes(self.read(self.main))
        listing = [f"{hash_bytes(self.read(name))} {name}\n" for name in self.names]
        return hash_bytes("".join(listing).encode())

    @property
    def is_archive(self) -> bool:
        """Tell whether the files are in an archive."""
        return self.path.is_file()

    def read(self, name: str, *, beside: str = "") -> bytes:
        """Return a file, given with either kind of slash, relative to the file ``beside``.

        Raises
        ------
        ModelError
            If the file lies outside the package or is missing.
        """
        name = self.find(name, beside=beside)
        return self._entries[name] if self.is_archive else (self.path / name).read_bytes()

    def find(self, name: str, *, beside: str = "") -> str:
        """Return the name in `names` of a file; parameters and errors as of `read`."""
        parts: list[str] = [*PurePosixPath(beside).parent.parts]
        for part in PurePosixPath(name.replace("\\", "/")).parts:
            if part == "/" or part.endswith(":") or (part == ".." and not parts):
                raise ModelError(f"the model names the file {name!r} outside its own folder")
            parts = parts[:-1] if part == ".." else [*parts, part]
        found = "/".join(parts)
        if self.is_archive:
            present = found in self._entries
        else:
            file = (self.path / found).resolve()
            if not file.is_relative_to(self.path.resolve()):
                raise ModelError(f"the model names the file {name!r} outside its own folder")
            present = file.is_file()
        if not present:
            raise ModelError(f"the model's file {name!r} is missing in {str(self.path)!r}")
        return found

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON object; errors name the line.

        Raises
        ------
        ModelError
            If the file is missing or no JSON object.
        """
        try:
            text = json.loads(self.read(name).decode("utf-8-sig"))
        except json.JSONDecodeError as error:
            raise ModelError(
                f"{name!r} is no valid JSON: line {error.lineno}, column {error.colno}: {error.msg}"
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(f"{name!r} cannot be read: {error}") from error
        if not isinstance(text, dict):
            raise ModelError(f"{name!r} holds a {type(text).__name__}; a JSON object is needed")
        return text

    def descriptions(self) -> list[str]:
        """Return the names of files at the root that describe a package, or may."""
        return [n for n in self.names if "/" not in n and n.lower().endswith(DESCRIPTIONS)]

    def extract(self, folder: Path) -> None:
        """Write all files below a new folder."""
        for name in self.names:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.read(name))

    @functools.cached_property
    def _entries(self) -> dict[str, bytes]:
        try:
            with zipfile.ZipFile(io.BytesIO(self.path.read_bytes())) as archive:
                return {entry: archive.read(entry) for entry in archive.namelist()}
        except (zipfile.BadZipFile, OSError) as error:
            raise ModelError(
                f"{self.path.name!r} is no whole archive ({first_line(error)}); get it again"
            ) from error


def open_files(path: Path) -> Files:
    """Return the files of a package: of a folder, an archive, or the folder of one file.

    Raises
    ------
    ModelError
        If an archive is damaged or holds what a package must not.
    """
    if path.is_dir() or path.suffix.lower() in ENDINGS:
        return Files(path)
    return Files(path.parent, path.name)


def hash_bytes(content: bytes) -> str:
    """Return the sha256 of some bytes."""
    return hashlib.sha256(content).hexdigest()


def is_trusted(trust: bool | str, sha256: str) -> bool:
    """Tell whether somebody trusts the content of this hash.

    Raises
    ------
    TrustError
        If another hash is trusted, or what is given is none.
    """
    if isinstance(trust, bool):
        return trust
    if not re.fullmatch("[0-9a-fA-F]{64}", str(trust)):
        raise TrustError(
            f"trust={trust!r} is no sha256; give True, False or the hash of the content, here "
            f"{sha256!r}"
        )
    if trust.lower() != sha256.lower():
        raise TrustError(
            f"trust names the sha256 {trust.lower()!r}, but the content has {sha256!r}: it is not "
            "what was trusted; look at it again, then give its hash"
        )
    return True
