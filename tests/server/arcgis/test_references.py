"""All forms in which clients name rasters, models and places."""

import json

import pytest

from geodl_lab.errors import OptionError
from geodl_lab.jobs.recipes import Output, Ref
from geodl_lab.server.arcgis.references import (
    Here,
    location_of,
    model_ref,
    output_of,
    raster_refs,
    single_ref,
)

ID = "0123456789abcdef0123456789ABCDEF"
ITEM = Ref("item", ID.lower())
HERE = Here("https://box:8443", ("images",), lambda name: ID if name == "there" else "")
HOSTED = "https://BOX:8443/arcgis/rest/services/Hosted/lc/ImageServer"


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ({"itemId": ID}, ITEM),
        ({"uri": "/fileShares/images/a.tif", "url": HOSTED, "itemId": ID}, ITEM),
        ({"itemProperties": {"itemId": ID}, "serviceProperties": {"name": "x"}}, ITEM),
        ({"serviceProperties": {"name": "x", "serviceUrl": HOSTED}}, Ref("service", "lc")),
        ({"serviceProperties": {"name": "x"}}, Ref("service", "x")),
        ({"uri": "/fileShares/images/sub/a.tif"}, Ref("store", "images/sub/a.tif")),
        ("/rasterStores/images/a.tif", Ref("store", "images/a.tif")),
        ('"/fileShares/images/a.tif"', Ref("store", "images/a.tif")),
        ("/fileShares/outputs/lc", Ref("service", "lc")),
        ({"url": HOSTED + "?token=abc"}, Ref("service", "lc")),
        ({"type": "ImageryLayer", "url": HOSTED, "options": "{}", "uses_gbl": True},
         Ref("service", "lc")),
        ("https://box:8443/server/rest/services/Hosted/o/FeatureServer/0", Ref("service", "o")),
        (f'<ImageryLayer url:"{HOSTED}">', Ref("service", "lc")),
        ('<FeatureLayer url:"https://box:8443/arcgis/rest/services/Hosted/o/FeatureServer/0">',
         Ref("service", "o")),
        (f"https://box:8443/arcgis/rest/services/Stores/{ID}/ImageServer", ITEM),
        (f"https://box:8443/portal/sharing/rest/content/items/{ID}", ITEM),
        ("http://box:8443/arcgis/rest/services/Hosted/lc/ImageServer/", Ref("service", "lc")),
        ("https://other/arcgis/rest/services/Hosted/lc/ImageServer",
         Ref("url", "https://other/arcgis/rest/services/Hosted/lc/ImageServer")),
        ({"url": "https://box/a.tif"}, Ref("url", "https://box/a.tif")),
    ],
)  # fmt: skip
def test_one_raster(text, ref):
    text = text if isinstance(text, str) else json.dumps(text)
    assert raster_refs("inputRaster", text, HERE) == (ref,)


@pytest.mark.parametrize(
    "text",
    [
        ["/fileShares/images/a.tif", {"itemId": ID}],
        [{"uri": "/fileShares/images/a.tif"}, {"itemId": ID}],
        [{"uris": ["/fileShares/images/a.tif"]}, {"itemIds": [ID]}],
    ],
)
def test_several_rasters_keep_their_order(text):
    refs = raster_refs("inputRaster", json.dumps(text), HERE)
    assert refs == (Ref("store", "images/a.tif"), ITEM)


def test_a_folder_is_one_reference():
    refs = raster_refs("inputRaster", json.dumps({"uri": "/fileShares/images/"}), HERE)
    assert refs == (Ref("store", "images/"),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/data/a.tif", "in no store of this server; give /fileShares/images/"),
        ("file:///etc/passwd", "in no store"),
        ("/vsicurl/http://x/a.tif", "in no store"),
        ("/cloudStores/s3/a.tif", "none is served"),
        ("{}", "name it by itemId, url or uri"),
        ("[]", "names 0 rasters"),
        ("[[1]]", "name a raster by itemId"),
        ("5", "in no store"),
        ('{"itemId": "abc"}', "32 hex digits"),
        ('{"itemId": 5}', "write a text"),
        ('{"uri": {"a": 1}}', "write a text"),
        ('{"itemProperties": [1]}', "write a JSON object"),
        ("https://box:8443/arcgis/rest/services/System", "no raster and no layer"),
        (
            "https://box:8443/arcgis/rest/services/Hosted/o/FeatureServer/1",
            "no raster and no layer",
        ),
        (
            "https://box:8443/arcgis/rest/services/Hosted/..%2f/ImageServer",
            "no raster|not possible",
        ),
        ("https://a:b:c/x.tif", "no URL"),
        ("{'itemId': 1}", "no JSON"),
    ],
)
def test_what_names_no_raster_says_what_would(text, words):
    with pytest.raises(OptionError, match=words):
        raster_refs("inputRaster", text, HERE)


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("naip-landcover", Ref("model", "naip-landcover")),
        ("trees@1.0#abcdef", Ref("model", "trees@1.0#abcdef")),
        ('{"uri": "naip-trees"}', Ref("model", "naip-trees")),
        ('{"uri": "/rasterStores/images/m.dlpk"}', Ref("store", "images/m.dlpk")),
        (json.dumps({"itemId": ID}), ITEM),
        (ID, ITEM),
        (json.dumps({"url": f"https://box:8443/portal/sharing/rest/content/items/{ID}"}), ITEM),
        ("https://else.org/m.dlpk", Ref("url", "https://else.org/m.dlpk")),
        ('{"Framework": "PyTorch", "ModelType": "x"}',
         Ref("emd", '{"Framework": "PyTorch", "ModelType": "x"}')),
    ],
)  # fmt: skip
def test_models(text, ref):
    assert model_ref("model", text, HERE) == ref


def test_json_that_is_no_model_is_refused():
    with pytest.raises(OptionError, match=r"model is .*; name it by itemId, url or uri"):
        model_ref("model", '{"colour": "red"}', HERE)


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ({"itemId": ID}, Output(item=ID.lower())),
        ({"itemProperties": {"itemId": ID, "folderId": "f"}, "serviceProperties": {"name": "x"}},
         Output(item=ID.lower(), folder="f")),
        ({"itemProperties": {"itemId": ID}, "folderId": "f"}, Output(item=ID.lower(), folder="f")),
        ({"serviceProperties": {"name": "there"}}, Output(service="there")),
        ({"uri": "/fileShares/outputs/new"}, Output(service="new")),
        ({"uri": "/rasterStores/outputs/there"}, Output(service="there", item=ID)),
        ({"url": HOSTED}, Output(service="lc")),
        ({"url": HOSTED.replace("/lc/", "/there/")}, Output(service="there", item=ID)),
        ({"name": "new"}, Output(service="new")),
        ("new", Output(service="new")),
        (HOSTED, Output(service="lc")),
    ],
)  # fmt: skip
def test_places(text, output):
    text = text if isinstance(text, str) else json.dumps(text)
    assert output_of("outputObjects", text, HERE) == output


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("my result!", "is not possible.*call it 'my_result'"),
        ('{"serviceProperties": {"name": "../x"}}', "call it 'x'"),
        ('{"uri": "/fileShares/images/a.tif"}', "stores and other servers are only read"),
        ('{"url": "https://other/x/ImageServer"}', "only read"),
        ("{}", "my_result"),
        ("[1]", "name an itemId"),
        ('{"serviceProperties": {"name": 5}}', "write a text"),
    ],
)
def test_what_is_no_place_says_what_would_be(text, words):
    with pytest.raises(OptionError, match=words):
        output_of("outputObjects", text, HERE)


@pytest.mark.parametrize(
    "text", ["chips", "/fileShares/outputs/chips", '{"uri": "/rasterStores/outputs/chips"}']
)
def test_a_folder_that_is_to_be_made(text):
    assert location_of("outputLocation", text, HERE) == "chips"


def test_one_thing_is_not_several():
    with pytest.raises(OptionError, match="name one thing"):
        single_ref("mask", json.dumps({"itemIds": [ID, ID]}), HERE)


def test_without_a_base_no_url_is_ours():
    assert single_ref("mask", HOSTED, Here()) == Ref("url", HOSTED)
