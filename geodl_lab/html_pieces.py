"""Small pieces of HTML for notebooks, the map and the app: swatches, bars, tables, thumbnails.

All text is escaped, all style is inline, and there is no script. Colours of text and lines are
those of the page (`currentColor` and Jupyter's variables), so that dark themes need nothing more.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from html import escape

import numpy as np
from PIL import Image

FOLDED = 24
"""Classes up to which all are shown."""

LINE = "var(--jp-border-color2, rgba(128, 128, 128, .4))"
"""Colour of thin lines."""

GROUND = "var(--jp-layout-color2, rgba(128, 128, 128, .15))"
"""Colour of pills and of what a bar lies on."""


def panel(*parts: str) -> str:
    """Return parts, which are HTML, in a frame."""
    style = (
        f"max-width:60em;line-height:1.45;padding:.6em .9em;border:1px solid {LINE};"
        "border-radius:6px;margin:2px 0;overflow-x:auto;box-sizing:border-box"
    )
    return f"<div style='{style}'>{''.join(parts)}</div>"


def headline(title: str, *pills: str) -> str:
    """Return a title with words behind it, each in a pill."""
    style = (
        f"display:inline-block;margin-left:.6em;padding:0 .6em;border-radius:1em;font-size:.85em;"
        f"background:{GROUND}"
    )
    said = "".join(f"<span style='{style}'>{escape(pill)}</span>" for pill in pills if pill)
    return f"<div><b>{escape(title)}</b>{said}</div>"


def table(pairs: Sequence[tuple[str, str]]) -> str:
    """Return labels and words as a table of two columns."""
    cell = "text-align:left;vertical-align:top;padding:1px 1em 1px 0;border:0;background:none"
    lines = (
        f"<tr style='background:none'><td style='{cell};opacity:.7;white-space:nowrap'>"
        f"{escape(label)}</td><td style='{cell};overflow-wrap:anywhere;white-space:normal'>"
        f"{escape(words)}</td></tr>"
        for label, words in pairs
    )
    style = "border:0;margin:2px 0;font-size:inherit;color:inherit"
    return f"<table style='{style}'>{''.join(lines)}</table>"


def folded(summary: str, *parts: str) -> str:
    """Return parts, which are HTML, that show when their summary is clicked."""
    return (
        f"<details><summary style='cursor:pointer;opacity:.75'>{escape(summary)}</summary>"
        f"{''.join(parts)}</details>"
    )


def square(color: str) -> str:
    """Return a small coloured square; what is no ``#rrggbb`` is gray."""
    return (
        f"<span style='display:inline-block;width:.9em;height:.9em;background:{_plain(color)};"
        "border:1px solid rgba(128, 128, 128, .6);border-radius:2px;vertical-align:-1px'></span>"
    )


def swatches(lines: Sequence[tuple[str, str]], *, fold: int = FOLDED) -> str:
    """Return classes, (name, ``#rrggbb``) each, side by side; those after ``fold`` fold."""
    boxes = [
        "<span style='display:inline-block;margin:0 14px 2px 0;overflow-wrap:anywhere'>"
        f"{square(color)} {escape(name)}</span>"
        for name, color in lines
    ]
    shown = f"<div>{''.join(boxes[:fold])}</div>"
    rest = boxes[fold:]
    return shown + (folded(f"{len(rest)} more classes", *rest) if rest else "")


def shares(lines: Sequence[tuple[str, str, float, str]], *, fold: int = FOLDED) -> str:
    """Return a chart of bars, one a class.

    Parameters
    ----------
    lines
        (name, ``#rrggbb``, share from 0 to 1, what stands behind the bar) each.
    fold
        Lines after so many show when asked for.
    """
    most = max((share for _, _, share, _ in lines), default=1) or 1
    rows = [_share(name, color, share / most, words) for name, color, share, words in lines]
    rest = rows[fold:]
    return _grid(rows[:fold]) + (folded(f"{len(rest)} more classes", _grid(rest)) if rest else "")


def color_bar(colors: Sequence[str], low: str, high: str, label: str) -> str:
    """Return a colour bar, ``#rrggbb`` from low to high, with its ends and what it shows."""
    gradient = ", ".join(map(_plain, colors))
    ends = f"<span>{escape(low)}</span><span style='float:right'>{escape(high)}</span>"
    return (
        f"<div style='width:16em;max-width:100%'><div>{escape(label)}</div>"
        f"<div style='height:.8em;border-radius:2px;border:1px solid {LINE};"
        f"background:linear-gradient(to right, {gradient})'></div>"
        f"<div style='font-size:.85em'>{ends}</div></div>"
    )


def thumbnail(rgba: np.ndarray, alt: str, *, side: int = 160) -> str:
    """Return a picture in the page itself, at most ``side`` CSS pixels wide and high.

    Parameters
    ----------
    rgba
        Colours (y, x, 4), uint8, thinned by who calls.
    alt
        What it shows, for those who do not see it.
    side
        Of the square that it is fitted into.
    """
    style = (
        f"max-width:{side}px;max-height:{side}px;border:1px solid {LINE};border-radius:3px;"
        "image-rendering:auto;margin:0"
    )
    return f"<img src='{data_uri(rgba)}' alt='{escape(alt, quote=True)}' style='{style}'>"


def data_uri(rgba: np.ndarray) -> str:
    """Return colours (y, x, 4), uint8, as a PNG in a ``data:`` address."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgba)).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def beside(left: str, right: str) -> str:
    """Return two parts, which are HTML, side by side, or below each other on a phone."""
    return (
        "<div style='display:flex;flex-wrap:wrap;gap:14px;align-items:flex-start'>"
        f"<div>{left}</div><div style='flex:1 1 18em;min-width:0'>{right}</div></div>"
    )


def _share(name: str, color: str, length: float, words: str) -> str:
    bar = (
        f"width:{100 * min(max(length, 0.0), 1.0):.1f}%;min-width:2px;height:.75em;"
        "box-sizing:border-box;border:1px solid rgba(128, 128, 128, .6)"
    )
    return (
        f"<div style='overflow-wrap:anywhere'>{square(color)} {escape(name)}</div>"
        f"<div style='background:{GROUND};border-radius:2px'>"
        f"<div style='{bar};background:{_plain(color)};border-radius:2px'></div></div>"
        f"<div style='text-align:right;white-space:nowrap'>{escape(words)}</div>"
    )


def _grid(rows: Sequence[str]) -> str:
    style = (
        "display:grid;grid-template-columns:minmax(6em, max-content) minmax(4em, 14em) max-content;"
        "gap:2px 12px;align-items:center"
    )
    return f"<div style='{style}'>{''.join(rows)}</div>"


def _plain(color: str) -> str:
    """Return a colour that can be nothing but a colour."""
    return color if re.fullmatch(r"#[0-9a-fA-F]{6}", color) else "#808080"
