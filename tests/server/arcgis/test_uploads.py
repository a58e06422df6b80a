"""Files sent at once or in parts."""

import pytest

USER = "/arcgis/sharing/rest/content/users/self"
KEY = {"x-api-key": "key-a"}


@pytest.fixture
def send(client):
    """Post a form with a file; returns the JSON of the answer."""

    def send(path, file=None, **data):
        files = {"file": file} if file else {"none": b""}
        return client.post(
            f"{USER}{path}", data={"f": "json"} | data, files=files, headers=KEY
        ).json()

    return send


def test_a_file_at_once(send, client, ask):
    id = send("/addItem", ("trees.dlpk", b"content"), title="Trees", tags="a")["id"]
    item = ask(f"/sharing/rest/content/items/{id}")
    assert (item["type"], item["title"], item["name"]) == (
        "Deep Learning Package",
        "Trees",
        "trees.dlpk",
    )
    data = client.get(f"/arcgis/sharing/rest/content/items/{id}/data", headers=KEY)
    assert data.content == b"content"
    other = client.get(
        f"/arcgis/sharing/rest/content/items/{id}/data", headers={"x-api-key": "key-b"}
    )
    assert "error" in other.json()


def test_a_file_in_parts_is_put_together_in_order(send, client, ask):
    id = send("/addItem", multipart="true", fileName="a.tif", title="A")["id"]
    assert ask(f"/sharing/rest/content/users/self/items/{id}/status")["status"] == "partial"
    for number in (11, *range(10, 0, -1)):
        sent = send(f"/items/{id}/addPart?partNum={number}", ("x.split", bytes([number])))
        assert sent["success"]
    assert send(f"/items/{id}/commit")["success"]
    assert ask(f"/sharing/rest/content/users/self/items/{id}/status")["status"] == "completed"
    data = client.get(f"/arcgis/sharing/rest/content/items/{id}/data", headers=KEY)
    assert data.content == bytes(range(1, 12))
    assert "waits for no parts" in send(f"/items/{id}/commit")["error"]["message"]


def test_a_missing_part_is_named(send, ask):
    id = send("/addItem", multipart="true", fileName="a.tif")["id"]
    assert "part 1 of the item" in send(f"/items/{id}/commit")["error"]["message"]
    send(f"/items/{id}/addPart?partNum=2", ("x", b"2"))
    assert "part 1 of the item" in send(f"/items/{id}/commit")["error"]["message"]
    assert "0 of" not in send(f"/items/{id}/addPart?partNum=0", ("x", b"2"))["error"]["message"]
    assert ask(f"/sharing/rest/content/users/self/items/{id}/status")["status"] == "partial"


@pytest.mark.parametrize(
    ("name", "kept"),
    [("../../x y.dlpk", "x_y.dlpk"), ("C:\\a\\b.TIF", "b.TIF"), ("/etc/.hidden.tif", "hidden.tif")],
)
def test_names_lead_nowhere(send, core, name, kept):
    send("/addItem", (name, b"1"))
    found = [path.name for path in core.options.data_dir.glob("uploads/*/*")]
    assert found == [kept]


@pytest.mark.parametrize("name", ["x.vrt", "x", "x.exe", "...", "x.tif/.."])
def test_other_files_are_refused(send, core, name):
    assert "send one that ends in .dlpk" in send("/addItem", (name, b"1"))["error"]["message"]
    assert not (core.options.data_dir / "uploads").exists()


def test_no_file_at_all(send, ask):
    assert "has no file" in send("/addItem", title="x")["error"]["message"]
    made = ask("/sharing/rest/content/users/self/createService", createParameters='{"name": "s"}')
    answer = ask(f"/sharing/rest/content/items/{made['itemId']}/data")
    assert "has no file" in answer["error"]["message"]


def test_a_file_goes_with_its_item(send, core):
    id = send("/addItem", ("a.tif", b"1"))["id"]
    assert (core.options.data_dir / "uploads" / id / "a.tif").exists()
    assert send(f"/items/{id}/delete")["success"]
    assert not (core.options.data_dir / "uploads" / id).exists()
