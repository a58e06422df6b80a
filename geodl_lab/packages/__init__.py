"""Readers of model formats, one file each, and the registry that finds a model by name or path."""

from geodl_lab import card_html as card_html  # models show themselves with it
from geodl_lab.packages.emd_writer import write_dlpk
from geodl_lab.packages.live import from_torch
from geodl_lab.packages.mlm_writer import write_mlm
from geodl_lab.packages.registry import list_models, open_model
from geodl_lab.packages.store import install, uninstall
from geodl_lab.runtime import WRITERS

WRITERS.update({".dlpk": write_dlpk, ".json": write_mlm})

__all__ = ["from_torch", "install", "list_models", "open_model", "uninstall"]
