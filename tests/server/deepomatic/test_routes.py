"""The whole tree of addresses is there, with and without the slash at the end."""

import pytest

from geodl_lab.server.deepomatic.routes import router

TREE = """
GET /accounts/me
GET /recognition/public
GET PUT PATCH DELETE /recognition/public/{slug}
POST /recognition/public/{slug}/inference
GET POST /recognition/specs
GET PATCH PUT DELETE /recognition/specs/{id}
POST /recognition/specs/{id}/inference
GET /recognition/specs/{id}/versions
GET POST /recognition/versions
GET DELETE /recognition/versions/{id}
POST /recognition/versions/{id}/inference
GET POST /networks
GET /networks/public
GET PUT PATCH DELETE /networks/public/{slug}
POST /networks/public/{slug}/inference
GET PATCH PUT DELETE /networks/{id}
POST /networks/{id}/inference
GET /tasks
GET /tasks/{id}
"""


def test_the_tree():
    wanted = {
        (method, line.split()[-1])
        for line in TREE.strip().splitlines()
        for method in line.split()[:-1]
    }
    assert {(method, one.path) for one in router.routes for method in one.methods} == wanted


@pytest.mark.parametrize(
    "path", ["/accounts/me", "/recognition/public", "/networks", "/networks/public"]
)
def test_both_spellings_without_a_redirect(client, path):
    one, other = client.get(path), client.get(f"{path}/")
    assert (one.status_code, other.status_code) == (200, 200)
    assert one.json() == other.json()
    assert one.headers["cache-control"] == "no-store"


def test_pages_of_other_hosts_may_ask(client):
    answer = client.options("/tasks", headers={"origin": "https://example.com"})
    assert "X-APP-ID" in answer.headers["access-control-allow-headers"]
