"""Values of a JSON description, checked when they are taken out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from geodl_lab import json_fields
from geodl_lab.checks import number_of
from geodl_lab.errors import ModelError

T = TypeVar("T")
_KINDS = {dict: "an object", list: "a list", str: "a text", int: "a whole number"}


def typed(value: Any, kind: type[T], what: str) -> T:
    """Return ``value`` if it is of that kind.

    Parameters
    ----------
    value
        From JSON.
    kind
        ``dict``, ``list``, ``str`` or ``int``.
    what
        Its name, for the message.

    Raises
    ------
    ModelError
        If it is of another kind, or missing.
    """
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ModelError(f"{what} is {short(value)}; the item needs {_KINDS[kind]} there")
    return value


def objects(value: Any, what: str) -> list[dict[str, Any]]:
    """Return a list of objects; parameters and errors as of `typed`."""
    return [typed(one, dict, f"an entry of {what}") for one in typed(value, list, what)]


def texts(value: Any, what: str) -> list[str]:
    """Return a list of texts; parameters and errors as of `typed`."""
    return [typed(one, str, f"an entry of {what}") for one in typed(value, list, what)]


def only(items: Sequence[T], what: str) -> T:
    """Return the one item of a list.

    Raises
    ------
    ModelError
        If there is none or more than one.
    """
    if len(items) != 1:
        raise ModelError(
            f"the item has {len(items)} entries of {what}; models with exactly one can be run"
        )
    return items[0]


def number(value: Any) -> float | None:
    """Return a finite number, or None where it is none."""
    found = None if isinstance(value, str) else number_of(value)
    return found if found is not None and abs(found) < 1e300 else None


def built(make: Callable[..., T], fields: Mapping[str, Any], what: str) -> T:
    """Make a value of its fields.

    Raises
    ------
    ModelError
        If a field is unknown or not possible.
    """
    try:
        return make(**fields)
    except ModelError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise ModelError(
            f"{what} lacks or misuses a key ({error}); save the model again"
        ) from error


def short(value: Any) -> str:
    """Return a value as it is shown in messages."""
    return "missing" if value is None else json_fields.short(value)
