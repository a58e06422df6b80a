"""A real server from Python: models, rasters, jobs; results are those of `geodl classify`."""

import hashlib

import numpy as np
import pytest
import rasterio

import geodl_lab
from geodl_lab.errors import AccessError, CancelledError, OptionError, RasterError, RunError
from geodl_lab.raster import as_raster
from geodl_lab.vector_files import read_attrs

SIDE = 192
KEY = "key-of-the-test"

# One server for all tests here: workers take a while to start.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("job_client")]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A folder with a corner of the bundled scene."""
    folder = tmp_path_factory.mktemp("store")
    with rasterio.open(geodl_lab.demo_scene()) as scene:
        window = rasterio.windows.Window(512, 4096, SIDE, SIDE)
        profile = {**scene.profile, "width": SIDE, "height": SIDE, "driver": "GTiff"}
        profile |= {"transform": scene.window_transform(window), "tiled": False}
        with rasterio.open(folder / "corner.tif", "w", **profile) as part:
            part.write(scene.read(window=window))
            part.descriptions = scene.descriptions
            part.colorinterp = scene.colorinterp
    return folder


@pytest.fixture(scope="module")
def server(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with geodl_lab.serve(folder, port=0, store={"corner": store}, api_key=KEY) as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    return server.client()


@pytest.fixture(scope="module")
def classified(client):
    (raster,) = client.rasters()
    return client.classify(raster, "naip-landcover", area=_area(client, raster)).wait(timeout=240)


def _area(client, raster):
    left, bottom, right, top = as_raster(client.open(raster)).bounds
    return left + 30, bottom + 30, right - 12, top - 18


def _sum(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_the_server_has(client, store):
    (raster,) = client.rasters()
    assert (raster.name, client.stores()) == ("corner.tif", ["corner"])
    with rasterio.open(store / "corner.tif") as file:
        np.testing.assert_array_equal(client.open(raster).values, file.read())
    names = {one.reference: one.misfit(as_raster(client.open(raster))) for one in client.models()}
    assert names["naip-landcover"] == "" and "naip-trees" in names


def test_the_raster_is_the_one_of_the_command_line(client, classified, store, tmp_path):
    ours, theirs = tmp_path / "a.tif", tmp_path / "b.tif"
    area = _area(client, client.rasters()[0])
    geodl_lab.classify_file(store / "corner.tif", theirs, "naip-landcover", area=area)
    classified.download(ours)
    with rasterio.open(ours) as one, rasterio.open(theirs) as other:
        np.testing.assert_array_equal(one.read(), other.read())
        assert one.profile == other.profile and one.colormap(1) == other.colormap(1)
    opened = classified.open()
    np.testing.assert_array_equal(opened.values, geodl_lab.open_raster(theirs).values)
    with pytest.raises(geodl_lab.errors.OutputError, match="exists"):
        classified.download(ours)


def test_a_table_and_a_picture_are_made_of_it(classified, tmp_path):
    table = classified.download(tmp_path / "a.csv").read_text().splitlines()
    assert table[0] == "value,name,color,pixels,hectares,share"
    counts = {int(line.split(",")[0]): int(line.split(",")[3]) for line in table[1:]}
    values, found = np.unique(classified.open().values, return_counts=True)
    assert counts == dict(zip(values.tolist(), found.tolist(), strict=True))
    assert classified.download(tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert classified.thumbnail().startswith(b"\x89PNG")
    assert "data:image/png;base64," in classified._repr_html_()


def test_objects_are_those_of_the_command_line(client, store, tmp_path):
    job = client.detect("/fileShares/corner/corner.tif", "naip-trees", threshold=0.2)
    job.wait(timeout=240)
    for ending in (".geojson", ".parquet"):
        theirs = tmp_path / f"b{ending}"
        geodl_lab.detect_file(store / "corner.tif", theirs, "naip-trees", threshold=0.2)
        ours = job.download(tmp_path / f"a{ending}")
        assert read_attrs(ours).keys() == read_attrs(theirs).keys()
    rows = [(tmp_path / name).read_text().splitlines()[1:] for name in ("a.geojson", "b.geojson")]
    assert len(rows[0]) > 3 and rows[0] == rows[1]
    table = job.download(tmp_path / "a.csv").read_text().splitlines()
    assert len(table) == len(job.open()) + 1 and table[0].endswith("x,y,longitude,latitude")
    assert job.download(tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_raster_is_sent_in_parts(client, store, monkeypatch):
    monkeypatch.setattr("geodl_lab.job_client.PART", 50_000)
    seen = []
    sent = client.upload(store / "corner.tif", progress=lambda *n: seen.append(n))
    size = (store / "corner.tif").stat().st_size
    assert seen[-1] == (size, size) and len(seen) == -(-size // 50_000)
    stored = client.open(client.rasters()[0])
    np.testing.assert_array_equal(client.open(sent).values, stored.values)
    assert sent in client.uploads()
    job = client.classify(sent, "naip-landcover").cancel()
    with pytest.raises(CancelledError, match="was cancelled"):
        job.wait(timeout=60)
    client.forget(sent)
    assert sent not in client.uploads()
    with pytest.raises(AccessError, match=r"has no raster 'corner\.tif'; choose one of"):
        client.open(sent)


def test_a_file_that_is_no_raster_is_told_apart(client, tmp_path):
    (tmp_path / "a.tif").write_text("hello")
    sent = client.upload(tmp_path / "a.tif")
    with pytest.raises(RasterError, match=r"'a\.tif' is no raster that can be read"):
        client.open(sent)
    with pytest.raises(RasterError, match="cannot be sent: No such file"):
        client.upload(tmp_path / "b.tif")


def test_jobs_are_found_again_the_newest_first(client, classified):
    assert classified.id in [one.id for one in client.jobs()]
    again = client.job(classified.id)
    assert again.ended and again.extent == classified.extent and again.name == classified.name
    last = client.classify("/fileShares/corner/nothing.tif", "naip-landcover")
    assert client.jobs(limit=1)[0].id == last.id
    with pytest.raises(RunError, match=r"failed: there is no 'corner/nothing\.tif'"):
        last.wait(timeout=60)


@pytest.mark.parametrize("id", ["j" + "0" * 32, "../models"])
def test_a_job_that_is_not_there(client, id):
    with pytest.raises(AccessError, match="no"):
        client.job(id)


def test_whoever_has_no_key_is_refused(server):
    with pytest.raises(AccessError, match="key or token is not valid"):
        geodl_lab.connect(server.url, key="other")
    with pytest.raises(AccessError, match="A key is needed"):
        geodl_lab.connect(server.url, key="")


def test_what_the_server_cannot_see_is_said_before(client):
    with pytest.raises(OptionError, match=r"cannot see the raster 'corner\.tif'"):
        client.classify("corner.tif", "naip-landcover")
