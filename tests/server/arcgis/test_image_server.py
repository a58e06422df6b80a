"""The routes, asked as QGIS, GDAL, esri-leaflet and the ArcGIS API for Python ask them."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from rasterio.io import MemoryFile

from geodl_lab.jobs.catalog import Item, Service

HOSTED = "/arcgis/rest/services/Hosted"
CLASSES = [
    {"value": 1, "name": "water", "color": "#0000aa"},
    {"value": 2, "name": "tree <b>", "color": "#00aa00"},
    {"value": 7, "name": "road", "color": "#aaaaaa"},
]
COLORS = {1: (0, 0, 170, 255), 2: (0, 170, 0, 255), 7: (170, 170, 170, 255), 255: (0, 0, 0, 0)}
LEFT, TOP = 500_000, 3_800_000


def save(path, array, **profile):
    count, height, width = array.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=array.dtype,
        **{"crs": "EPSG:26911", "transform": Affine(1, 0, LEFT, 0, -1, TOP), **profile},
    ) as file:  # fmt: skip
        file.write(array)
    return path


@pytest.fixture
def classes():
    """Class values (1, y, x) with a corner without data; no two rows or columns are alike."""
    values = np.random.default_rng(0).choice(np.array([1, 2, 7], "uint8"), (1, 60, 80))
    values[:, :9, :11] = 255
    return values


@pytest.fixture
def services(core, tmp_path, classes, monkeypatch):
    """A core that has a class raster, an empty service, a regression, features, and a photo."""
    number = np.linspace(0, 1, 4800, dtype="float32").reshape(1, 60, 80)
    number[0, 0, 0] = np.nan
    files = {
        "land": save(tmp_path / "land.tif", classes, nodata=255),
        "number": save(tmp_path / "number.tif", number, nodata=np.nan),
    }
    known = {
        name: Service(name, "raster", "", "", {"raster": str(path)},
                      {"classes": CLASSES if name == "land" else []}, 1)
        for name, path in files.items()
    }  # fmt: skip
    known["empty"] = Service("empty", "raster", "", "")
    known["trees"] = Service("trees", "features", "", "")
    service = core.catalog.service
    monkeypatch.setattr(
        core.catalog, "service", lambda name, who: known.get(name) or service(name, who)
    )
    rgb = np.zeros((50, 40, 3), "uint8")
    rgb[:25, :, 0], rgb[25:, :, 2] = 255, 200
    Image.fromarray(rgb).save(tmp_path / "photo.png")
    core.item = lambda id, who: Item(id, "", "Image Service", id, store=f"images/{id}.png")
    core.store_path = lambda reference: tmp_path / Path(reference).name
    return core


@pytest.fixture
def get(services, client):
    """Ask a service with GET; returns the response."""

    def get(path, **parameters):
        path = path if path.startswith("/") else f"{HOSTED}/{path}"
        return client.get(path, params=parameters, headers={"x-api-key": "key-a"})

    return get


@pytest.fixture
def picture(get):
    """Ask for a picture; returns its pixels (y, x, 4)."""

    def picture(path="land", **parameters):
        answer = get(f"{path}/ImageServer/exportImage", **{"f": "image", **parameters})
        assert answer.headers["content-type"].startswith("image/"), answer.text
        assert answer.headers["cache-control"] == "no-store"
        return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGBA"))

    return picture


def test_a_page_leads_to_the_file(get, client):
    page = get("land/ImageServer", f="html").text
    path = f"{HOSTED}/land/ImageServer/download/land.tif"
    assert f'formaction="{path}"' in page
    answer = client.post(path, data={"f": "html", "token": "key-a"})
    assert answer.status_code == 200 and answer.content[:2] == b"II"


def painted(values):
    answer = np.zeros((*values.shape, 4), "uint8")
    for value, color in COLORS.items():
        answer[values == value] = color
    return answer


def test_the_description_is_what_qgis_and_esris_sdk_need(get):
    answer = get("land/ImageServer", f="json")
    assert answer.headers["cache-control"] == "no-store"
    values = answer.json()
    assert values["downloads"] == [
        {"name": "land.tif",
         "url": f"https://box:8443{HOSTED}/land/ImageServer/download/land.tif"}
    ]  # fmt: skip
    assert values["serviceDataType"].startswith("esriImageService")
    assert values["extent"] == {
        "xmin": LEFT, "ymin": TOP - 60, "xmax": LEFT + 80, "ymax": TOP,
        "spatialReference": {"wkid": 26911, "latestWkid": 26911},
    }  # fmt: skip
    assert (values["pixelType"], values["bandCount"], values["noDataValue"]) == ("U8", 1, 255)
    assert (values["pixelSizeX"], values["pixelSizeY"]) == (1, 1)
    assert "Catalog" not in values["capabilities"]
    assert values["minValues"] == [1] and values["maxValues"] == [7]
    assert not values["singleFusedMapCache"] and "tileInfo" not in values
    assert get("land/ImageServer/", f="PJSON").json() == values


def test_gdal_is_told_the_tiles(get):
    tiles = get("land/ImageServer", f="json", pretty="true").json()["tileInfo"]
    assert tiles["lods"][0]["resolution"] == pytest.approx(156543.03392804097)


def test_a_page_escapes_what_others_wrote(get):
    page = get("land/ImageServer/rasterAttributeTable")
    assert page.headers["content-type"].startswith("text/html")
    assert "tree &lt;b&gt;" in page.text and "<b>" not in page.text
    assert "exportImage" in get("land/ImageServer", f="html").text


def test_a_picture_has_the_colours_that_identify_names(get, picture, classes):
    pixels = picture(size="80,60", format="png32")
    assert (pixels == painted(classes[0])).all()
    for x, y in ((0, 0), (20, 5), (79, 59), (40, 30)):
        place = f"{LEFT + x + 0.5},{TOP - y - 0.5}"
        told = get("land/ImageServer/identify", f="json", geometry=place).json()
        value = 255 if told["value"] == "NoData" else int(told["value"])
        assert tuple(pixels[y, x]) == COLORS[value]


def test_a_box_upside_down_is_sorted(picture, classes):
    box = f"{LEFT},{TOP},{LEFT + 80},{TOP - 60}"
    pixels = picture(bbox=box, size="80,60", format="jpgpng", transparent="TRUE", layers="show:")
    assert (pixels == painted(classes[0])).all()


def test_interpolation_does_not_touch_classes(picture, classes):
    pixels = picture(size="160,120", interpolation="RSP_BilinearInterpolation", format="png")
    assert (pixels == painted(classes[0].repeat(2, 0).repeat(2, 1))).all()


@pytest.mark.parametrize("options", [{}, {"bandIds": "0", "pixelType": "U8"}])
def test_the_index_of_png8_is_the_class_value(get, classes, options):
    answer = get("land/ImageServer/exportImage", f="image", format="png8", size="80,60", **options)
    image = Image.open(io.BytesIO(answer.content))
    assert image.mode == "P"
    assert (np.asarray(image) == classes[0]).all()
    assert (np.asarray(image.convert("RGBA"))[classes[0] < 255] == painted(classes[0])[
        classes[0] < 255]).all()  # fmt: skip


def test_a_tiff_is_the_raster(get, classes):
    box = f"{LEFT + 5},{TOP - 40},{LEFT + 45},{TOP - 10}"
    answer = get("land/ImageServer/exportImage", f="image", format="tiff", bbox=box, size="40,30")
    with MemoryFile(answer.content) as memory, memory.open() as file:
        assert (file.read() == classes[:, 10:40, 5:45]).all()
        assert file.crs.to_epsg() == 26911 and file.nodata == 255
        assert file.transform == Affine(1, 0, LEFT + 5, 0, -1, TOP - 10)
        assert file.colormap(1)[7] == (170, 170, 170, 255)


def test_f_json_names_a_picture_that_is_there(get, client):
    box = json.dumps({"xmin": LEFT, "ymin": TOP - 60, "xmax": LEFT + 80, "ymax": TOP,
                      "spatialReference": {"wkid": 26911}})  # fmt: skip
    told = get(
        "land/ImageServer/exportImage", f="json", bbox=box, size="80,60", format="png"
    ).json()
    assert "?" not in told["href"] and told["href"].startswith("https://box:8443/arcgis/")
    assert (told["width"], told["height"]) == (80, 60)
    direct = get("land/ImageServer/exportImage", f="image", bbox=box, size="80,60", format="png")
    assert client.get(told["href"], params={"token": "key-a"}).content == direct.content
    assert client.get(told["href"]).json()["error"]["code"] == 499
    gone = get("/arcgis/rest/services/Hosted/land/ImageServer/output/AAAA.png").json()
    assert gone["error"]["code"] == 404


def test_esri_leaflets_web_mercator_agrees_with_the_tiles(get, picture):
    """A tile against exportImage of the same box."""
    z, side = 17, 40_075_016.685578488 / 2**17
    told = get("land/ImageServer/exportImage", f="json", imageSR="102100").json()["extent"]
    assert told["spatialReference"] == {"wkid": 102100, "latestWkid": 3857}
    x = int((told["xmin"] + told["xmax"]) / 2 / side + 2 ** (z - 1))
    y = int(2 ** (z - 1) - (told["ymin"] + told["ymax"]) / 2 / side)
    left, top = x * side - 20_037_508.342789244, 20_037_508.342789244 - y * side
    box = f"{left},{top},{left + side},{top - side}"
    same = picture(bbox=box, bboxSR="3857", imageSR="3857", size="256,256", format="png")
    tile = get(f"land/ImageServer/tile/{z}/{y}/{x}")
    assert (np.asarray(Image.open(io.BytesIO(tile.content))) == same).all()
    assert (same[..., 3] > 0).any()


@pytest.mark.parametrize("place", ["17/0/0", "0/0/5", "99/1/1", "a/b/c", "-1/0/0"])
def test_a_tile_of_nowhere_is_transparent(get, place):
    answer = get(f"land/ImageServer/tile/{place}")
    image = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert image.shape == (256, 256, 4) and not image.any()


def test_qgis_asks_without_quotes_and_shows_the_class(get):
    place = f"{{x: {LEFT + 20.5}, y: {TOP - 5.5}}}"
    told = get("land/ImageServer/identify", f="json", geometry=place,
               geometryType="esriGeometryPoint", layers="all:", tolerance="10").json()  # fmt: skip
    (shown,) = told["results"]
    assert shown["attributes"]["Class"] in ("water", "tree <b>", "road")
    assert shown["attributes"]["Pixel Value"] == told["value"]


def test_samples_are_the_raster_s_values(get, classes):
    at = [[3, 50], [70, 20], [500, 20]]
    geometry = {"points": [[LEFT + x + 0.5, TOP - y - 0.5] for x, y in at],
                "spatialReference": {"wkid": 26911}}  # fmt: skip
    told = get("land/ImageServer/getSamples", f="json", geometry=json.dumps(geometry),
               geometryType="esriGeometryMultipoint").json()["samples"]  # fmt: skip
    assert [one["value"] for one in told] == [*(str(classes[0, y, x]) for x, y in at[:2]), "NoData"]
    assert [one["locationId"] for one in told] == [0, 1, 2]


def test_a_service_without_a_result_is_empty_and_valid(get, picture):
    values = get("empty/ImageServer", f="json").json()
    assert values["bandCount"] == 1 and values["extent"]["spatialReference"]["wkid"] == 4326
    assert not picture("empty", size="30,20", format="png").any()
    at = get("empty/ImageServer/identify", f="json", geometry="1,2").json()
    assert at["value"] == "NoData"
    assert get("empty/ImageServer/legend", f="json").json()["layers"]


def test_a_photo_of_a_store_is_the_right_way_up(get, picture):
    values = get("/arcgis/rest/services/Stores/photo/ImageServer", f="json").json()
    assert values["extent"]["ymax"] == 0 and values["extent"]["ymin"] == -50
    assert "wkid" not in values["spatialReference"]
    pixels = picture("/arcgis/rest/services/Stores/photo", size="40,50", format="png")
    assert (pixels[0, 0], pixels[-1, 0])[0].tolist() == [255, 0, 0, 255]
    assert pixels[-1, 0].tolist() == [0, 0, 200, 255]
    placed = get("/arcgis/rest/services/Stores/photo/ImageServer/exportImage", f="image",
                 bbox="0,0,1,1", bboxSR="4326")  # fmt: skip
    assert "no place on earth" in placed.json()["error"]["message"]


def test_the_classes_as_table_legend_and_colours(get):
    rows = get("land/ImageServer/rasterAttributeTable", f="json").json()["features"]
    assert rows[2]["attributes"] == {
        "OID": 2, "Value": 7, "Class": "road", "ClassName": "road",
        "Red": 170, "Green": 170, "Blue": 170,
    }  # fmt: skip
    (layer,) = get("land/ImageServer/legend", f="json").json()["layers"]
    swatch = Image.open(io.BytesIO(base64.b64decode(layer["legend"][2]["imageData"])))
    assert layer["legend"][2]["label"] == "road"
    assert swatch.convert("RGB").getpixel((5, 5)) == (170, 170, 170)
    assert get("land/ImageServer/colormap", f="json").json()["colormap"][1] == [2, 0, 170, 0]
    assert get("number/ImageServer/colormap", f="json").json()["error"]["code"] == 404
    assert get("land/ImageServer/keyProperties", f="json").json()["DataType"] == "Thematic"


def test_statistics_of_all_and_of_an_area(get, classes):
    known = classes[classes < 255]
    (band,) = get("land/ImageServer/statistics", f="json").json()["statistics"]
    assert band["mean"] == pytest.approx(known.mean())
    (counts,) = get("land/ImageServer/histograms", f="json").json()["histograms"]
    assert counts["counts"] == np.bincount(known, minlength=256).tolist()
    box = {"xmin": LEFT + 20, "ymin": TOP - 40, "xmax": LEFT + 50, "ymax": TOP - 30}
    (area,) = get("land/ImageServer/computeStatisticsHistograms", f="json",
                  geometry=json.dumps(box)).json()["statistics"]  # fmt: skip
    assert area["count"] == 300
    assert area["mean"] == pytest.approx(classes[0, 30:40, 20:50].mean())


WRONG = {
    "bbox": ["nan,0,1,1", "0,0,inf,1", "1e300,0,1,1", "1,2,3", "5,5,5,9", "{", '{"xmin":1}', "{}"],
    "size": ["0,5", "-1,5", "100000,100000", "4097,1", "a", "1,2,3", "1e99,1", "nan,nan"],
    "format": ["pdf", "image/png"],
    "imageSR": ["999999", "x", "5773", "4978", '{"wkid": -4}', "{", "1" * 400, "+proj=merc"],
    "bboxSR": ["999999", '{"wkt": "PROJCS[]"}', "[]"],
    "bandIds": ["1", "-1", "x", "0,0,0,0"],
    "pixelType": ["C64"],
    "noData": ["x", "1,2,3"],
    "interpolation": ["RSP_Magic"],
    "compressionQuality": ["0", "x"],
    "renderingRule": ["x", "[]", '{"rasterFunction":"NDVI"}',
                      '{"rasterFunction":"Stretch","rasterFunctionArguments":{"StretchType":9}}',
                      '{"rasterFunction":"Colormap","rasterFunctionArguments":{"Colormap":[1]}}'],
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, all in WRONG.items() for v in all])
def test_what_is_wrong_is_said_in_a_sentence(get, name, value):
    answer = get("land/ImageServer/exportImage", **{"f": "image", name: value})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert error["code"] == 400 and len(error["message"]) > 15


@pytest.mark.parametrize("path", [
    "none/ImageServer", "trees/ImageServer", "land/ImageServer/multiDimensionalInfo",
    "land/ImageServer/../../x", "/arcgis/rest/services/Other/a/ImageServer",
])  # fmt: skip
def test_what_is_not_there_is_said(get, path):
    assert get(path, f="json").json()["error"]["code"] == 404


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["exportImage", "identify", "getSamples", "computeStatisticsHistograms"]),
    st.dictionaries(
        st.sampled_from(["bbox", "size", "geometry", "geometryType", "imageSR", "bboxSR", "sr",
                         "renderingRule", "noData", "bandIds", "sampleCount", "sampleDistance",
                         "format", "f"]),
        st.one_of(
            st.text(max_size=20),
            st.sampled_from([
                "1,2,3,4", "{x:1,y:2}", '{"rings":[[[0,0],[1,1],[1,0]]]}', "[[1]]", "{}", "null",
                "1e308,1e308", '{"paths":[[[0,0]]]}', '{"x":"NaN","y":1}', "4326", "1e-300,1",
                '{"points":[[1,2],[3]]}', '{"rings":[[]]}', '{"spatialReference":7,"x":1,"y":1}',
                "lerc", "tiff", "image", "json", "-1", '{"rasterFunction":{}}', "0",
                f"{LEFT},{TOP},{LEFT + 1e-9},{TOP + 1}",
            ]),
        ),
    ),
)  # fmt: skip
def test_nothing_that_is_sent_breaks_the_server(get, resource, parameters):
    assert get(f"land/ImageServer/{resource}", **parameters).status_code == 200
