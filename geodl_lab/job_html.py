"""A job of a server as HTML: where it stands, how far, what it said, what came out."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

COLORS = {
    "pending": "#6b7280",
    "running": "#1d4ed8",
    "succeeded": "#15803d",
    "failed": "#b91c1c",
    "cancelled": "#6b7280",
}
"""Of a state, dark enough for white words."""

SHOWN = 5
"""Messages that are shown at once; earlier ones fold."""


def job_html(
    values: Mapping[str, Any], *, title: str, left: str = "", picture: bytes = b"", files: str = ""
) -> str:
    """Return a job as HTML for a notebook; every text of the server is escaped.

    Parameters
    ----------
    values
        As ``GET /jobs/ID`` answers them.
    title
        What it does on what.
    left
        How long it still takes, in words.
    picture
        PNG of the result.
    files
        What the result's files are called, in words.
    """
    state = str(values["state"])
    chip = (
        f"<span style='background:{COLORS[state]};color:#fff;border-radius:1em;padding:1px .7em;"
        f"font-size:.9em'>{escape(state)}</span>"
    )
    rows = [
        f"<div><b>{escape(title)}</b> {chip}</div>",
        bar(float(values["percent"]), left) if state == "running" else "",
        messages_html(values.get("messages") or ()),
        picture_html(picture),
        f"<div>files: <code>{escape(files)}</code></div>" if files else "",
        f"<div style='opacity:.7;font-size:.85em'>{escape(values['id'])}</div>",
    ]
    return f"<div style='max-width:46em;line-height:1.5'>{''.join(rows)}</div>"


def bar(percent: float, words: str = "") -> str:
    """Return a bar with its number and some words."""
    return (
        "<div style='display:flex;gap:.7em;align-items:center'>"
        "<div style='flex:1;height:8px;border-radius:4px;background:#8884'>"
        f"<div style='width:{percent:.0f}%;height:8px;border-radius:4px;"
        f"background:{COLORS['running']}'></div></div>"
        f"<span>{percent:.0f} %{f', {escape(words)}' if words else ''}</span></div>"
    )


def messages_html(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return what a job said: the last lines, and the others folded."""
    lines = [_line(one) for one in messages]
    earlier, last = lines[:-SHOWN], lines[-SHOWN:]
    folded = (
        f"<details><summary>{len(earlier)} earlier</summary>{''.join(earlier)}</details>"
        if earlier
        else ""
    )
    return folded + "".join(last)


def picture_html(png: bytes) -> str:
    """Return a picture, "" for none."""
    if not png:
        return ""
    data = base64.b64encode(png).decode()
    return f"<img alt='the result' src='data:image/png;base64,{data}' style='max-width:100%'>"


def duration(seconds: float) -> str:
    """Return a time in words: ``12 s``, ``3 min``, ``2 h 5 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _line(message: Mapping[str, Any]) -> str:
    level = str(message["level"])
    style = {"error": "color:#b91c1c", "warning": "color:#92400e"}.get(level, "opacity:.8")
    sign = "" if level == "info" else f"{level}: "
    return f"<div style='{style}'>{sign}{escape(str(message['text']))}</div>"
