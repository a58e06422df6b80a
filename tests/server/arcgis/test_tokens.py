"""A token for a key."""

import pytest

PATHS = ["/sharing/rest/generateToken", "/tokens/generateToken"]


@pytest.mark.parametrize("path", PATHS)
def test_a_key_is_the_password_of_any_name(client, path):
    data = {"username": "anybody", "password": "key-b", "client": "referer", "f": "json"}
    answer = client.post(f"/arcgis{path}", data=data).json()
    assert answer["ssl"] is True
    assert answer["expires"] > 1e12
    self = client.get(
        "/arcgis/sharing/rest/community/self",
        headers={"x-esri-authorization": f"Bearer {answer['token']}"},
    ).json()
    other = client.get("/arcgis/sharing/rest/community/self?token=key-b").json()
    assert self["username"] == other["username"]


@pytest.mark.parametrize(
    "sent", [{"password": "wrong"}, {}, {"password": "wrong", "expiration": "60"}]
)
def test_a_wrong_password_is_an_error(client, sent):
    answer = client.post("/arcgis/sharing/rest/generateToken", data=sent | {"username": "u"}).json()
    assert answer["error"]["code"] == 400
    assert "Unable to generate token" in answer["error"]["message"]


def test_an_expiration_that_is_none(client):
    data = {"password": "key-a", "expiration": "soon"}
    answer = client.post("/arcgis/tokens/generateToken", data=data).json()
    assert "expiration is 'soon'" in answer["error"]["message"]
