"""The address of the page, which holds nothing but a job's id: a reload finds its job again."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets


class Address(anywidget.AnyWidget):
    """What the page's address says, and what it is to say.

    ``asked`` is the job that it named when the page was opened, and ``seen`` is true once that is
    known; ``job`` is written into it.
    """

    _esm = Path(__file__).parent / "js" / "address.js"

    seen = traitlets.Bool(False).tag(sync=True)
    asked = traitlets.Unicode("").tag(sync=True)
    job = traitlets.Unicode("").tag(sync=True)
