"""Model packages that a recipe names, as paths that `geodl_lab.open_model` takes.

An Esri definition (``.emd``) that comes alone gets the files that it names beside it, from stores
and addresses only, so that what is opened holds all of it.
"""

from __future__ import annotations

import codecs
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from geodl_lab.addresses import checked_url
from geodl_lab.checkpoints import sync
from geodl_lab.errors import AccessError, ModelError
from geodl_lab.fetch import Fetcher, disk_errors

NAMED = ("ModelFile", "InferenceFunction")
"""Keys of a definition that name files."""

BUILT_IN = "[functions]"
"""How the name of a function begins that is part of ArcGIS and no file."""

ENDINGS = (".emd", ".dlpk", ".zip", ".json", ".onnx", ".pt", ".pth", ".safetensors")
SHARE = re.compile(r"[\\/](?:rasterStores|fileShares)[\\/]+(?P<path>.*)", re.IGNORECASE)
ITEM = re.compile(r"[0-9a-f]{32}", re.IGNORECASE)
CONTENT = re.compile(r".*/content/items/[0-9a-f]{32}/?", re.IGNORECASE)
SMALL, MAX_BYTES = 2**24, 2**33
"""Bytes of a definition, and of a package or a file of one."""

ZIP = b"PK\x03\x04"


@dataclass(frozen=True)
class ModelInputs:
    """Where the files of models come from, and the folder that they are gathered in.

    Parameters
    ----------
    store_path
        Returns the path of ``NAME/path`` in a store; raises AccessError.
    item_file
        Returns the file that is behind an item; raises AccessError.
    fetcher
        The way to addresses.
    folder
        For what is gathered; made when it is needed.
    """

    store_path: Callable[[str], Path]
    item_file: Callable[[str], Path]
    fetcher: Fetcher
    folder: Path

    def from_file(self, path: Path) -> str:
        """Return the path of a package; one without an ending, as of an upload, gets it."""
        if path.is_dir() or path.suffix.lower() in ENDINGS:
            return str(path)
        with path.open("rb") as file:
            begin = file.read(64)
        if begin[:4] != ZIP and begin.removeprefix(codecs.BOM_UTF8).lstrip()[:1] != b"{":
            raise ModelError(
                f"{path.name[:200]!r} is no model; give a package (.dlpk) or a definition (.emd)"
            )
        ending = ".dlpk" if begin[:4] == ZIP else ".emd"
        return str(self._copied(path, f"package{ending}"))

    def from_url(self, url: str) -> str:
        """Return the path of a package that is fetched; of an item of a portal, its data."""
        target = checked_url(url)
        if CONTENT.fullmatch(target.path):
            target = target.copy_with(path=f"{target.path.rstrip('/')}/data")
        package, done = self._place("package.dlpk"), self._place("fetched")
        if package.exists():
            return str(package)
        if not done.exists():
            self.fetcher.download(str(target), done, most_bytes=MAX_BYTES)
        with done.open("rb") as file:
            begin = file.read(4)
        if begin == ZIP:
            return str(done.replace(package))
        if done.stat().st_size <= SMALL and begin.lstrip()[:1] == b"{":
            return self.from_emd(done.read_text(encoding="utf-8", errors="replace"), base=url)
        raise ModelError(
            f"the address of {target.host!r} answered neither a package (.dlpk) nor a definition "
            "(.emd); look whether it may be read without signing in"
        )

    def from_emd(self, text: str, *, base: str = "") -> str:
        """Return the path of a definition, written beside copies of the files that it names.

        Parameters
        ----------
        text
            The definition, JSON.
        base
            Address that it was fetched from, by which the names of its files are meant.

        Raises
        ------
        ModelError
            If it is no JSON object.
        AccessError
            If a file that it names is not to be had.
        """
        values = _loaded(text)
        for key in NAMED:
            name = values.get(key)
            if isinstance(name, str) and name and not name.lower().startswith(BUILT_IN):
                values[key] = self._gathered(key, name, base).name
        path = self._place("model.emd")
        rough = path.with_name("rough-model.emd")
        with disk_errors(self.folder):
            rough.write_text(json.dumps(values), encoding="utf-8")
            sync(rough)
        return str(rough.replace(path))

    def _gathered(self, key: str, name: str, base: str) -> Path:
        """Return the copy of a file that a definition names."""
        place = name.replace("\\", "/")
        try:
            if "://" in place or base:
                url = str(checked_url(base).join(place)) if base else place
                return self._fetched(url, PurePosixPath(checked_url(url).path).name)
            if ITEM.fullmatch(place):
                source = self.item_file(place.lower())
            else:
                found = SHARE.fullmatch(place)
                source = self.store_path(found["path"] if found else place)
            if not source.is_file():
                raise AccessError(f"{name[:200]!r} is a folder")
        except AccessError as error:
            raise AccessError(
                f"{key} of the model definition is {name[:200]!r}, which is not to be had: {error}"
            ) from error
        return self._copied(source, source.name)

    def _fetched(self, url: str, name: str) -> Path:
        path = self._place(name or "file")
        return path if path.exists() else self.fetcher.download(url, path, most_bytes=MAX_BYTES)

    def _copied(self, source: Path, name: str) -> Path:
        path = self._place(name)
        if not path.exists():
            rough = path.with_name(f"rough-{name}")
            with disk_errors(self.folder):
                shutil.copyfile(source, rough)
                sync(rough)
            rough.replace(path)
        return path

    def _place(self, name: str) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / name


def _loaded(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise ModelError("the model definition is no JSON object; give the text of an .emd")
    return values
