"""The where clause of a query: parsed by a grammar, then SQL of known columns and bound values.

Nothing of the text reaches the database but through `Sql.values`; names are looked up, never passed
on. Source of the syntax: Esri, "Standardized SQL functions in ArcGIS REST queries".
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import lark

from geodl_lab.server.arcgis.web import ArcgisError

MOST_CHARACTERS = 50_000
MOST_DEPTH = 50
"""Limits of a clause; beyond them it is refused before anything is done with it."""

GRAMMAR = r"""
?start: any
?any: all (_OR all)*
?all: one (_AND one)*
?one: _NOT one                                    -> negate
    | "(" any ")"
    | value COMPARE value                         -> compare
    | value _LIKE STRING [_ESCAPE STRING]         -> like
    | value _NOT _LIKE STRING [_ESCAPE STRING]    -> not_like
    | value _IN "(" value ("," value)* ")"        -> among
    | value _NOT _IN "(" value ("," value)* ")"   -> not_among
    | value _BETWEEN value _AND value             -> between
    | value _NOT _BETWEEN value _AND value        -> not_between
    | value _IS _NULL                             -> empty
    | value _IS _NOT _NULL                        -> not_empty
?value: NUMBER                                    -> number
    | STRING                                      -> string
    | NAME                                        -> name
    | QUOTED                                      -> quoted
    | FUNCTION "(" value ")"                      -> call
COMPARE: "<>" | "!=" | "<=" | ">=" | "<" | ">" | "="
NUMBER: /[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})(e[+-]?\d{1,4})?/i
STRING: /'(?:[^']|'')*'/
QUOTED: /"[^"]{1,200}"/
NAME: /[^\W\d]\w{0,199}/
FUNCTION.3: /(upper|lower)(?=\s*\()/i
_OR.2: /or\b/i
_AND.2: /and\b/i
_NOT.2: /not\b/i
_LIKE.2: /like\b/i
_ESCAPE.2: /escape\b/i
_IN.2: /in\b/i
_BETWEEN.2: /between\b/i
_IS.2: /is\b/i
_NULL.2: /null\b/i
%ignore /\s+/
"""

Kind = Literal["text", "number"]

_NUMBER = r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,4})?"


@dataclass(frozen=True, slots=True)
class Sql:
    """An expression with ``?`` for each value; it is the only thing that a database sees."""

    text: str
    values: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """A column that may be asked for: its name, its SQL, and of what kind its values are."""

    name: str
    sql: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Constant:
    """A number or a text."""

    value: float | int | str


@dataclass(frozen=True, slots=True)
class Name:
    """The name of a column, in any case."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """UPPER or LOWER of a text."""

    function: str
    value: Value


Value = Constant | Name | Call


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison of values: ``sql`` holds ``{}`` for each of them."""

    sql: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Like:
    """A text that fits a pattern of GLOB."""

    value: Value
    pattern: str


@dataclass(frozen=True, slots=True)
class Not:
    """What does not hold."""

    node: Node


@dataclass(frozen=True, slots=True)
class Join:
    """Conditions joined by AND or OR."""

    word: str
    nodes: tuple[Node, ...]


Node = Comparison | Like | Not | Join


def compile_where(text: str, columns: Mapping[str, Column]) -> Sql:
    """Return a where clause as SQL.

    Parameters
    ----------
    text
        Comparisons, ``LIKE`` (upper and lower case differ), ``IN``, ``BETWEEN``, ``IS NULL``,
        joined by ``AND``, ``OR``, ``NOT`` and parentheses.
    columns
        By name in lower case.

    Raises
    ------
    ArcgisError
        If it is anything else, too long or too deep, names another column, or compares a text
        with a number; it says where.
    """
    return _compile(parse(text), columns, 0)


def parse(text: str) -> Node:
    """Return a where clause as a tree; raises ArcgisError where it cannot be read."""
    if len(text) > MOST_CHARACTERS:
        raise ArcgisError(
            f"where has {len(text)} characters, at most {MOST_CHARACTERS} are read; ask in parts"
        )
    try:
        return cast(Node, _parser().parse(text))  # the transformer leaves no tree
    except lark.exceptions.UnexpectedInput as error:
        raise _unreadable(text, error) from None
    except lark.exceptions.VisitError as error:
        if isinstance(error.orig_exc, ArcgisError):
            raise error.orig_exc from None
        raise


class _Builder(lark.Transformer[Any, Node]):
    """Makes the nodes while the text is read, so that no depth of it is a depth of calls."""

    def any(self, nodes: list[Node]) -> Node:
        return Join(" OR ", tuple(nodes))

    def all(self, nodes: list[Node]) -> Node:
        return Join(" AND ", tuple(nodes))

    def negate(self, nodes: list[Node]) -> Node:
        return Not(nodes[0])

    def compare(self, parts: list[Any]) -> Node:
        left, word, right = parts
        return Comparison(f"{{}} {word} {{}}", (left, right))

    def like(self, parts: list[Any]) -> Node:
        value, pattern, *escape = parts
        return Like(value, _glob(_text(pattern), _text(escape[0]) if escape and escape[0] else ""))

    def among(self, values: list[Value]) -> Node:
        return Comparison(f"{{}} IN ({', '.join(['{}'] * (len(values) - 1))})", tuple(values))

    def between(self, values: list[Value]) -> Node:
        return Comparison("{} BETWEEN {} AND {}", tuple(values))

    def empty(self, values: list[Value]) -> Node:
        return Comparison("{} IS NULL", tuple(values))

    def not_like(self, parts: list[Any]) -> Node:
        return Not(self.like(parts))

    def not_among(self, values: list[Value]) -> Node:
        return Not(self.among(values))

    def not_between(self, values: list[Value]) -> Node:
        return Not(self.between(values))

    def not_empty(self, values: list[Value]) -> Node:
        return Not(self.empty(values))

    def number(self, tokens: list[str]) -> Value:
        return Constant(_number(tokens[0]))

    def string(self, tokens: list[str]) -> Value:
        return Constant(_text(tokens[0]))

    def name(self, tokens: list[str]) -> Value:
        return Name(str(tokens[0]))

    def quoted(self, tokens: list[str]) -> Value:
        return Name(tokens[0][1:-1])

    def call(self, parts: list[Any]) -> Value:
        return Call(parts[0].upper(), parts[1])


@functools.cache
def _parser() -> lark.Lark:
    return lark.Lark(GRAMMAR, parser="lalr", transformer=_Builder(), maybe_placeholders=True)


def _compile(node: Node, columns: Mapping[str, Column], depth: int) -> Sql:
    if depth > MOST_DEPTH:
        raise ArcgisError(f"where is nested more than {MOST_DEPTH} times; write it flatter")
    if isinstance(node, Not):
        inner = _compile(node.node, columns, depth + 1)
        return Sql(f"NOT {inner.text}", inner.values)
    if isinstance(node, Join):
        parts = [_compile(one, columns, depth + 1) for one in node.nodes]
        return Sql(_balanced([p.text for p in parts], node.word), _flat(parts))
    if isinstance(node, Like):
        value, kind = _operand(node.value, columns)
        if kind != "text":
            raise ArcgisError("where: LIKE is for texts; compare a number with =, < or BETWEEN")
        return Sql(f"({value.text} GLOB ?)", (*value.values, node.pattern))
    return _test(node, columns)


def _test(node: Comparison, columns: Mapping[str, Column]) -> Sql:
    operands = [_operand(value, columns) for value in node.values]
    if any(kind == "number" for _, kind in operands):
        operands = [_as_number(operand) for operand in operands]
    if len({kind for _, kind in operands}) > 1:
        texts = ", ".join(_worded(value) for value in node.values[:4])
        raise ArcgisError(
            f"where compares texts with numbers ({texts}); write texts in single quotes and "
            "numbers without"
        )
    parts = [sql for sql, _ in operands]
    return Sql(f"({node.sql.format(*(p.text for p in parts))})", _flat(parts))


def _operand(value: Value, columns: Mapping[str, Column]) -> tuple[Sql, Kind]:
    if isinstance(value, Constant):
        return Sql("?", (value.value,)), "text" if isinstance(value.value, str) else "number"
    if isinstance(value, Name):
        column = columns.get(value.text.lower())
        if column is None:
            raise ArcgisError(
                f"where names the field {value.text!r}; there are "
                f"{', '.join(one.name for one in columns.values())}"
            )
        return Sql(column.sql), column.kind
    if isinstance(value.value, Call):
        raise ArcgisError("where: UPPER and LOWER take a field or a text, not each other")
    operand, kind = _operand(value.value, columns)
    if kind != "text":
        raise ArcgisError(f"where: {value.function} is for texts, not for numbers")
    return Sql(f"{value.function}({operand.text})", operand.values), "text"


def _as_number(operand: tuple[Sql, Kind]) -> tuple[Sql, Kind]:
    """Return a text that is a number as that number: some clients quote all that they send."""
    sql, kind = operand
    if kind == "text" and sql.text == "?" and re.fullmatch(_NUMBER, sql.values[0]):
        return Sql("?", (_number(sql.values[0]),)), "number"
    return operand


def _number(text: str) -> float | int:
    return int(text) if re.fullmatch(r"[+-]?\d{1,18}", text) else float(text)


def _balanced(parts: list[str], word: str) -> str:
    """Join many conditions as a tree: SQLite refuses a chain of more than a thousand."""
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    return f"({_balanced(parts[:half], word)}{word}{_balanced(parts[half:], word)})"


def _flat(parts: list[Sql]) -> tuple[Any, ...]:
    return tuple(value for part in parts for value in part.values)


def _glob(pattern: str, escape: str) -> str:
    """Return a LIKE pattern as one of GLOB, which tells upper from lower case."""
    if len(escape) > 1:
        raise ArcgisError(f"where: ESCAPE is {escape!r}; give one character")
    plain = {"*": "[*]", "?": "[?]", "[": "[[]"}
    wild = {**plain, "%": "*", "_": "?"}
    found, characters = [], iter(pattern)
    for one in characters:
        if escape and one == escape:
            escaped = next(characters, "")
            found.append(plain.get(escaped, escaped))
        else:
            found.append(wild.get(one, one))
    return re.sub(r"\*{2,}", "*", "".join(found))


def _text(token: str) -> str:
    return token[1:-1].replace("''", "'")


def _worded(value: Value) -> str:
    if isinstance(value, Constant):
        return repr(value.value)
    return value.text if isinstance(value, Name) else f"{value.function}(...)"


def _unreadable(text: str, error: lark.exceptions.UnexpectedInput) -> ArcgisError:
    ended = isinstance(error, lark.exceptions.UnexpectedToken) and error.token.type == "$END"
    place: int | None = error.pos_in_stream
    at = len(text) if ended or place is None else place
    near = f"near {text[at : at + 30]!r}" if at < len(text) else "where it ends"
    return ArcgisError(
        f"where cannot be read at character {at + 1}, {near}; it takes comparisons such as "
        "Class = 'tree', LIKE, IN, BETWEEN and IS NULL, joined by AND, OR and NOT"
    )
