"""Plain pages for people: values as tables, links as buttons, forms to submit from.

A page is one form with a field for the key, so that going on sends the key in a body and never in
an address, where browsers and proxies keep it. Everything that is not ours is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from fastapi.responses import HTMLResponse

from geodl_lab.server.arcgis import words
from geodl_lab.server.arcgis.tasks import Parameter
from geodl_lab.server.arcgis.web import NO_STORE

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse } td, th { border: 1px solid #ccc; padding: .2em .5em;
text-align: left; vertical-align: top; overflow-wrap: anywhere } th { font-weight: 600;
white-space: nowrap }
textarea, input, select { width: 100%; box-sizing: border-box }
label { display: block; margin: .7em 0 }
.key { max-width: 24em } button { margin: .15em .3em .15em 0 } small { color: #555 }
"""
DEEPEST = 8
"""Levels of values that a page shows."""


def page(
    title: str,
    *parts: str,
    token: str | None = "",
    status: int = 200,
    headers: Mapping[str, str] = NO_STORE,
) -> HTMLResponse:
    """Return a page.

    Parameters
    ----------
    title
        Plain text.
    parts
        HTML, as the other functions here return it.
    token
        What the request came with; it stays in the page's field. None where no key is needed.
    status, headers
        Of the answer.
    """
    key = "" if token is None else _key_field(token)
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>"
        f'<form method="post"><input type="hidden" name="f" value="html">{"".join(parts)}{key}'
        "</form></body></html>"
    )
    return HTMLResponse(text, status, headers=dict(headers))


def _key_field(token: str) -> str:
    return (
        '<label class="key">API key or token '
        f'<input type="password" name="token" value="{escape(token)}" autocomplete="off"></label>'
    )


def table(values: Any, depth: int = 0) -> str:
    """Return plain values as nested tables and lists."""
    if depth > DEEPEST:
        return "..."
    if isinstance(values, Mapping):
        rows = (
            f"<tr><th>{escape(str(name))}</th><td>{table(value, depth + 1)}</td></tr>"
            for name, value in values.items()
        )
        return f"<table>{''.join(rows)}</table>"
    if isinstance(values, list | tuple):
        return f"<ol>{''.join(f'<li>{table(one, depth + 1)}</li>' for one in values)}</ol>"
    return escape("" if values is None else str(values))


def buttons(links: Mapping[str, str]) -> str:
    """Return a button for each of some places: words to paths, "" for the page itself."""
    return "".join(
        f"<button{_action(path)}>{escape(word)}</button>" for word, path in links.items()
    )


def fields(parameters: Sequence[Parameter], action: str) -> str:
    """Return a field for each parameter of a task, and the button that submits it."""
    rows = "".join(
        f"<label>{escape(one.name)}{' (required)' * one.required}{_field(one)}"
        f"<small>{escape(one.about)}</small></label>"
        for one in parameters
    )
    return f'{rows}<button formaction="{escape(action)}">Submit job</button>'


def _action(path: str) -> str:
    return f' formaction="{escape(path)}"' if path else ""


def _field(one: Parameter) -> str:
    name = escape(one.name)
    choices = ("true", "false") if one.kind == words.TRUTH else one.choices
    usual = "" if one.default is None else str(one.default)
    if choices:
        options = "".join(
            f"<option{' selected' * (choice.lower() == usual.lower())}>{escape(choice)}</option>"
            for choice in choices
        )
        return f'<select name="{name}">{options}</select>'
    if one.kind == words.NUMBER:
        return f'<input name="{name}" value="{escape(usual)}">'
    return f'<textarea name="{name}" rows="2"></textarea>'
