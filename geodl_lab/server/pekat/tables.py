"""The tables of docs/pekat.md; ``python -m geodl_lab.server.pekat.tables`` writes them anew."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path

from fastapi.routing import APIRoute

from geodl_lab.packages.tables import filled, markdown_table
from geodl_lab.server.pekat.project import Project
from geodl_lab.server.pekat.routes import router

PAGE = Path(__file__).parents[3] / "docs" / "pekat.md"


def endpoints() -> str:
    """Return methods, path and meaning of each route."""
    known = (one for one in router.routes if isinstance(one, APIRoute))
    lines = [_line(one) for one in known if one.include_in_schema]
    return markdown_table(("methods", "path", "what"), lines)


def keys() -> str:
    """Return the keys of a project file, their defaults and meanings."""
    said = inspect.getdoc(Project) or ""
    block = said.partition("Parameters\n----------\n")[2].partition("\nRaises")[0]
    words = {
        name: " ".join(text.split())
        for name, text in re.findall(r"^(\w+)\n((?:    .*\n?)+)", block, re.M)
    }
    project = Project()
    rows = [
        (f"`{one.name}`", f"`{json.dumps(getattr(project, one.name))}`", words[one.name])
        for one in dataclasses.fields(Project)
    ]
    return markdown_table(("key", "without it", "what"), rows)


TABLES: dict[str, Callable[[], str]] = {"endpoints": endpoints, "keys": keys}


def _line(route: APIRoute) -> tuple[str, str, str]:
    methods = sorted(route.methods or ())
    if methods == ["GET"]:
        methods.append("HEAD")  # `paths.Heads`
    return ", ".join(methods), f"`{route.path}`", (route.description or "").splitlines()[0]


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), TABLES), encoding="utf-8")
