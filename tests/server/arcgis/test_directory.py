"""The services that a server tells of."""

import pytest


def test_the_version_and_where_tokens_are(client):
    info = client.get("/arcgis/rest/info?f=json").json()
    assert (
        info["authInfo"]["tokenServicesUrl"] == "https://box:8443/portal/sharing/rest/generateToken"
    )
    assert info["currentVersion"] == pytest.approx(11.3)


def test_folders_and_their_services(ask, core):
    root = ask("/rest/services")
    assert root["folders"] == ["System", "Hosted"]
    assert root["services"] == [{"name": "System/RasterAnalysisTools", "type": "GPServer"}]
    assert ask("/rest/services/system")["services"] == root["services"]
    ask_create = "/sharing/rest/content/users/self/createService"
    ask(ask_create, name="mine", outputType="imageService", createParameters='{"name": "mine"}')
    assert ask("/rest/services/Hosted")["services"] == [
        {"name": "Hosted/mine", "type": "ImageServer"}
    ]
    assert ask("/rest/services/Hosted", key="key-b")["services"] == []
    assert "there are System, Hosted" in ask("/rest/services/Other")["error"]["message"]


def test_pages_and_indented_json(client):
    key = {"x-api-key": "key-a"}
    page = client.get("/arcgis/rest/services", headers=key)
    assert 'formaction="/arcgis/rest/services/Hosted"' in page.text
    text = client.get("/arcgis/rest/services?f=PJSON", headers=key).text
    assert '\n  "folders"' in text
    assert client.get("/server/rest/services/", headers=key).status_code == 200
