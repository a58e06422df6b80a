"""Changes are kept or not as a whole, many at a time, and readers do not wait for the writer."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import insert, select

from geodl_lab.errors import BusyError, OptionError
from geodl_lab.jobs.database import Database
from geodl_lab.jobs.job import Level
from geodl_lab.jobs.tables import MESSAGES


@pytest.fixture
def file(tmp_path):
    return tmp_path / "jobs.sqlite"


@pytest.fixture
def database(file):
    database = Database(f"sqlite:///{file}")
    yield database
    database.close()


def adds(text):
    values = {"job": "j", "level": Level.INFO, "text": text, "time": 0.0}
    return lambda connection: connection.execute(insert(MESSAGES).values(values)) and text


def texts(file):
    """What another program finds in the file, that knows nothing of ours."""
    with sqlite3.connect(file) as connection:
        found = [text for (text,) in connection.execute("SELECT text FROM messages")]
    connection.close()
    return found


def test_a_change_is_in_the_file_when_write_returns(database, file):
    assert database.write(adds("a")) == "a"
    assert texts(file) == ["a"]


def test_sqlite_is_set_up_to_survive(database, file):
    with database._writer.connect() as connection:
        modes = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "busy_timeout")
        ]
    assert modes == ["wal", 2, 10_000]  # 2 is FULL


def test_changes_that_wait_together_share_a_commit_and_one_that_fails_is_alone(database, file):
    begun, go_on = threading.Event(), threading.Event()

    def holds(connection):
        begun.set()
        assert go_on.wait(10)

    def fails(connection):
        adds("bad")(connection)
        raise ValueError("on purpose")

    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(database.write, holds)
        assert begun.wait(10)
        futures = [
            threads.submit(database.write, change) for change in (adds("a"), fails, adds("b"))
        ]
        with database.read() as connection:  # the writer stands in a transaction meanwhile
            assert connection.execute(select(MESSAGES.c.text)).all() == []
        go_on.set()
        first.result(10)
        with pytest.raises(ValueError, match="on purpose"):
            futures[1].result(10)
        assert {futures[0].result(10), futures[2].result(10)} == {"a", "b"}
    assert sorted(texts(file)) == ["a", "b"]


def test_many_clients_lose_nothing(database, file):
    with ThreadPoolExecutor(64) as threads:
        list(threads.map(lambda i: database.write(adds(str(i))), range(500)))
    assert sorted(map(int, texts(file))) == list(range(500))


def test_a_database_that_does_not_answer_is_busy_not_broken(database, file):
    database.write(adds("a"))
    with pytest.raises(BusyError, match=r"does not answer \(no such table: nowhere\)"):
        database.write(lambda connection: connection.exec_driver_sql("SELECT * FROM nowhere"))
    assert texts(file) == ["a"]


def test_after_close_nothing_is_taken(file):
    database = Database(f"sqlite:///{file}")
    database.close()
    database.close()
    with pytest.raises(BusyError, match="stopping"):
        database.write(adds("a"))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", "in memory and jobs would be lost"),
        ("nonsense", "cannot be opened"),
        ("nodriver://u:secret@host/db", r"nodriver://u:\*\*\*@host/db cannot be opened"),
        ("sqlite:////nowhere/at/all.sqlite", "unable to open database file"),
    ],
)
def test_a_url_that_cannot_be_is_refused_without_its_password(url, words):
    with pytest.raises(OptionError, match=words) as caught:
        Database(url)
    assert "secret" not in str(caught.value)


def test_a_full_disk_keeps_nothing_of_a_batch_and_says_so(disk):
    file = disk(400_000) / "jobs.sqlite"
    database = Database(f"sqlite:///{file}")
    with pytest.raises(BusyError, match=r"does not answer .*(full|disk I/O)"):
        for _ in range(100):
            database.write(adds("x" * 20_000))
    assert {len(text) for text in texts(file)} <= {20_000}
    database.close()
