"""What a first visitor finds: a scene, a part of it, a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from geodl_lab.dashboard.map_view import Bounds

SCENE = Path(__file__).parents[1] / "data" / "santa_monica_naip.tif"
"""`geodl_lab.demo_scene`, without what its demo imports."""

AREAS: Mapping[str, Bounds] = {SCENE.name: (361704.6, 3765131.4, 362011.8, 3765285.0)}
"""A part of a raster that takes some seconds, in its CRS, by the file's name."""

BEST = "naip-landcover"
"""The model that is chosen where it fits."""
