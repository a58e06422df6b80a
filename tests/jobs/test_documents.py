"""Documents are kept with their files, seen by their owner, changed all or none."""

import pytest

from geodl_lab.errors import AccessError, OptionError
from geodl_lab.jobs.database import Database
from geodl_lab.jobs.documents import MOST_ID, Documents
from geodl_lab.jobs.job import Caller

ANN, BEN, ADMIN = Caller("ann"), Caller("ben"), Caller("root", admin=True)


@pytest.fixture
def opened(tmp_path):
    """Opens the documents of one folder, as often as a server starts."""
    databases = []

    def open_again():
        databases.append(Database(f"sqlite:///{tmp_path / 'jobs.sqlite'}"))
        return Documents(databases[-1], tmp_path / "documents")

    yield open_again
    for database in databases:
        database.close()


@pytest.fixture
def documents(opened):
    return opened()


def test_a_document_is_there_for_the_next_server(documents, opened):
    made = documents.add("spec", "ann", {"name": "ü", "outputs": [{"a": 1.5}]})
    assert made.created == made.updated > 0 and isinstance(made.id, int)
    assert opened().get("spec", made.id, ANN) == made


def test_only_its_owner_and_admins_see_it(documents):
    mine, public = documents.add("spec", "ann", {}), documents.add("spec", "", {})
    assert documents.get("spec", mine.id, ADMIN) == mine
    assert documents.get("spec", public.id, BEN) == public
    for kind, id, caller in (
        ("spec", mine.id, BEN), ("version", mine.id, ANN), ("spec", 99, ANN), ("spec", -1, ANN),
        ("spec", MOST_ID + 1, ANN), ("spec", 0, ANN),
    ):  # fmt: skip
        for call in (documents.get, documents.delete):
            with pytest.raises(AccessError, match=f"there is no {kind} {id}"):
                call(kind, id, caller)
        with pytest.raises(AccessError, match=f"there is no {kind} {id}"):
            documents.update(kind, id, caller, {})
    assert documents.get("spec", mine.id, ANN) == mine


def test_lists_come_in_pages_by_age_and_by_what_values_hold(documents):
    made = [documents.add("v", "ann", {"spec": n % 2, "name": f"n{n}"}) for n in range(7)]
    documents.add("v", "ben", {"spec": 1}), documents.add("w", "ann", {"spec": 1})
    assert documents.list("v", ANN) == (7, made)
    assert documents.list("v", ANN, offset=2, limit=3) == (7, made[2:5])
    assert documents.list("v", ANN, offset=9) == (7, [])
    assert documents.list("v", ANN, spec=1, limit=2) == (3, [made[1], made[3]])
    assert documents.list("v", ANN, spec=1, name="n3") == (1, [made[3]])
    assert documents.list("v", ADMIN, limit=0) == (8, [])
    assert documents.list("v", ANN, missing=1) == (0, [])


def test_an_update_changes_what_it_names(documents):
    made = documents.add("spec", "ann", {"name": "a", "metadata": {"x": 1}})
    changed = documents.update("spec", made.id, ANN, {"name": "b"})
    assert changed == documents.get("spec", made.id, ANN)
    assert changed.values == {"name": "b", "metadata": {"x": 1}}
    assert changed.updated > made.updated and changed.created == made.created


def test_a_number_is_never_given_again(documents):
    first = documents.add("spec", "ann", {})
    documents.delete("spec", first.id, ANN)
    assert documents.add("spec", "ann", {}).id > first.id


def test_files_come_and_go_with_their_document(documents):
    made = documents.add("network", "ann", {}, files={"model.pt": b"12", "mean.npy": b"3"})
    folder = documents.folder("network", made.id)
    assert {path.name for path in folder.iterdir()} == {"model.pt", "mean.npy"}
    assert [path.name for path in folder.parent.iterdir()] == [str(made.id)]
    documents.delete("network", made.id, ANN)
    assert not folder.exists()


def test_a_document_whose_files_fail_is_none(documents):
    with pytest.raises(OptionError, match="a file cannot be called"):
        documents.add("network", "ann", {}, files={"../x": b""})
    assert documents.list("network", ANN) == (0, [])


def test_several_changes_are_one_or_none(documents):
    spec = documents.add("spec", "ann", {})
    network = documents.add("network", "ann", {"spec": spec.id}, files={"a": b""})

    def cascade(changes):
        for one in changes.list("network", ANN, spec=spec.id)[1]:
            changes.delete("network", one.id, ANN)
        changes.delete("spec", spec.id, ANN)

    def broken(changes):
        cascade(changes)
        changes.get("spec", 99, ANN)

    with pytest.raises(AccessError, match="there is no spec 99"):
        documents.write(broken)
    assert documents.get("spec", spec.id, ANN) == spec
    assert documents.folder("network", network.id).exists()
    documents.write(cascade)
    assert documents.list("spec", ANN) == documents.list("network", ANN) == (0, [])
    assert not documents.folder("network", network.id).exists()
