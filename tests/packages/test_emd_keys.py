import pytest

from geodl_lab.errors import ModelError
from geodl_lab.packages.emd_keys import KEYS, Emd

# Section 4.2 of Esri's keys, as ../shared/protocols/arcgis.md lists them.
DOCUMENTED = {
    "Framework", "ModelConfiguration", "ModelType", "ModelFile", "InferenceFunction",
    "ModelName", "Version", "Description", "ImageHeight", "ImageWidth", "ExtractBands",
    "DataRange", "BatchSize", "ModelPadding", "Padding", "Threshold", "Classes",
    "ImageSpaceUsed", "CropSizeFixed", "BlackenAroundFeature", "MinCellSize", "MaxCellSize",
    "SupportsVariableTileSize", "WellKnownBandNames", "InputRastersProps", "AllTilesStats",
    "IsMultispectral", "IsImageNetNormalization", "DoNormalize", "Bands", "ImageryType",
    "NormalizationStats", "NormalizationStats_b", "NormalizationStats_c", "ModelParameters",
    "ModelFormat", "LearningRate", "resize_to", "backend", "ArcGISLearnVersion",
    "per_class_metrics", "ignore_mapped_class", "MaskRCNNkwargs", "Kwargs", "fixedTileSize",
    "TilesPerBatch",
}  # fmt: skip


def test_every_documented_key_has_its_line():
    assert set(KEYS) >= DOCUMENTED
    assert all(line.startswith(("used", "kept")) for line in KEYS.values())


@pytest.mark.parametrize("value", [True, 1, "1", "True", "true", " yes".strip()])
def test_true_is_written_in_many_ways(value):
    assert Emd("a.emd", {"key": value}).flag("key") is True


@pytest.mark.parametrize("value", [False, 0, "0", "False", "no"])
def test_so_is_false(value):
    assert Emd("a.emd", {"key": value}).flag("key") is False


def test_numbers_may_be_texts():
    emd = Emd("a.emd", {"a": "3", "b": 3.0, "c": "0.5", "d": ["1", 2.5], "e": 7})
    assert (emd.whole("a"), emd.whole("b"), emd.number("c")) == (3, 3, 0.5)
    assert emd.numbers("d") == (1.0, 2.5) and emd.word("e") == "7"


@pytest.mark.parametrize("value", [None, "", "  "])
def test_what_is_blank_is_absent(value):
    emd = Emd("a.emd", {"key": value})
    for read in (emd.get, emd.word, emd.number, emd.whole, emd.flag, emd.items, emd.sections):
        assert read("key") is None
    assert emd.section("key").text == {}
    with pytest.raises(ModelError, match=r"'a\.emd' lacks the key 'key': the weights; add it"):
        emd.required("key", "the weights")


@pytest.mark.parametrize(
    ("read", "value", "message"),
    [
        ("number", "ten", r"'a.emd' has key \"ten\"; a number is needed"),
        ("number", True, "key true; a number is needed"),
        ("number", float("nan"), "key NaN; a number"),
        ("number", 10**400, "a number is needed"),
        ("whole", 2.5, "key 2.5; a whole number"),
        ("flag", 2, "key 2; true or false"),
        ("flag", [1], r"key \[1\]; true or false"),
        ("word", ["a"], "a text is needed"),
        ("word", True, "a text is needed"),
        ("items", {"a": 1}, "a list is needed"),
        ("numbers", [1, "b"], "a number is needed"),
        ("section", [1], "an object"),
        ("sections", [1], "a list of objects"),
        ("items", "x" * 500, r"xxx\.\.\.; a list"),
    ],
)
def test_other_values_are_named(read, value, message):
    with pytest.raises(ModelError, match=message):
        getattr(Emd("a.emd", {"key": value}), read)("key")


def test_parts_are_named_by_their_place():
    (part,) = Emd("a.emd", {"Classes": [{"Value": "x"}]}).sections("Classes")
    with pytest.raises(ModelError, match=r"'Classes\[0\] of a.emd' has Value \"x\""):
        part.whole("Value")
