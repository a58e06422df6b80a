"""Nothing outside a store is reached by any name, and all refusals read the same."""

import os

import pytest

from geodl_lab.errors import AccessError
from geodl_lab.jobs import stores as module
from geodl_lab.jobs.stores import Stores, raster_names


@pytest.fixture
def stores(tmp_path):
    """A store with files and folders, beside a secret."""
    top = tmp_path / "store"
    (top / "sub" / "deep").mkdir(parents=True)
    (top / ".hidden").mkdir()
    for name in ("b.tif", "a.TIF", "note.txt", "sub/x.png", "sub/deep/y.jp2", ".h.tif"):
        (top / name).write_text("x")
    (top / ".hidden" / "z.tif").write_text("x")
    (tmp_path / "secret.tif").write_text("secret")
    (tmp_path / "store2").mkdir()
    (tmp_path / "store2" / "s.tif").write_text("secret")
    return Stores({"nas": top, "more": tmp_path / "store2"})


def test_files_and_folders_are_found(stores, tmp_path):
    top = tmp_path / "store"
    assert stores.path("nas/b.tif") == top / "b.tif"
    assert stores.path("/nas/sub/deep/y.jp2") == top / "sub/deep/y.jp2"
    assert stores.path("nas") == top
    assert stores.path("nas/sub/") == top / "sub"


@pytest.mark.parametrize(
    "reference",
    [
        "", "/", "none/b.tif", "nas/none.tif", "nas/../secret.tif", "nas/sub/../../secret.tif",
        "nas/..", "nas/./b.tif", "nas//b.tif", "../store/b.tif", "nas/.h.tif", "nas/.hidden/z.tif",
        "nas/.hidden", "nas/b.tif\0.png", "nas/sub\\..\\..\\secret.tif", "nas/b.tif/x",
        "nas/..\\secret.tif", "NAS/b.tif", "nas/b.tif\n", "nas/%2e%2e/secret.tif", "nas/~",
        "nas/*.tif",
        "/vsicurl/http://a", "nas/vsizip/b.tif", "vsizip", "nas/" + "x" * 5000, "nas/\udcff",
    ],
)  # fmt: skip
def test_everything_else_is_not_there(stores, reference):
    with pytest.raises(AccessError, match=r"in the stores; give NAME/path.*: more, nas"):
        stores.path(reference)


def test_absolute_paths(stores, tmp_path):
    for reference in (str(tmp_path / "secret.tif"), f"nas/{tmp_path}/secret.tif", "/etc/passwd"):
        with pytest.raises(AccessError, match="in the stores"):
            stores.path(reference)


def test_links_stay_inside(stores, tmp_path):
    top = tmp_path / "store"
    (top / "fine.tif").symlink_to("sub/x.png")
    (top / "out.tif").symlink_to(tmp_path / "secret.tif")
    (top / "parent").symlink_to(tmp_path)
    (top / "beside").symlink_to(tmp_path / "store2")
    (top / "loop").symlink_to("loop")
    (top / "unhide.tif").symlink_to(".hidden/z.tif")
    assert stores.path("nas/fine.tif") == top / "sub/x.png"
    for name in (
        "out.tif", "parent", "parent/secret.tif", "beside/s.tif", "loop", "unhide.tif",
        "parent/store/b.tif/../../secret.tif",
    ):  # fmt: skip
        with pytest.raises(AccessError, match="in the stores"):
            stores.path(f"nas/{name}")


def test_a_store_that_is_itself_a_link(stores, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "store")
    assert Stores({"n": tmp_path / "link"}).path("n/b.tif") == tmp_path / "store" / "b.tif"


def test_pipes_and_devices_are_not_there(stores, tmp_path):
    os.mkfifo(tmp_path / "store" / "pipe.tif")
    (tmp_path / "store" / "zero.tif").symlink_to("/dev/zero")
    for name in ("pipe.tif", "zero.tif"):
        with pytest.raises(AccessError, match="in the stores"):
            stores.path(f"nas/{name}")


def test_not_there_and_outside_read_the_same(stores):
    texts = set()
    for name in ("none.tif", "../secret.tif", ".h.tif"):
        with pytest.raises(AccessError, match="stores") as caught:
            stores.path(f"nas/{name}")
        texts.add(str(caught.value).replace(name, ""))
    assert len(texts) == 1


def test_rasters_are_listed_in_order_without_hidden_ones(stores, tmp_path):
    (tmp_path / "store" / "out.tif").symlink_to(tmp_path / "secret.tif")
    assert stores.rasters() == [
        "more/s.tif", "nas/a.TIF", "nas/b.tif", "nas/sub/x.png", "nas/sub/deep/y.jp2",
    ]  # fmt: skip
    assert all(stores.path(one).is_file() for one in stores.rasters())


def test_the_list_is_bounded(stores, monkeypatch):
    monkeypatch.setattr(module, "MOST_RASTERS", 2)
    assert len(stores.rasters()) == 2
    monkeypatch.setattr(module, "MOST_RASTERS", 100)
    monkeypatch.setattr(module, "DEPTH", 1)
    assert stores.rasters()[-1] == "nas/sub/x.png"


def test_a_store_whose_folder_is_gone_is_empty(tmp_path):
    gone = Stores({"gone": tmp_path / "gone"})
    assert gone.rasters() == []
    with pytest.raises(AccessError, match="in the stores"):
        gone.path("gone")


def test_the_rasters_of_a_folder(stores, tmp_path):
    top = tmp_path / "store"
    assert raster_names(stores.path("nas")) == ("a.TIF", "b.tif")
    (top / "empty").mkdir()
    with pytest.raises(AccessError, match="'empty' holds 0 rasters"):
        raster_names(stores.path("nas/empty"))
    with pytest.raises(AccessError, match="cannot be listed"):
        raster_names(tmp_path / "gone")
