"""Open files are shared by nobody, and never older than the file."""

import os
import threading

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine

from geodl_lab import settings
from geodl_lab.errors import RasterError
from geodl_lab.server.arcgis.image_files import FileId, Pool


def write(path, value):
    with rasterio.open(
        path, "w", driver="GTiff", width=8, height=8, count=1, dtype="uint8",
        crs="EPSG:32611", transform=Affine(2, 0, 0, 0, -2, 0),
    ) as file:  # fmt: skip
        file.write(np.full((1, 8, 8), value, "uint8"))
    return path


def test_one_at_a_time_and_used_again(tmp_path):
    pool, file = Pool(), FileId.of(write(tmp_path / "a.tif", 1), ours=True)
    with pool.use(file) as first, pool.use(file) as second:
        assert first is not second
    with pool.use(file) as again:
        assert again in (first, second)
    pool.close()
    assert first.closed and second.closed


def test_few_stay_open_and_not_for_long(tmp_path):
    pool = Pool(most=2)
    files = [FileId.of(write(tmp_path / f"{i}.tif", i), ours=True) for i in range(4)]
    seen = []
    for file in files:
        with pool.use(file) as dataset:
            seen.append(dataset)
    assert [dataset.closed for dataset in seen] == [True, True, False, False]
    brief = Pool(seconds=0)
    with brief.use(files[0]) as old:
        pass
    with brief.use(files[1]):
        pass
    assert old.closed
    pool.close()
    brief.close()


def test_a_replaced_file_is_read_anew(tmp_path):
    pool, path = Pool(), write(tmp_path / "a.tif", 1)
    before = FileId.of(path, ours=True)
    with pool.use(before) as dataset:
        assert dataset.read(1)[0, 0] == 1
    os.replace(write(tmp_path / "b.tif", 2), path)
    after = FileId.of(path, ours=True)
    assert after != before
    with pool.use(after) as dataset:
        assert dataset.read(1)[0, 0] == 2
    pool.close()


def test_many_threads_read_what_is_there(tmp_path):
    pool = Pool(most=3)
    files = [FileId.of(write(tmp_path / f"{i}.tif", i), ours=True) for i in range(4)]
    wrong = []

    def read(start):
        for index in range(40):
            value = (start + index) % 4
            with pool.use(files[value]) as dataset:
                if (dataset.read(1) != value).any():
                    wrong.append(value)

    threads = [threading.Thread(target=read, args=(i,)) for i in range(6)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    pool.close()
    assert not wrong


@pytest.mark.parametrize("ours", [True, False])
def test_rasters_open_with_no_driver_that_reads_other_files(tmp_path, ours):
    write(tmp_path / "secret.tif", 9)
    vrt = tmp_path / "ok.tif"
    rasterio.shutil.copy(tmp_path / "secret.tif", vrt, driver="VRT")
    with (
        pytest.raises(RasterError, match="no GeoTIFF, PNG"),
        Pool().use(FileId.of(vrt, ours=ours)),
    ):
        pass


def test_a_file_that_is_gone_or_broken_is_said(tmp_path):
    with pytest.raises(RasterError, match="is gone"):
        FileId.of(tmp_path / "a.tif", ours=True)
    (tmp_path / "b.tif").write_bytes(b"II*\0" + bytes(50))
    for ours in (True, False):
        with (
            pytest.raises(RasterError, match="cannot be read"),
            Pool().use(FileId.of(tmp_path / "b.tif", ours=ours)),
        ):
            pass


def test_the_cache_of_gdal_is_bounded(tmp_path):
    with Pool().use(FileId.of(write(tmp_path / "a.tif", 1), ours=True)):
        assert rasterio.env.getenv()["GDAL_CACHEMAX"] == settings.GDAL_CACHE
