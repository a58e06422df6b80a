"""`classify` and `probabilities`: the same bits however cut, and equal to one whole forward."""

import dask
import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import geodl_lab
from geodl_lab.errors import BandError, ModelError, OptionError, RasterError
from geodl_lab.testing import RandomNet, make_raster, wrap

HEIGHT, WIDTH = 301, 211
RASTER = make_raster((3, HEIGHT, WIDTH), names=("Red", "Green", "Blue"))


def oracle(net, values, stride):
    """One forward of the raster, reflected right and below to the stride; scores (K, y, x)."""
    height, width = (-(-size // stride) * stride for size in values.shape[1:])
    rim = ((0, 0), (0, height - values.shape[1]), (0, width - values.shape[2]))
    padded = np.pad(values, rim, mode="reflect")
    with torch.inference_mode():
        scores = net(torch.from_numpy(padded)[None].float() / 255)
    return scores[0, :, : values.shape[1], : values.shape[2]]


@pytest.mark.parametrize("stride", [1, 4, 32])
def test_windows_equal_one_forward_rim_included(stride):
    net = RandomNet(stride=stride)
    model = geodl_lab.from_torch(net, bands=3, classes=list("abcd"), window=64)
    raster = make_raster((3, 901, 747))
    scores = oracle(net, raster.values, stride)
    merged = raster.dl.probabilities(model).values
    assert np.abs(merged - scores.softmax(0).numpy()).max() < 1e-5
    assert raster.dl.classify(model).attrs["geodl_recipe"].count('"exact": true')
    assert '"recompute": 1.0,' not in raster.dl.classify(model).attrs["geodl_recipe"]
    close = (scores.topk(2, dim=0).values.diff(dim=0).abs()[0] < 1e-4).numpy()
    same = raster.dl.classify(model).values == scores.argmax(0).numpy()
    assert (same | close).all()


def test_a_net_with_built_in_crop_equals_the_forward_of_the_reflected_raster():
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 5), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 5)
    ).eval()
    model = geodl_lab.from_torch(net, bands=3, classes=list("abcd"), window=64)
    padded = np.pad(RASTER.values, ((0, 0), (4, 4), (4, 4)), mode="reflect")
    with torch.inference_mode():
        scores = net(torch.from_numpy(padded)[None].float() / 255)[0].softmax(0).numpy()
    assert np.abs(RASTER.dl.probabilities(model).values - scores).max() < 1e-5


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    chunks=st.tuples(
        st.sampled_from([1, 2, 3, 5]), st.integers(1, 400), st.integers(1, 300)
    ).filter(lambda c: -(-HEIGHT // c[1]) * -(-WIDTH // c[2]) <= 400),
    threads=st.sampled_from([1, 2]),
    workers=st.sampled_from([1, 2]),
)
def test_same_bits_for_any_chunks_threads_and_workers(random_model, chunks, threads, workers):
    expected = classified(random_model)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        lazy = RASTER.chunk(dict(zip(RASTER.dims, chunks, strict=True))).dl.classify(random_model)
        result = lazy.compute(scheduler="threads", num_workers=workers)
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(result.values, expected.values)


@pytest.mark.parametrize("chunks", [(3, 1, 211), (1, 17, 13), (3, 1000, 1000), (2, 307, 7)])
def test_same_bits_for_awkward_chunks(random_model, chunks):
    lazy = RASTER.chunk(dict(zip(RASTER.dims, chunks, strict=True)))
    result = lazy.dl.classify(random_model).compute(scheduler="synchronous")
    assert np.array_equal(result.values, classified(random_model).values)


@given(st.data())
def test_an_area_is_a_part_of_the_whole(random_model, data):
    y0 = data.draw(st.integers(0, HEIGHT - 1))
    y1 = data.draw(st.integers(y0 + 1, HEIGHT))
    x0 = data.draw(st.integers(0, WIDTH - 1))
    x1 = data.draw(st.integers(x0 + 1, WIDTH))
    transform = RASTER.rio.transform()
    (left, top), (right, bottom) = transform * (x0, y0), transform * (x1, y1)
    part = RASTER.dl.classify(random_model, area=(left, bottom, right, top))
    expected = classified(random_model).isel(y=slice(y0, y1), x=slice(x0, x1))
    assert np.array_equal(part.values, expected.values)
    assert np.array_equal(part.x, expected.x) and np.array_equal(part.y, expected.y)
    lazy = RASTER.chunk(x=50).dl.classify(random_model).isel(y=slice(y0, y1), x=slice(x0, x1))
    assert np.array_equal(lazy.values, expected.values)


_KNOWN = {}


def classified(model):
    """The result for numpy input, computed once a model."""
    key = model.package.sha256
    if key not in _KNOWN:
        _KNOWN[key] = RASTER.dl.classify(model)
    return _KNOWN[key]


def test_lazy_in_lazy_out_counts_no_forward():
    net = RandomNet()
    model = geodl_lab.from_torch(net, bands=3, classes=list("abcd"), window=64)
    net.calls = 0
    for call in ("classify", "probabilities"):
        lazy = getattr(RASTER.chunk(x=100).dl, call)(model)
        assert lazy.chunks is not None
    assert net.calls == 0
    lazy[:, :8, :8].compute()
    assert net.calls > 0


def test_equal_calls_make_equal_dask_keys(finite_model):
    chunked = RASTER.chunk(x=100)
    one, other = (chunked.dl.classify(finite_model) for _ in range(2))
    assert one.data.name == other.data.name


def test_models_with_equal_tensors_have_keys_of_their_own():
    """A lazy result must never be another model's: scale is not among the tensors."""
    net = RandomNet()
    one, other = (
        geodl_lab.from_torch(net, bands=3, classes=list("abcd"), window=64, scale=scale)
        for scale in (1 / 255, 1)
    )
    chunked = RASTER.chunk(x=100)
    lazy = [chunked.dl.classify(model) for model in (one, other)]
    assert lazy[0].data.name != lazy[1].data.name
    computed = dask.compute(*lazy)
    for result, model in zip(computed, (one, other), strict=True):
        assert np.array_equal(result.values, RASTER.dl.classify(model).values)


def test_torchscript_models_compute_in_other_processes():
    raster = make_raster((4, 150, 140), names=("Red", "Green", "Blue", "NIR"))
    lazy = raster.chunk(x=70).dl.classify("naip-landcover")
    with dask.config.set(scheduler="processes", num_workers=1):
        result = lazy.compute()
    assert np.array_equal(result.values, raster.dl.classify("naip-landcover").values)


def test_coordinates_of_bands_do_not_survive(finite_model):
    raster = RASTER.assign_coords(wavelength=("band", [0.6, 0.5, 0.4]))
    assert "wavelength" not in raster.dl.classify(finite_model).coords


def test_a_net_that_answers_nan_gives_nodata():
    class Nan(torch.nn.Module):
        def forward(self, x):
            return torch.where(x[:, :1] > 0.5, torch.nan, x)

    model = geodl_lab.from_torch(Nan(), bands=3, classes=list("abc"), window=64)
    result = RASTER.dl.classify(model).values
    assert ((result == 255) == (RASTER.values[0] > 127)).all()


def test_a_capped_halo_is_told_in_the_recipe():
    options = {"bands": 3, "classes": list("abcd"), "window": 64}
    model = geodl_lab.from_torch(RandomNet(stride=8), fixed_window=True, **options)
    assert '"exact": false' in RASTER.dl.classify(model).attrs["geodl_recipe"]


def test_dataset_keeps_its_nodata(finite_model):
    values = RASTER.values.copy()
    values[:, 10:30, 10:30] = 0
    dataset = xr.Dataset({f"b{i}": wrap(values[i : i + 1], nodata=0)[0] for i in range(3)})
    dataset["scalar"] = 3
    assert ((dataset.dl.classify(finite_model).values == 255) == (values == 0).all(0)).all()
    dataset["b1"] = dataset.b1.rio.write_nodata(7)
    with pytest.raises(RasterError, match="different nodata values"):
        dataset.dl.classify(finite_model)


def test_crs_coords_nodata_and_attrs_survive(finite_model):
    raster = RASTER.assign_attrs(sensor="NAIP", STATISTICS_MEAN=3).assign_coords(time=7)
    result = raster.dl.classify(finite_model)
    assert result.rio.crs == RASTER.rio.crs
    assert result.rio.transform() == RASTER.rio.transform()
    assert result.rio.nodata == 255 and result.dtype == np.uint8
    assert result.attrs["sensor"] == "NAIP" and int(result.time) == 7
    assert "long_name" not in result.attrs and "STATISTICS_MEAN" not in result.attrs
    assert result.attrs["flag_values"].tolist() == [0, 1, 2, 3]
    assert result.attrs["flag_meanings"] == "a b c d"
    assert len(result.attrs["flag_colors"].split()) == 4
    assert result.attrs["geodl_model_sha256"] == finite_model.package.sha256


def test_probabilities_name_classes_and_sum_to_one(finite_model):
    result = RASTER.dl.probabilities(finite_model)
    assert result.dims == ("class", "y", "x") and result["class"].values.tolist() == list("abcd")
    assert np.allclose(result.sum("class"), 1, atol=1e-5)
    assert (result.argmax("class").values == RASTER.dl.classify(finite_model).values).all()


def test_a_seam_tolerance_is_kept_on_a_raster():
    model = geodl_lab.from_torch(
        RandomNet(stride=8), bands=3, classes=list("abcd"), window=64, cell_size=1
    )
    raster = make_raster((3, 701, 511))
    exact = raster.dl.probabilities(model)
    tolerance = model.package.field.seams[2]
    loose = raster.dl.probabilities(model, seam_tolerance=tolerance)
    assert 0 < np.abs(loose - exact).max() <= tolerance
    assert f'"seam_tolerance": {tolerance}' in loose.attrs["geodl_recipe"]


def test_threshold_leaves_out_unsure_pixels(finite_model):
    best = RASTER.dl.probabilities(finite_model).max("class").values
    limit = float(np.median(best))
    result = RASTER.dl.classify(finite_model, threshold=limit)
    sure = result.values != 255
    assert (sure == (best >= limit)).mean() > 0.999
    assert (result.values == RASTER.dl.classify(finite_model).values)[sure].all()


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_nodata_comes_out_as_255(finite_model, dtype):
    values = RASTER.values.astype(dtype)
    values[:, 40:90, 30:100] = 0
    expected = (values == 0).all(axis=0)
    if dtype == "float32":
        values[1, 200, 100] = np.nan
        expected[200, 100] = True
    result = wrap(values, nodata=0).dl.classify(finite_model)
    assert ((result.values == 255) == expected).all()
    scores = wrap(values, nodata=0).dl.probabilities(finite_model)
    assert (np.isnan(scores.values).all(axis=0) == expected).all()


def test_all_nodata_is_a_result_without_classes(finite_model):
    empty = wrap(np.zeros((3, 100, 100), dtype=np.uint8), nodata=0)
    assert (empty.dl.classify(finite_model).values == 255).all()


def test_binary_net_with_one_channel():
    net = torch.nn.Conv2d(1, 1, 1)
    with torch.no_grad():
        net.weight.fill_(1)
        net.bias.fill_(-0.5)
    model = geodl_lab.from_torch(net, bands=["gray"], classes=["dark", "bright"], window=64)
    raster = make_raster((1, 50, 60))
    assert (raster.dl.classify(model).values == (raster.values[0] > 127)).all()


def test_dimension_orders_and_datasets_agree(finite_model):
    expected = RASTER.dl.classify(finite_model).values
    named = geodl_lab.from_torch(
        finite_model.network, bands=["red", "green", "blue"], classes=list("abcd"), window=64
    )
    swapped = RASTER.transpose("y", "x", "band")
    assert np.array_equal(swapped.dl.classify(finite_model).values, expected)
    dataset = RASTER.assign_coords(band=["red", "green", "blue"]).to_dataset("band")
    assert np.array_equal(dataset[["blue", "red", "green"]].dl.classify(named).values, expected)
    reordered = RASTER[[2, 0, 1]].assign_attrs(long_name=("Blue", "Red", "Green"))
    assert np.array_equal(reordered.dl.classify(named).values, expected)


def test_sliced_raster_keeps_its_place(finite_model):
    part = RASTER.isel(y=slice(50, 150), x=slice(20, 120))
    result = part.dl.classify(finite_model)
    assert result.rio.transform() == RASTER.rio.transform() * RASTER.rio.transform().translation(
        20, 50
    )


def test_no_crs_works_and_says_so(finite_model, caplog):
    raster = make_raster((3, 80, 80), crs=None)
    result = raster.dl.classify(finite_model)
    assert result.rio.crs is None and "no CRS" in caplog.text


def test_bad_options_are_named(finite_model):
    with pytest.raises(BandError, match=r"wants 3 bands.*has 2.*bands="):
        RASTER[:2].dl.classify(finite_model)
    with pytest.raises(OptionError, match="does not meet the raster"):
        RASTER.dl.classify(finite_model, area=(0, 0, 1, 1))
    with pytest.raises(OptionError, match="threshold 3"):
        RASTER.dl.classify(finite_model, threshold=3)
    with pytest.raises(OptionError, match="'tpu' is not known"):
        RASTER.dl.classify(finite_model, device="tpu")
    with pytest.raises(OptionError, match="'fp8' is not one of"):
        RASTER.dl.classify(finite_model, precision="fp8")
    with pytest.raises(ModelError, match="no model 'nope': bundled are"):
        RASTER.dl.classify("nope")
    with pytest.raises(ModelError, match="made to classify, not to detect"):
        RASTER.dl.detect(finite_model)
    with pytest.raises(RasterError, match=r"isel\(time=0\)"):
        RASTER.expand_dims(time=[1]).dl.classify(finite_model)


def test_augmentation_is_the_mean_over_turns_and_mirrors(finite_model):
    """Whole image turned by numpy, each score map turned back: the second way."""
    raster = make_raster((3, 240, 200))
    x = torch.from_numpy(raster.values)[None].float() / 255
    total = 0
    with torch.inference_mode():
        for quarter in range(4):
            for axes in ((), (3,)):
                turned = torch.rot90(x, quarter, (2, 3)).flip(axes)
                total = total + torch.rot90(
                    finite_model.network(turned).flip(axes), -quarter, (2, 3)
                )
    expected = (total[0] / 8).softmax(0).numpy()
    result = raster.dl.probabilities(finite_model, tta=True)
    assert np.abs(result.values - expected).max() < 1e-5
    assert np.abs(raster.dl.probabilities(finite_model) - result).max() > 1e-3
    assert '"tta": true' in result.attrs["geodl_recipe"]
    lazy = raster.chunk(x=70, y=90).dl.probabilities(finite_model, tta=True)
    assert np.array_equal(lazy, result)


def test_entropy_is_that_of_the_probabilities(finite_model):
    share = RASTER.dl.probabilities(finite_model).values.astype(np.float64)
    unsure = RASTER.dl.entropy(finite_model)
    assert np.allclose(unsure, -(share * np.log(share)).sum(axis=0), atol=1e-5)
    assert unsure.attrs["units"] == "nat" and unsure.dims == ("y", "x")
    assert "flag_values" not in unsure.attrs
    lazy = RASTER.chunk(x=50).dl.entropy(finite_model)
    assert np.array_equal(lazy, unsure)


def test_regression_gives_values_as_they_are():
    net = RandomNet(classes=2)
    model = geodl_lab.from_torch(
        net, task="regress", bands=3, classes=["height", "volume"], window=64
    )
    raster = make_raster((3, 160, 200)).rio.write_nodata(0)
    raster[:, 5, 6] = 0
    result = raster.dl.regress(model)
    assert result.dims == ("value", "y", "x") and result["value"].values.tolist() == [
        "height", "volume",
    ]  # fmt: skip
    filled = raster.values.copy()
    filled[:, 5, 6] = filled[:, 5, 5]
    with torch.inference_mode():
        expected = net(torch.from_numpy(filled)[None].float() / 255)[0].numpy()
    assert np.isnan(result.values[:, 5, 6]).all()
    near = np.zeros((160, 200), dtype=bool)
    near[:30, :30] = True  # what stands in for the missing pixel is not tested here
    assert np.abs((result.values - expected)[:, ~near]).max() < 1e-5
    with pytest.raises(ModelError, match=r"made to regress, not to classify"):
        raster.dl.classify(model)
    one = geodl_lab.from_torch(RandomNet(classes=1), task="regress", bands=3, window=64)
    assert raster.dl.regress(one).name == "value" and raster.dl.regress(one).dims == ("y", "x")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what torch's compiler says of itself
def test_a_compiled_net_answers_alike(finite_model):
    raster = make_raster((3, 200, 180))
    compiled = raster.dl.probabilities(finite_model, compile=True)
    assert np.abs(compiled - raster.dl.probabilities(finite_model)).max() < 1e-4
    assert '"compile": true' in compiled.attrs["geodl_recipe"]
