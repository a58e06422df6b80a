"""Every format is read back; a full disk at any moment leaves nothing half-written."""

import dataclasses
import json
import subprocess
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401
import xarray as xr
from affine import Affine

from geodl_lab import open_raster, save
from geodl_lab.checkpoints import open_checkpoint
from geodl_lab.errors import OutputError
from geodl_lab.grid import Window
from geodl_lab.outputs import (
    PixelBlocks,
    RasterFile,
    check_output,
    check_sums,
    classes_of,
    raster_writer,
    sidecar,
)
from geodl_lab.package import LabelClass
from geodl_lab.raster import as_raster
from geodl_lab.testing import make_raster, wrap

CLASSES = (
    LabelClass(1, "open water", "#0000ff"),
    LabelClass(4, "tree", "#00aa00"),
    LabelClass(7, "road", "#808080"),
)
FLAGS = {
    "flag_values": np.array([1, 4, 7], dtype=np.uint8),
    "flag_meanings": "open_water tree road",
    "flag_colors": "#0000ff #00aa00 #808080",
}
PROVENANCE = {"geodl_model": "m", "geodl_recipe": json.dumps({"halo": 3}), "geodl_version": "0"}


def class_raster(shape_yx=(700, 600), seed=0):
    """Random classes and nodata (y, x): what compresses worst."""
    values = np.random.default_rng(seed).choice([1, 4, 7, 255], shape_yx).astype(np.uint8)
    return wrap(values[None], nodata=255)[0].assign_attrs({**FLAGS, **PROVENANCE})


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_class_raster_is_a_cog_with_palette_names_and_provenance(tmp_path):
    result = class_raster()
    path = save(result, tmp_path / "a.tif")
    assert names(tmp_path) == ["a.tif", "a.tif.aux.xml"]
    with rasterio.open(path) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.overviews(1) == [2] and file.block_shapes == [(512, 512)]
        assert file.dtypes == ("uint8",) and file.nodata == 255
        assert file.crs == result.rio.crs and file.transform == result.rio.transform()
        assert (file.read(1) == result.values).all()
        palette = file.colormap(1)
        assert palette[1] == (0, 0, 255, 255) and palette[4] == (0, 170, 0, 255)
        assert palette[255] == (0, 0, 0, 0)
        assert file.tags().items() >= PROVENANCE.items()
        thinned = file.read(1, out_shape=(350, 300))
    assert set(np.unique(thinned)) <= {1, 4, 7, 255}


def test_overviews_of_classes_show_the_commonest_class(tmp_path):
    values = np.tile(np.array([[7, 1], [1, 1]], dtype=np.uint8), (300, 300))
    colors = "#000000 #404040 #ffffff"  # the mean of three 1 and one 7 looks like 4
    result = wrap(values[None], nodata=255)[0].assign_attrs({**FLAGS, "flag_colors": colors})
    with rasterio.open(save(result, tmp_path / "a.tif"), OVERVIEW_LEVEL=0) as file:
        assert (file.read(1) == 1).all()


def test_overviews_of_probabilities_are_means(tmp_path):
    values = np.tile(np.array([[0, 1], [1, 0]], dtype=np.float32), (300, 300))
    path = save(wrap(values[None], nodata=np.nan), tmp_path / "a.tif")
    with rasterio.open(path, OVERVIEW_LEVEL=0) as file:
        assert (file.read(1) == 0.5).all()
    assert names(tmp_path) == ["a.tif"]


def test_gdal_finds_names_and_table_in_the_sidecar(tmp_path):
    path = save(class_raster(), tmp_path / "a.tif")
    band = ElementTree.parse(f"{path}.aux.xml").getroot().find("PAMRasterBand")
    categories = [item.text or "" for item in band.find("CategoryNames")]
    assert categories == ["", "open water", "", "", "tree", "", "", "road"]
    table = band.find("GDALRasterAttributeTable")
    assert table.get("tableType") == "thematic"
    usages = [int(column.find("Usage").text) for column in table.iter("FieldDefn")]
    assert usages == [5, 2, 6, 7, 8]
    rows = [[cell.text for cell in row] for row in table.iter("Row")]
    assert rows[1] == ["4", "tree", "0", "170", "0"] and len(rows) == 3


def test_gdalinfo_names_the_classes(tmp_path):
    path = save(class_raster(), tmp_path / "a.tif")
    try:
        answer = subprocess.run(["gdalinfo", "-json", path], capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip("gdalinfo is not installed")
    (band,) = json.loads(answer.stdout)["bands"]
    assert band["categories"][4] == "tree" and "rat" in answer.stdout.decode()


def test_classes_survive_the_file(tmp_path):
    path = save(class_raster(), tmp_path / "a.tif")
    back = open_raster(path)
    values = back.attrs["flag_values"]
    assert isinstance(values, np.ndarray) and values.dtype == np.uint8
    assert values.tolist() == [1, 4, 7]
    assert classes_of(back.attrs) == CLASSES
    assert back.rio.nodata == 255
    again = open_raster(save(back, tmp_path / "b.tif"))
    assert again.identical(back)


def test_one_class_survives_the_file(tmp_path):
    attrs = {"flag_values": np.array([3], dtype=np.uint8), "flag_meanings": "snow"}
    result = wrap(np.full((1, 20, 20), 3, np.uint8), nodata=255)[0].assign_attrs(attrs)
    back = open_raster(save(result, tmp_path / "a.tif"))
    assert back.attrs["flag_values"].tolist() == [3]
    assert classes_of(back.attrs)[0].name == "snow"


def test_probabilities_keep_class_names_as_band_names(tmp_path):
    values = np.random.default_rng(0).random((3, 40, 50), dtype=np.float32)
    values[:, 3, 3] = np.nan
    result = wrap(values, nodata=np.nan).rename(band="class")
    result = result.assign_coords({"class": ["water", "tall tree", "road"]})
    path = save(result, tmp_path / "p.tif")
    with rasterio.open(path) as file:
        assert file.descriptions == ("water", "tall tree", "road")
        assert file.dtypes == ("float32",) * 3 and np.isnan(file.nodata)
    back = open_raster(path)
    assert np.array_equal(back.values, values, equal_nan=True)
    assert as_raster(back).band_names == ("water", "tall tree", "road")


def test_a_plain_raster_has_no_nodata(tmp_path):
    raster = make_raster()
    back = open_raster(save(raster, tmp_path / "a.tif"))
    assert back.rio.nodata is None and np.array_equal(back.values, raster.values)


def test_a_photo_stays_without_georeference(tmp_path):
    result = class_raster().drop_vars(["x", "y", "spatial_ref"])
    path = save(result, tmp_path / "a.tif")
    with rasterio.open(path) as file:
        assert file.crs is None and file.transform == Affine.identity()
        assert (file.read(1) == result.values).all()


def test_south_up_and_sliced_rasters_keep_their_place(tmp_path):
    result = class_raster()
    part = result[100:300, 50:250]
    back = open_raster(save(part, tmp_path / "part.tif"))
    assert back.rio.bounds() == pytest.approx(part.rio.bounds(), abs=1e-6)
    assert np.allclose(back.y, part.y) and np.allclose(back.x, part.x)
    turned = open_raster(save(result[::-1], tmp_path / "turned.tif"))
    assert turned.y[0] < turned.y[-1] and turned.rio.transform().e > 0
    assert np.array_equal(turned.sortby("y", ascending=False)[0], result)


@pytest.mark.parametrize("chunks", [{"y": 100, "x": 130}, {"y": 700, "x": 1}, {}])
def test_chunks_are_written_one_by_one(tmp_path, chunks):
    result = class_raster((120, 90)) if chunks.get("x") == 1 else class_raster()
    back = open_raster(save(result.chunk(chunks), tmp_path / "a.tif"))
    assert np.array_equal(back[0], result)


def test_what_is_read_back_is_compared(tmp_path):
    path = save(class_raster((50, 50)), tmp_path / "a.tif")
    window = Window(10, 10, 20, 30)
    with rasterio.open(path) as file:
        right = file.read()[:, 10:30, 10:40]
    description = RasterFile((50, 50), 1, "uint8", 255, None, Affine.identity())
    blocks = PixelBlocks(description, open_checkpoint(tmp_path, ".tif", None, resume=False))
    blocks.write(window, right)
    check_sums(path, blocks.sums([window]))
    assert blocks.holds(window) and not blocks.holds(Window(0, 0, 20, 30))
    blocks.write(window, right + 1)
    with pytest.raises(OSError, match="differs"):
        check_sums(path, blocks.sums([window]))
    blocks.checkpoint.path(window).write_bytes(b"damaged")
    assert not blocks.holds(window)


def test_a_run_that_fails_in_the_middle_leaves_the_older_file(tmp_path):
    path = save(class_raster(), tmp_path / "a.tif")
    before = {file: (tmp_path / file).read_bytes() for file in names(tmp_path)}
    file = RasterFile((700, 600), 1, "uint8", 255, None, Affine.identity(), CLASSES)
    windows = [Window(0, 0, 512, 600), Window(512, 0, 188, 600)]
    with (
        pytest.raises(ZeroDivisionError),
        raster_writer(path, file, windows=windows, overwrite=True) as writer,
    ):
        writer.write(windows[0], np.ones((1, 512, 600), np.uint8))
        raise ZeroDivisionError
    assert {file: (tmp_path / file).read_bytes() for file in names(tmp_path)} == before


def test_endings_are_checked(tmp_path):
    with pytest.raises(OutputError, match=r"'a.png' is of no format we write; end it on .tif"):
        save(class_raster(), tmp_path / "a.png")
    with pytest.raises(OutputError, match="no format"):
        check_output(tmp_path, (".tif",), overwrite=True)
    check_output(tmp_path / "a.TIF", (".tif",), overwrite=False)


def test_sidecar_values_beyond_the_greatest_class_have_no_name():
    document = sidecar(CLASSES[:1]).getroot()
    assert len(document.find("PAMRasterBand").find("CategoryNames")) == 2


@pytest.mark.parametrize("size", ["8k", "64k", "150k", "250k", "300k"])
def test_a_full_disk_leaves_no_raster(disk, size, capfd):
    folder = disk(size)
    with pytest.raises(OutputError, match=r"could not be written \(.+MB are free there\)"):
        save(class_raster((1100, 1000)), folder / "a.tif")
    assert names(folder) == []
    capfd.readouterr()  # libtiff prints by itself; the command line silences it


def test_a_full_disk_leaves_the_older_raster(disk, capfd):
    folder = disk("200k")
    path = save(class_raster((100, 100)), folder / "a.tif")
    before = path.read_bytes(), path.with_name("a.tif.aux.xml").read_bytes()
    with pytest.raises(OutputError, match="could not be written"):
        save(class_raster((1100, 1000)), path, overwrite=True)
    assert (path.read_bytes(), path.with_name("a.tif.aux.xml").read_bytes()) == before
    assert names(folder) == ["a.tif", "a.tif.aux.xml"]
    capfd.readouterr()


def test_raster_files_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign"):
        RasterFile((1, 1), 1, "uint8", 0, None, None).bands = 2


def test_classes_come_from_numbers_alone():
    assert classes_of({}) == ()
    labels = classes_of({"flag_values": np.array([0, 2], dtype=np.uint8)})
    assert [(label.value, label.name) for label in labels] == [(0, "0"), (2, "2")]


def test_datasets_of_other_types_are_saved(tmp_path):
    raster = xr.DataArray(np.arange(12, dtype=np.int16).reshape(3, 4), dims=("y", "x"))
    assert np.array_equal(open_raster(save(raster, tmp_path / "a.tif"))[0], raster)
