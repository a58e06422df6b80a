"""How pixels become colours, and what a legend says of them; knows no map and no plot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Swatch:
    """One line of a legend of classes.

    Parameters
    ----------
    name
        As people read it.
    color
        ``#rrggbb``.
    value
        Class value.
    """

    name: str
    color: str
    value: int


@dataclass(frozen=True)
class Bar:
    """A colour bar.

    Parameters
    ----------
    low, high
        Values at its ends.
    colors
        ``#rrggbb`` from low to high, evenly spaced.
    label
        Quantity and unit.
    """

    low: float
    high: float
    colors: tuple[str, ...]
    label: str


class Style(Protocol):
    """How stored values become colours."""

    @property
    def legend(self) -> tuple[Swatch, ...] | Bar | None:
        """What is said beside the picture; None of a true-colour image."""
        ...

    def rgba(self, values: np.ndarray) -> np.ndarray:
        """Return colours (y, x, 4), uint8, of values (channel, y, x); no data is transparent."""
        ...
