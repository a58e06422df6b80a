"""Items that nobody made: one for each model, and one for each raster in a store."""

from __future__ import annotations

import hashlib
import importlib
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path, PurePosixPath
from typing import Any

from geodl_lab import settings
from geodl_lab.jobs.catalog import Item
from geodl_lab.jobs.stores import Stores
from geodl_lab.zoo_cards import zoo_cards

STORE_SECONDS = 5.0
"""How long a list of the rasters in the stores is believed."""

Compute = Callable[..., "Future[Any]"]


class Listings:
    """What is listed beside the catalog; everybody sees it.

    Parameters
    ----------
    folders
        Stores by name.
    compute
        Calls a function in a worker, as `core.Core.compute`.
    """

    def __init__(self, folders: Mapping[str, Path], compute: Compute) -> None:
        self._stores, self._compute = Stores(folders), compute
        self._lock = threading.Lock()
        self._rasters: dict[str, Item] = {}
        self._listed = -STORE_SECONDS
        self._cards: tuple[Any, list[dict[str, Any]]] | None = None

    def item(self, id: str) -> Item | None:
        """Return the item of a raster or of a model, None without one."""
        if (found := self._rasters.get(id)) is not None:
            return found
        found = self._list_rasters().get(id)
        return found or next((one for one in self._models() if one.id == id), None)

    def items(self) -> list[Item]:
        """Return all items of rasters and models."""
        return [*self._list_rasters().values(), *self._models()]

    def rasters(self) -> list[Item]:
        """Return the items of rasters alone; no worker is asked."""
        return list(self._list_rasters().values())

    def model_cards(self) -> list[dict[str, Any]]:
        """Return the cards of all models; a worker reads those of what was installed."""
        with self._lock:
            now = _models_stamp()
            if self._cards is None or self._cards[0] != now:
                theirs = self._compute(read_cards, device="").result() if now else []
                self._cards = now, [*zoo_cards(), *theirs]
            return self._cards[1]

    def forget_models(self) -> None:
        """Have the cards read again."""
        self._cards = None

    def store_path(self, reference: str) -> Path:
        """Return the file or folder of ``NAME/path`` in a store; raises AccessError outside."""
        return self._stores.path(reference)

    def _list_rasters(self) -> dict[str, Item]:
        if time.monotonic() > self._listed + STORE_SECONDS:
            found = (raster_item(reference) for reference in self._stores.rasters())
            self._rasters = {one.id: one for one in found}
            self._listed = time.monotonic()
        return self._rasters

    def _models(self) -> list[Item]:
        return [model_item(card) for card in self.model_cards()]


def raster_item(reference: str) -> Item:
    """Return the item of a raster ``NAME/path`` in a store."""
    id = hashlib.md5(f"store:{reference}".encode(), usedforsecurity=False).hexdigest()
    return Item(id, "", "Image Service", PurePosixPath(reference).stem, store=reference)


def model_item(card: Mapping[str, Any]) -> Item:
    """Return the item of a model by its card."""
    reference = str(card.get("reference") or card["name"])
    id = hashlib.md5(f"model:{reference}".encode(), usedforsecurity=False).hexdigest()
    return Item(id, "", "Deep Learning Package", str(card["name"]), model=reference)


def read_cards() -> list[dict[str, Any]]:
    """Return the cards of the installed models, in a worker: what knows models imports torch."""
    return importlib.import_module("geodl_lab.jobs.models").installed_cards()


def _models_stamp() -> tuple[Any, ...]:
    """Return something that changes when models are installed or uninstalled, by whomever."""
    found = Path(settings.models_folder()).glob("*/*/*/installed.json")
    return tuple(sorted((str(file), file.stat().st_mtime_ns) for file in found))
