import hashlib

import pytest

from geodl_lab.errors import ModelError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("assets", {})], "no asset with the role 'mlm:model'"),
        ([("assets/model/href", "https://example.com/net.pt")], "download it beside the item"),
        ([("assets/model/href", "s3://bucket/net.pt")], "download it beside the item"),
        ([("assets/model/href", "../net.pt")], "outside its own folder"),
        ([("assets/model/href", "..%2fnet.pt")], "outside its own folder"),
        ([("assets/model/href", "/etc/net.pt")], "outside its own folder"),
        ([("assets/model/href", "other.pt")], "is missing in"),
        ([("assets/model/mlm:artifact_type", "onnx")], "is no file of onnx; possible are"),
        ([("assets/model/mlm:artifact_type", "tf.keras.Model.save")], "convert it to ONNX"),
        ([("assets/model/file:size", 3)], "bytes and the item says 3"),
        ([("assets/model/file:checksum", "1220" + "0" * 64)], "is not the file that the item"),
        ([("assets/model/file:checksum", "d50110" + "0" * 32)], "cannot be checked"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_run_or_are_not_meant_are_refused(opened, folder, changes, message):
    with pytest.raises(ModelError, match=message):
        opened(folder, *changes)


def test_the_first_asset_that_can_be_run_is_taken(opened, basic, folder):
    far = {"href": "https://example.com/a.onnx", "roles": ["mlm:model"]}
    near = basic["assets"]["model"]
    model = opened(folder, ("assets", {"far": far, "near": near}))
    assert model.package.about["asset"] == "near (net.pt)"
    with pytest.raises(ModelError, match=r"'far': it lies at .*; 'web': 'a.html' is no file of"):
        opened(folder, ("assets", {"far": far, "web": {**far, "href": "a.html"}}))


def test_absolute_names_inside_the_folder_and_checksums_are_fine(opened, folder):
    content = (folder / "net.pt").read_bytes()
    for code, digest in (("1220", hashlib.sha256), ("1340", hashlib.sha512)):
        model = opened(
            folder,
            ("assets/model/href", str(folder / "net.pt")),
            ("assets/model/file:size", len(content)),
            ("assets/model/file:checksum", code + digest(content).hexdigest()),
        )
        assert model.package.sha256 == hashlib.sha256(content).hexdigest()
