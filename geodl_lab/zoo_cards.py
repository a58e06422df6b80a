"""Cards of the models that come with this package, at once: no torch, no model is opened.

They are made when a model changes: ``python -m geodl_lab.zoo_cards`` writes them anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from geodl_lab._version import __version__

FILE = Path(__file__).parent / "data" / "zoo_cards.json"
MADE_BY = "geodl_version"
"""What a card says of the package that made it: of these the one that reads them."""


def zoo_cards() -> list[dict[str, Any]]:
    """Return the card of each bundled model, as `geodl_lab.cards.card` does, with ``reference``."""
    cards = json.loads(FILE.read_text(encoding="utf-8"))
    return [{**one, MADE_BY: __version__} for one in cards]


def make_cards() -> list[dict[str, Any]]:
    """Return what the file is to hold; opens all bundled models."""
    from geodl_lab.cards import card  # noqa: PLC0415  loads torch
    from geodl_lab.packages.installed import bundled  # noqa: PLC0415
    from geodl_lab.packages.registry import open_model  # noqa: PLC0415

    cards = [{"reference": name, **card(open_model(name))} for name in bundled()]
    return [{key: one[key] for key in one if key != MADE_BY} for one in cards]


if __name__ == "__main__":
    FILE.write_text(json.dumps(make_cards(), indent=1) + "\n", encoding="utf-8")
    print(f"{FILE} has the cards anew")
