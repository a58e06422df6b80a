"""Files that come with a request are on the disk before it is answered."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from geodl_lab.checkpoints import sync
from geodl_lab.errors import OptionError
from geodl_lab.fetch import disk_errors

NAME = re.compile(r"\w[\w.-]{0,199}", re.ASCII)
"""What a file may be called: it is one name, never a path."""

Given = bytes | bytearray | memoryview | Path
"""Content of a file, or a file of the same disk that is moved."""


def write_files(folder: Path, files: Mapping[str, Given]) -> None:
    """Make a folder of some files, which are on the disk when this returns.

    Parameters
    ----------
    folder
        Is made; it and nothing else of it is left if that fails.
    files
        By name.

    Raises
    ------
    OptionError
        If a name is not possible.
    OutputError
        If the disk is full.
    """
    for name in files:
        if not NAME.fullmatch(name):
            raise OptionError(
                f"a file cannot be called {name[:100]!r}; use letters, digits, '.', '_' and '-'"
            )
    try:
        with disk_errors(folder.parent):
            folder.mkdir(parents=True)
            for name, content in files.items():
                _write(folder / name, content)
            sync_folder(folder)
            sync_folder(folder.parent)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def sync_folder(folder: Path) -> None:
    """Have the disk hold the names in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, content: Given) -> None:
    if isinstance(content, Path):
        shutil.move(content, path)
        sync(path)
        return
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
