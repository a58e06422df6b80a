"""The work of an export, as the runner asks it: in other processes, in any order."""

import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

from geodl_lab.errors import CancelledError, OptionError
from geodl_lab.jobs.make import make_work
from geodl_lab.jobs.recipes import Context, Export, Extent, Ref, from_json, to_json
from geodl_lab.jobs.resolved import Resolved
from geodl_lab.jobs.works import CANCEL

RASTER, LABELS, MASK = Ref("store", "s/a.tif"), Ref("store", "s/f.gpkg"), Ref("store", "s/m.gpkg")


@pytest.fixture
def resolved(tmp_path):
    values = np.random.default_rng(1).integers(1, 255, (3, 64, 96)).astype(np.uint8)
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", count=3, height=64, width=96, dtype="uint8",
        crs="EPSG:32631", transform=Affine(1, 0, 0, 0, -1, 64),
    ) as file:  # fmt: skip
        file.write(values)
    boxes = [shapely.box(2, 50, 12, 60), shapely.box(70, 4, 90, 20)]
    frame = geopandas.GeoDataFrame({"value": [1, 2]}, geometry=boxes, crs="EPSG:32631")
    frame.to_file(tmp_path / "f.gpkg")
    frame.head(1).set_geometry([shapely.box(0, 0, 33, 64)], crs=frame.crs).to_file(
        tmp_path / "m.gpkg"
    )
    features = {LABELS: tmp_path / "f.gpkg", MASK: tmp_path / "m.gpkg"}
    return Resolved({RASTER: (tmp_path / "a.tif",)}, features)


def work(resolved, folder, **kwargs):
    options = {"tile_yx": [8, 8], "all_tiles": True} | kwargs.pop("options", {})
    recipe = Export((RASTER,), "chips", LABELS, options=options, **kwargs)
    return make_work(from_json(to_json(recipe)), resolved, folder)


def finished(made):
    while parts := made.missing().parts:
        made.compute(parts)
    return made.finish()


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_parts_add_up_and_the_result_names_the_folder(resolved, tmp_path):
    made = work(resolved, tmp_path / "job")
    missing = made.missing()
    assert missing.windows == sum(part.windows for part in missing.parts) == 96
    assert len(missing.parts) == 2
    done = made.compute(missing.parts[:1])
    assert done.pixels == 64 * 64
    assert made.missing().parts == missing.parts[1:]
    result = finished(made)
    assert result.files == {"folder": str(tmp_path / "job" / "export")}
    assert result.values == {"count": 96, "format": "KITTI_rectangles", "location": "chips"}
    assert made.missing().parts == ()
    assert made.finish() == result
    assert (made.device, made.folder) == ("", tmp_path / "job")


def test_it_travels_to_other_processes(resolved, tmp_path):
    here, there = work(resolved, tmp_path / "a"), work(resolved, tmp_path / "b")
    finished(here)
    assert pickle.loads(pickle.dumps(there)) == there
    hash(there)
    parts = there.missing().parts
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(there.compute, [(part,) for part in reversed(parts)]))
        pool.submit(there.finish).result()
    assert files(tmp_path / "a" / "export") == files(tmp_path / "b" / "export")


def test_a_cancel_file_stops_it(resolved, tmp_path):
    made = work(resolved, tmp_path / "job")
    parts = made.missing().parts
    (tmp_path / "job" / CANCEL).touch()
    with pytest.raises(CancelledError, match="cancelled"):
        made.compute(parts)


def test_extent_mask_and_cell_size_of_the_context(resolved, tmp_path):
    part = work(resolved, tmp_path / "a", context=Context(extent=Extent(0, 40, 16, 64)))
    assert finished(part).values["count"] == 6
    masked = work(resolved, tmp_path / "b", mask=MASK)
    assert finished(masked).values["count"] == 8 * 4
    also = work(resolved, tmp_path / "c", context=Context(mask=MASK, cell_size=2))
    assert finished(also).values["count"] == 4 * 2
    own = work(resolved, tmp_path / "d", context=Context(cell_size_of=RASTER, snap_to=RASTER))
    assert finished(own).values["count"] == 96


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"options": {"tilesize": 3}}, "no option 'tilesize'"),
        ({"format": "COCO"}, "format is 'COCO'; possible: KITTI"),
        ({"chip_format": "GIF"}, "chip_format is 'GIF'"),
        ({"context": Context(process_crs="EPSG:0")}, "'EPSG:0' is not known"),
        ({"mask": RASTER}, "is a raster, and chips lie within polygons"),
        ({"context": Context(extent=Extent(9, 9, 1, 1))}, "left, bottom, right, top"),
    ],
)
def test_bad_recipes_are_told(resolved, tmp_path, kwargs, match):
    with pytest.raises(OptionError, match=match):
        work(resolved, tmp_path / "job", **kwargs)


def test_a_server_that_only_accepts_jobs_loads_little():
    code = "import sys, geodl_lab.jobs.export_works; print(sorted(sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "'geodl_lab.jobs.export_works'" in answer.stdout
    assert "'torch'" not in answer.stdout
    assert "'geopandas'" not in answer.stdout
