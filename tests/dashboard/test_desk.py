"""What visitors do is done beside the kernel's main thread, and what goes wrong is a sentence."""

import threading

import ipywidgets
import pytest

from geodl_lab.dashboard import desk
from geodl_lab.dashboard.servers import Shared
from geodl_lab.errors import AccessError, OptionError


class FakeClient:
    def __init__(self, *, gone):
        self._gone = gone

    def stores(self):
        if self._gone:
            raise AccessError("no job server answers")
        return ["demo"]


@pytest.fixture
def made():
    return desk.Desk(lambda: Shared(FakeClient(gone=False)))


def fail(error):
    raise error


def test_without_a_server_there_is_no_client(made):
    with pytest.raises(OptionError, match="the job server is not there yet; wait a moment"):
        _ = made.client
    made.connect()
    assert made.client.stores() == ["demo"]


def test_what_goes_wrong_is_said(made):
    made.tried(fail, OptionError("this is not possible"))
    assert "This is not possible." in made.page.status.value
    made.tried(fail, ZeroDivisionError("oh <b>"))
    assert "in the app itself (oh &lt;b&gt;)" in made.page.status.value


@pytest.mark.parametrize(("gone", "words"), [(True, "reload the page"), (False, "There is no job")])
def test_a_server_that_is_gone_is_told_from_one_that_refuses(gone, words):
    made = desk.Desk(lambda: Shared(FakeClient(gone=gone)))
    made.connect()
    made.tried(fail, AccessError("there is no job"))
    assert words in made.page.status.value


def test_only_what_visitors_choose_is_heard(made):
    box, heard = ipywidgets.Text(), []
    box.observe(made.heard(heard.append), "value")
    with made.silence():
        with made.silence():
            box.value = "by us"
        box.value = "by us again"
        other = threading.Thread(target=setattr, args=(box, "value", "by the visitor"))
        other.start()
        other.join()
    box.value = "later"
    assert heard == ["by the visitor", "later"]
