import io
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from geodl_lab.packages import functions_worker
from geodl_lab.packages.functions_worker import receive, send

any_array = arrays.arrays(
    st.sampled_from(["u1", "i2", "f4", "f8", "?"]), arrays.array_shapes(min_dims=0, min_side=0)
)


@given(st.dictionaries(st.text(max_size=4), st.integers() | st.text()), st.lists(any_array))
def test_messages_come_back_as_they_went(header, given):
    stream = io.BytesIO()
    header.pop("arrays", None)
    send(stream, header, given)
    stream.seek(0)
    found, made = receive(stream)
    assert found == header
    for one, other in zip(given, made, strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        assert one.tobytes() == other.tobytes() and other.flags.writeable


@pytest.mark.parametrize("size", [0, 3, 9, 20])
def test_a_message_that_breaks_off_is_an_end(size):
    stream = io.BytesIO()
    send(stream, {"do": "load"}, [np.zeros(5)])
    with pytest.raises(EOFError):
        receive(io.BytesIO(stream.getvalue()[:size]))


def test_numpys_numbers_and_tuples_become_json():
    stream = io.BytesIO()
    send(stream, {"padding": np.int64(3), "bands": (0, 1), "table": np.arange(2)})
    stream.seek(0)
    assert receive(stream)[0] == {"padding": 3, "bands": [0, 1], "table": [0, 1]}


def test_the_worker_imports_numpy_and_nothing_of_ours():
    code = f"""
import runpy, sys
runpy.run_path({functions_worker.__file__!r})
print(*({{'torch', 'geodl_lab', 'xarray', 'scipy'}} & set(sys.modules)))
"""
    answer = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "" and answer.stderr == ""


def test_a_file_that_is_no_python_is_named(tmp_path):
    (tmp_path / "weights.txt").write_text("x")
    with pytest.raises(functions_worker.AnswerError, match=r"'weights.txt' is no Python file"):
        functions_worker.find_class(tmp_path / "weights.txt")
