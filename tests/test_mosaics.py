"""Mosaics and warped rasters against numpy and GDAL's own warper."""

import numpy as np
import pytest
import rasterio
import rasterio.warp
from affine import Affine
from rasterio.crs import CRS

from geodl_lab.errors import OptionError, RasterError
from geodl_lab.mosaics import MapGrid, facts_of, grid_in, write_mosaic, write_stack, write_warped

UTM = CRS.from_epsg(26914)


def put(path, values, *, left=600_000, top=5_000_000, cell=1.0, crs=UTM, nodata=None, **more):
    """Write values (band, y, x)."""
    count, height, width = values.shape
    transform = more.pop("transform", Affine(cell, 0, left, 0, -cell, top))
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=count, dtype=values.dtype,
        crs=crs, transform=transform, nodata=nodata,
    ) as file:  # fmt: skip
        file.write(values)
        file.descriptions = more.get("names", (None,) * count)
    return path


def noise(seed, shape=(3, 40, 50)):
    return np.random.default_rng(seed).integers(1, 255, shape).astype(np.uint8)


def read(path):
    with rasterio.open(path) as file:
        return file.read()


def test_the_first_raster_is_seen_where_they_overlap(tmp_path):
    one, other = noise(0), noise(1)
    paths = [
        put(tmp_path / "a.tif", one, names=("red", "green", "blue")),
        put(tmp_path / "b.tif", other, left=600_030, top=4_999_990),
    ]
    write_mosaic(paths, tmp_path / "m.vrt")
    expected = np.zeros((3, 50, 80), np.uint8)
    expected[:, 10:, 30:] = other
    expected[:, :40, :50] = one
    assert np.array_equal(read(tmp_path / "m.vrt"), expected)
    facts = facts_of(tmp_path / "m.vrt")
    assert facts.nodata == 0 and facts.names == ("red", "green", "blue")  # there are holes
    write_mosaic(paths[::-1], tmp_path / "n.vrt")
    expected[:, 10:, 30:] = other
    assert np.array_equal(read(tmp_path / "n.vrt"), expected)
    assert facts_of(tmp_path / "n.vrt").grid == facts.grid


def test_holes_in_the_first_show_the_next(tmp_path):
    one, other = noise(0), noise(1)
    one[:, 5:9, 7:20] = 0
    paths = [put(tmp_path / f"{n}.tif", v, nodata=0) for n, v in (("a", one), ("b", other))]
    write_mosaic(paths, tmp_path / "m.vrt")
    assert np.array_equal(read(tmp_path / "m.vrt"), np.where(one == 0, other, one))


def test_rasters_side_by_side_need_no_nodata(tmp_path):
    one, other = noise(0), noise(1)
    one[:, 3, 3] = 0  # black, and data
    paths = [put(tmp_path / "a.tif", one), put(tmp_path / "b.tif", other, left=600_050)]
    write_mosaic(paths, tmp_path / "m.vrt")
    assert facts_of(tmp_path / "m.vrt").nodata is None
    assert np.array_equal(read(tmp_path / "m.vrt"), np.concatenate([one, other], axis=2))


def test_a_raster_of_another_crs_is_brought_to_the_first(tmp_path):
    smooth = np.add.outer(np.arange(60), np.arange(80)).astype(np.uint8)[None] + 20
    one = put(tmp_path / "a.tif", smooth[:, :, :40])
    right = put(tmp_path / "b.tif", smooth[:, :, 40:], left=600_040)
    turned = tmp_path / "b4326.vrt"
    write_warped(right, turned, grid_in(right, CRS.from_epsg(4326)))
    write_mosaic([one, turned], tmp_path / "m.vrt")
    facts, seen = facts_of(tmp_path / "m.vrt"), read(tmp_path / "m.vrt")[0].astype(int)
    assert facts.grid.crs == UTM and facts.grid.fits(facts_of(one).grid)
    top = round(facts.grid.transform.f - 5_000_000)  # the turned one may reach above
    seen = seen[top:]
    assert np.array_equal(seen[:60, :40], smooth[0, :, :40])
    inner = seen[5:55, 45:75] - smooth[0, 5:55, 45:75].astype(int)
    assert np.abs(inner).max() <= 2  # resampled twice


def test_a_warped_raster_is_what_gdal_warps(tmp_path):
    path = put(tmp_path / "a.tif", noise(0, (1, 40, 50)))
    grid = grid_in(path, CRS.from_epsg(3857), cell_size=2.0)
    assert grid.transform.a == 2
    write_warped(path, tmp_path / "w.vrt", grid, resampling="nearest")
    with rasterio.open(path) as file:
        expected, _ = rasterio.warp.reproject(
            rasterio.band(file, 1), np.zeros(grid.shape_yx, np.uint8), src_nodata=None,
            dst_crs=grid.crs, dst_transform=grid.transform,
        )  # fmt: skip
    assert np.array_equal(read(tmp_path / "w.vrt")[0], np.squeeze(expected))
    assert facts_of(tmp_path / "w.vrt").nodata == 0


def test_what_is_written_again_stays_as_it_was(tmp_path):
    paths = [put(tmp_path / f"{n}.tif", noise(n), left=600_000 + n) for n in (0, 1)]
    target = tmp_path / "m.vrt"
    write_mosaic(paths, target)
    before = target.stat()
    write_mosaic(paths, target)
    assert target.stat().st_mtime_ns == before.st_mtime_ns
    write_mosaic(paths[::-1], target)
    assert target.stat().st_mtime_ns != before.st_mtime_ns


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (noise(1, (2, 40, 50)), r"'a.tif' and 'b.tif' cannot be one mosaic: their bands differ"),
        (noise(1).astype(np.uint16), r"their pixel type differ \(uint8 and uint16\)"),
    ],
)
def test_rasters_that_are_not_alike_are_named(tmp_path, other, words):
    paths = [put(tmp_path / "a.tif", noise(0)), put(tmp_path / "b.tif", other)]
    with pytest.raises(RasterError, match=words):
        write_mosaic(paths, tmp_path / "m.vrt")
    assert not (tmp_path / "m.vrt").exists()


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_photos_are_no_mosaic(tmp_path):
    paths = [
        put(tmp_path / f"{n}.tif", noise(n), crs=None, transform=Affine.identity()) for n in (0, 1)
    ]
    with pytest.raises(RasterError, match="has no place on a map"):
        write_mosaic(paths, tmp_path / "m.vrt")


def test_two_dates_become_one_raster(tmp_path):
    one, other = noise(0), noise(1)
    paths = [put(tmp_path / "a.tif", one), put(tmp_path / "b.tif", other, nodata=0)]
    names = ["b_1", "b_2", "b_3", "a_1", "a_2", "a_3"]
    write_stack(paths, tmp_path / "s.vrt", names=names)
    assert np.array_equal(read(tmp_path / "s.vrt"), np.concatenate([one, other]))
    assert facts_of(tmp_path / "s.vrt").names == tuple(names)
    far = put(tmp_path / "c.tif", noise(2), left=600_000.4)
    with pytest.raises(RasterError, match="differ in their cells"):
        write_stack([paths[0], far], tmp_path / "t.vrt", names=names)
    white = put(tmp_path / "d.tif", noise(2), nodata=255)
    with pytest.raises(RasterError, match=r"differ in nodata \(0.0 and 255.0\)"):
        write_stack([paths[1], white], tmp_path / "t.vrt", names=names)


def test_grids_say_what_is_not_possible(tmp_path):
    with pytest.raises(OptionError, match="give a larger cell size"):
        MapGrid(UTM, Affine.identity(), (2**31, 5))
    with pytest.raises(RasterError, match=r"'x.tif' does not open as a raster"):
        facts_of(tmp_path / "x.tif")
    photo = put(tmp_path / "p.tif", noise(0), crs=None)
    with pytest.raises(RasterError, match="has no CRS"):
        grid_in(photo, UTM)


@pytest.mark.parametrize(("shift", "same"), [(0, True), (7, True), (0.5, False), (1e-5, True)])
def test_cells_fit_where_they_lie_on_each_other(shift, same):
    one = MapGrid(UTM, Affine(2, 0, 10, 0, -2, 20), (5, 5))
    other = MapGrid(UTM, Affine(2, 0, 10 + 2 * shift, 0, -2, 20), (9, 9))
    assert one.fits(other) == same
