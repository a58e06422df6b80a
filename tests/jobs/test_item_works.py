"""Items are opened a few at a time, noted when finished, and made one result at once."""

import json
from dataclasses import dataclass

import pytest

from geodl_lab.errors import CancelledError, OptionError, OutputError
from geodl_lab.grid import Window
from geodl_lab.jobs import item_works
from geodl_lab.jobs.item_works import ItemWork
from geodl_lab.jobs.works import CANCEL, Part, Result

OPENED = []


@dataclass(frozen=True)
class Marks:
    """Three parts, each a file."""

    folder: object
    messages = ("one thing",)
    room = 2_500_000
    at_once = 2

    def missing(self):
        windows = [Window(0, x, 1, 2) for x in (0, 2, 4)]
        left = [window for window in windows if not (self.folder / str(window.x)).exists()]
        return tuple(Part(0, window, 2) for window in left), 6

    def compute(self, windows, stop):
        for window in windows:
            (self.folder / str(window.x)).write_text("")


@dataclass(frozen=True)
class MarkWork(ItemWork):
    """A work whose items leave marks."""

    def open(self, item):
        OPENED.append(item)
        self.item_folder(item).mkdir(parents=True, exist_ok=True)
        return Marks(self.item_folder(item))

    def make(self, folder):
        names = []
        for item in self.present():
            names.append(f"{item}.txt")
            (folder / names[-1]).write_text("made")
        return Result({"folder": names[0]}, {"count": len(names)}, warnings=self.warnings())


@pytest.fixture
def work(tmp_path):
    OPENED.clear()
    item_works._opened.cache_clear()
    rasters = tuple(tmp_path / f"{n}.tif" for n in range(20))
    return MarkWork(tmp_path, rasters, "m", each=True)


def test_a_few_items_are_opened_at_a_time(work):
    missing = work.missing()
    assert len(OPENED) == item_works.AHEAD and len(missing.parts) == 3 * item_works.AHEAD
    assert missing.windows == 20 * 6  # of all, those that were not looked at included
    done = work.compute(missing.parts)
    assert done.pixels == 2 * len(missing.parts) and done.seconds >= 0
    item_works._opened.cache_clear()
    OPENED.clear()
    assert {part.item for part in work.missing().parts} == set(range(8, 16))
    assert list(range(16)) == OPENED
    item_works._opened.cache_clear()
    OPENED.clear()
    assert work.missing().parts and list(range(8, 16)) == OPENED  # what is finished is noted


def test_the_result_appears_at_once(work):
    while parts := work.missing().parts:
        work.compute(parts)
    (work.folder / "rough-result").mkdir()
    (work.folder / "rough-result" / "left.txt").write_text("of a crash")
    result = work.finish()
    assert result.files == {"folder": str(work.folder / "result" / "0.txt")}
    assert result.values == {"count": 20} and result.warnings == ("one thing",)
    assert sorted(path.name for path in work.folder.iterdir()) == ["result"]
    assert not (work.folder / "result" / "left.txt").exists()
    assert work.finish() == result and work.missing().parts == ()
    assert json.loads((work.folder / "result" / "result.json").read_text())["values"]


def test_a_cancelled_job_makes_nothing(work):
    while parts := work.missing().parts:
        work.compute(parts)
    (work.folder / CANCEL).touch()
    with pytest.raises(CancelledError, match="cancelled"):
        work.finish()
    assert not (work.folder / "result").exists()


def test_a_full_disk_is_explained(work, monkeypatch):
    parts = work.missing().parts

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Marks, "compute", full)
    with pytest.raises(OutputError, match=r"up to 2.5 MB are needed and .+ MB are free there"):
        work.compute(parts)
    monkeypatch.setattr(MarkWork, "make", full)
    with pytest.raises(OutputError, match=r"up to 50.0 MB are needed"):
        work.finish()


def test_there_must_be_a_raster(tmp_path):
    with pytest.raises(OptionError, match="there is no raster to work on"):
        MarkWork(tmp_path, (), "m")
