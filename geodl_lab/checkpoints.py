"""Finished blocks of an unfinished output, so that a killed run goes on where it was.

An open GeoTIFF does not survive ``kill -9``: what counts as finished is a file of its own, synced
and then renamed. A manifest says what the blocks are blocks of.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geodl_lab.errors import OutputError
from geodl_lab.grid import Window

FOLDER = "blocks"
MANIFEST = "manifest.json"
RUN_TAG = "geodl_run"
"""Tag of a finished output: the hash of the key of the run that made it."""

ARCHIVES = ("/vsizip/", "/vsitar/", "/vsigzip/")
"""What GDAL's names of files in archives begin with."""

HEADER = 64 * 2**10
"""Bytes at the beginning of an input file that are hashed: they hold a TIFF's directory, mostly."""


@dataclass(frozen=True)
class Checkpoint:
    """A folder of finished blocks.

    Parameters
    ----------
    folder
        Where the block files lie.
    ending
        Of their names.
    """

    folder: Path
    ending: str

    def path(self, chunk: Window) -> Path:
        """Return the place of a chunk's block file."""
        name = f"{chunk.y}-{chunk.x}-{chunk.height}-{chunk.width}{self.ending}"
        return self.folder / name

    def holds(self, chunk: Window) -> bool:
        """Tell whether a chunk is finished."""
        return self.path(chunk).exists()

    def commit(self, chunk: Window, write: Callable[[Path], None]) -> None:
        """Have a block file written beside, sync it and give it its name."""
        path = self.path(chunk)
        # Of this process alone: a step may be done twice at one time.
        rough = path.with_name(f"rough-{os.getpid()}-{path.name}")
        write(rough)
        sync(rough)
        rough.replace(path)


def open_checkpoint(
    folder: Path, ending: str, key: Mapping[str, Any] | None, *, resume: bool
) -> Checkpoint:
    """Make the folder of a run's blocks, or go on with what an earlier run left there.

    Parameters
    ----------
    folder
        Of the unfinished output.
    ending
        Of the block files' names.
    key
        What decides the bits of the output: model, recipe and input; None cannot be resumed.
    resume
        Whether to go on with blocks that are there.

    Raises
    ------
    OutputError
        If the blocks there are those of another run; the message says what differs.
    """
    place = folder / FOLDER
    known = begun_with(folder) if resume else None
    if known is not None and key is not None:
        if is_resumable(folder):
            _check_same(known, key)
            return Checkpoint(place, ending)
        if known == json.loads(json.dumps(key)):  # another process may be at the first block
            return Checkpoint(place, ending)
    if place.exists():
        shutil.rmtree(place)  # blocks of nobody knows what
    place.mkdir()
    if key is not None:
        rough = place / f"rough-{MANIFEST}"
        rough.write_text(json.dumps(key, indent=1), encoding="utf-8")
        sync(rough)
        rough.replace(place / MANIFEST)
    return Checkpoint(place, ending)


def begun_with(folder: Path) -> Any:
    """Return the key of the run that an unfinished output is of; None where that cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        return json.loads((folder / FOLDER / MANIFEST).read_text(encoding="utf-8"))
    return None


def is_resumable(folder: Path) -> bool:
    """Tell whether an unfinished output holds a finished block that a run could go on from."""
    place = folder / FOLDER
    blocks = (file for file in place.glob("*-*") if not file.name.startswith("rough-"))
    return (place / MANIFEST).exists() and any(blocks)


def key_hash(key: Mapping[str, Any]) -> str:
    """Return the sha256 of a run's key."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


def file_identity(path: str | Path) -> dict[str, Any]:
    """Return what tells a file from another version of it: size, time and hash of its header.

    Of a file in an archive (``/vsizip/...``) it is the archive's; of a remote one only the name.
    """
    if str(path).startswith(ARCHIVES):
        inner = Path("/" + str(path).split("/", 2)[2])
        path = next((parent for parent in (inner, *inner.parents) if parent.is_file()), path)
    if not os.path.isfile(path):
        return {"path": str(path)}
    status = os.stat(path)
    with open(path, "rb") as file:
        header = hashlib.sha256(file.read(HEADER)).hexdigest()
    return {"bytes": status.st_size, "modified": status.st_mtime_ns, "header": header}


def sync(path: Path) -> None:
    """Have the disk hold what was written to a file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _check_same(known: Any, key: Mapping[str, Any]) -> None:
    was, now = _flat(known), _flat(json.loads(json.dumps(key)))
    other = [name for name in sorted({*was, *now}) if was.get(name) != now.get(name)]
    if other:
        words = (f"{n} was {_short(was.get(n))} and is {_short(now.get(n))}" for n in other)
        raise OutputError(
            f"the unfinished run cannot be resumed: {'; '.join(words)}. Give what it was begun "
            "with, or run without resume to begin again"
        )


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Return the leaves of nested dicts by their names, joined by blanks."""
    if not isinstance(value, dict):
        return {name: value}
    parts = (_flat(part, f"{name} {key}".strip()) for key, part in value.items())
    return {key: leaf for part in parts for key, leaf in part.items()}


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
