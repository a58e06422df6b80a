"""Maps of small rasters."""

import numpy as np
import pytest

from geodl_lab.maps.explorer import Explorer
from geodl_lab.testing import wrap

COLORS = ["#0000ff", "#00a000", "#ffff00"]


@pytest.fixture
def land():
    """Classes (y, x) of 0 and 1 of 3 that have names."""
    values = np.random.default_rng(0).integers(0, 2, (1, 60, 80)).astype("uint8")
    land = wrap(values, cell_size=2.0)[0]
    land.attrs.update(
        flag_values=np.arange(3, dtype="uint8"),
        flag_meanings="water tree_cover soil",
        flag_colors=" ".join(COLORS),
    )
    return land


@pytest.fixture
def explorer():
    """An empty map that is closed at the end; ``sent`` holds what pages are told."""
    explorer = Explorer()
    explorer.sent = []

    def note(kind, buffers=(), **content):
        explorer.sent.append((kind, list(buffers), content))

    explorer.tiles.tell = note
    explorer.feed._tell = note
    yield explorer
    explorer.close()
