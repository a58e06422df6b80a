"""What specifications, versions and networks have in common: numbers, names, pages, edits."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from geodl_lab.checks import number_of
from geodl_lab.jobs.core import Core
from geodl_lab.jobs.documents import Document
from geodl_lab.jobs.job import Caller
from geodl_lab.json_fields import text
from geodl_lab.server.deepomatic.bodies import Body, structured
from geodl_lab.server.deepomatic.errors import FieldError, about
from geodl_lab.server.deepomatic.words import Row, Window

SPEC, VERSION, NETWORK = "spec", "version", "network"
EVERYBODY = Caller("", admin=True)
"""Who deletes what hangs on a deleted document, whoever made it."""

LONGEST = 1000
"""Characters of a name."""

NUMBERS = frozenset(
    [
        "pixel_scaling",
        "shape",
        "data",
        "thresholds",
        "nms_threshold",
        "discard_threshold",
        "anchors",
    ]
)
"""Keys of numbers, or of lists of them."""

READ_ONLY = frozenset(["id", "update_date", "create_date", "task_id", "spec_name", "network_name"])
"""What an answer holds and a request may repeat, without effect."""


def id_of(id: str, what: str) -> int:
    """Return the number of a document in an address; raises FieldError where it is none."""
    if not re.fullmatch(r"\d{1,18}", id, re.ASCII):
        raise FieldError(f"there is no {what} {id[:100]!r}; its id is a whole number", status=404)
    return int(id)


def get(core: Core, caller: Caller, kind: str, id: str) -> Document:
    """Return a document by the id of an address; raises FieldError or AccessError."""
    return core.documents.get(kind, id_of(id, kind), caller)


def listed(
    core: Core, caller: Caller, kind: str, window: Window, word: Callable[[Document], Row],
    **equal: Any,
) -> tuple[int, list[Row]]:  # fmt: skip
    """Return how many documents there are, and the answers for those of a window."""
    count, found = core.documents.list(
        kind, caller, offset=window.offset, limit=window.limit, **equal
    )
    return count, [word(one) for one in found]


def named(values: Mapping[str, Any], known: Mapping[str, Any] | None = None) -> Row:
    """Return name, description and metadata of a request, else those that are known.

    Raises
    ------
    FieldError
        If one is not possible, or there is no name.
    """
    known = known or {"description": "", "metadata": {}}
    with about("name"):
        name = text(values.get("name", known.get("name")), "name")
    with about("description"):
        given = values.get("description", known["description"])
        description = text("" if given is None else given, "description", empty=True)
    if len(name) > LONGEST:
        raise FieldError(f"name has {len(name)} characters; {LONGEST} are possible", field="name")
    given = structured(values.get("metadata", known["metadata"]), "metadata")
    metadata = {} if given is None else given
    if not isinstance(metadata, Mapping):
        raise FieldError(f"metadata is {str(metadata)[:80]!r}; give an object", field="metadata")
    return {"name": name, "description": description, "metadata": dict(metadata)}


def with_numbers(checked: Any, key: str = "") -> Any:
    """Return what was checked with its numbers as such, as forms send only text."""
    if isinstance(checked, Mapping):
        return {name: with_numbers(one, str(name)) for name, one in checked.items()}
    if isinstance(checked, list):
        return [with_numbers(one, key) for one in checked]
    found = number_of(checked) if isinstance(checked, str) and key in NUMBERS else None
    if found is None:
        return checked
    return int(found) if key == "shape" else found


def refuse_others(body: Body, possible: tuple[str, ...], known: Mapping[str, Any]) -> None:
    """Refuse to edit what cannot be; what is repeated as it is, is no edit. FieldError."""
    for key, value in body.values.items():
        if key in possible or key in READ_ONLY:
            continue
        if key not in known:
            raise FieldError(
                f"{key[:80]} is not known; possible are {', '.join(possible)}", field=key[:80]
            )
        if structured(value, key) != known[key]:
            raise FieldError(
                f"{key} cannot be changed; possible are {', '.join(possible)}: make a new one",
                field=key,
            )


def required(body: Body, names: tuple[str, ...]) -> None:
    """Refuse a body without some fields; raises FieldError."""
    for name in names:
        if body.values.get(name) in (None, ""):
            raise FieldError(f"{name} is missing; give {', '.join(names)}", field=name)
