"""Readers of model formats, one file each, and the registry that finds a model by name or path."""

from geodl_lab import card_html as card_html  # models show themselves with it
from geodl_lab.packages.live import from_torch
from geodl_lab.packages.registry import list_models, open_model
from geodl_lab.packages.store import install, uninstall

__all__ = ["from_torch", "install", "list_models", "open_model", "uninstall"]
