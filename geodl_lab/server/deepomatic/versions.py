"""Versions: a network with what its tensors mean, for the labels of a specification."""

from __future__ import annotations

from typing import Any

from geodl_lab.deepomatic_spec import check_outputs, check_post_processings
from geodl_lab.jobs.core import Core
from geodl_lab.jobs.documents import Document, Transaction
from geodl_lab.jobs.job import Caller
from geodl_lab.json_fields import whole
from geodl_lab.server.deepomatic.bodies import Body, structured
from geodl_lab.server.deepomatic.documents import (
    EVERYBODY,
    NETWORK,
    SPEC,
    VERSION,
    get,
    id_of,
    required,
    with_numbers,
)
from geodl_lab.server.deepomatic.errors import FieldError, about
from geodl_lab.server.deepomatic.inference import Target
from geodl_lab.server.deepomatic.specs import CURRENT
from geodl_lab.server.deepomatic.words import Row, Window, date

FIELDS = ("spec_id", "network_id", "post_processings")


def rows(core: Core, caller: Caller, window: Window, spec: str = "") -> tuple[int, list[Row]]:
    """Return how many there are, and those of a window, without post-processings.

    ``spec`` is the id of their specification in an address, "" for all.
    """
    equal = {"spec_id": get(core, caller, SPEC, spec).id} if spec else {}
    count, found = core.documents.list(
        VERSION, caller, offset=window.offset, limit=window.limit, **equal
    )
    return count, [_brief(core, one) for one in found]


def show(core: Core, caller: Caller, id: str) -> Row:
    """Return one; raises FieldError or AccessError where there is none."""
    return _worded(core, get(core, caller, VERSION, id))


def create(core: Core, caller: Caller, body: Body) -> Row:
    """Keep a new one; the first of a specification becomes its current one. FieldError."""
    required(body, FIELDS)
    ids = {}
    for name in ("spec_id", "network_id"):
        with about(name):
            ids[name] = whole(body.values[name], name, 1)
    post_processings = structured(body.values["post_processings"], "post_processings")

    def change(transaction: Transaction) -> Document:
        spec = _named(transaction, SPEC, ids["spec_id"], caller)
        network = _named(transaction, NETWORK, ids["network_id"], caller)
        _check(spec, network, post_processings)
        values = {**ids, "post_processings": with_numbers(post_processings)}
        made = transaction.add(VERSION, caller.owner, values)
        if spec.values[CURRENT] is None and not _others(transaction, made):
            transaction.update(SPEC, spec.id, caller, {CURRENT: made.id})
        return made

    return _worded(core, core.documents.write(change))


def delete(core: Core, caller: Caller, id: str) -> None:
    """Remove one; a specification whose current one it was has none any more."""
    number = id_of(id, VERSION)

    def change(transaction: Transaction) -> None:
        transaction.get(VERSION, number, caller)
        remove(transaction, number)

    core.documents.write(change)


def remove(transaction: Transaction, number: int) -> None:
    """Remove a version, whoever made it."""
    version = transaction.get(VERSION, number, EVERYBODY)
    transaction.delete(VERSION, number, EVERYBODY)
    spec = transaction.get(SPEC, version.values["spec_id"], EVERYBODY)
    if spec.values[CURRENT] == number:
        transaction.update(SPEC, spec.id, EVERYBODY, {CURRENT: None})


def target(core: Core, caller: Caller, body: Body, id: str) -> Target:
    """Return what a version looks at images with; raises FieldError or AccessError."""
    version = get(core, caller, VERSION, id)
    spec = core.documents.get(SPEC, version.values["spec_id"], EVERYBODY)
    said = {
        "outputs": spec.values["outputs"],
        "post_processings": version.values["post_processings"],
    }
    return Target(network=version.values["network_id"], arguments=said)


def target_of_spec(core: Core, caller: Caller, body: Body, id: str) -> Target:
    """Return what the current version of a specification looks at images with."""
    spec = get(core, caller, SPEC, id)
    if (current := spec.values[CURRENT]) is None:
        raise FieldError(
            f"specification {spec.id} has no current version; create one, or set {CURRENT}",
            field=CURRENT,
        )
    return target(core, caller, body, str(current))


def _named(transaction: Transaction, kind: str, id: int, caller: Caller) -> Document:
    with about(f"{kind}_id"):
        return transaction.get(kind, id, caller)


def _check(spec: Document, network: Document, post_processings: Any) -> None:
    foreign = str(network.values["framework"]).startswith("tensorflow")
    with about("post_processings"):
        labels = check_outputs(spec.values["outputs"])
        order = "yxyx" if foreign else "xyxy"
        check_post_processings(post_processings, labels, box_order=order)


def _others(transaction: Transaction, version: Document) -> bool:
    spec = version.values["spec_id"]
    return transaction.list(VERSION, EVERYBODY, limit=1, spec_id=spec)[0] > 1


def _brief(core: Core, version: Document) -> Row:
    rest = _worded(core, version).items()
    return {key: value for key, value in rest if key != "post_processings"}


def _worded(core: Core, version: Document) -> Row:
    said = version.values
    spec = core.documents.get(SPEC, said["spec_id"], EVERYBODY)
    network = core.documents.get(NETWORK, said["network_id"], EVERYBODY)
    return {
        "id": version.id,
        "spec_id": spec.id,
        "spec_name": spec.values["name"],
        "network_id": network.id,
        "network_name": network.values["name"],
        "update_date": date(version.updated),
        "post_processings": said["post_processings"],
    }
