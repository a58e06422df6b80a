"""Sessions of one small graph: shared, in a child process, and on a GPU that is not there."""

import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from geodl_lab.errors import ModelError
from geodl_lab.packages import onnx_sessions
from geodl_lab.packages.archives import open_files
from geodl_lab.packages.onnx_graph import import_onnx
from geodl_lab.packages.onnx_network import load_onnx
from geodl_lab.testing import RandomNet, save_onnx

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    files = open_files(save_onnx(RandomNet(), tmp_path_factory.mktemp("onnx") / "net.onnx"))
    return load_onnx(files, files.main)


def test_a_session_is_started_once_for_all_who_ask(network, monkeypatch):
    real = onnxruntime.InferenceSession

    def slow(*arguments, **options):
        time.sleep(0.1)
        return real(*arguments, **options)

    monkeypatch.setattr(onnxruntime, "InferenceSession", slow)
    with ThreadPoolExecutor(6) as threads:
        asked = threads.map(lambda _: onnx_sessions.open_session(network, "cpu", 3), range(6))
        assert len({id(session) for session in asked}) == 1
    options = onnx_sessions.open_session(network, "cpu", 3).get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def _forked(network, x, pipe):
    placed = network.placed("cpu", 2)
    pipe.send(placed(x).numpy())


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_has_its_own_session(network):
    x = torch.rand(1, 3, 64, 64)
    expected = network.placed("cpu", 2)(x).numpy()
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_forked, args=(network, x, theirs))
    child.start()
    assert ours.poll(20), "the child hangs"
    assert np.array_equal(ours.recv(), expected)
    child.join(10)
    assert child.exitcode == 0


def test_bound_tensors_give_the_same_answer(network):
    """What a GPU does, on the CPU: the graph reads torch's memory and torch the graph's."""
    placed, x = network.placed("cpu", 1), torch.rand(2, 3, 64, 64)
    (found,) = onnx_sessions.run_bound(placed.session, "image", x, ("scores",), "cpu")
    assert torch.equal(found, placed(x))


def test_a_build_without_cuda_is_told(network):
    with pytest.raises(ModelError, match=r"install onnxruntime-gpu .* or use device='cpu'"):
        network.placed("cuda:0", 1)


def test_cuda_that_does_not_start_is_told_and_not_run_on_the_cpu(network, monkeypatch):
    there = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    on_cpu, made = network.placed("cpu", 1).session, []
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)
    monkeypatch.setattr(
        onnxruntime, "InferenceSession", lambda *_, **options: made.append(options) or on_cpu
    )
    with pytest.raises(
        ModelError, match=r"could not start CUDA on 'cuda:1'; .* or use device='cpu'"
    ):
        network.placed("cuda:1", 1)
    (name, options), _ = made[0]["providers"]
    assert name == "CUDAExecutionProvider" and options["device_id"] == "1"


def test_what_was_checked_as_onnx_is_read_as_onnx(tmp_path):
    """Bytes 4 to 7 say "ORTM", which begins a file of onnxruntime's own format."""
    onnx = import_onnx("onnx")
    save_onnx(RandomNet(), tmp_path / "net.onnx")
    made = onnx.load(tmp_path / "net.onnx")
    made.ir_version, made.producer_name = 8, "ORTMaker"
    onnx.save(made, tmp_path / "net.onnx")
    assert (tmp_path / "net.onnx").read_bytes()[4:8] == b"ORTM"
    network = load_onnx(open_files(tmp_path / "net.onnx"), "net.onnx")
    x = torch.rand(1, network.channels, 32, 32)
    with torch.no_grad():
        assert torch.allclose(network.placed("cpu", 1)(x), RandomNet().eval()(x), atol=1e-5)
    assert network.placed("cpu", 1).memory(tuple(x.shape)) > 0
