"""Zip archives from anywhere: every entry is checked before a byte of it is used."""

from __future__ import annotations

import functools
import io
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from geodl_lab.errors import ModelError, first_line

MAX_BYTES = 8 * 2**30
"""Bytes that the files of one package may hold together, unpacked."""

MAX_FILES = 10_000
"""Files that one package may hold."""

MAX_RATIO, SMALL = 200, 10 * 2**20
"""A file above `SMALL` bytes may be this many times its packed size; weights pack to about 1."""

BLOCK = 2**20
LISTING = MAX_FILES * 512
"""Bytes of the list of entries; zipfile makes an object of each 46 of them."""

SIGNATURE = b"PK\x03\x04"
ENCRYPTED = 0x1 | 0x40 | 0x2000
KINDS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
DRIVE = re.compile(r"[A-Za-z]:")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")

FOREIGN = (
    (b"version https://git-lfs", "a pointer of git-lfs; fetch the file itself with git lfs pull"),
    (b"<!doctype html", "a web page, perhaps of an error or a login; download the file again"),
    (b"<html", "a web page, perhaps of an error or a login; download the file again"),
    (b"<?xml", "an XML text, perhaps of an error; download the file again"),
    (b"\x89hdf", "HDF5, such as Keras writes; convert the model to ONNX"),
    (b"\x1f\x8b", "packed with gzip; unpack it first"),
    (b"7z\xbc\xaf", "packed with 7-Zip; unpack it first"),
    (b"rar!", "packed with RAR; unpack it first"),
    (b"\x7felf", "a program; it is never run"),
    (b"mz", "a program; it is never run"),
)
"""How files begin that hold no model, in small letters, and what they are."""

# What zipfile and zlib raise on bytes that are no archive, or one that lies.
DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, LookupError, NotImplementedError,
    OSError, OverflowError, RuntimeError, ValueError,
)  # fmt: skip


@dataclass(frozen=True)
class Zip:
    """An archive in memory.

    Parameters
    ----------
    content
        Its bytes.
    title
        What messages call it.

    Raises
    ------
    ModelError
        If it is damaged, or an entry is not a plain file below the archive's own folder.
    """

    content: bytes = field(repr=False)
    title: str

    def __post_init__(self) -> None:
        if what := foreign(self.content):
            raise ModelError(f"{self.title!r} is {what}")
        if not self.content.startswith(SIGNATURE):
            # Also one with something before its first entry: readers differ in what they see then.
            raise self._damaged("it does not begin as one")
        _ = self._entries

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all files, sorted, with forward slashes."""
        return tuple(sorted(self._entries))

    @property
    def top(self) -> str:
        """The one folder that holds all files, with its slash; "" where there is none."""
        tops = {name.partition("/")[0] for name in self.names if "/" in name}
        return f"{tops.pop()}/" if len(tops) == 1 and all("/" in n for n in self.names) else ""

    def size(self, name: str) -> int:
        """Return the bytes of a file, unpacked, as the archive states them; more is an error."""
        return self._entries[name].file_size

    def read(self, name: str) -> bytes:
        """Unpack one file.

        Raises
        ------
        ModelError
            If it is damaged, or not of the size that the archive states.
        """
        entry, blocks = self._entries[name], bytearray()
        try:
            with self._archive.open(entry) as stream:
                while len(blocks) <= entry.file_size and (block := stream.read(BLOCK)):
                    blocks += block
        except DAMAGE as error:
            raise self._damaged(f"{name!r}: {first_line(error)}") from error
        if len(blocks) != entry.file_size:
            raise self._damaged(f"{name!r} is not of the size that it says")
        return bytes(blocks)

    @functools.cached_property
    def _archive(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(_Listing(self.content))
        except DAMAGE as error:
            raise self._damaged(first_line(error)) from error

    @functools.cached_property
    def _entries(self) -> dict[str, zipfile.ZipInfo]:
        found: dict[str, zipfile.ZipInfo] = {}
        listed = self._archive.infolist()
        if len(listed) > MAX_FILES:
            raise ModelError(
                f"{self.title!r} holds {len(listed)} files; at most {MAX_FILES} are read"
            )
        for entry in listed:
            if reason := _refused(entry):
                raise ModelError(
                    f"{self.title!r} holds {entry.orig_filename!r}, {reason}, and was not opened; "
                    "get it from its maker again"
                )
            if (name := plain(entry.orig_filename)) in found:
                raise ModelError(f"{self.title!r} holds {name!r} twice and was not opened")
            if not entry.orig_filename.endswith(("/", "\\")):
                found[name] = entry
        self._check(found)
        return found

    def _check(self, found: Mapping[str, zipfile.ZipInfo]) -> None:
        total = sum(entry.file_size for entry in found.values())
        if total > MAX_BYTES:
            raise ModelError(
                f"{self.title!r} unpacks to {total / 2**30:.0f} GiB; at most "
                f"{MAX_BYTES / 2**30:.0f} are read"
            )
        # Entries may share bytes, so that each by itself looks harmless.
        if total > SMALL and total > MAX_RATIO * len(self.content):
            raise ModelError(
                f"{self.title!r} unpacks to over {MAX_RATIO} times its size and was not opened; no "
                "weights do that"
            )
        for name in found:
            parents = name.split("/")[:-1]
            folders = ("/".join(parents[:depth]) for depth in range(1, len(parents) + 1))
            if clash := next((folder for folder in folders if folder in found), None):
                raise ModelError(f"{self.title!r} holds {clash!r} both as a file and as a folder")

    def _damaged(self, reason: str) -> ModelError:
        return ModelError(f"{self.title!r} is no whole archive ({reason[:300]}); get it again")


def pack(files: Mapping[str, bytes]) -> io.BytesIO:
    """Write files into a new archive in memory, unpacked, in the order given."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    target.seek(0)
    return target


def foreign(content: bytes) -> str:
    """Return what a file is that holds no model, with the way out, or ""."""
    if not content:
        return "an empty file; get the model again"
    begin = content[:64].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return next((what for sign, what in FOREIGN if begin.startswith(sign)), "")


def plain(name: str) -> str:
    """Return a name with forward slashes and without empty parts and dots."""
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))


class _Listing(io.BytesIO):
    """Refuses to be read in one go beyond `LISTING`, as zipfile reads the list of entries."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > max(LISTING, BLOCK):
            raise zipfile.BadZipFile(f"it lists more than {MAX_FILES} files")
        return super().read(size)


def _refused(entry: zipfile.ZipInfo) -> str:
    """Return what is wrong with an entry, or ""."""
    name = entry.orig_filename.replace("\\", "/")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    for wrong, reason in (
        (name.startswith("/") or DRIVE.match(name), "an absolute path"),
        (".." in name.split("/"), "a path outside the archive's own folder"),
        (CONTROL.search(name) or not plain(name), "a name with control characters or none"),
        (kind not in (0, stat.S_IFREG, stat.S_IFDIR), "a link or a special file"),
        (entry.flag_bits & ENCRYPTED, "which is encrypted"),
        (entry.compress_type not in KINDS, "packed in an unusual way"),
        (_bursts(entry.file_size, entry), f"which unpacks to over {MAX_RATIO} times its size"),
    ):
        if wrong:
            return reason
    return ""


def _bursts(size: int, entry: zipfile.ZipInfo) -> bool:
    return size > SMALL and size > MAX_RATIO * entry.compress_size
