"""The numbers that decide how a run is cut.

They are part of every recipe: changing one changes bits, so none depends on the machine's
free memory or load.
"""

from __future__ import annotations

import os
from pathlib import Path

MEMORY_BUDGET = 2 * 2**30
"""Bytes that the forwards running at one time may hold together."""

ALONE = 1.1
"""Cost of a pixel where the budget holds one forward only, against two side by side (measured
with a U-Net on a ResNet-18: 7 to 16 % slower)."""

NEAR_BEST = 1.02
"""Windows that cost this much of the cheapest are as good; the smallest of them is taken."""

CHUNK = 2048
"""Side in pixels that the chunks of a run are near; they are whole cores."""

PART = 512
"""Side in pixels that the parts of a job are near on a CPU, so that each takes about a second;
it changes no bit. On a GPU it is `CHUNK`."""

GDAL_CACHE = 256 * 2**20
"""Bytes of GDAL's block cache; its default is 5 % of the machine."""

READ_CACHE = 2**25
"""Bytes that a reading thread takes from a file before what GDAL keeps of it is let go."""

COG_CACHE = 2**26
"""Bytes of GDAL's block cache while a finished raster is copied, which reads everything once."""

READERS = 4
"""Threads that read windows of a file, where there are that many cores."""

FUNCTION_TIMEOUT = 900.0
"""Seconds after which a Python raster function that gives no answer is stopped; not part of any
recipe."""


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def holds_models() -> bool:
    """Tell whether a process that has opened an installed model keeps others from removing it.

    Workers of the server do not (``GEODL_HOLD_MODELS=no``): they live as long as the server, and
    what they have opened is in their memory.
    """
    return os.environ.get("GEODL_HOLD_MODELS", "yes") != "no"


def models_folder() -> Path:
    """Return the folder of installed models: ``GEODL_MODELS``, or its place for this user.

    The latter is that of the XDG Base Directory Specification; it may not be there yet.
    """
    if named := os.environ.get("GEODL_MODELS"):
        return Path(named).absolute()
    return _data_home() / "models"


def jobs_folder() -> Path:
    """Return the folder of this user's own job server: ``GEODL_JOBS``, or its place for this user.

    The latter is beside that of models; it may not be there yet.
    """
    if named := os.environ.get("GEODL_JOBS"):
        return Path(named).absolute()
    return _data_home() / "jobs"


def _data_home() -> Path:
    data = os.environ.get("XDG_DATA_HOME", "")
    data = data if os.path.isabs(data) else os.path.expanduser("~/.local/share")
    return Path(data, "geodl-lab")
