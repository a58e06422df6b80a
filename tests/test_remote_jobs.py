"""One job of a server, and how it shows itself."""

import json

import pytest

from geodl_lab.errors import AccessError, CancelledError, OutputError, RunError
from geodl_lab.job_html import duration, job_html
from geodl_lab.remote_jobs import RemoteJob

VALUES = {
    "id": "j1", "kind": "classify", "task": "T", "state": "running", "percent": 25.0,
    "created": 0.0, "seconds": 10.0, "service": "",
    "parameters": {
        "inputRaster": json.dumps({"uri": "/fileShares/s/a.tif"}),
        "model": json.dumps({"uri": "m"}),
        "context": json.dumps({"extent": {"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}}),
    },
    "messages": [{"level": "info", "text": "<b>It began.", "time": 0.0}],
}  # fmt: skip


class FakeWire:
    """Answers what it was given, in order."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def get(self, path, **_):
        self.asked.append(path)
        return VALUES | (self.answers.pop(0) if self.answers else {})


def job(*answers, **values):
    return RemoteJob(FakeWire(*answers), VALUES | values)


def test_what_is_known_of_it():
    one = job()
    assert (one.model, one.raster) == ("m", {"uri": "/fileShares/s/a.tif"})
    assert one.extent == (1.0, 2.0, 3.0, 4.0)
    assert job(parameters={}).extent is None
    assert repr(one) == "<RemoteJob j1: classify a.tif with m, running 25 %>"


def test_the_time_left_is_that_of_the_pace_so_far():
    assert job().seconds_left == pytest.approx(30)
    assert job(percent=1.0).seconds_left is None
    assert job(state="pending").seconds_left is None


def test_it_is_waited_for():
    seen = []
    one = job({}, {"percent": 80.0}, {"state": "succeeded", "percent": 100.0})
    assert one.wait(every=0, progress=lambda now: seen.append(now.percent)) is one
    assert seen == [25, 80, 100]


def test_how_it_ended_badly_is_an_error():
    failed = {"state": "failed", "messages": [{"level": "error", "text": "No such raster."}]}
    with pytest.raises(RunError, match=r"job j1 failed: No such raster\."):
        job(failed).wait()
    with pytest.raises(CancelledError, match="j1 was cancelled"):
        job({"state": "cancelled"}).wait()
    with pytest.raises(RunError, match="not ended within 0 s; it goes on"):
        job().wait(timeout=0, every=0.01)


def test_without_a_result_there_are_no_files(tmp_path):
    with pytest.raises(AccessError, match=r"j1 is running and has no \.tif file"):
        job().download(tmp_path / "a.tif")
    with pytest.raises(OutputError, match=r"a raster cannot be written as 'a\.gpkg'.*\.tif, \.csv"):
        job().download(tmp_path / "a.gpkg")


def test_it_shows_itself_and_escapes_what_the_server_says():
    html = job()._repr_html_()
    assert "&lt;b&gt;It began." in html and "<b>It" not in html
    assert "25 %, about 30 s left" in html


def test_earlier_messages_fold():
    said = [{"level": "info", "text": f"line {n}", "time": 0.0} for n in range(8)]
    html = job_html({**VALUES, "messages": said}, title="t")
    assert "3 earlier" in html and html.index("line 2") < html.index("</details>")
    assert html.index("line 3") > html.index("</details>")


@pytest.mark.parametrize(
    ("seconds", "words"), [(4.4, "4 s"), (89, "89 s"), (100, "2 min"), (7500, "2 h 5 min")]
)
def test_durations(seconds, words):
    assert duration(seconds) == words
