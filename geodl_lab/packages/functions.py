"""Stand-in until Python raster functions are merged: packages open, and do not run."""

from __future__ import annotations

from typing import Any

from geodl_lab.errors import TrustError
from geodl_lab.packages.archives import Files
from geodl_lab.packages.wrap import Facts, closed
from geodl_lab.runtime import Model


def open_function(
    files: Files, name: str, text: dict[str, Any], facts: Facts, *, trust: bool
) -> Model:
    """Return a model that can be looked at only."""
    del trust
    return closed(
        facts,
        TrustError(
            f"{name!r} runs {text['InferenceFunction']!r}, a program, which was not run; if you "
            f"know where it is from, open it with trust=True (sha256 {files.sha256})"
        ),
    )
