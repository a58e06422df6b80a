"""Definitions get the files that they name, from stores and addresses only."""

import json
import zipfile

import pytest

from geodl_lab.errors import AccessError, ModelError
from geodl_lab.fetch import Fetcher
from geodl_lab.jobs.model_inputs import ModelInputs
from geodl_lab.jobs.stores import Stores

ID = "0123456789abcdef" * 2


@pytest.fixture
def inputs(tmp_path, web):
    """A store with weights, beside a secret."""
    store = tmp_path / "store"
    (store / "sub").mkdir(parents=True)
    (store / "sub" / "w.pt").write_bytes(b"weights")
    (store / "f.py").write_text("code")
    (tmp_path / "secret.pt").write_text("secret")
    (store / "out.pt").symlink_to(tmp_path / "secret.pt")
    upload = tmp_path / "upload.pt"
    upload.write_bytes(b"uploaded")

    def item_file(id):
        if id != ID:
            raise AccessError("there is no such item")
        return upload

    stores = Stores({"nas": store})
    return ModelInputs(stores.path, item_file, Fetcher((web.host,)), tmp_path / "job" / "model")


def emd(**values):
    return json.dumps({"Framework": "PyTorch", **values})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("/rasterStores/nas/sub/w.pt", b"weights"),
        ("/fileShares/nas/sub/w.pt", b"weights"),
        ("\\fileShares\\nas\\sub\\w.pt", b"weights"),
        ("nas/sub/w.pt", b"weights"),
        (ID, b"uploaded"),
        (ID.upper(), b"uploaded"),
    ],
)
def test_weights_lie_beside_the_definition(inputs, name, content):
    path = inputs.from_emd(emd(ModelFile=name, Keep=1))
    written = json.loads(inputs.folder.joinpath("model.emd").read_text())
    assert path == str(inputs.folder / "model.emd")
    assert (inputs.folder / written["ModelFile"]).read_bytes() == content
    assert (written["Keep"], written["Framework"]) == (1, "PyTorch")
    assert len(list(inputs.folder.iterdir())) == 2


def test_weights_at_an_address(inputs, web):
    web.pages["/m/w.onnx"] = b"from the web"
    inputs.from_emd(emd(ModelFile=f"{web.url}/m/w.onnx?token=T"))
    assert (inputs.folder / "w.onnx").read_bytes() == b"from the web"
    inputs.from_emd(emd(ModelFile=f"{web.url}/m/w.onnx?token=T"))
    assert len(web.asked) == 1


def test_functions_are_gathered_and_built_in_ones_let_be(inputs):
    built_in = "[Functions]System\\DeepLearning\\x.py"
    inputs.from_emd(emd(ModelFile="nas/sub/w.pt", InferenceFunction="nas/f.py"))
    assert (inputs.folder / "f.py").read_text() == "code"
    inputs.from_emd(emd(ModelFile="nas/sub/w.pt", InferenceFunction=built_in))
    assert json.loads((inputs.folder / "model.emd").read_text())["InferenceFunction"] == built_in


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd", "../secret.pt", "/rasterStores/nas/../secret.pt", "/fileShares/nas/out.pt",
        "w.pt", "nas/none.pt", "nas/sub", "nas", "f" * 32, "file:///etc/passwd", "/vsicurl/http://a",
        "http://127.0.0.1:9/w.pt", "http://169.254.169.254/w.pt",
    ],
)  # fmt: skip
def test_files_that_are_not_to_be_had(inputs, name):
    with pytest.raises(AccessError, match=r"ModelFile of the model definition is .* not to be had"):
        inputs.from_emd(emd(ModelFile=name))
    assert not list(inputs.folder.glob("*"))


@pytest.mark.parametrize("text", ["", "[]", "x", "[" * 100_000, '"a"'])
def test_what_is_no_definition(inputs, text):
    with pytest.raises(ModelError, match="no JSON object"):
        inputs.from_emd(text)


def test_a_package_at_an_address_is_fetched_once(inputs, web, tmp_path):
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr("a.emd", emd())
    place = f"/portal/sharing/rest/content/items/{ID}"
    web.pages |= {"/p": (tmp_path / "p.zip").read_bytes()}
    web.pages[f"{place}/data"] = web.pages["/p"]
    for url in (f"{web.url}{place}?token=T", f"{web.url}/p"):
        path = inputs.from_url(url)
        assert path == str(inputs.folder / "package.dlpk")
        assert (inputs.folder / "package.dlpk").read_bytes() == web.pages["/p"]
    assert web.asked == [f"{place}/data?token=T"]


def test_a_definition_at_an_address_names_files_beside_it(inputs, web):
    web.pages |= {"/m/a.emd": emd(ModelFile=".\\w.pt").encode(), "/m/w.pt": b"beside"}
    path = inputs.from_url(f"{web.url}/m/a.emd")
    assert path == str(inputs.folder / "model.emd")
    assert (inputs.folder / "w.pt").read_bytes() == b"beside"


def test_an_address_without_a_model(inputs, web):
    web.pages["/p"] = b"<html>"
    with pytest.raises(ModelError, match="answered neither a package"):
        inputs.from_url(f"{web.url}/p")


def test_an_upload_without_an_ending_gets_one(inputs, tmp_path):
    with zipfile.ZipFile(tmp_path / "upload", "w") as archive:
        archive.writestr("a.emd", emd())
    assert inputs.from_file(tmp_path / "upload") == str(inputs.folder / "package.dlpk")
    (tmp_path / "emd").write_text('\ufeff  {"Framework": "x"}', "utf-8")
    assert inputs.from_file(tmp_path / "emd").endswith("package.emd")
    (tmp_path / "a.tif").write_bytes(b"II*\0")
    with pytest.raises(ModelError, match=r"'a.tif' is no model; give a package \(.dlpk\)"):
        inputs.from_file(tmp_path / "a.tif")
    named = tmp_path / "named.DLPK"
    named.write_bytes(b"x")
    assert inputs.from_file(named) == str(named)
    assert inputs.from_file(tmp_path / "store") == str(tmp_path / "store")
