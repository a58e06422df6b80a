"""Services and items: seen by their owner, everybody, or an admin; filled as a whole."""

import dataclasses
from pathlib import Path

import pytest

from geodl_lab.errors import AccessError
from geodl_lab.jobs import catalog as catalogs
from geodl_lab.jobs.catalog import Catalog, Item, new_item_id
from geodl_lab.jobs.database import Database
from geodl_lab.jobs.job import Caller

ANN, BEN, ADMIN = Caller("ann"), Caller("ben"), Caller("root", admin=True)


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    yield database
    database.close()


@pytest.fixture
def catalog(database):
    return Catalog(database)


def item(owner="ann", title="t", **values):
    return Item(new_item_id(), owner, "Image Service", title, **values)


def test_a_service_and_its_item_come_together_and_are_seen_by_who_may(catalog):
    service, made = catalog.create("roofs", "raster", "ann", item(folder="f"))
    assert (service.item, made.service, service.version) == (made.id, "roofs", 0)
    assert catalog.service("roofs", ANN) == catalog.service("roofs", ADMIN) == service
    assert catalog.item(made.id, ANN) == made
    assert catalog.services(ANN) == [service] and catalog.services(BEN) == []
    assert catalog.items(ANN, folder="f") == [made] and catalog.items(ANN, folder="g") == []
    with pytest.raises(AccessError, match="there is no service 'roofs'"):
        catalog.service("roofs", BEN)
    with pytest.raises(AccessError, match="there is no item"):
        catalog.item(made.id, BEN)


def test_what_belongs_to_nobody_is_for_everybody(catalog):
    service, made = catalog.create("roofs", "raster", "", item(owner=""))
    assert catalog.services(BEN) == [service] and catalog.items(BEN) == [made]


def test_a_name_is_taken_once_whoever_owns_it(catalog):
    catalog.create("roofs", "raster", "ann", item())
    assert not catalog.is_free("roofs") and catalog.is_free("Roofs2")
    second = item(owner="ben")
    with pytest.raises(AccessError, match="'roofs' is taken"):
        catalog.create("roofs", "features", "ben", second)
    with pytest.raises(AccessError, match="there is no item"):
        catalog.item(second.id, ADMIN)


def test_a_data_folder_that_was_moved_names_its_files_where_they_are_now(catalog, database):
    upload = item(title="photo")
    upload = dataclasses.replace(upload, file=f"/old/uploads/{upload.id}/photo.tif")
    catalog.create("roofs", "raster", "ann", item())
    catalog.save(upload)
    old = {"raster": "/old/services/roofs/j1/raster.tif"}
    database.write(lambda c: catalogs.fill_service(c, "roofs", old, {}))
    catalog.move_to(Path("/new/services"))
    new = {
        "/new/services/services/roofs/j1/raster.tif",
        f"/new/services/uploads/{upload.id}/photo.tif",
    }
    assert catalog.files() == new
    catalog.move_to(Path("/new/services"))
    assert catalog.files() == new and catalog.service("roofs", ANN).version == 1


def test_filling_counts_versions_and_a_transaction_that_fails_changes_nothing(catalog, database):
    catalog.create("roofs", "raster", "ann", item())
    database.write(lambda c: catalogs.fill_service(c, "roofs", {"raster": "/a"}, {"job": "j1"}))

    def fails(connection):
        catalogs.fill_service(connection, "roofs", {"raster": "/b"}, {"job": "j2"})
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        database.write(fails)
    found = catalog.service("roofs", ANN)
    assert (found.files, found.info, found.version) == ({"raster": "/a"}, {"job": "j1"}, 1)
    with pytest.raises(AccessError, match="'gone' was deleted meanwhile"):
        database.write(lambda c: catalogs.fill_service(c, "gone", {}, {}))


def test_save_keeps_the_date_of_birth(catalog):
    first = item(file="/up.dlpk")
    catalog.save(first)
    born = catalog.item(first.id, ANN)
    catalog.save(Item(**{**{n: getattr(born, n) for n in Item.__slots__}, "title": "other"}))
    again = catalog.item(first.id, ANN)
    assert (again.title, again.created) == ("other", born.created)
    assert catalog.files() == {"/up.dlpk"}


def test_items_are_listed_newest_first(catalog):
    for created in (1.0, 3.0, 2.0):
        catalog.save(item(title=str(created), created=created))
    assert [one.title for one in catalog.items(ANN)] == ["3.0", "2.0", "1.0"]


def test_delete_takes_the_service_along(catalog):
    _, made = catalog.create("roofs", "raster", "ann", item())
    catalog.delete(made)
    assert catalog.is_free("roofs") and catalog.items(ANN) == []
