"""The files of a package, in a folder or in an archive, read by name and never from outside it."""

from __future__ import annotations

import codecs
import functools
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from geodl_lab.errors import ModelError, TrustError, first_line
from geodl_lab.packages.zips import DRIVE, MAX_BYTES, MAX_FILES, Zip

ENDINGS = (".dlpk", ".zip")
DESCRIPTIONS = (".emd", ".json")
"""Endings of files that describe a package; the package then is their folder."""

ASIDE = ("esriinfo", "__MACOSX")
"""Folders in which programs keep notes of their own."""

STAC_MAX = 2**24
"""Bytes up to which a ``.json`` is looked into whether it is a STAC item."""

# A file beside an ONNX model that holds tensors of it, as protobuf writes its name: field 1, the
# key "location", then field 2. Another order of the fields would only leave it out of the hash.
LOCATION = re.compile(rb"\x0a\x08location\x12([\x01-\x7f]|[\x80-\xff][\x01-\x1f])")


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
        """Names of all files, sorted, with forward slashes.

        Raises
        ------
        ModelError
            If they are more or larger than a package can be.
        """
        if self.is_archive:
            return self._zip.names
        names, total = [], 0
        for file in _walk(self.path):
            names.append(file.relative_to(self.path).as_posix())
            total += file.stat().st_size
            if len(names) > MAX_FILES or total > MAX_BYTES:
                raise ModelError(
                    f"{str(self.path)!r} is no package: it holds more than {MAX_FILES} files or "
                    f"{MAX_BYTES / 2**30:.0f} GiB; put the model into a folder of its own"
                )
        return tuple(sorted(names))

    @functools.cached_property
    def sha256(self) -> str:
        """Hash of the content.

        Of an archive: of its bytes. Of a file of weights: of its bytes, or of the listing of it
        and its files of ONNX external data. Of a folder or a description: of the listing of all
        files of the folder. A listing has a line ``sha256 name`` for each file, sorted by name.
        """
        if self.is_archive:
            return hash_bytes(self._content)
        if self.members == (self.main,):
            self._hashes[self.main] = hash_bytes(self.read(self.main))
            return self._hashes[self.main]
        self._hashes.update({name: hash_bytes(self.read(name)) for name in self.members})
        listing = [f"{self._hashes[name]} {name}\n" for name in self.members]
        return hash_bytes("".join(listing).encode())

    @functools.cached_property
    def members(self) -> tuple[str, ...]:
        """Names of the files that make up the package: of bare weights theirs, else all."""
        if self.is_archive or not self.main or _suffix(self.main) in DESCRIPTIONS:
            return self.names
        return tuple(sorted({self.main, *self._external_data()}))

    @property
    def is_archive(self) -> bool:
        """Tell whether the files are in an archive."""
        return self.path.is_file()

    def read(self, name: str, *, beside: str = "") -> bytes:
        """Return a file, given with either kind of slash, relative to the file ``beside``.

        Raises
        ------
        ModelError
            If the file lies outside the package, is missing or damaged, or has changed since it
            was hashed.
        """
        name = self.find(name, beside=beside)
        if self.is_archive:
            return self._zip.read(name)
        content = _read(self.path / name)
        if name in self._hashes and self._hashes[name] != hash_bytes(content):
            raise ModelError(
                f"{name!r} in {str(self.path)!r} changed while it was opened; look at it and open "
                "it again"
            )
        return content

    def find(self, name: str, *, beside: str = "") -> str:
        """Return the name in `names` of a file; parameters and errors as of `read`."""
        found = self._place(name, beside)
        return found if self._is_there(found) else self._alike(found, name)

    def holds(self, name: str, *, beside: str = "") -> bool:
        """Tell whether a file is there; one outside the package is an error all the same."""
        return self._is_there(self._place(name, beside))

    def _place(self, name: str, beside: str) -> str:
        parts: list[str] = [*PurePosixPath(beside).parent.parts]
        for part in PurePosixPath(name.replace("\\", "/")).parts:
            if part == "/" or DRIVE.match(part) or (part == ".." and not parts):
                raise ModelError(f"the model names the file {name!r} outside its own folder")
            parts = parts[:-1] if part == ".." else [*parts, part]
        return "/".join(parts)

    def _is_there(self, name: str) -> bool:
        return name in self._zip.names if self.is_archive else self._is_inside(name)

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON object; errors name the line.

        Raises
        ------
        ModelError
            If the file is missing or no JSON object.
        """
        try:
            # NaN and Infinity are no JSON, but Python writes them: no value, as null.
            text = json.loads(_text(self.read(name)), parse_constant=lambda _: None)
        except json.JSONDecodeError as error:
            raise ModelError(
                f"{name!r} is no valid JSON: line {error.lineno}, column {error.colno}: {error.msg}"
            ) from error
        except UnicodeDecodeError as error:
            line = bytes(error.object[: error.start]).count(b"\n") + 1
            raise ModelError(
                f"{name!r} is no text in UTF-8: line {line} holds the byte "
                f"0x{error.object[error.start]:02x}; save it in UTF-8"
            ) from error
        except RecursionError:
            raise ModelError(f"{name!r} cannot be read: its lists are nested too deep") from None
        except (OSError, ValueError) as error:
            if isinstance(error, ModelError):
                raise
            raise ModelError(f"{name!r} cannot be read: {first_line(error)}") from error
        if not isinstance(text, dict):
            raise ModelError(f"{name!r} holds a {type(text).__name__}; a JSON object is needed")
        return text

    def descriptions(self) -> tuple[str, ...]:
        """Return the names of what describes the package: its best one first.

        They are ``model.json``, ``*.emd`` and STAC items, at the root; where the root has none,
        one folder down, as some programs pack; of a folder on disk only where that is its only one.
        """
        names = [n for n in self.names if _suffix(n) in DESCRIPTIONS and _top(n) not in ASIDE]
        below = self.is_archive or len({_top(name) for name in self.names} - {*ASIDE}) == 1
        for depth in (0, 1) if below else (0,):
            there = [name for name in names if name.count("/") == depth]
            if found := sorted(filter(self._describes, there), key=_rank):
                return tuple(found)
        return ()

    def extract(self, folder: Path) -> None:
        """Write `members` into a new folder, all of them or none, as plain files of mode 0644.

        Raises
        ------
        ModelError
            If a file is damaged, the folder exists, or it cannot be written.
        """
        if folder.exists():
            raise ModelError(f"{str(folder)!r} exists already; choose a new folder")
        try:
            beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
            try:
                for name in self.members:
                    _write(beside / name, self.read(name))
                beside.chmod(0o755)
                beside.rename(folder)
            finally:
                shutil.rmtree(beside, ignore_errors=True)
        except OSError as error:
            raise ModelError(
                f"the model could not be unpacked into {str(folder)!r} ({error.strerror}); make "
                "room or choose another folder"
            ) from error

    def _alike(self, found: str, name: str) -> str:
        """Return the one file whose name differs in upper and lower case alone, as on Windows."""
        alike = [one for one in self.names if one.casefold() == found.casefold()]
        if len(alike) != 1 or not (self.is_archive or self._is_inside(alike[0])):
            raise ModelError(f"the model's file {name!r} is missing in {str(self.path)!r}")
        return alike[0]

    def _is_inside(self, name: str) -> bool:
        """Tell whether a file of the folder is there; refuse one that a link leads out to."""
        try:
            file = (self.path / name).resolve()
            if not file.is_relative_to(self.path.resolve()):
                raise ModelError(f"the model names the file {name!r} outside its own folder")
            return file.is_file()
        except (OSError, RuntimeError):  # a name that no disk could hold, links in a circle
            return False
        except ValueError as error:
            if isinstance(error, ModelError):
                raise
            return False  # a name with a null byte

    def _describes(self, name: str) -> bool:
        if PurePosixPath(name).name == "model.json" or _suffix(name) == ".emd":
            return True
        size = self._zip.size(name) if self.is_archive else (self.path / name).stat().st_size
        return size < STAC_MAX and b'"stac_version"' in self.read(name)

    def _external_data(self) -> Iterator[str]:
        """Give the names of files beside an ONNX model that hold tensors of it."""
        if _suffix(self.main) != ".onnx":
            return
        content = self.read(self.main)
        for match in LOCATION.finditer(content):
            low, *high = match[1]
            length = (low & 0x7F) | (high[0] << 7 if high else 0)
            name = content[match.end() : match.end() + length].decode("utf-8", "replace")
            yield self.find(name)

    @functools.cached_property
    def _hashes(self) -> dict[str, str]:
        """Hash of each file that `sha256` covers, once that is known."""
        return {}

    @functools.cached_property
    def _content(self) -> bytes:
        return _read(self.path)

    @functools.cached_property
    def _zip(self) -> Zip:
        return Zip(self._content, self.path.name)


def open_files(path: Path) -> Files:
    """Return the files of a package: of a folder, an archive, or the folder of one file.

    Raises
    ------
    ModelError
        If an archive is damaged or holds what a package must not, or it is no file at all.
    """
    if path.is_dir():
        return Files(path)
    if not path.is_file():
        raise ModelError(f"{str(path)!r} is no plain file and no folder; give one of a model")
    if path.suffix.lower() not in ENDINGS:
        return Files(path.parent, path.name)
    files = Files(path)
    _ = files.names
    return files


def is_trusted(trust: bool | str, sha256: str) -> bool:
    """Tell whether a person trusts the content of this hash.

    Parameters
    ----------
    trust
        True or False, or the sha256 of the one content that is trusted, in either case.
    sha256
        Of the content at hand.

    Raises
    ------
    TrustError
        If ``trust`` is the hash of another content, or none.
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


def hash_bytes(content: bytes) -> str:
    """Return the sha256 of some bytes."""
    return hashlib.sha256(content).hexdigest()


def _walk(folder: Path) -> Iterator[Path]:
    """Give all plain files below a folder, links to files too, but none behind linked folders."""
    for parent, _, names in os.walk(folder):
        yield from (
            Path(parent, name) for name in names if os.path.isfile(os.path.join(parent, name))
        )


def _read(file: Path) -> bytes:
    """Read a plain file; one that became a pipe meanwhile is refused, not waited for."""
    try:
        with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
            found = os.fstat(stream.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise ModelError(f"{str(file)!r} is no plain file; give a model's")
            if found.st_size > MAX_BYTES:
                raise ModelError(
                    f"{str(file)!r} is larger than {MAX_BYTES / 2**30:.0f} GiB; no model is"
                )
            return stream.read()
    except OSError as error:
        raise ModelError(f"{str(file)!r} cannot be read: {error.strerror}") from error


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    file.chmod(0o644)


def _text(content: bytes) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 as editors of Windows mark it."""
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if marked else "utf-8-sig")


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _top(name: str) -> str:
    return name.partition("/")[0]


def _rank(name: str) -> tuple[int, str]:
    """Order descriptions: ours, Esri's, others."""
    ours = PurePosixPath(name).name == "model.json"
    return 0 if ours else 1 + (_suffix(name) != ".emd"), name
