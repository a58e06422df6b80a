"""The tables of docs/models.md; ``python -m geodl_lab.packages.tables`` writes them there anew."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from geodl_lab.packages.formats import FORMATS

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
MARKED = re.compile(r"<!-- table (\w+) -->.*?<!-- end -->", re.S)

SCALINGS = (
    ("factor", "value * scale", "`scale=`; `model.json` `scale`"),
    ("clip", "clip(value, low, high)", "MLM `clip-min`, `clip-max`, `clip`"),
    ("range", "(value - min) / (max - min)", "Esri `DataRange`; MLM `min-max`, `scale`, `offset`"),
    (
        "z-score",
        "(value * scale - mean) / std",
        "Esri `NormalizationStats`; MLM `z-score`; `mean=`",
    ),
)
"""Kinds of value scaling: name, what the net is fed, and where it is said."""


def formats_table() -> str:
    """Return what `geodl_lab.open_model` opens."""
    head = ("format", "files", "may hold", "needs trust", "written by")
    return markdown_table(
        head, [(f.name, f.files, f.holds, f.trust, f.writer or "-") for f in FORMATS]
    )


def scalings_table() -> str:
    """Return the kinds of value scaling."""
    lines = [(name, f"`{formula}`", where) for name, formula, where in SCALINGS]
    return markdown_table(("kind", "what the net is fed", "said by"), lines)


def emd_table() -> str:
    """Return the keys of Esri model definitions and what each does here."""
    return _keys("emd")


def mlm_table() -> str:
    """Return the keys of STAC MLM items and what each does here."""
    return _keys("mlm")


TABLES: dict[str, Callable[[], str]] = {
    "formats": formats_table,
    "scalings": scalings_table,
    "emd": emd_table,
    "mlm": mlm_table,
}


def filled(page: str, tables: Mapping[str, Callable[[], str]] = TABLES) -> str:
    """Return a Markdown page with the tables between its markers made anew."""

    def table(found: re.Match[str]) -> str:
        name = found.group(1)
        return f"<!-- table {name} -->\n\n{tables[name]()}\n<!-- end -->"

    return MARKED.sub(table, page)


def _keys(module: str) -> str:
    reader = importlib.import_module(f"geodl_lab.packages.{module}")
    keys = getattr(reader, "KEYS", {})
    return markdown_table(("key", "here"), [(f"`{key}`", what) for key, what in keys.items()])


def markdown_table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table of Markdown; a bar in a cell becomes a slash."""
    ruled = [head, ["---"] * len(head), *lines]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in ruled)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{PAGE} has its tables anew")
