import pytest

from geodl_lab import open_model
from geodl_lab.bands import match_bands
from geodl_lab.errors import ModelError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("input/pre_processing_function", "os:abort")], "'os:abort' is code"),
        ([("input/pre_processing_function", {})], "pre_processing_function missing is code"),
        ([("input/bands/0", {"name": "ndvi", "format": "gdal-calc", "expression": "A/B"})],
         "band 'ndvi' is made by the 'gdal-calc' expression 'A/B', which is never run"),
        ([("input/bands", ["a", "a", "b"])], "names bands more than once"),
        ([("input/bands", ["a", "b"])], "names 2 bands for 3 channels"),
        ([("input/variables", ["t2m"])], "variables of a data cube"),
        ([("input/value_scaling", [{"type": "processing", "format": "python",
                                       "expression": "os:abort"}])], "'os:abort' is code"),
        ([("input/value_scaling/0/stddev", 0)], "deviation of 0.0 is not possible"),
        ([("input/resize_type", "interpolation-linear")], "which cell size the model has seen"),
        ([("input/resize_type", "wrap-inverse-map")], "which cell size the model has seen"),
        ([("input/input/dim_order", ["batch", "time", "height", "width"])], "'n.hw'; possible"),
        ([("input/input/dim_order", ["batch", "channel"])], "give as many"),
        ([("input/input/shape/2", -1)], "fixes one of height and width"),
        ([("input/input/shape/2", 10**9)], "too large to run"),
        ([("input/input/shape/1", 2)], "3 bands for 2 channels"),
    ],
)  # fmt: skip
def test_inputs_that_cannot_be_made_are_refused(opened, folder, changes, message):
    with pytest.raises(ModelError, match=message):
        opened(folder, *changes)


@pytest.mark.parametrize("resize", ["crop", "pad"])
def test_windows_are_cut_at_their_own_cell_size(opened, folder, resize):
    assert opened(folder, ("input/resize_type", resize)).package.inputs.fit is None


def test_items_of_older_versions_are_read(opened, folder):
    old = [
        ("stac_extensions", ["https://crim-ca.github.io/mlm-extension/v1.0.0-beta4/schema.json"]),
        ("input/value_scaling", ...),
        ("input/norm_by_channel", True),
        ("properties/bands", ...),
        ("assets/model/eo:bands", [{"name": "B04", "common_name": "red"}, {"name": "B02"}]),
        ("assets/model/raster:bands", [{"name": name, "spatial_resolution": 10}
                                       for name in ("B02", "B03", "B04")]),
    ]  # fmt: skip
    statistics = [{"minimum": 0, "maximum": 100, "mean": 4 + i, "stddev": 2} for i in range(3)]
    score = ("input/norm_type", "z-score"), ("input/statistics", statistics)
    inputs = opened(folder, *old, *score).package.inputs
    assert (inputs.mean, inputs.std) == ((4, 5, 6), (2, 2, 2))
    assert inputs.bands == ("B02", "B03", "red") and inputs.cell_size == 10
    ends = ("input/norm_type", "min-max"), ("input/statistics", statistics[:1])
    assert opened(folder, *old, *ends).package.inputs.scale == 1 / 100
    clip = ("input/norm_type", "clip"), ("input/norm_clip", [3000])
    inputs = opened(folder, *old, *clip).package.inputs
    assert inputs.high == (3000,) * 3 and inputs.low == (0,) * 3 and inputs.scale == 1 / 3000
    with pytest.raises(ModelError, match=r"'l2'.* is of no kind"):
        opened(folder, *old, ("input/norm_type", "l2"), score[1])


def test_common_names_are_taken_where_they_tell_bands_apart(opened, folder):
    names = [("B05", "rededge"), ("B06", "rededge"), ("B08", "nir")]
    package = opened(
        folder,
        ("input/bands", [name for name, _ in names]),
        ("properties/bands", [{"name": n, "common_name": c, "gsd": 10 + (c == "nir")}
                              for n, c in names]),
        ("properties/gsd", 20),
    ).package  # fmt: skip
    assert package.inputs.bands == ("B05", "B06", "nir")
    assert package.inputs.other_names == ("B05", "B06", "B08")
    assert package.inputs.cell_size == 20 and package.inputs.dtype is None


@pytest.mark.parametrize("ending", ["json", "dlpk"])
def test_bands_keep_their_own_names_beside_common_ones(opened, folder, tmp_path, ending):
    bands = [{"name": "B04", "common_name": "red"}, {"name": "B8A", "common_name": "nir08"}]
    model = opened(
        folder,
        ("input/bands", ["B04", "B8A", "B11"]),
        ("properties/bands", [*bands, {"name": "B11", "common_name": "swir16"}]),
    )
    again = open_model(model.save(tmp_path / f"net.{ending}"))
    for inputs in (model.package.inputs, again.package.inputs):
        assert inputs.bands == ("red", "nir08", "swir16")
        assert inputs.other_names == ("B04", "B8A", "B11")
        assert match_bands(["b11", "b8a", "b04"], inputs) == (2, 1, 0)


@pytest.mark.parametrize("bands", [[], ["*"], None])
def test_any_bands_are_as_many_as_channels(opened, folder, bands):
    inputs = opened(folder, ("input/bands", bands)).package.inputs
    assert (inputs.bands, inputs.count) == ((), 3)
    with pytest.raises(ModelError, match="neither its bands nor its number of channels"):
        opened(folder, ("input/bands", bands), ("input/input/shape/1", -1))
