"""The source text in a TorchScript file: only names of operators that compute may stand in it.

TorchScript as torch writes it is a small part of Python: operators are ``torch.add(x, y)`` or
``ops.prim.dtype(x)``, and functions and classes of the file are ``__torch__.name``. By hand one can
also write ``x.add(y)`` or ``getattr(x, "add")``; so each attribute counts, wherever it stands.
The list is `torchscript_operators.txt`.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

MAX_CODE = 8 * 2**20
"""Characters of code that one file may hold; a syntax tree takes a hundred times that."""

SYNTAX = (
    ast.Module, ast.ClassDef, ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.Delete,
    ast.Assign, ast.AugAssign, ast.AnnAssign, ast.For, ast.While, ast.If, ast.With, ast.withitem,
    ast.Raise, ast.Assert, ast.Expr, ast.Pass, ast.Break, ast.Continue, ast.BoolOp, ast.BinOp,
    ast.UnaryOp, ast.IfExp, ast.Dict, ast.Compare, ast.Call, ast.Constant, ast.Attribute,
    ast.Subscript, ast.Slice, ast.Starred, ast.Name, ast.List, ast.Tuple, ast.keyword,
    ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop,
)  # fmt: skip

SPACES = ("aten", "prim")
ROOTS = frozenset({"torch", "ops", "__torch__", "CONSTANTS"})
BY_NAME = frozenset({"getattr", "hasattr"})

# The end of each may be missing, so that nothing is read twice: else unclosed ones take hours.
STRING = re.compile(r'"(?:[^"\\\n]|\\[^\n])*(?P<end>"?)|\'(?:[^\'\\\n]|\\[^\n])*(?P<close>\'?)')
# Python and torch cut a text into the same words if it has no comments, no strings with a prefix,
# none in three quotes or side by side, and no character that is a space to one of them only.
UNUSUAL = re.compile(r"[^\n\x20-\x7e]|#|'|\w\"|\"{3}|(?<!\")\"(?!\")")
PATH = re.compile(r"code/__torch__(/\w+)*\.py")


class ImpureError(Exception):
    """A program that is not known to be a pure computation; the text says what it uses."""


@functools.cache
def listed(kind: str) -> frozenset[str]:
    """Return the words of the list of one kind: aten, prim, node, word or opcode."""
    text = Path(__file__).with_name("torchscript_operators.txt").read_text(encoding="utf-8")
    lines = [line.partition(": ") for line in text.splitlines()]
    return frozenset(word for space, _, words in lines if space == kind for word in words.split())


def check_code(sources: Mapping[str, str]) -> None:
    """Check the code of one TorchScript file.

    Parameters
    ----------
    sources
        Text of each file of code by its name in the archive, as in ``code/__torch__/a.py``.

    Raises
    ------
    ImpureError
        If it uses what is not on the list, or cannot be read for certain.
    """
    if sum(map(len, sources.values())) > MAX_CODE:
        raise ImpureError(f"more than {MAX_CODE / 2**20:.0f} MiB of code")
    trees = {name: _parsed(name, text) for name, text in sources.items()}
    defined = frozenset(
        f"{_namespace(name)}.{node.name}"
        for name, tree in trees.items()
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    )
    spaces = frozenset(parent for name in defined for parent in _parents(name))
    # Such as an enumeration __torch__.a whose value __torch__.a.b were taken for a module.
    if both := defined & spaces:
        raise ImpureError(f"{min(both)!r} as two things")
    for name, tree in trees.items():
        try:
            _check_tree(tree, defined, spaces)
        except RecursionError as error:
            raise ImpureError(f"code that is nested too deep in {name!r}") from error


def class_types(sources: Mapping[str, str]) -> dict[str, dict[str, ast.expr]]:
    """Return what the classes of a checked file state of their attributes.

    Parameters
    ----------
    sources
        As of `check_code`.

    Returns
    -------
    dict
        By class the type of each attribute, and of what ``__setstate__`` takes; without
        interfaces, whose objects are of other classes.
    """
    return {
        f"{_namespace(name)}.{node.name}": dict(_stated(node))
        for name, text in sources.items()
        for node in ast.parse(text).body
        if isinstance(node, ast.ClassDef)
        and not any(_is_name(base, "Interface", "ModuleInterface") for base in node.bases)
    }


def _stated(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    for line in node.body:
        match line:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=kind):
                yield name, kind
            case ast.Assign(targets=[ast.Subscript(slice=ast.Constant(value=str(name)))]):
                yield name, line.value  # __annotations__["0"] = ...
            case ast.FunctionDef(name="__setstate__", args=ast.arguments(args=[_, state])):
                if state.annotation is not None:
                    yield "__setstate__", state.annotation


def check_attribute(name: str) -> None:
    """Refuse an attribute that torch may take for an operator that is not on the list.

    Raises
    ------
    ImpureError
        If so.
    """
    if name in _methods() and not any(name in listed(space) for space in SPACES):
        raise ImpureError(repr(name))


@functools.cache
def _methods() -> frozenset[str]:
    """Return what ``x.name`` may call: operators of this torch without their namespace."""
    names = (schema.name.split("::") for schema in torch._C._jit_get_all_schemas())
    return frozenset(name for space, name in names if space in SPACES)


def _namespace(name: str) -> str:
    return name.removeprefix("code/").removesuffix(".py").replace("/", ".")


def _parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:length]) for length in range(1, len(parts)))


def _parsed(name: str, text: str) -> ast.Module:
    if not PATH.fullmatch(name) or UNUSUAL.search(STRING.sub(_blank, text)):
        raise ImpureError(f"code of an unusual kind in {name!r}")
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ImpureError(f"code that cannot be read in {name!r}") from error


def _blank(string: re.Match[str]) -> str:
    """Return a string without what it says, and what is unusual for one that does not end."""
    return '""' if string["end"] or string["close"] else "#"


def _check_tree(tree: ast.Module, defined: frozenset[str], spaces: frozenset[str]) -> None:
    nodes = list(ast.walk(tree))
    inner = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    for node in nodes:
        if not isinstance(node, SYNTAX):
            raise ImpureError(f"the syntax {type(node).__name__!r}")
        if isinstance(node, ast.Attribute):
            _check_dotted(node, id(node) in inner, defined, spaces)
        elif isinstance(node, ast.Name):
            _check_root(node, id(node) in inner, id(node) in called)
        elif isinstance(node, ast.Call) and _is_name(node.func, *BY_NAME):
            _check_getattr(node)
    _check_names(tree)


def _check_dotted(
    node: ast.Attribute, inner: bool, defined: frozenset[str], spaces: frozenset[str]
) -> None:
    """Check one attribute; operators are told by their namespace, others by their name."""
    path = ast.unparse(node) if _root(node) else ""
    if path.startswith("__torch__."):
        before = path.rpartition(".")[0]
        if path in defined or path in spaces:
            return
        if before in spaces:
            raise ImpureError(repr(path))
    if _is_name(node.value, "torch"):
        _check_operator("aten", node.attr)
    elif _is_name(node.value, "ops"):
        if not inner:
            raise ImpureError(f"'ops.{node.attr}' as a value")
    elif isinstance(node.value, ast.Attribute) and _is_name(node.value.value, "ops"):
        _check_operator(node.value.attr, node.attr)
    else:
        check_attribute(node.attr)


def _check_operator(space: str, name: str) -> None:
    if space not in SPACES or name not in listed(space):
        raise ImpureError(repr(f"torch.{name}" if space == "aten" else f"{space}::{name}"))


def _check_root(node: ast.Name, inner: bool, called: bool) -> None:
    """Refuse names that stand for modules, or find attributes, in any place but their usual one."""
    bound = not isinstance(node.ctx, ast.Load)
    if node.id in ROOTS and (bound or not inner):
        raise ImpureError(f"{node.id!r} as a value")
    if node.id in BY_NAME and (bound or not called):
        raise ImpureError(f"{node.id!r} as a value")


def _check_getattr(call: ast.Call) -> None:
    name = call.args[1] if len(call.args) == 2 else None
    if call.keywords or not isinstance(name, ast.Constant) or not isinstance(name.value, str):
        raise ImpureError("'getattr' without a name")
    check_attribute(name.value)


def _check_names(tree: ast.Module) -> None:
    """Refuse names that no function binds and that are not of the language, such as print."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    inside = {id(node) for function in functions for node in ast.walk(function)}
    outside = [node for node in ast.walk(tree) if id(node) not in inside]
    for nodes in (outside, *(list(ast.walk(function)) for function in functions)):
        names = [node for node in nodes if isinstance(node, ast.Name)]
        bound = {node.arg for node in nodes if isinstance(node, ast.arg)}
        if bound & (ROOTS | BY_NAME):
            raise ImpureError(f"{min(bound & (ROOTS | BY_NAME))!r} as a value")
        bound |= {node.id for node in names if isinstance(node.ctx, ast.Store)}
        free = {node.id for node in names} - bound - listed("word") - ROOTS - BY_NAME
        if free:
            raise ImpureError(repr(min(free)))


def _root(node: ast.expr) -> str:
    """Return the name that a chain of attributes begins with, "" where it is no name."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _is_name(node: ast.expr, *names: str) -> bool:
    return isinstance(node, ast.Name) and node.id in names
