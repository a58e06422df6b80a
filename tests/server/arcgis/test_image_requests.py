"""exportImage's parameters become one value."""

import pytest

from geodl_lab.server.arcgis.image_requests import MOST_BYTES, parse_picture
from geodl_lab.server.arcgis.image_sources import EMPTY, ImageSource
from geodl_lab.server.arcgis.web import ArcgisError, Parameters

SOURCE = ImageSource("a", "a", None, EMPTY)


def parsed(**given):
    return parse_picture(Parameters(given), SOURCE)


def test_nothing_said_is_all_of_the_raster_as_jpgpng():
    request = parsed(f="image", size="", bbox="")
    assert request.view.box == (-180, -90, 180, 90) and request.view.crs == EMPTY.crs
    assert request.view.shape_yx == (400, 400)
    assert (request.encoding.format, request.encoding.quality) == ("jpgpng", 75)
    assert not request.wants_values and not request.smooth and not request.bands


def test_size_is_width_and_height():
    assert parsed(size="30,20").view.shape_yx == (20, 30)
    assert parsed(size="30").view.shape_yx == (30, 30)


def test_boxes_come_to_the_picture_s_own_reference():
    request = parsed(bbox="0,0,1113194.9,1118889.97", bboxSR="102100")
    assert request.view.crs == EMPTY.crs  # that of the service, as nothing else was asked for
    assert request.view.box == pytest.approx((0, 0, 10, 10), abs=1e-3)
    request = parsed(bbox="0,0,10,10", imageSR='{"wkid":3857}')
    assert request.view.box == pytest.approx((0, 0, 1113194.9, 1118889.97), rel=1e-6)


def test_names_and_values_in_any_case():
    given = {"FORMAT": "TIFF", "pixeltype": "f32", "BANDIDS": "0", "noData": "3"}
    request = parsed(
        **given, interpolation="rsp_cubicconvolution", noDataInterpretation="esriNoDataMatchAll"
    )
    assert request.wants_values and request.dtype == "float32" and request.bands == (0,)
    assert request.smooth and request.nodata == (3,) and request.match_all


def test_colours_may_be_asked_for_in_a_format_of_values():
    rule = '{"rasterFunction": "Stretch"}'
    assert not parsed(format="tiff", renderingRule=rule).wants_values
    assert parsed(format="tiff", renderingRule='{"rasterFunction":"none"}').wants_values


def test_lerc_says_how_exact_and_for_whom():
    encoding = parsed(format="lerc", compressionTolerance="0.01", lercVersion="2").encoding
    assert (encoding.tolerance, encoding.lerc_version) == (0.01, 2)
    assert parsed(format="lerc", lercVersion="1").encoding.lerc_version == 1


def test_only_an_explicit_no_makes_a_picture_opaque():
    assert not parsed().encoding.opaque and not parsed(transparent="TRUE").encoding.opaque
    assert parsed(transparent="false", format="png").encoding.opaque
    assert not parsed(transparent="false", format="png32").encoding.opaque


def test_more_values_than_fit_are_refused():
    size = {"format": "tiff", "size": "4096,4096", "pixelType": "F64"}
    assert parsed(**size).wants_values  # 128 MiB
    many = ",".join(["0"] * 3)
    assert MOST_BYTES < 3 * 8 * 4096**2
    with pytest.raises(ArcgisError, match="ask for fewer bands"):
        parsed(**size, bandIds=many)
    assert parsed(format="png", size="4096,4096", bandIds=many).bands == (0, 0, 0)
