import pytest

from geodl_lab.errors import ModelError
from geodl_lab.packages.functions_process import Function, FunctionError, Process, Worker

SOURCE = """
import os
class Name:
    def getParameterInfo(self):
        threads = os.environ["OMP_NUM_THREADS"]
        return [{"name": "raster", "dataType": "raster", "value": threads}]
"""


def made(source=SOURCE, **more):
    content = {"model.emd": b"{}", "sub/Name.py": source.encode(), **more}
    return Function(content, "model.emd", "sub/Name.py", "")


def test_a_process_has_a_folder_of_its_own_that_goes_with_it():
    process = Process(made(), threads=1)
    assert (process.folder / "sub" / "Name.py").read_text() == SOURCE
    process.stop()
    assert not process.folder.exists()
    process.stop()


def test_files_outside_the_folder_are_refused(tmp_path):
    with pytest.raises(ModelError, match=r"'\.\./x' outside its own folder"):
        made(**{"../x": b""}).extract(tmp_path / "inside")
    assert not (tmp_path / "x").exists()


def test_a_worker_says_what_a_function_has_and_threads_are_told():
    worker = Worker(made(), device="cpu", threads=3)
    loaded = worker.load()
    assert loaded["methods"] == ["getParameterInfo"]
    assert loaded["parameters"][0]["value"] == "3"
    first = worker._process
    assert worker.load() == loaded and worker._process is first
    worker.stop()
    assert worker.load() == loaded and worker._process is not first
    worker.stop()


def test_a_function_of_three_rasters_is_refused():
    more = "".join(f"{{'name': '{name}', 'dataType': 'raster'}}, " for name in "ab")
    source = SOURCE.replace("[{", f"[{more}{{")
    with pytest.raises(FunctionError, match="it takes 3 rasters, possible are one, or two dates"):
        Worker(made(source), device="cpu", threads=1).load()
