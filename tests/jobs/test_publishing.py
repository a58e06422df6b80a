"""A result is published as a whole, or not at all."""

from pathlib import Path

import pytest
from fake_works import classify

from geodl_lab.errors import AccessError, CancelledError, OptionError
from geodl_lab.jobs import recipes
from geodl_lab.jobs.catalog import Catalog, Item, new_item_id
from geodl_lab.jobs.database import Database
from geodl_lab.jobs.job import Caller, Job, State, new_id
from geodl_lab.jobs.publishing import done_message, find_place, publish
from geodl_lab.jobs.recipes import Export, ListModels, Ref
from geodl_lab.jobs.store import Store
from geodl_lab.jobs.works import Result

ANN, BEN = Caller("ann"), Caller("ben")


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    yield database
    database.close()


@pytest.fixture
def store(database):
    return Store(database)


@pytest.fixture
def catalog(database):
    return Catalog(database)


@pytest.fixture
def running(store):
    def claim(recipe):
        job = Job(new_id(), "ann", recipes.to_json(recipe))
        store.add(job, lane="device", admin=False, limit=100)
        (claimed,) = store.claim("device")
        return claimed

    return claim


@pytest.fixture
def finish(database, catalog, tmp_path):
    """Publishes a file of a job as the recipe wants."""

    def finish(job, recipe, *names, place=None):
        folder = tmp_path / "jobs" / job.id
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).write_text(job.id)
        result = Result({name: str(folder / name) for name in names}, {"count": 1})
        place = place or find_place(recipe, job, catalog, ANN)
        publish(database, job, result, place=place, folder=tmp_path / "services", words="The end.")

    return finish


def test_only_named_files_move_when_they_lie_with_the_blocks(running, finish, catalog, tmp_path):
    recipe = classify(service="roofs")
    job = running(recipe)
    finish(job, recipe, "a.tif")
    files = catalog.service("roofs", ANN).files
    assert files == {"a.tif": str(tmp_path / "services" / "roofs" / job.id / "a.tif")}
    assert Path(files["a.tif"]).read_text() == job.id


def test_a_name_taken_in_the_meantime_fails_and_leaves_no_file(
    running, finish, catalog, store, tmp_path
):
    recipe = classify(service="roofs")
    first, second = running(recipe), running(recipe)
    place = find_place(recipe, second, catalog, ANN)
    finish(first, recipe, "a.tif")
    with pytest.raises(AccessError, match="'roofs' is taken"):
        finish(second, recipe, "a.tif", place=place)
    assert store.get(second.id).state is State.RUNNING
    assert [f.name for f in (tmp_path / "services" / "roofs").iterdir()] == [first.id]
    assert len(catalog.items(ANN)) == 1


def test_a_job_that_is_cancelled_publishes_nothing(running, finish, catalog, store, tmp_path):
    recipe = classify(service="roofs")
    job = running(recipe)
    store.cancel(job.id)
    with pytest.raises(CancelledError, match="before its result was published"):
        finish(job, recipe, "a.tif")
    assert catalog.is_free("roofs") and catalog.items(ANN) == []
    assert not (tmp_path / "services" / "roofs" / job.id).exists()


def test_a_deleted_service_fails_the_job(running, finish, catalog):
    item = Item(new_item_id(), "ann", "Image Service", "t")
    catalog.create("roofs", "raster", "ann", item)
    recipe = classify(item=item.id)
    job = running(recipe)
    place = find_place(recipe, job, catalog, ANN)
    catalog.delete(item)
    with pytest.raises(AccessError, match="deleted meanwhile"):
        finish(job, recipe, "a.tif", place=place)


def test_a_job_without_a_place_has_values(running, finish, store, tmp_path):
    job = running(ListModels())
    finish(job, ListModels())
    done = store.get(job.id)
    assert (done.state, done.results) == (State.SUCCEEDED, {"values": {"count": 1}})
    assert store.messages(job.id)[-1].text == "The end."
    assert not (tmp_path / "services").exists()


def test_an_export_is_a_folder_named_by_its_location(running, finish, catalog):
    recipe = Export((Ref("store", "A/a.tif"),), "chips")
    finish(running(recipe), recipe)
    assert catalog.service("chips", ANN).kind == "folder"


@pytest.mark.parametrize("name", ["../up", "a b", "a/b", "x" * 121, "ü"])
def test_a_name_that_is_no_folder_is_refused(catalog, name):
    with pytest.raises(OptionError, match="use letters, digits and _"):
        find_place(classify(service=name), Job("j1", "ann", {}), catalog, ANN)


def test_an_item_must_be_a_service_of_the_kind_and_visible(catalog):
    plain, other = (Item(new_item_id(), "ann", "x", "t") for _ in range(2))
    catalog.save(plain)
    catalog.create("trees", "features", "ann", other)
    job = Job("j1", "ann", {})
    with pytest.raises(AccessError, match="is no service"):
        find_place(classify(item=plain.id), job, catalog, ANN)
    with pytest.raises(AccessError, match="is for features and this job makes raster"):
        find_place(classify(item=other.id), job, catalog, ANN)
    with pytest.raises(AccessError, match="there is no item"):
        find_place(classify(item=other.id), job, catalog, BEN)


def test_figures_are_in_the_last_message():
    assert done_message(12_340_000, 4.0) == (
        "The job is done: 12.3 million pixels in 4.0 s, 3.08 million a second."
    )
    assert done_message(0, 4.0) == "The job is done after 4.0 s."
