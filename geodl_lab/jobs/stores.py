"""Folders of the operator whose files requests may name; they are read, and never left."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from geodl_lab.errors import AccessError

ENDINGS = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".jp2")
"""Of files that are listed as rasters."""

MOST_RASTERS, DEPTH = 10_000, 8
"""Rasters that are listed at most, and folders in folders."""

PART = re.compile(r"[^.\x00-\x1f\x7f\\/][^\x00-\x1f\x7f\\/]*")
"""A name in a path: not hidden, without control characters."""


@dataclass(frozen=True)
class Stores:
    """Folders by name.

    Parameters
    ----------
    folders
        Absolute folders; a name is a plain word.
    """

    folders: Mapping[str, Path]

    def path(self, reference: str) -> Path:
        """Return the file or folder that ``NAME/path`` means, without links.

        Raises
        ------
        AccessError
            If it is not there, is hidden, is neither a file nor a folder, or lies outside the
            store, which all read the same.
        """
        name, *parts = reference.strip("/").split("/")
        folder = self.folders.get(name)
        if folder is None or not all(PART.fullmatch(part) for part in parts):
            raise self._missing(reference)
        try:
            top = folder.resolve(strict=True)
            path = top.joinpath(*parts).resolve(strict=True)
            mode = path.stat().st_mode
        except (OSError, RuntimeError, ValueError):
            raise self._missing(reference) from None
        inside = path.is_relative_to(top) and not _is_hidden(path.relative_to(top))
        if not inside or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise self._missing(reference)
        return path

    def rasters(self) -> list[str]:
        """Return references of the rasters in all stores, by name, at most `MOST_RASTERS`."""
        found: list[str] = []
        for name in sorted(self.folders):
            for reference in self._listed(name):
                if len(found) == MOST_RASTERS:
                    return found
                found.append(reference)
        return found

    def _listed(self, name: str) -> Iterator[str]:
        top = self.folders[name]
        for place, folders, files in os.walk(top):
            below = Path(place).relative_to(top)
            folders[:] = sorted(f for f in folders if PART.fullmatch(f)) if _is_high(below) else []
            references = (f"{name}/{(below / file).as_posix()}" for file in sorted(files))
            yield from (one for one in references if _is_raster(one) and self._is_file(one))

    def _is_file(self, reference: str) -> bool:
        try:
            return self.path(reference).is_file()
        except AccessError:
            return False

    def _missing(self, reference: str) -> AccessError:
        names = (
            ", ".join(sorted(self.folders)) or "none (start the server with --store NAME=FOLDER)"
        )
        return AccessError(
            f"there is no {reference[:200]!r} in the stores; give NAME/path of a file or a folder "
            f"in one of these stores: {names}"
        )


def raster_names(folder: Path) -> tuple[str, ...]:
    """Return the names of the rasters that lie in a folder, sorted; not those in its folders.

    Raises
    ------
    AccessError
        If there is none, there are more than `MOST_RASTERS`, or it may not be listed.
    """
    try:
        found = sorted(name for name in os.listdir(folder) if _is_raster(name))
    except OSError as error:
        raise AccessError(
            f"the folder {folder.name!r} cannot be listed ({error.strerror})"
        ) from error
    if not found or len(found) > MOST_RASTERS:
        raise AccessError(
            f"the folder {folder.name!r} holds {len(found)} rasters; give one that holds 1 to "
            f"{MOST_RASTERS} files that end on {', '.join(ENDINGS)}"
        )
    return tuple(found)


def _is_raster(name: str) -> bool:
    last = name.rpartition("/")[2]
    return PART.fullmatch(last) is not None and last.lower().endswith(ENDINGS)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _is_high(below: Path) -> bool:
    return len(below.parts) < DEPTH
