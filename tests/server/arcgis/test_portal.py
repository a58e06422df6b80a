"""The portal's own pages."""


def test_the_portal_without_and_with_a_key(client, ask):
    open_self = client.get("/portal/sharing/rest/portals/self?f=json").json()
    assert "user" not in open_self
    assert open_self["allSSL"] is True
    assert "arcgis online" not in str(open_self).lower()
    tools = open_self["helperServices"]["rasterAnalytics"]["url"]
    assert tools == "https://box:8443/arcgis/rest/services/System/RasterAnalysisTools/GPServer"
    user = ask("/sharing/rest/portals/self")["user"]
    assert user["role"] == "org_publisher"
    assert ask(f"/sharing/rest/community/users/{user['username']}")["username"] == user["username"]
    assert ask("/sharing/rest/community/self", key="key-b")["username"] != user["username"]


def test_the_version_answers_without_a_key(client):
    assert client.get("/portal/sharing/rest/?f=json").json() == {"currentVersion": "2024.1"}
    info = client.get("/portal/sharing/rest/info").json()
    assert info["owningSystemUrl"] == "https://box:8443/portal"


def test_without_tls_the_portal_says_so(app):
    from fastapi.testclient import TestClient  # noqa: PLC0415

    plain = TestClient(app, base_url="http://box:8000")
    assert plain.get("/portal/sharing/rest/portals/self").json()["allSSL"] is False


def test_a_search_has_pages(ask):
    for number in range(3):
        ask("/sharing/rest/content/users/self/createService",
            createParameters=f'{{"name": "s{number}"}}', outputType="imageService")  # fmt: skip
    first = ask("/sharing/rest/search", q='type:"Image Service"', num="2")
    assert (first["total"], first["nextStart"], len(first["results"])) == (3, 3, 2)
    rest = ask("/sharing/rest/search", q='type:"Image Service"', num="2", start="3")
    assert (rest["nextStart"], len(rest["results"])) == (-1, 1)
    titles = {one["title"] for one in (*first["results"], *rest["results"])}
    assert titles == {"s0", "s1", "s2"}
    assert ask("/sharing/rest/search", q="s1", key="key-b")["total"] == 0
    assert "num is 'x'" in ask("/sharing/rest/search", q="", num="x")["error"]["message"]


def test_names_and_groups(ask):
    assert ask("/sharing/rest/portals/self/isServiceNameAvailable", name="new")["available"]
    assert ask("/sharing/rest/community/groups", q="x")["results"] == []
    assert ask("/sharing/rest/community/users/<b>")["error"]["code"] == 404
