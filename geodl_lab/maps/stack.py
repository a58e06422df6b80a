"""The layers of a map in their order, which threads change at any time."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Callable
from typing import Any

from geodl_lab.errors import OptionError
from geodl_lab.maps.layers import Layer


class Stack:
    """Layers from the lowest to the uppermost; any thread may change them.

    Parameters
    ----------
    changed
        Called with all layers after each change, one call at a time.
    """

    def __init__(self, changed: Callable[[list[Layer]], None]) -> None:
        self._changed = changed
        self._lock = threading.RLock()
        self._layers: dict[str, Layer] = {}
        self._ids = itertools.count(1)

    def fresh(self) -> str:
        """Return an id that no layer has had."""
        return f"layer{next(self._ids)}"

    def all(self) -> list[Layer]:
        """Return the layers from the lowest to the uppermost."""
        with self._lock:
            return list(self._layers.values())

    def names(self) -> list[str]:
        """Return the names of the layers."""
        return [layer.name for layer in self.all()]

    def free(self, name: str) -> str:
        """Return a name that no layer has: with a number behind it where it must."""
        taken = set(self.names())
        others = (f"{name} {n}" for n in itertools.count(2))
        return next(one for one in itertools.chain([name], others) if one not in taken)

    def by_id(self, key: str) -> Layer | None:
        """Return a layer by its id; None once it is removed."""
        with self._lock:
            return self._layers.get(key)

    def by_name(self, name: str) -> Layer:
        """Return a layer by its name.

        Raises
        ------
        OptionError
            If no layer has it.
        """
        for layer in self.all():
            if layer.name == name:
                return layer
        known = ", ".join(map(repr, self.names())) or "none"
        raise OptionError(f"there is no layer {name!r} on the map; there are {known}")

    def put(self, layer: Layer) -> None:
        """Add a layer above all others."""
        with self._lock:
            self._layers[layer.id] = layer
            self._changed(self.all())

    def take(self, key: str) -> None:
        """Remove a layer."""
        with self._lock:
            del self._layers[key]
            self._changed(self.all())

    def replace(self, key: str, *, again: bool = False, **changes: Any) -> None:
        """Change a layer, if it is still there.

        Parameters
        ----------
        key
            Its id.
        again
            True has its pictures or objects asked for once more.
        changes
            Fields of the layer.
        """
        with self._lock:
            layer = self._layers.get(key)
            if layer is not None:
                version = layer.version + again
                self._layers[key] = dataclasses.replace(layer, version=version, **changes)
                self._changed(self.all())

    def move(self, key: str, by: int) -> None:
        """Move a layer up by some places, or down where ``by`` is below 0."""
        with self._lock:
            order = list(self._layers)
            at = min(max(order.index(key) + by, 0), len(order) - 1)
            order.remove(key)
            order.insert(at, key)
            self._layers = {key: self._layers[key] for key in order}
            self._changed(self.all())
