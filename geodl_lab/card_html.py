"""What there is to know of a model as HTML: how it shows itself in a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from geodl_lab.cards import FOLDED, Card, card, headline, one_line, rows
from geodl_lab.runtime import VIEWS

FIRST = ("about", "gives", "wants")
"""Rows that a notebook shows at once; the others fold."""


def html(card: Card) -> str:
    """Return a model's card as HTML for a notebook; every text of the package is escaped."""
    first = FIRST if card["runnable"] else (*FIRST, "runs")
    shown = [row for row in rows(card) if row[0] in first]
    rest = [row for row in rows(card) if row[0] not in first]
    return (
        "<div style='max-width:60em;line-height:1.4'>"
        f"<div><b>{escape(headline(card))}</b></div>"
        f"{_table(shown)}{_swatches(card['classes'])}"
        f"<details><summary style='cursor:pointer;opacity:.75'>more</summary>{_table(rest)}"
        "</details></div>"
    )


def _table(pairs: Sequence[tuple[str, str]]) -> str:
    cell = "text-align:left;vertical-align:top;padding:1px 1em 1px 0;border:0;background:none"
    lines = (
        f"<tr style='background:none'><td style='{cell};opacity:.7;white-space:nowrap'>"
        f"{escape(label.replace('_', ' '))}</td><td style='{cell};overflow-wrap:anywhere'>"
        f"{escape(words)}</td></tr>"
        for label, words in pairs
    )
    style = "border:0;margin:2px 0;font-size:inherit;color:inherit"
    return f"<table style='{style}'>{''.join(lines)}</table>"


def _swatches(classes: Sequence[Mapping[str, Any]]) -> str:
    """Return classes as coloured squares with value and name; a long list folds."""
    boxes = [
        "<span style='display:inline-block;margin:0 12px 2px 0'><span style='display:inline-block;"
        f"width:.9em;height:.9em;background:{escape(label['color'])};border:1px solid #8888;"
        f"vertical-align:-1px'></span> {label['value']} {escape(one_line(label['name']))}</span>"
        for label in classes
    ]
    shown = f"<div>{''.join(boxes[:FOLDED])}</div>"
    if len(boxes) > FOLDED:
        shown += (
            "<details><summary style='cursor:pointer;opacity:.75'>"
            f"{len(boxes) - FOLDED} more classes</summary>{''.join(boxes[FOLDED:])}</details>"
        )
    return shown


VIEWS["html"] = lambda model: html(card(model))
