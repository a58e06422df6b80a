"""Deep learning on any raster, in the notebook.

Importing the package gives xarray objects a ``.dl`` accessor. torch and the raster libraries are
imported by the first call that needs them, so the import itself stays quick.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from geodl_lab import accessor as accessor
from geodl_lab._version import __version__

if TYPE_CHECKING:
    from geodl_lab.dates import stack_dates
    from geodl_lab.demo import demo_scene
    from geodl_lab.exports.training_data import export_training_data
    from geodl_lab.files import (
        classify_file,
        detect_file,
        entropy_file,
        probabilities_file,
        regress_file,
    )
    from geodl_lab.job_client import connect
    from geodl_lab.maps.explorer import Explorer, explore
    from geodl_lab.objects import detect
    from geodl_lab.options import Options
    from geodl_lab.outputs import save
    from geodl_lab.packages import from_torch, list_models, open_model
    from geodl_lab.pixels import change, classify, entropy, probabilities, regress
    from geodl_lab.plotting import plot, plot_side_by_side
    from geodl_lab.raster import open_raster
    from geodl_lab.recognition import recognize
    from geodl_lab.resample import to_cell_size
    from geodl_lab.server.handle import serve
    from geodl_lab.totals import class_areas, label_counts

# Huge pages save the page faults of large activations: with them a ResNet-18 U-Net was 1.2 to 1.5
# times as fast at windows of 1024 px and more. torch asks once, at its first tensor, so this has to
# come early; a choice that the user made stays.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

_HOME = {
    "Explorer": "maps.explorer",
    "Options": "options",
    "change": "pixels",
    "class_areas": "totals",
    "classify": "pixels",
    "classify_file": "files",
    "connect": "job_client",
    "demo_scene": "demo",
    "detect": "objects",
    "detect_file": "files",
    "entropy": "pixels",
    "entropy_file": "files",
    "explore": "maps.explorer",
    "export_training_data": "exports.training_data",
    "from_torch": "packages",
    "label_counts": "totals",
    "list_models": "packages",
    "open_model": "packages",
    "open_raster": "raster",
    "plot": "plotting",
    "plot_side_by_side": "plotting",
    "probabilities": "pixels",
    "probabilities_file": "files",
    "recognize": "recognition",
    "regress": "pixels",
    "regress_file": "files",
    "save": "outputs",
    "serve": "server.handle",
    "stack_dates": "dates",
    "to_cell_size": "resample",
}

__all__ = [
    "Explorer", "Options", "__version__", "change", "class_areas", "classify", "classify_file",
    "connect", "demo_scene", "detect", "detect_file", "entropy", "entropy_file", "explore",
    "export_training_data", "from_torch", "label_counts", "list_models", "open_model",
    "open_raster", "plot", "plot_side_by_side", "probabilities", "probabilities_file",
    "recognize", "regress", "regress_file", "save", "serve", "stack_dates", "to_cell_size",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public function when it is first asked for (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'geodl_lab' has no attribute {name!r}")
    return getattr(importlib.import_module(f"geodl_lab.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted(__all__)
