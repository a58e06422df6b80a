"""Specifications of one's own: what labels there are, and which version answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from geodl_lab.deepomatic_spec import Labels, check_outputs
from geodl_lab.jobs.core import Core
from geodl_lab.jobs.documents import Document, Transaction
from geodl_lab.jobs.job import Caller
from geodl_lab.json_fields import whole
from geodl_lab.server.deepomatic.bodies import Body, structured
from geodl_lab.server.deepomatic.documents import (
    EVERYBODY,
    SPEC,
    VERSION,
    get,
    id_of,
    listed,
    named,
    refuse_others,
    required,
)
from geodl_lab.server.deepomatic.errors import FieldError, about
from geodl_lab.server.deepomatic.words import Row, Window, date

CURRENT = "current_version_id"
EDITABLE = ("name", "description", "metadata", CURRENT)


def rows(core: Core, caller: Caller, window: Window) -> tuple[int, list[Row]]:
    """Return how many there are, and those of a window, without outputs."""
    return listed(core, caller, SPEC, window, _brief)


def show(core: Core, caller: Caller, id: str) -> Row:
    """Return one; raises FieldError or AccessError where there is none."""
    return _worded(get(core, caller, SPEC, id))


def create(core: Core, caller: Caller, body: Body) -> Row:
    """Keep a new one; raises FieldError for what is not possible."""
    required(body, ("name", "outputs"))
    outputs = structured(body.values["outputs"], "outputs")
    with about("outputs"):
        typed = [_output(one) for one in check_outputs(outputs)]
    values = {**named(body.values), "outputs": typed, CURRENT: None}
    return _worded(core.documents.add(SPEC, caller.owner, values))


def edit(core: Core, caller: Caller, body: Body, id: str) -> Row:
    """Change name, description, metadata or the current version."""
    number = id_of(id, SPEC)

    def change(transaction: Transaction) -> Document:
        known = transaction.get(SPEC, number, caller).values
        refuse_others(body, EDITABLE, known)
        values = named(body.values, known)
        if CURRENT in body.values:
            values[CURRENT] = _current(transaction, caller, body.values[CURRENT], number)
        return transaction.update(SPEC, number, caller, values)

    return _worded(core.documents.write(change))


def delete(core: Core, caller: Caller, id: str) -> None:
    """Remove one with its versions."""
    number = id_of(id, SPEC)

    def change(transaction: Transaction) -> None:
        transaction.delete(SPEC, number, caller)
        for version in transaction.list(VERSION, EVERYBODY, spec_id=number)[1]:
            transaction.delete(VERSION, version.id, EVERYBODY)

    core.documents.write(change)


def _current(transaction: Transaction, caller: Caller, given: Any, spec: int) -> int | None:
    if given in (None, "", "null"):
        return None
    with about(CURRENT):
        number = whole(given, CURRENT, 1)
        version = transaction.get(VERSION, number, caller)
    if version.values["spec_id"] != spec:
        raise FieldError(
            f"version {number} is one of specification {version.values['spec_id']}; give one of "
            f"{spec}",
            field=CURRENT,
        )
    return number


def _output(labels: Labels) -> Row:
    """Return what was checked with numbers and booleans as such, as forms send only text."""
    rows = [{"id": id, "name": name} for id, name in zip(labels.ids, labels.names, strict=True)]
    roi = "BBOX" if labels.boxes else "NONE"
    return {"labels": {"labels": rows, "exclusive": labels.exclusive, "roi": roi}}


def _brief(spec: Document) -> Row:
    return {key: value for key, value in _worded(spec).items() if key != "outputs"}


def _worded(spec: Document) -> Row:
    said: Mapping[str, Any] = spec.values
    keys = ("name", "description", "metadata", CURRENT, "outputs")
    return {
        "id": spec.id, **{key: said[key] for key in keys}, "update_date": date(spec.updated)
    }  # fmt: skip
