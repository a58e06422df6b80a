"""The tables of docs/deepomatic.md; ``python -m geodl_lab.server.deepomatic.tables`` fills them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from fastapi.routing import APIRoute

from geodl_lab import photo_tensors
from geodl_lab.deepomatic_spec import ALSO, FOREIGN, FRAMEWORKS
from geodl_lab.packages.tables import filled, markdown_table
from geodl_lab.server.deepomatic import inference, tasks, words
from geodl_lab.server.deepomatic.errors import MOST_BODY
from geodl_lab.server.deepomatic.routes import router

PAGE = Path(__file__).parents[3] / "docs" / "deepomatic.md"


def endpoints() -> str:
    """Return all addresses with what they do."""
    lines = [_line(one) for one in router.routes if isinstance(one, APIRoute)]
    return markdown_table(("methods", "path below `/v0.7`", "what"), lines)


def frameworks() -> str:
    """Return what can be uploaded, and with which file."""
    rows = []
    for name, main in FRAMEWORKS.items():
        files = " or ".join(f"`{file}`" for file in (main, *ALSO.get(name, ())))
        said = "stored only: its task ends in an error" if name.startswith(FOREIGN) else "runs"
        rows.append((f"`{name}`", files, said))
    return markdown_table(("framework", "file", "what becomes of it"), rows)


def limits() -> str:
    """Return what is limited that no option changes."""
    rows = (
        ("bytes of an image", f"{inference.MOST_BYTES:,}"),
        ("bytes of a request that brings one, as base64 in JSON too", f"{MOST_BODY:,}"),
        ("numbers of the tensors that a network answers", f"{photo_tensors.MOST:,}"),
        ("characters of an address", f"{inference.LONGEST_URL:,}"),
        ("labels that are answered, predicted and discarded", f"{inference.MOST_PREDICTIONS}, "
         "or `max_predictions`"),
        ("results of a page", f"{words.LIMIT}, or `limit` up to {words.MOST:,}"),
        ("tasks that one request names", f"{tasks.MOST:,}"),
    )  # fmt: skip
    return markdown_table(("what", "limit"), rows)


TABLES: Mapping[str, Callable[[], str]] = {
    "endpoints": endpoints,
    "frameworks": frameworks,
    "limits": limits,
}


def _line(route: APIRoute) -> tuple[str, str, str]:
    return (
        ", ".join(sorted(route.methods or ())),
        f"`{route.path}`",
        route.description.partition("\n")[0],
    )


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), TABLES), encoding="utf-8")
    print(f"{PAGE} has its tables anew")
