"""The services that a server tells of."""

import pytest

from geodl_lab.jobs.catalog import Item


def test_the_version_and_where_tokens_are(client):
    info = client.get("/arcgis/rest/info?f=json").json()
    assert (
        info["authInfo"]["tokenServicesUrl"] == "https://box:8443/portal/sharing/rest/generateToken"
    )
    assert info["currentVersion"] == pytest.approx(11.3)


def test_folders_and_their_services(ask, core):
    root = ask("/rest/services")
    assert root["folders"] == ["System", "Hosted", "Stores"]
    assert root["services"] == [{"name": "System/RasterAnalysisTools", "type": "GPServer"}]
    assert ask("/rest/services/system")["services"] == root["services"]
    ask_create = "/sharing/rest/content/users/self/createService"
    ask(ask_create, name="mine", outputType="imageService", createParameters='{"name": "mine"}')
    assert ask("/rest/services/Hosted")["services"] == [
        {"name": "Hosted/mine", "type": "ImageServer"}
    ]
    assert ask("/rest/services/Hosted", key="key-b")["services"] == []
    assert "there are System, Hosted, Stores" in ask("/rest/services/Other")["error"]["message"]


def test_rasters_of_stores_are_listed(ask, core, monkeypatch):
    items = [Item("f" * 32, "", "Image Service", "b", store="images/b.tif"),
             Item("0" * 32, "", "Deep Learning Package", "m", model="m")]  # fmt: skip
    monkeypatch.setattr(core, "items", lambda caller: items)
    assert ask("/rest/services/Stores")["services"] == [
        {"name": f"Stores/{'f' * 32}", "type": "ImageServer", "description": "images/b.tif"}
    ]


def test_pages_and_indented_json(client):
    key = {"x-api-key": "key-a"}
    page = client.get("/arcgis/rest/services", headers=key)
    assert 'formaction="/arcgis/rest/services/Hosted"' in page.text
    text = client.get("/arcgis/rest/services?f=PJSON", headers=key).text
    assert '\n  "folders"' in text
    assert client.get("/server/rest/services/", headers=key).status_code == 200
