"""Steps take about a second, whatever the speed."""

import pytest

from geodl_lab.grid import Window
from geodl_lab.jobs.pace import Pace, batches
from geodl_lab.jobs.works import Part


def parts(count, windows=1):
    return [Part(0, Window(i, 0, 1, 1), windows) for i in range(count)]


def test_the_first_step_is_one_part_and_all_parts_come_once_in_order():
    pace, given = Pace(20, 0), parts(20)
    cut = []
    for batch in batches(given, pace):
        cut.append(batch)
        pace.note(len(batch), len(batch) / 5)  # five windows a second
    assert [len(batch) for batch in cut] == [1, 5, 5, 5, 4]
    assert [part for batch in cut for part in batch] == given
    assert pace.share == 1


def test_a_part_that_is_too_long_is_a_step_of_its_own():
    pace = Pace(100, 0, windows_per_second=10)
    assert [len(batch) for batch in batches(parts(3, windows=30), pace)] == [1, 1, 1]


@pytest.mark.parametrize(("total", "done", "share"), [(0, 0, 0), (4, 1, 0.25), (4, 9, 1)])
def test_the_share_is_between_nothing_and_all(total, done, share):
    assert Pace(total, done).share == share
