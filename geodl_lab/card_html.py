"""What there is to know of a model as HTML: how it shows itself in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from geodl_lab import html_pieces
from geodl_lab.cards import Card, card, names, one_line, rows
from geodl_lab.runtime import VIEWS

FIRST = ("about", "gives", "wants")
"""Rows that a notebook shows at once; the others fold."""


FEW = 8
"""Squares that a row of a list has."""


def html(card: Card) -> str:
    """Return a model's card as HTML for a notebook; every text of the package is escaped."""
    first = FIRST if card["runnable"] else (*FIRST, "runs")
    shown = [row for row in _rows(card) if row[0] in first]
    rest = [row for row in _rows(card) if row[0] not in first]
    classes = [(f"{c['value']} {one_line(c['name'])}", c["color"]) for c in card["classes"]]
    return html_pieces.panel(
        html_pieces.headline(_title(card), card["task"], one_line(card["version"])),
        html_pieces.table(shown),
        html_pieces.swatches(classes),
        html_pieces.folded("more", html_pieces.table(rest)),
    )


def _title(card: Card) -> str:
    return one_line(f"{card['name']}: {card['title']}" if card["title"] else card["name"])


def _rows(card: Card) -> list[tuple[str, str]]:
    return [(label.replace("_", " "), words) for label, words in rows(card)]


def list_html(cards: Sequence[Card]) -> str:
    """Return the cards of several models as a table, one row each."""
    cell = "text-align:left;vertical-align:top;padding:3px 1.2em 3px 0;border:0;background:none"
    heads = ("name", "version", "gives", "classes", "wants", "where")
    lines = [_cells("th", f"{cell};opacity:.7;font-weight:normal", map(escape, heads))]
    lines += [_cells("td", cell, _columns(card)) for card in cards]
    style = "border:0;margin:2px 0;font-size:inherit;color:inherit"
    return html_pieces.panel(f"<table style='{style}'>{''.join(lines)}</table>")


def _cells(tag: str, style: str, cells: Iterable[str]) -> str:
    row = "".join(f"<{tag} style='{style}'>{cell}</{tag}>" for cell in cells)
    return f"<tr style='background:none'>{row}</tr>"


def _columns(card: Card) -> list[str]:
    """Return a model's cells, as HTML."""
    squares = "".join(html_pieces.square(c["color"]) for c in card["classes"][:FEW])
    bands = ", ".join(card["bands"]) or f"{card['count']} bands"
    cell = f"; {card['cell_size']:g} m" if card["cell_size"] else ""
    where = f"installed {card['installed']}" if "installed" in card else "bundled"
    words = [card["version"], card["task"], names(card["classes"]), bands + cell, where]
    version, task, classes, wants, where = (escape(one_line(word)) for word in words)
    name = f"<b>{escape(one_line(card['name']))}</b>"
    title = f"<div style='opacity:.7'>{escape(one_line(card['title']))}</div>" * bool(card["title"])
    where = f"<span style='white-space:nowrap'>{where}</span>"
    return [name + title, version, task, f"{squares} {classes}", wants, where]


VIEWS["html"] = lambda model: html(card(model))
