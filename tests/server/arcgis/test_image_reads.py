"""Pixels of views against GDAL's own warper and against plain indexing."""

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from pyproj import CRS
from rasterio.transform import from_bounds
from rasterio.warp import Resampling, reproject

from geodl_lab.server.arcgis.image_files import FileId
from geodl_lab.server.arcgis.image_places import WEB_MERCATOR, moved, moved_box
from geodl_lab.server.arcgis.image_reads import read_points, read_view
from geodl_lab.server.arcgis.image_sources import ImageSource, grid_of
from geodl_lab.server.arcgis.image_views import View
from geodl_lab.server.arcgis.web import ArcgisError

UTM = "EPSG:32611"
NORTH_UP = Affine(2, 0, 500_000, 0, -2, 3_800_000)
GRIDS = {
    "north up": (UTM, NORTH_UP),
    "south up": (UTM, Affine(2, 0, 500_000, 0, 2, 3_799_000)),
    "rotated": (
        UTM,
        Affine.translation(500_000, 3_800_000) @ Affine.rotation(30) @ Affine.scale(2, -2),
    ),
    "degrees": ("EPSG:4326", Affine(0.001, 0, 10, 0, -0.001, 50)),
    "polar": ("EPSG:3995", Affine(500, 0, -60_000, 0, -500, 50_000)),
}  # fmt: skip


def values(height, width, bands=1):
    """Every pixel has a value of its own, from 1."""
    return np.arange(1, bands * height * width + 1, dtype="int32").reshape(bands, height, width)


@pytest.fixture
def write(tmp_path):
    """Writes a raster; answers it as a source."""

    def write(array, crs=UTM, transform=NORTH_UP, *, cog=False, **profile):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.tif"
        shape = dict(zip(("count", "height", "width"), array.shape, strict=True))
        with rasterio.open(
            path, "w", driver="GTiff", dtype=array.dtype, **shape, **profile,
            **({} if crs is None else {"crs": crs, "transform": transform}),
        ) as file:  # fmt: skip
            file.write(array)
        if cog:
            rasterio.shutil.copy(path, path.with_suffix(".cog"), driver="COG", blocksize=128,
                                 overview_resampling="MODE")  # fmt: skip
            path = path.with_suffix(".cog")
        file = FileId.of(path, ours=True)
        return ImageSource("a", "a", file, grid_of(file))

    return write


def warped(source, view):
    """The same view by GDAL's warper, exactly: the second way."""
    answer = np.zeros(view.shape_yx, "int32")
    with rasterio.open(source.file.path) as file:
        reproject(
            file.read(1), answer, src_transform=file.transform, src_crs=file.crs,
            dst_transform=from_bounds(*view.box, *view.shape_yx[::-1]),
            dst_crs=view.crs.to_wkt(), resampling=Resampling.nearest, tolerance=0, src_nodata=0,
        )  # fmt: skip
    return answer


def seen(source, view, **options):
    pixels = read_view(source, view, (0,), **options)
    return np.where(pixels.valid[0], pixels.values[0], 0)


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("target", ["own", "web mercator"])
def test_a_view_shows_what_gdals_warper_shows(write, name, target):
    source = write(values(90, 120), *GRIDS[name])
    crs = source.grid.crs if target == "own" else WEB_MERCATOR
    if name == "polar" and target != "own":
        pytest.skip("the pole is not on this map")
    left, bottom, right, top = moved_box(source.box, source.grid.crs, crs)
    margin = (right - left) / 7
    view = View((left - margin, bottom, right, top + margin), crs, (173, 211))
    ours, theirs = seen(source, view), warped(source, view)
    assert (ours > 0).mean() > 0.2
    agreed = ours == theirs
    assert agreed.mean() > 0.995  # places between few exact ones: at the edges of pixels
    with rasterio.open(source.file.path) as file:
        width = file.width
    off = np.abs(ours - theirs)[~agreed & (ours > 0) & (theirs > 0)]
    assert np.isin(off, (1, width, width - 1, width + 1)).all()


def test_at_its_own_resolution_a_view_is_the_raster(write):
    array = values(700, 650, bands=2)
    source = write(array, tiled=True, blockxsize=128, blockysize=128)
    view = View(source.box, source.grid.crs, (700, 650))
    assert (read_view(source, view, (1, 0)).values == array[::-1]).all()
    part = View((500_020, 3_799_000, 500_300, 3_799_200), source.grid.crs, (100, 140))
    assert (read_view(source, part, (0,)).values[0] == array[0, 400:500, 10:150]).all()


def test_outside_there_is_nothing(write):
    source = write(values(10, 10))
    view = View((500_010, 3_799_970, 500_030, 3_799_990), source.grid.crs, (10, 10))
    pixels = read_view(source, view, (0,))
    assert pixels.valid[0].tolist() == [[True] * 5 + [False] * 5] * 5 + [[False] * 10] * 5


def test_a_coarse_view_comes_from_the_overviews(write):
    array = np.kron(np.arange(1, 65, dtype="uint8").reshape(8, 8), np.ones((64, 64), "uint8"))[None]
    array[:, ::2, ::2] = 200  # a quarter of the pixels: never the mode
    source = write(array, cog=True)
    view = View(source.box, source.grid.crs, (32, 32))
    expected = np.kron(np.arange(1, 65).reshape(8, 8), np.ones((4, 4)))
    assert (seen(source, view) == expected).all()


def test_without_overviews_a_coarse_view_is_sampled(write):
    array = np.kron(np.arange(1, 65, dtype="uint8").reshape(8, 8), np.ones((64, 64), "uint8"))[None]
    source = write(array)
    expected = np.kron(np.arange(1, 65).reshape(8, 8), np.ones((4, 4)))
    assert (seen(source, View(source.box, source.grid.crs, (32, 32))) == expected).all()


def test_a_raster_over_the_antimeridian_is_whole_on_both_sides(write):
    array = values(20, 40)
    source = write(array, "EPSG:4326", Affine(0.5, 0, 170, 0, -0.5, 5))  # 170 to 190 degrees
    for left in (170, 170 - 360):
        view = View((left, -5, left + 20, 5), source.grid.crs, (20, 40))
        assert (seen(source, view) == array[0]).all()
    far = 20_037_508.342789244
    for side in (-1, 1):  # the same half of the raster, left and right on the map
        view = View(
            moved_box((180 - 360 * (side < 0), -4, 189 - 360 * (side < 0), 4),
                      source.grid.crs, WEB_MERCATOR) if side < 0 else
            (far, -445_640, far + 1_001_875, 445_640), WEB_MERCATOR, (16, 18),
        )  # fmt: skip
        pixels = seen(source, view)
        assert (pixels[8] == array[0, 10, 20:38]).all()


def test_a_utm_raster_at_the_antimeridian_shows_on_web_maps(write):
    source = write(values(100, 100), "EPSG:32660", Affine(100, 0, 825_000, 0, -100, 5_000))
    middle = moved(np.array([[830_000.0, 0.0]]), source.grid.crs, WEB_MERCATOR)[0]
    for turn in (0, -40_075_016.685578488):
        x = middle[0] + turn
        assert seen(source, View((x - 900, -900, x + 900, 900), WEB_MERCATOR, (9, 9))).all()


def test_no_data_is_a_value_a_mask_or_not_a_number(write):
    array = values(4, 4)
    source = write(array, nodata=7)
    assert (~read_view(source, View(source.box, source.grid.crs, (4, 4)), (0,)).valid).sum() == 1
    floats = array.astype("float32")
    floats[0, 0, 0] = np.nan
    source = write(floats)
    assert not read_view(source, View(source.box, source.grid.crs, (4, 4)), (0,)).valid[0, 0, 0]
    rgba = np.full((4, 4, 4), 9, "uint8")
    rgba[3, 1] = 0
    source = write(rgba, photometric="RGB", alpha="YES")
    assert source.grid.numbers == (1, 2, 3)
    assert not read_view(source, View(source.box, source.grid.crs, (4, 4)), (0,)).valid[0, 1].any()


def test_smooth_mixes_neighbours_with_data_and_never_classes(write):
    array = np.array([[[0, 100], [0, 255]]], "uint8")
    source = write(array, nodata=255)
    view = View((500_001, 3_799_998, 500_003, 3_800_000), source.grid.crs, (1, 2))
    assert seen(source, view, smooth=True).tolist() == [[25, 75]]
    assert seen(source, view).tolist() == [[0, 100]]


def test_points_see_what_pictures_show(write):
    for crs, transform in GRIDS.values():
        source = write(values(30, 40), crs, transform)
        view = View(source.box, source.grid.crs, (23, 31))
        x, y = np.meshgrid(view.x(np.arange(31) + 0.5), view.y(np.arange(23) + 0.5))
        at = read_points(source, np.stack([x.ravel(), y.ravel()], 1), source.grid.crs)
        points = np.where(at.valid[0, 0], at.values[0, 0], 0).reshape(23, 31)
        assert (points == seen(source, view)).all()


def test_a_raster_without_a_place_is_its_own_map(write):
    source = write(values(5, 6), None)
    assert source.box == (0, -5, 6, 0)
    assert (seen(source, View(source.box, None, (5, 6))) == values(5, 6)[0]).all()
    with pytest.raises(ArcgisError, match="no place on earth"):
        read_view(source, View((0, 0, 1, 1), CRS.from_epsg(3857), (5, 5)), (0,))
