import threading
import time

import pytest
import torch

from geodl_lab import devices, settings
from geodl_lab.devices import Turns, is_out_of_memory, one_run


def test_one_alone_keeps_the_others_waiting():
    turns, order = Turns(), []

    def together(name, seconds):
        with turns.together():
            order.append(f"{name} in")
            time.sleep(seconds)
            order.append(f"{name} out")

    def alone():
        with turns.alone():
            order.append("alone in")
            time.sleep(0.1)
            order.append("alone out")

    first = threading.Thread(target=together, args=("a", 0.2))
    first.start()
    time.sleep(0.05)
    second = threading.Thread(target=alone)
    second.start()
    time.sleep(0.2)
    third = threading.Thread(target=together, args=("b", 0))
    third.start()
    for thread in (first, second, third):
        thread.join()
    assert order == ["a in", "a out", "alone in", "alone out", "b in", "b out"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_of_memory_are_told_from_others(error, expected):
    assert is_out_of_memory(error) is expected


def test_a_real_failure_to_allocate_is_recognised():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**62, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def test_workers_share_the_cores(monkeypatch):
    monkeypatch.setattr(settings, "cores", lambda: 8)
    assert devices.workers("cpu", 1) == 8 and devices.workers("cpu", 3) == 2
    assert devices.workers("cpu", 99) == 1 and devices.workers("cuda:0", 1) == devices.STREAMS


def test_a_gpu_has_one_run_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    inside, most, lock = [0], [0], threading.Lock()

    def run():
        with one_run("cuda:0"):
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            time.sleep(0.02)
            with lock:
                inside[0] -= 1

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_cudnns_settings_hold_until_the_last_forward_is_over():
    cudnn, held = torch.backends.cudnn, devices.ExactCudnn()
    before = cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32
    first, second = held.held(), held.held()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert (cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == (False, True, False)
    second.__exit__(None, None, None)
    assert (cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == before
