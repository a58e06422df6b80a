"""Colours that wait for values, so that no call waits and no model runs for them.

Of a lazy raster a sample is read in a thread. Of a model's answer nothing is computed for its
colours: they are taken from the first window that the map finishes, and once more, for good, when
all of the first view is there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from geodl_lab.maps.layers import RasterLayer
from geodl_lab.styles import Ramp, Style, Unstretched, style_of

SEEN_FIRST = "stretched over what was seen first"

Bands = Sequence[int] | None


@dataclass
class LateStyles:
    """Layers whose colours are not known yet.

    Parameters
    ----------
    submit
        Runs a call in a thread of the map.
    finished
        Answers the values (channel, y, x) of all finished blocks of a layer, by its id.
    styled
        Called from that thread with a layer's id and its style.
    """

    submit: Callable[..., Any]
    finished: Callable[[str], list[np.ndarray]]
    styled: Callable[[str, Style], None]
    _waiting: dict[str, tuple[RasterLayer, Bands]] = field(default_factory=dict)
    _begun: set[str] = field(default_factory=set)

    def begin(self, layer: RasterLayer, bands: Bands) -> None:
        """Find the style of a layer that has none, as soon as that costs nothing."""
        if not isinstance(layer.view.style, Unstretched):
            return
        if layer.view.blocks.costly:
            self._waiting[layer.id] = layer, bands
        else:
            self.submit(self._read, layer, bands)

    def forget(self, key: str) -> None:
        """Let a layer go."""
        self._waiting.pop(key, None)

    def counted(self, waiting: int, computed: int) -> None:
        """Take note of the painter's progress; returns at once."""
        for key in list(self._waiting) if computed else ():
            if not waiting or key not in self._begun:
                self._begun.add(key)
                self.submit(self._take, key, not waiting)

    def _read(self, layer: RasterLayer, bands: Bands) -> None:
        self.styled(layer.id, style_of(layer.data, bands=bands))

    def _take(self, key: str, last: bool) -> None:
        """Take a style from what is finished; it stays if that is all of a view."""
        layer, bands = self._waiting.get(key, (None, None))
        samples = self.finished(key)
        if layer is None or not samples:
            self._begun.discard(key)
            return
        style = style_of(layer.data, bands=bands, samples=samples)
        if isinstance(style, Ramp):
            label = f"{style.label}, {SEEN_FIRST}".removeprefix(", ")
            style = dataclasses.replace(style, label=label)
        self.styled(key, style)
        if last:
            self.forget(key)
