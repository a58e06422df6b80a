"""The browser's side of the map as a widget: it carries messages, and knows no raster.

Life of a tile: Leaflet wants it, the page asks by message, `Explorer` queues it, a thread of the
painter answers with pictures, each sent with its bytes. Handlers of messages only queue.

The JavaScript stands in ``js/``, one file a part of the map, and is read as one module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any

import anywidget
import traitlets

# In this order, each file may use what stands before it; `stage.js` exports the module.
SCRIPTS = (
    "dom.js", "tiles.js", "objects.js", "status.js", "panel.js", "swipe.js", "inspector.js",
    "tools.js", "stage.js",
)  # fmt: skip

Hear = Callable[[dict[str, Any]], None]
"""Called on the kernel's main thread with what a page says; returns at once."""


def shipped(name: str) -> str:
    """Return the text of a file in ``js/``."""
    return (resources.files("geodl_lab.maps") / "js" / name).read_text(encoding="utf-8")


class TileLayer(anywidget.AnyWidget):
    """Layers of ours on one map, in every page and output that shows it.

    Parameters
    ----------
    hear
        Called with each message of a page.
    map
        The map's model, as the browser knows it.
    """

    _esm = "\n".join(map(shipped, SCRIPTS))
    _css = shipped("map.css")
    map = traitlets.Unicode().tag(sync=True)
    layers: Any = traitlets.List().tag(sync=True)  # from the lowest to the uppermost
    split: Any = traitlets.Any(None).tag(sync=True)  # ids: left, right
    fit: Any = traitlets.Any(None).tag(sync=True)  # west, south, east, north

    def __init__(self, hear: Hear, **traits: Any) -> None:
        super().__init__(**traits)
        self._hear = hear
        self.on_msg(self._receive)

    def tell(self, kind: str, buffers: Sequence[bytes] = (), **content: Any) -> None:
        """Send a message to all pages that show the map; from any thread."""
        self.send({"kind": kind, **content}, buffers=list(buffers))

    def _receive(self, _: Any, content: Any, buffers: Any) -> None:
        if isinstance(content, dict) and isinstance(content.get("kind"), str):
            self._hear(content)
