"""Files between browser and kernel: what is asked for, kept and told."""

from concurrent.futures import Future

import pytest

from geodl_lab.dashboard import transfers
from geodl_lab.dashboard.transfers import FileDownload, FileUpload
from geodl_lab.errors import OptionError, OutputError


class Now:
    """An executor that does it at once."""

    def submit(self, function, *args):
        function(*args)
        return Future()


class Sink:
    def __init__(self):
        self.parts, self.cancelled = [], False

    def add(self, part):
        if part == b"bad":
            raise OutputError("the disk is full")
        self.parts.append(part)

    def finish(self):
        return b"".join(self.parts)

    def cancel(self):
        self.cancelled = True


@pytest.fixture
def upload(monkeypatch):
    """An upload with what it asked the page for, what came out, and what it said."""
    monkeypatch.setattr(transfers, "PIECE", 4)
    sinks, done, failed, sent = [], [], [], []

    def begin(name):
        sinks.append(Sink())
        return sinks[-1]

    made = FileUpload(begin, done=done.append, failed=failed.append, workers=Now())
    made.send = lambda message, buffers=None: sent.append(message)
    made.sinks, made.done, made.failed_with, made.sent = sinks, done, failed, sent
    return made


def say(widget, message, *pieces):
    widget._on_message(widget, message, [memoryview(one) for one in pieces])


def test_each_piece_is_asked_for_after_the_one_before(upload):
    say(upload, {"begin": "a.tif", "size": 6})
    assert upload.sent == [{"want": {"start": 0, "size": 4}}] and upload.busy
    say(upload, {"piece": 0}, b"abcd")
    assert upload.sent[-1] == {"want": {"start": 4, "size": 4}} and upload.words == "66 %"
    say(upload, {"piece": 4}, b"ef")
    assert upload.done == [b"abcdef"] and not upload.busy and upload.words == ""


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [
        ("a.txt", 5, "no raster by its name; choose a GeoTIFF"),
        ("a.tif", 0, "is empty"),
        ("a.tif", 10**12, "931 GiB and 39 can be sent; put it into a store"),
    ],
)
def test_what_cannot_be_sent_is_said_before(upload, name, size, said):
    say(upload, {"begin": name, "size": size})
    assert said in upload.failed_with[0] and not upload.sinks and not upload.busy


def test_an_upload_that_breaks_off_leaves_nothing(upload):
    say(upload, {"begin": "a.tif", "size": 6})
    say(upload, {"piece": 0}, b"bad")
    assert upload.failed_with == ["the disk is full"]
    assert upload.sinks[0].cancelled and not upload.busy
    say(upload, {"begin": "a.tif", "size": 6})
    say(upload, {"lost": "moved"})
    assert "could not be read any more" in upload.failed_with[1]


@pytest.fixture
def download(tmp_path, monkeypatch):
    monkeypatch.setattr(transfers, "PIECE", 4)
    file = tmp_path / "out.tif"
    file.write_bytes(b"abcdef")

    def make(ending):
        if ending != ".tif":
            raise OptionError("there is no result; press Run")
        return file

    failed, sent = [], []
    made = FileDownload(make, failed=failed.append, workers=Now())
    made.send = lambda message, buffers=None: sent.append((message, buffers))
    made.sent, made.failed_with = sent, failed
    return made


def test_a_file_comes_in_pieces(download):
    say(download, {"open": ".tif"})
    say(download, {"piece": 0, "size": 4})
    say(download, {"piece": 4, "size": 4})
    about = {"name": "out.tif", "size": 6}
    assert [one for one, _ in download.sent] == [{**about, "next": n} for n in (0, 4, 6)]
    assert b"".join(b[0] for _, b in download.sent if b) == b"abcdef"


def test_why_there_is_no_file_is_said(download):
    say(download, {"open": ".csv"})
    assert download.failed_with == ["there is no result; press Run"]
    assert download.sent == [({"failed": "there is no result; press Run"}, None)]
