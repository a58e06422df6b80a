"""Items as the portal tells them, and searches."""

import pytest

from geodl_lab.jobs.catalog import Item
from geodl_lab.server.arcgis import items

ITEMS = [
    Item(
        "1" * 32, "a", "Image Service", "landcover 2024", service="lc", properties={"tags": ["x y"]}
    ),
    Item("2" * 32, "a", "Feature Service", "trees", service="t"),
    Item("3" * 32, "", "Deep Learning Package", "naip-trees", model="naip-trees"),
]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "123"),
        ("*", "123"),
        ("trees", "23"),
        ("TREES landcover", ""),
        ('type:"Image Service"', "1"),
        ('type:"Image Service" OR type:"Feature Service"', "12"),
        ('trees AND (type:"Feature Service") AND accountid:0123', "2"),
        ('trees -type:"Feature Service"', "3"),
        ('trees NOT type:"Feature Service"', "3"),
        ("owner:geodl", "3"),
        ("title:land*", "1"),
        ('tags:"x y"', "1"),
        (f"id:{'2' * 32}", "2"),
        ("typekeywords:hosted", "2"),
        ("((((", "123"),
        ('"', "123"),
    ],
)
def test_searches(query, found):
    assert "".join(one.id[0] for one in items.search(ITEMS, query)) == found


def test_an_item_has_what_clients_read():
    answers = [items.item_answer(one, "https://box") for one in ITEMS]
    assert [one["url"] for one in answers] == [
        "https://box/arcgis/rest/services/Hosted/lc/ImageServer",
        "https://box/arcgis/rest/services/Hosted/t/FeatureServer",
        None,
    ]
    assert [one["owner"] for one in answers] == ["a", "a", "geodl"]
    assert answers[2]["title"] == "naip-trees"
    assert answers[0]["tags"] == ["x y"]


def test_a_raster_of_a_store_is_a_service():
    item = Item("4" * 32, "", "Image Service", "a", store="images/a.tif")
    url = items.item_answer(item, "https://box")["url"]
    assert url == f"https://box/arcgis/rest/services/Stores/{'4' * 32}/ImageServer"


def test_what_a_client_says_of_an_item():
    said = items.properties_of(
        {"tags": "a, b,,c", "snippet": "s", "properties": '{"jobId": "j"}', "x": "y"}
    )
    assert said == {"tags": ["a", "b", "c"], "snippet": "s", "properties": {"jobId": "j"}}
    assert items.properties_of({"tags": '["a,b", "c"]'})["tags"] == ["a,b", "c"]
    assert items.title_of("  a\nb ", "x") == "a b"
    assert items.title_of(" ", "x") == "x"
