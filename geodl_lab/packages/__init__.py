"""Readers of model formats, one file each, and the registry that finds a model by name or path."""

from geodl_lab.packages import emd_writer
from geodl_lab.packages.live import from_torch
from geodl_lab.packages.registry import list_models, open_model

__all__ = ["emd_writer", "from_torch", "list_models", "open_model"]
