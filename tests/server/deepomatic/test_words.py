"""States and dates."""

from datetime import datetime

from geodl_lab.jobs.job import State
from geodl_lab.server.deepomatic.words import STATUS, date


def test_every_state_has_a_word_that_clients_know():
    assert set(STATUS) == set(State)
    assert set(STATUS.values()) == {"pending", "success", "error"}


def test_dates_have_microseconds_and_a_zone():
    assert date(1_500_000_000.25) == "2017-07-14T02:40:00.250000Z"
    seconds = 1_763_596_800.000001
    assert datetime.fromisoformat(date(seconds)).timestamp() == seconds
