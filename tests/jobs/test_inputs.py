"""References of every kind become checked local files, the same ones however often."""

import json
from types import SimpleNamespace

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from geopandas import GeoDataFrame
from rasterio.transform import from_origin

from geodl_lab.errors import AccessError, CancelledError, RasterError
from geodl_lab.jobs import inputs
from geodl_lab.jobs.catalog import Item, Service
from geodl_lab.jobs.database import Database
from geodl_lab.jobs.documents import Documents
from geodl_lab.jobs.inputs import resolve
from geodl_lab.jobs.job import Caller
from geodl_lab.jobs.recipes import (
    Change,
    Classify,
    Context,
    Deploy,
    Detect,
    Export,
    Extent,
    Install,
    ListModels,
    Look,
    ModelInfo,
    Recognize,
    Ref,
    Uninstall,
)
from geodl_lab.jobs.stores import Stores
from geodl_lab.jobs.works import CANCEL
from geodl_lab.vector_files import write_objects

ME = Caller("me")
MODEL = Ref("model", "naip-landcover")


def raster(path, value=1, place=(0, 40)):
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"width": 40, "height": 40, "count": 1, "dtype": "uint8", "crs": "EPSG:32633"}
    transform = from_origin(*place, 1, 1)
    with rasterio.open(path, "w", driver="GTiff", transform=transform, **profile) as file:
        file.write(np.full((1, 40, 40), value, np.uint8))
    return path


def features(path):
    write_objects(GeoDataFrame({"a": [1]}, geometry=[shapely.box(0, 0, 9, 9)], crs=32633), path)
    return path


class Things(dict):
    """Services or items by name; what belongs to others is not there."""

    def get(self, name, caller):
        if name not in self or not caller.may_see(self[name].owner):
            raise AccessError(f"there is no {name!r}")
        return self[name]


@pytest.fixture
def core(tmp_path, web):
    """Stores, services and items, as the core knows them."""
    top = tmp_path / "store"
    raster(top / "b.tif", 2)
    raster(top / "many" / "2.tif")
    raster(top / "many" / "1.tif")
    features(top / "labels.gpkg")
    services, items = Things(), Things()
    stores = Stores({"nas": top})
    return SimpleNamespace(
        top=top, services=services, all=items,
        options=SimpleNamespace(url_hosts=(web.host,), trusted=frozenset()),
        catalog=SimpleNamespace(service=services.get, item=items.get),
        item=items.get, store_path=stores.path,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "job"
    path.mkdir()
    return path


def rasters_of(ref, core, folder, **context):
    recipe = Classify((ref,), MODEL, context=Context(**context))
    return resolve(recipe, core, ME, folder).rasters[ref]


def test_a_file_and_a_folder_of_a_store(core, folder):
    assert rasters_of(Ref("store", "nas/b.tif"), core, folder) == (core.top / "b.tif",)
    many = rasters_of(Ref("store", "nas/many"), core, folder)
    assert [path.name for path in many] == ["1.tif", "2.tif"]
    assert list(folder.iterdir()) == []


def test_a_bad_file_in_a_folder_is_named(core, folder):
    (core.top / "many" / "3.tif").write_text("<VRTDataset/>")
    with pytest.raises(RasterError, match=r"'3\.tif' is no GeoTIFF"):
        rasters_of(Ref("store", "nas/many"), core, folder)


def test_a_link_out_of_the_store_is_not_followed_in_a_folder(core, folder, tmp_path):
    (core.top / "many" / "3.tif").symlink_to(raster(tmp_path / "secret.tif"))
    with pytest.raises(AccessError, match=r"there is no 'nas/many/3\.tif' in the stores"):
        rasters_of(Ref("store", "nas/many/"), core, folder)


def test_results_of_ours(core, folder, tmp_path):
    one = raster(tmp_path / "z.tif", 1)
    core.services["s"] = Service("s", "raster", "", "i", {"raster": str(one)})
    core.all["i"] = Item("i", "me", "Image Service", "t", service="s")
    assert rasters_of(Ref("service", "s"), core, folder) == (one,)
    assert rasters_of(Ref("item", "i"), core, folder) == (one,)


@pytest.mark.parametrize(
    ("service", "match"),
    [
        (Service("s", "raster", "other", "i", {"raster": "/x.tif"}), "there is no 's'"),
        (Service("s", "raster", "me", "i"), "waits for the job that fills it"),
        (Service("s", "folder", "me", "i", {"folder": "/x"}), "is a folder"),
        (Service("s", "raster", "me", "i", {"raster": "/x.tif"}), "are gone"),
    ],
)
def test_services_without_a_raster(core, folder, service, match):
    core.services["s"] = service
    with pytest.raises(AccessError, match=match):
        rasters_of(Ref("service", "s"), core, folder)


def test_items_of_stores_and_uploads(core, folder, tmp_path):
    upload = raster(tmp_path / "upload")
    evil = tmp_path / "evil.tif"
    evil.write_text("<VRTDataset/>")
    core.all |= {
        "store": Item("store", "", "Image Service", "t", store="nas/b.tif"),
        "many": Item("many", "", "Image Collection", "t", store="nas/many"),
        "file": Item("file", "me", "Image", "t", file=str(upload)),
        "evil": Item("evil", "me", "Image", "t", file=str(evil)),
        "model": Item("model", "me", "Deep Learning Package", "t", model="naip-landcover"),
        "other": Item("other", "other", "Image", "t", file=str(upload)),
    }
    assert rasters_of(Ref("item", "store"), core, folder) == (core.top / "b.tif",)
    assert len(rasters_of(Ref("item", "many"), core, folder)) == 2
    assert rasters_of(Ref("item", "file"), core, folder) == (upload,)
    for name, error in (("evil", RasterError), ("model", AccessError), ("other", AccessError)):
        with pytest.raises(error, match=r"is no GeoTIFF|is no raster|there is no 'other'"):
            rasters_of(Ref("item", name), core, folder)


def test_a_file_at_an_address_is_fetched_once_and_checked(core, folder, web):
    web.pages["/a.tif"] = (core.top / "b.tif").read_bytes()
    ref = Ref("url", f"{web.url}/a.tif?token=T")
    (path,) = rasters_of(ref, core, folder)
    before = path.stat()
    assert rasters_of(ref, core, folder) == (path,)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.is_relative_to(folder)
    assert path.read_bytes() == web.pages["/a.tif"]
    assert web.asked == ["/a.tif?token=T"]


@pytest.mark.parametrize("name", ["/ok.tif", "/ok.vrt", "/ok"])
def test_what_an_address_answers_is_not_trusted(core, folder, web, name):
    web.pages[name] = b'<VRTDataset rasterXSize="1" rasterYSize="1"/>'
    with pytest.raises(RasterError, match=f"what 'http.*{name}' answered .* is no GeoTIFF"):
        rasters_of(Ref("url", web.url + name), core, folder)


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("http://169.254.169.254/a.tif", "which is not public"),
        ("http://localhost:1/x/ImageServer", "which is not public"),
        ("http://localhost:1/x/FeatureServer/0", "which is not public"),
        ("/vsicurl/http://a.example/a.tif", "not an address"),
        ("file:///etc/passwd", "not an address"),
    ],
)
def test_addresses_that_are_not_asked(core, folder, url, match):
    with pytest.raises(AccessError, match=match):
        rasters_of(Ref("url", url), core, folder)


def image_service(web, path):
    """Answer one block by its documentation: the whole raster."""
    with rasterio.open(path) as file:
        left, bottom, right, top = file.bounds
    said = {
        "bandCount": 1, "pixelType": "U8", "pixelSizeX": 1, "pixelSizeY": 1,
        "extent": {"xmin": left, "ymin": bottom, "xmax": right, "ymax": top,
                   "spatialReference": {"wkid": 32633}},
    }  # fmt: skip
    web.pages["/x/ImageServer"] = json.dumps(said).encode()
    web.pages["/x/ImageServer/exportImage"] = path.read_bytes()
    return Ref("url", f"{web.url}/x/ImageServer?token=T")


def test_an_image_service_is_fetched_once(core, folder, web):
    ref = image_service(web, core.top / "b.tif")
    (path,) = rasters_of(ref, core, folder)
    with rasterio.open(path) as got, rasterio.open(core.top / "b.tif") as there:
        assert np.array_equal(got.read(), there.read())
        assert (got.crs, got.transform) == (there.crs, there.transform)
    assert rasters_of(ref, core, folder) == (path,)
    assert len(web.asked) == 2
    other = rasters_of(ref, core, folder, extent=Extent(0, 0, 9, 9))
    assert other != (path,)


def test_the_grid_of_an_image_service_is_told_by_one_pixel(core, folder, web):
    path = raster(core.top / "pixel.tif")
    ref = image_service(web, path)
    with rasterio.open(path) as file:
        profile = file.profile | {"width": 1, "height": 1}
    with rasterio.open(core.top / "one.tif", "w", **profile) as file:
        file.write(np.ones((1, 1, 1), np.uint8))
    web.pages["/x/ImageServer/exportImage"] = (core.top / "one.tif").read_bytes()
    recipe = Classify((Ref("store", "nas/b.tif"),), MODEL, context=Context(snap_to=ref))
    (got,) = resolve(recipe, core, ME, folder).rasters[ref]
    with rasterio.open(got) as file:
        assert (file.shape, file.transform) == ((1, 1), profile["transform"])


def test_labels_and_masks_are_rasters_or_features_by_what_they_are(core, folder, web):
    labels, mask = Ref("store", "nas/labels.gpkg"), Ref("store", "nas/b.tif")
    web.pages["/l.geojson"] = b'{"type": "FeatureCollection", "features": []}'
    more = Ref("url", f"{web.url}/l.geojson")
    core.services["f"] = Service(
        "f", "features", "me", "i", {"features": str(core.top / "labels.gpkg")}
    )
    second = Ref("store", "nas/many/1.tif")
    recipe = Export(
        (Ref("store", "nas/many"),), "out", labels=labels, instances=more, second=(second,),
        mask=Ref("service", "f"), context=Context(mask=mask),
    )  # fmt: skip
    got = resolve(recipe, core, ME, folder)
    assert got.features[labels] == got.features[Ref("service", "f")] == core.top / "labels.gpkg"
    assert got.features[more].suffix == ".geojson"
    assert got.rasters[mask] == (core.top / "b.tif",)
    assert got.rasters[second] == (core.top / "many" / "1.tif",)
    assert got.model == ""


def test_a_shapefile_becomes_a_geopackage(core, folder, tmp_path):
    frame = GeoDataFrame({"a": [1, 2]}, geometry=shapely.box([0, 5], 0, [1, 6], 1), crs=32633)
    frame.to_file(core.top / "l.shp")
    ref = Ref("store", "nas/l.shp")
    recipe = Export((Ref("store", "nas/b.tif"),), "out", labels=ref)
    path = resolve(recipe, core, ME, folder).features[ref]
    got = geopandas.read_file(path)
    assert (path.suffix, got.crs, list(got["a"])) == (".gpkg", frame.crs, [1, 2])
    assert got.geometry.geom_equals(frame.geometry).all()
    before = path.stat().st_mtime_ns
    assert resolve(recipe, core, ME, folder).features[ref].stat().st_mtime_ns == before
    assert [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("ending", "content", "match"),
    [
        (".shp", b"<OGRVRTDataSource>", "is no whole shapefile .it does not begin"),
        (".shp", b"\0\0\x27\x0a", "is no whole shapefile"),
        (".dbf", None, r"\.dbf is not in the store"),
    ],
)
def test_shapefiles_that_are_damaged(core, folder, ending, content, match):
    frame = GeoDataFrame({"a": [1]}, geometry=[shapely.box(0, 0, 1, 1)], crs=32633)
    frame.to_file(core.top / "l.shp")
    part = (core.top / "l.shp").with_suffix(ending)
    part.unlink() if content is None else part.write_bytes(content)
    ref = Ref("store", "nas/l.shp")
    with pytest.raises(AccessError, match=match):
        resolve(Export((Ref("store", "nas/b.tif"),), "out", labels=ref), core, ME, folder)
    assert list((folder / "inputs").iterdir()) == []


def test_features_are_checked(core, folder):
    text = '{"type": "FeatureCollection", "name": "<OGRVRTDataSource>", "features": []}'
    (core.top / "evil.geojson").write_text(text)
    recipe = Export((Ref("store", "nas/b.tif"),), "out", labels=Ref("store", "nas/evil.geojson"))
    with pytest.raises(AccessError, match="by which GDAL reads others"):
        resolve(recipe, core, ME, folder)


def test_features_are_no_raster(core, folder):
    with pytest.raises(AccessError, match=r"'nas/labels\.gpkg' holds features; give a raster"):
        rasters_of(Ref("store", "nas/labels.gpkg"), core, folder)
    with pytest.raises(AccessError, match="is a model; give a raster"):
        rasters_of(MODEL, core, folder)


def test_every_recipe_resolves(core, folder, tmp_path):
    one, two, labels = (Ref("store", f"nas/{n}") for n in ("b.tif", "many/1.tif", "labels.gpkg"))
    core.all["m"] = Item("m", "me", "Deep Learning Package", "t", model="tiny@1.0")
    core.all["p"] = Item("p", "me", "Deep Learning Package", "t", file=str(tmp_path / "p.dlpk"))
    model, package = Ref("item", "m"), Ref("item", "p")
    for recipe, rasters, model_is in (
        (Detect((one, two), MODEL), {one, two}, "naip-landcover"),
        (Recognize((one,), model, features=labels), {one}, "tiny@1.0"),
        (Change((one,), (two,), model), {one, two}, "tiny@1.0"),
        (ListModels(), set(), ""),
        (ModelInfo(model), set(), "tiny@1.0"),
        (Uninstall(model), set(), "tiny@1.0"),
        (Install(package), set(), str(tmp_path / "p.dlpk")),
    ):
        got = resolve(recipe, core, ME, folder)
        assert (set(got.rasters), got.model) == (rasters, model_is)


def test_a_definition_comes_with_its_weights(core, folder):
    (core.top / "w.pt").write_bytes(b"weights")
    emd = json.dumps({"ModelFile": "/rasterStores/nas/w.pt"})
    got = resolve(ModelInfo(Ref("emd", emd)), core, ME, folder)
    assert got.model == str(folder / "model" / "model.emd")
    assert (folder / "model" / "w.pt").read_bytes() == b"weights"


def test_a_cancelled_job_asks_nothing(core, folder, web):
    (folder / CANCEL).touch()
    with pytest.raises(CancelledError, match="cancelled"):
        rasters_of(Ref("url", f"{web.url}/a.tif"), core, folder)
    assert web.asked == []


def test_a_photo_comes_with_the_job_or_is_fetched_once(core, folder, web):
    web.pages["/a.png"] = b"some bytes"
    here = resolve(Look(MODEL, Ref("file", "image")), core, ME, folder)
    assert (here.photo, here.model) == (folder / "image", "naip-landcover")
    there = Look(MODEL, Ref("url", f"{web.url}/a.png?token=T"))
    for _ in range(2):
        assert resolve(there, core, ME, folder).photo.read_bytes() == b"some bytes"
    assert web.asked == ["/a.png?token=T"]


@pytest.mark.parametrize(
    ("ref", "match"),
    [
        (Ref("url", "http://127.0.0.1:1/a.png"), "127.0.0.1"),
        (Ref("url", "file:///etc/passwd"), "http"),
        (Ref("store", "nas/b.tif"), "is no photo; send its bytes, or a URL"),
    ],
)
def test_photos_that_are_not_to_be_had(core, folder, ref, match):
    with pytest.raises(AccessError, match=match):
        resolve(Look(MODEL, ref), core, ME, folder)


def test_a_photo_is_limited(core, folder, web, monkeypatch):
    monkeypatch.setattr(inputs, "MOST_PHOTO_BYTES", 5)
    web.pages["/a.png"] = b"123456"
    with pytest.raises(AccessError, match="5 bytes"):
        resolve(Look(MODEL, Ref("url", f"{web.url}/a.png")), core, ME, folder)
    assert list(folder.iterdir()) == []


def test_an_uploaded_network_is_its_document(core, folder, tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    core.documents = Documents(database, tmp_path / "documents")
    values = {"framework": "onnx-1.x", "preprocessing": {"b": 1, "a": 2}}
    made = core.documents.add("network", "me", values, files={"model.onnx": b"1"})
    asked = Look(Ref("model", ""), Ref("file", "image"), deployment=made.id)
    for recipe in (asked, Deploy(made.id)):
        network = resolve(recipe, core, ME, folder).network
        assert network.framework == "onnx-1.x" and network.preprocessing == '{"a": 2, "b": 1}'
        assert (network.folder / "model.onnx").read_bytes() == b"1"
        with pytest.raises(AccessError, match=f"there is no network {made.id}"):
            resolve(recipe, core, Caller("you"), folder)
    database.close()
