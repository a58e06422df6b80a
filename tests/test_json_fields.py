import pytest

from geodl_lab.errors import ModelError
from geodl_lab.json_fields import (
    choice,
    flag,
    number,
    plain_list,
    plain_object,
    score,
    text,
    whole,
)


def test_text_may_stand_for_numbers_and_booleans():
    assert number("2.5", "a") == 2.5 and whole("3", "a", 1) == 3 and score(1, "a") == 1.0
    assert [flag(value, "a") for value in (True, "True", "false", False)] == [
        True, True, False, False,
    ]  # fmt: skip
    assert choice({}, "k", ("first", "second"), "a") == "first"
    assert text("", "a", empty=True) == "" and plain_list([0], "a") == [0]


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: number(True, "a.b"), "a.b is True; possible is a number"),
        (lambda: number("nan", "a.b"), "a.b is 'nan'; possible is a number"),
        (lambda: number(10**400, "a.b"), "a.b is 1000"),
        (lambda: number(0, "a.b", above=0), "possible is a number above 0"),
        (lambda: score(1.5, "a.b"), "a.b is 1.5; possible are numbers from 0 to 1"),
        (lambda: whole(1.5, "a.b", 1), "a.b is 1.5; possible are whole numbers from 1 to"),
        (lambda: whole(2**31, "a.b", 1), "possible are whole numbers"),
        (lambda: flag([], "a.b"), r"a.b is \[\]; possible are true and false"),
        (lambda: flag(1, "a.b"), "a.b is 1; possible are true"),
        (lambda: text("", "a.b"), "a.b is ''; possible is a name"),
        (lambda: plain_list({}, "a.b"), "a.b is {}; possible is a list"),
        (lambda: plain_object([], "a.b", {"c"}), "a.b is a list; possible is a JSON object"),
        (lambda: plain_object({"x" * 999: 1}, "a.b", {"c"}), "unknown key 'x{70,90}; possible are"),
        (lambda: choice({"k": {}}, "k", ("x",), "a.b"), "a.b.k is {}; possible are x"),
    ],
)
def test_messages_name_the_field(check, message):
    with pytest.raises(ModelError, match=message):
        check()
