import dataclasses
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from geodl_lab import devices, from_torch, open_model
from geodl_lab.devices import on_one_thread, resolve_device, resolve_precision
from geodl_lab.errors import ModelError, OptionError
from geodl_lab.inputs import InputSpec
from geodl_lab.runtime import (
    Session,
    hash_network,
    open_session,
)
from geodl_lab.testing import RandomNet


def test_forwards_run_with_the_sessions_threads_and_leave_the_callers_alone():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for threads in (1, 2):
            session = Session(None, "cpu", "fp32", threads)
            assert session.submit(torch.get_num_threads).result() == threads
        seen = []
        fresh = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        fresh.start()
        fresh.join()
        assert torch.get_num_threads() == 2 and seen == [2]
        assert on_one_thread(torch.get_num_threads) == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", ">f4", ">i2", "float64"])
def test_scaling_is_value_times_scale_less_mean_over_std(dtype):
    inputs = InputSpec(("a", "b"), scale=0.5, mean=(1.0, 2.0), std=(2.0, 4.0))
    session = Session(torch.nn.Identity(), "cpu", "fp32", 1)
    batch = np.arange(8).reshape(1, 2, 2, 2).astype(dtype)
    x = session.forward(batch, inputs).numpy()
    expected = (np.arange(8).reshape(1, 2, 2, 2) * 0.5 - [[[1]], [[2]]]) / [[[2]], [[4]]]
    assert x.dtype == np.float32 and np.allclose(x, expected)


def test_pixels_that_are_no_numbers_are_refused():
    session = Session(torch.nn.Identity(), "cpu", "fp32", 1)
    with pytest.raises(ModelError, match="complex64 cannot be fed"):
        session.forward(np.zeros((1, 1, 2, 2), dtype="complex64"), InputSpec(("a",)))


def test_bf16_answers_float32(finite_model):
    session = open_session(finite_model, device="cpu", precision="bf16", threads=1)
    batch = np.zeros((1, 3, 64, 64), dtype=np.uint8)
    answer = session.submit(session.forward, batch, finite_model.package.inputs).result()
    assert answer.dtype == torch.float32


def test_device_names():
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") in ("cpu", "cuda:0")
    with pytest.raises(OptionError, match="possible are auto, cpu, cuda"):
        resolve_device("gpu")
    with pytest.raises(OptionError, match=r"cuda:99.*use device='cpu'"):
        resolve_device("cuda:99")


def test_precisions():
    assert resolve_precision("auto", "cpu") == "fp32"
    assert resolve_precision("auto", "cuda:0") == "bf16"
    with pytest.raises(OptionError, match="'int8' is not one of auto, fp32"):
        resolve_precision("int8", "cpu")
    with pytest.raises(OptionError, match="needs a CUDA device"):
        resolve_precision("fp16", "cpu")


def test_hash_follows_weights_and_structure():
    assert hash_network(RandomNet()) == hash_network(RandomNet())
    assert hash_network(RandomNet()) != hash_network(RandomNet(seed=1))
    assert hash_network(torch.nn.ReLU()) != hash_network(torch.nn.Tanh())


def test_torchscript_models_travel_between_processes():
    model = open_model("naip-landcover")
    copy = pickle.loads(pickle.dumps(model))
    x = torch.rand(1, 4, 256, 256)
    assert copy.package == model.package
    with torch.inference_mode():
        assert torch.equal(copy.network(x), model.network(x))


def test_a_module_changed_after_wrapping_is_refused():
    net = RandomNet()
    model = from_torch(net, bands=3, classes=list("abcd"), window=64)
    net.train()
    open_session(model, device="cpu", precision="fp32", threads=1)
    assert not net.training
    with torch.no_grad():
        net.head.bias += 1
    with pytest.raises(ModelError, match="have changed since it was wrapped"):
        open_session(model, device="cpu", precision="fp32", threads=1)


def test_pools_are_made_once_however_many_ask_at_once(monkeypatch):
    monkeypatch.setattr(devices, "_POOLS", {})
    before = torch.get_num_threads()
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda _: on_one_thread(torch.get_num_threads), range(12)))
    assert len(devices._POOLS) == 1
    with ThreadPoolExecutor(1) as fresh:
        assert fresh.submit(torch.get_num_threads).result() == before


def test_float64_defaults_do_not_reach_the_model():
    inputs = InputSpec(("a",), mean=(0.5,), std=(2.0,))
    torch.set_default_dtype(torch.float64)
    try:
        session = Session(torch.nn.Identity(), "cpu", "fp32", 1)
        assert session.forward(np.ones((1, 1, 2, 2)), inputs).dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


def test_model_shows_itself(finite_model):
    html = finite_model._repr_html_()
    assert "classify" in html and finite_model.package.classes[0].color in html
    assert "RandomNet" in repr(finite_model) and "Conv2d" not in repr(finite_model)
    assert finite_model.name == "RandomNet"
    sly = dataclasses.replace(finite_model.package, name="<script>", about={"description": "<b>"})
    assert "<script>" not in type(finite_model)(sly, None)._repr_html_()
    token = finite_model.__dask_tokenize__()
    renamed = dataclasses.replace(finite_model.package, sha256="x")
    assert type(finite_model)(renamed, None).__dask_tokenize__() != token
