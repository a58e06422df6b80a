"""The context: where and on what a task runs."""

import os

import pytest
import rasterio

from geodl_lab.errors import OptionError
from geodl_lab.jobs.recipes import Context, Extent, Ref
from geodl_lab.server.arcgis.contexts import context_of, crs_of
from geodl_lab.server.arcgis.references import Here

EXTENT = {"xmin": 1, "ymin": "2", "xmax": 3.5, "ymax": 4}


def one(**values):
    return context_of(values, Here())


def test_nothing_is_the_default():
    assert one() == one(extent="", cellSize=None, unknown=5) == Context()


@pytest.mark.parametrize(
    ("reference", "crs"),
    [
        ({"wkid": 102100, "latestWkid": 3857}, "EPSG:3857"),
        ({"wkid": 102100}, "ESRI:102100"),
        ({"wkid": 4326}, "EPSG:4326"),
        ({"wkt": 'LOCAL_CS["x"]'}, 'LOCAL_CS["x"]'),
        (26910, "EPSG:26910"),
        ("26910", "EPSG:26910"),
        ('{"wkid": 26910}', "EPSG:26910"),
        ("", ""),
        ({}, ""),
    ],
)
def test_spatial_references(reference, crs):
    assert crs_of("outSR", reference) == crs


def test_codes_of_both_kinds_are_what_rasterio_reads():
    mercator = rasterio.crs.CRS.from_user_input(crs_of("outSR", 102100))
    assert mercator.is_projected
    assert rasterio.crs.CRS.from_user_input(crs_of("outSR", 3857)).to_epsg() == 3857


@pytest.mark.parametrize(
    "given", [{"wkid": "x"}, {"wkid": -5}, {"wkid": 1.5}, {"name": "x"}, [1], True]
)
def test_other_spatial_references_are_refused(given):
    with pytest.raises(OptionError, match="outSR"):
        crs_of("outSR", given)


def test_an_extent_has_its_own_spatial_reference():
    extent = one(extent=EXTENT | {"spatialReference": {"wkid": 4326}}).extent
    assert extent == Extent(1, 2, 3.5, 4, "EPSG:4326")
    assert one(Extent=EXTENT).extent.crs == ""


@pytest.mark.parametrize("side", [{"xmax": 1}, {"ymin": 4}, {"xmin": "NaN"}, {"ymax": None}])
def test_an_extent_without_an_area_is_refused(side):
    with pytest.raises(OptionError, match="extent"):
        one(extent=EXTENT | side)


@pytest.mark.parametrize(
    ("given", "size", "of"),
    [
        (0.6, 0.6, None),
        ("0.6", 0.6, None),
        ("MaxOf", None, None),
        ({"x": 2, "y": 2}, 2, None),
        ({"url": "https://x/a.tif"}, None, Ref("url", "https://x/a.tif")),
        ("/fileShares/images/a.tif", None, Ref("store", "images/a.tif")),
    ],
)
def test_cell_sizes(given, size, of):
    found = one(cellSize=given)
    assert (found.cell_size, found.cell_size_of) == (size, of)


@pytest.mark.parametrize("given", [0, -1, "big", {"x": 1, "y": 2}])
def test_other_cell_sizes_are_refused(given):
    with pytest.raises(OptionError, match="cellSize"):
        one(cellSize=given)


@pytest.mark.parametrize(
    ("given", "device"),
    [
        ({}, "auto"),
        ({"gpuId": 1}, "auto"),
        ({"processorType": "CPU", "gpuId": 1}, "cpu"),
        ({"processorType": "gpu"}, "cuda"),
        ({"processorType": "GPU", "gpuId": "1"}, "cuda:1"),
    ],
)
def test_devices(given, device):
    assert one(**given).device == device


@pytest.mark.parametrize(
    ("given", "share"), [("80%", 0.8), ("250%", 1), (1, 1 / os.cpu_count()), ("0", 0)]
)
def test_shares_of_the_workers(given, share):
    assert one(parallelProcessingFactor=given).share == pytest.approx(share)


def test_other_rasters_and_crs():
    found = one(
        snapRaster={"url": "https://x/a.tif"}, mask="/fileShares/images/m.gpkg",
        outSR={"wkid": 4326}, processSR={"wkid": 3857}, resamplingMethod="BILINEAR",
    )  # fmt: skip
    assert (found.snap_to, found.mask) == (
        Ref("url", "https://x/a.tif"),
        Ref("store", "images/m.gpkg"),
    )
    assert (found.out_crs, found.process_crs, found.resampling) == (
        "EPSG:4326",
        "EPSG:3857",
        "bilinear",
    )


@pytest.mark.parametrize(
    "given",
    [
        {"processorType": "TPU"},
        {"parallelProcessingFactor": "-5%"},
        {"resamplingMethod": "MAJORITY"},
    ],
)
def test_what_is_not_possible_is_refused(given):
    with pytest.raises(OptionError, match=next(iter(given))):
        one(**given)
