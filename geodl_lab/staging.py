"""Write beside, then rename: an output is whole or it is not there."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock
import rasterio.errors
from rasterio._err import CPLE_BaseError

from geodl_lab.checkpoints import FOLDER, RUN_TAG, is_resumable, key_hash, sync
from geodl_lab.errors import GeodlError, OutputError, first_line

SIDECARS = ("", ".aux.xml", ".ovr", ".msk", "-wal", "-shm", "-journal")
"""Endings of the files that GDAL reads as one raster or SQLite as one file, the main one first."""

KEPT = "the finished blocks are kept; resume=True (--resume) goes on from them"

WRITE_ERRORS = (
    OSError,
    CPLE_BaseError,  # what rasterio lets through where a file is closed or copied
    rasterio.errors.RasterioError,
)


@contextlib.contextmanager
def staged(
    target: Path, *, overwrite: bool, resume: bool = False, needed: int = 0
) -> Iterator[Path]:
    """Give a path to write to; put what is there in the place of ``target`` at the end.

    Parameters
    ----------
    target
        Where the output shall be.
    overwrite
        False refuses an existing ``target``.
    resume
        True keeps what an earlier run left in the hidden folder; else it is cleared.
    needed
        As in `explained`.

    Yields
    ------
    pathlib.Path
        A path of the same name in a hidden folder beside ``target``, locked against other runs.

    Raises
    ------
    OutputError
        If the output exists, its folder is not writable, another run writes to it, or the disk
        is full. Whatever fails, ``target`` is as it was before; finished blocks are kept.
    """
    check_target(target, overwrite=overwrite)
    folder = workplace(target)
    lock = filelock.FileLock(target.parent / f".{target.name}.lock")
    with explained(target, needed=needed):
        Path(lock.lock_file).touch()  # says why if it cannot; the lock would only wait
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            raise OutputError(
                f"another run is writing to {str(target)!r}; wait for it or choose another output"
            ) from None
        try:
            _clear(folder, keep_blocks=resume)
            folder.mkdir(exist_ok=True)
            yield folder / target.name
            check_target(target, overwrite=overwrite)
            _publish(folder, target)
        except BaseException as error:
            if is_resumable(folder):
                error.add_note(KEPT)
            else:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        else:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()


def workplace(target: Path) -> Path:
    """Return the hidden folder beside ``target`` in which it is made."""
    return target.parent / f".{target.name}.part"


def check_distinct(source: str | Path, target: Path) -> None:
    """Refuse to write a result over what it is made from.

    Raises
    ------
    OutputError
        If both names are of one file.
    """
    if target.exists() and os.path.exists(source) and os.path.samefile(source, target):
        raise OutputError(
            f"{str(target)!r} is the input itself and would be lost; choose another output"
        )


def check_target(target: Path, *, overwrite: bool) -> None:
    """Refuse an output that exists or cannot be written.

    Raises
    ------
    OutputError
        If so.
    """
    if target.is_dir():
        raise OutputError(f"{str(target)!r} is a folder; give the name of a file in it")
    if target.exists() and not overwrite:
        raise OutputError(
            f"{str(target)!r} exists; choose another output, or overwrite it on purpose "
            "(--overwrite, overwrite=True)"
        )
    if not target.parent.is_dir():
        raise OutputError(f"there is no folder {str(target.parent)!r}; make it first")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise OutputError(
            f"the folder {str(target.parent)!r} is not writable; choose another output"
        )


def check_ending(target: Path, endings: tuple[str, ...]) -> None:
    """Refuse a file name whose ending names no format we write.

    Raises
    ------
    OutputError
        If so.
    """
    if target.suffix.lower() not in endings:
        raise OutputError(
            f"{target.name!r} is of no format we write; end it on {', '.join(endings)}"
        )


def is_complete(
    target: Path, tags: Callable[[Path], Mapping[str, Any]], key: Mapping[str, Any]
) -> bool:
    """Tell whether a run that is to be resumed has already made its output.

    Parameters
    ----------
    target
        The output.
    tags
        Reads what a finished output says about itself.
    key
        Of the run that is to be resumed.

    Raises
    ------
    OutputError
        If the target is there, was not made by such a run, and nothing waits to be resumed.
    """
    if not target.exists() or is_resumable(workplace(target)):
        return False
    with contextlib.suppress(Exception):  # whatever a file that is not ours does to its reader
        if tags(target).get(RUN_TAG) == key_hash(key):
            return True
    raise OutputError(
        f"{str(target)!r} exists, but was made from another input, model or recipe, and there is "
        "no unfinished run beside it to resume; choose another output, or overwrite it on purpose "
        "(--overwrite, overwrite=True)"
    )


@contextlib.contextmanager
def explained(target: Path, *, needed: int = 0) -> Iterator[None]:
    """Word what the libraries raise when a file cannot be written.

    Parameters
    ----------
    target
        The file.
    needed
        Most bytes that making it takes, its unfinished blocks included; 0 if nobody knows.

    Raises
    ------
    OutputError
        That says how much is free, and how much is needed.
    """
    try:
        yield
    except GeodlError:
        raise
    except WRITE_ERRORS as error:
        text = getattr(error, "strerror", None) or first_line(error)
        room = f"up to {needed / 1e6:.1f} MB are needed and " if needed else ""
        words = OutputError(
            f"{str(target)!r} could not be written ({text}; {room}{_free(target.parent)}): make "
            "room or choose another folder"
        )
        for note in getattr(error, "__notes__", ()):
            words.add_note(note)
        raise words from error


def _free(folder: Path) -> str:
    try:
        return f"{shutil.disk_usage(folder).free / 1e6:.1f} MB are free there"
    except OSError:
        return "its folder is gone"


def _clear(folder: Path, *, keep_blocks: bool) -> None:
    """Remove what a killed run left, but its finished blocks where they are to be used."""
    if not keep_blocks:
        shutil.rmtree(folder, ignore_errors=True)
    for left in folder.glob("*"):
        if left.name != FOLDER:
            left.unlink()


def _publish(folder: Path, target: Path) -> None:
    """Move the staged files into place, the main one last, and drop sidecars of older outputs."""
    for ending in reversed(SIDECARS):
        written = folder / (target.name + ending)
        place = target.with_name(target.name + ending)
        if written.exists():
            sync(written)
            written.replace(place)
        elif ending:
            place.unlink(missing_ok=True)
