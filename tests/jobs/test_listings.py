"""Rasters of stores and models are items that everybody sees."""

import hashlib
from concurrent.futures import Future

import pytest

from geodl_lab.jobs import listings
from geodl_lab.jobs.listings import Listings, model_item, read_cards
from geodl_lab.packages import install

OURS = [{"reference": "ours", "name": "ours"}]
CARDS = [{"reference": "tiny@1.0#12ab", "name": "tiny"}]


@pytest.fixture
def asked():
    """Counts how often a worker is asked for cards."""
    return []


@pytest.fixture
def listed(asked, tmp_path, models_folder, monkeypatch):
    monkeypatch.setattr(listings, "zoo_cards", lambda: OURS)

    def compute(function, *, device):
        asked.append(function)
        future = Future()
        future.set_result(CARDS)
        return future

    (tmp_path / "store" / "sub").mkdir(parents=True)
    (tmp_path / "store" / "sub" / "b.tif").touch()
    return Listings({"A": tmp_path / "store"}, compute)


def test_ids_are_made_of_the_reference_and_found_again(listed, package):
    install(package())
    raster, _, model = listed.items()
    assert raster.id == hashlib.md5(b"store:A/sub/b.tif").hexdigest()
    assert model.id == hashlib.md5(b"model:tiny@1.0#12ab").hexdigest()
    assert (raster.title, raster.type) == ("b", "Image Service")
    assert (model.title, model.type) == ("tiny", "Deep Learning Package")
    assert [listed.item(one.id) for one in (raster, model)] == [raster, model]
    assert listed.item("0" * 32) is None


def test_a_raster_that_comes_later_is_found(listed, tmp_path, monkeypatch):
    listed.items()
    (tmp_path / "store" / "c.tif").touch()
    id = hashlib.md5(b"store:A/c.tif").hexdigest()
    monkeypatch.setattr(listings, "STORE_SECONDS", 0)
    assert listed.item(id).store == "A/c.tif"


def test_no_worker_is_asked_where_nothing_is_installed(listed, asked):
    assert listed.model_cards() == OURS
    assert not asked


def test_cards_are_read_once_until_models_change(listed, asked, package):
    install(package())
    assert listed.model_cards() == listed.model_cards() == [*OURS, *CARDS]
    assert asked == [read_cards]
    install(package(name="second"))
    listed.model_cards()
    assert len(asked) == 2
    listed.forget_models()
    listed.model_cards()
    assert len(asked) == 3


def test_the_cards_have_references_and_no_paths(models_folder, package):
    one = install(package())
    cards = {card["reference"]: card for card in read_cards()}
    assert one.reference in cards and str(models_folder) not in str(cards)
    assert model_item(cards[one.reference]).title == "tiny"
