"""The file that a run reads, and the area in it."""

import pytest
import rasterio
import rasterio.warp

from geodl_lab import open_raster
from geodl_lab.errors import OptionError
from geodl_lab.jobs.grounds import one_raster, parse_crs, run_options
from geodl_lab.jobs.places import OutsideError, Place
from geodl_lab.jobs.recipes import Extent
from geodl_lab.mosaics import facts_of
from geodl_lab.testing import make_raster


@pytest.fixture
def scene(tmp_path):
    path = tmp_path / "scene.tif"
    make_raster((3, 90, 70)).rio.to_raster(path)
    return path


def test_one_raster_is_read_as_it_is(scene, tmp_path):
    assert one_raster((scene,), Place(), tmp_path / "in") == scene
    own = Place(cell_size=0.6, process_crs="EPSG:26911", snap_to=scene, cell_size_of=scene)
    assert one_raster((scene,), own, tmp_path / "in") == scene
    assert run_options(scene, own) == {"device": "auto"}


def test_another_cell_size_is_the_engine_s(scene, tmp_path):
    place = Place(cell_size=1.5)
    assert one_raster((scene,), place, tmp_path / "in") == scene
    assert run_options(scene, place)["cell_size"] == 1.5


def test_a_cell_size_is_brought_to_the_processing_crs(scene, tmp_path):
    other = tmp_path / "other.tif"
    make_raster((1, 20, 20), cell_size=3.0).rio.to_raster(other)
    place = Place(cell_size_of=other, process_crs="EPSG:4326")
    path = one_raster((scene,), place, tmp_path / "in")
    with rasterio.open(other) as file:
        transform, _, _ = rasterio.warp.calculate_default_transform(
            file.crs, "EPSG:4326", file.width, file.height, *file.bounds
        )
    grid = facts_of(path).grid
    assert grid.crs.to_epsg() == 4326 and grid.transform.a == pytest.approx(transform.a)
    assert run_options(path, place) == {"device": "auto"}


def test_a_resampling_that_is_asked_for_is_gdal_s(scene, tmp_path):
    path = one_raster((scene,), Place(cell_size=1.2, resampling="nearest"), tmp_path / "in")
    seen, whole = open_raster(path), open_raster(scene)
    assert seen.shape == (3, 45, 35) and set(seen.values[0, 5]) <= set(whole.values.ravel())


def test_an_extent_becomes_an_area(scene):
    place = Place(extent=Extent(400_001, 3_699_960, 400_020, 3_699_990), device="cpu")
    area = 400_001, 3_699_960, 400_020, 3_699_990
    assert run_options(scene, place) == {"device": "cpu", "area": area}
    bounds = rasterio.warp.transform_bounds("EPSG:26911", 4326, *area)
    west, south, east, north = run_options(scene, Place(extent=Extent(*bounds, "EPSG:4326")))[
        "area"
    ]
    assert west <= area[0] and south <= area[1] and east >= area[2] and north >= area[3]
    assert east - west < 21  # no larger than the turned outline


@pytest.mark.parametrize(
    "extent",
    [
        Extent(0, 0, 1, 1),
        Extent(10, 10, 11, 11, "EPSG:4326"),
        Extent(1e9, 0, 2e9, 9, "EPSG:4326"),
    ],
)
def test_an_extent_elsewhere(scene, extent):
    with pytest.raises(OutsideError, match=r"does not meet the raster|cannot be brought|outside"):
        run_options(scene, Place(extent=extent))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"resampling": "sinc"}, "resampling 'sinc' is not possible; give nearest, bilinear"),
        ({"cell_size": -1}, "cell size -1 is not possible"),
        ({"cell_size": float("nan")}, "cell size nan is not possible"),
        ({"extent": Extent(1, 0, 0, 1)}, r"the extent \(1, 0, 0, 1\) has no size"),
        ({"extent": Extent(0, 0, float("nan"), 1)}, "has no size"),
    ],
)
def test_places_check_themselves(values, words):
    with pytest.raises(OptionError, match=words):
        Place(**values)


@pytest.mark.parametrize("text", ["EPSG:999999", "nonsense", "", "'; drop table"])
def test_a_crs_that_is_none(scene, text):
    if text:
        with pytest.raises(OptionError, match="is no coordinate reference system"):
            run_options(scene, Place(out_crs=text))
    with pytest.raises(OptionError, match="is no coordinate reference system that is known here"):
        parse_crs(text)


def test_an_extent_of_a_raster_whose_rows_go_up(tmp_path):
    path = tmp_path / "up.tif"
    raster = make_raster((1, 90, 70))
    transform = raster.rio.transform()
    up = type(transform)(
        transform.a, 0, transform.c, 0, -transform.e, transform.f + 90 * transform.e
    )
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=90, width=70, dtype="uint8", transform=up,
        crs=raster.rio.crs,
    ):  # fmt: skip
        pass
    area = 400_001, 3_699_960, 400_020, 3_699_990
    assert run_options(path, Place(extent=Extent(*area)))["area"] == area


def test_an_extent_of_a_photo_is_as_its_image_service_says_it(tmp_path):
    path = tmp_path / "photo.png"
    with rasterio.open(path, "w", driver="PNG", count=1, height=90, width=70, dtype="uint8"):
        pass
    place = Place(extent=Extent(10, -40, 20, -5))
    assert run_options(path, place)["area"] == (10, 5, 20, 40)
