"""The numbers that decide how a run is cut.

They are part of every recipe: changing one changes bits, so none depends on the machine's
free memory or load.
"""

from __future__ import annotations

import os

MEMORY_BUDGET = 2 * 2**30
"""Bytes that the forwards running at one time may hold together."""

RECOMPUTE_GOAL = 1.5
"""Pixels computed per pixel kept at which a larger window is no longer worth its memory."""

CHUNK = 2048
"""Least side in pixels of a lazy result's chunks."""

GDAL_CACHE = 256 * 2**20
"""Bytes of GDAL's block cache while a file is written; its default is 5 % of the machine."""


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
