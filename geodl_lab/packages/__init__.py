"""Readers of model formats, one file each, and the registry that finds a model by name or path."""

from geodl_lab.packages import emd_writer
from geodl_lab.packages.live import from_torch
from geodl_lab.packages.mlm_writer import write_mlm
from geodl_lab.packages.registry import list_models, open_model
from geodl_lab.runtime import WRITERS

WRITERS[".json"] = write_mlm

__all__ = ["emd_writer", "from_torch", "list_models", "open_model"]
