"""Which of a notebook's statements `apply` and `load` need: imports, definitions and constants that they refer to."""

from __future__ import annotations

import ast
import builtins
import symtable
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from slipway.connection import ClientError

ROOTS = ("apply", "load", "apply_batch", "SAMPLE_INPUT", "sample_input")
# Calls that make constants; any other call may be the training.
_HARMLESS = ("set", "frozenset", "dict", "list", "tuple", "range", "sorted", "int", "float", "str", "re.compile")


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One statement at the top of a cell."""

    cell: int
    text: str
    binds: frozenset[str]
    needs: frozenset[str]  # names of the notebook that it refers to, now or when it is called
    sets: frozenset[str]  # names that its functions set by `global`
    everything: bool = False  # `from MODULE import *`
    defines: bool  # can be run again: an import, a function, a class, a constant


def statements(tree: ast.Module, text: str, cell: int) -> list[Statement]:
    """A cell's statements."""
    lines = text.splitlines()
    return [_statement(node, lines, cell) for node in tree.body]


def needed(found: Sequence[Statement], name: str) -> list[Statement]:
    """Those that the roots need, in order. Raises ClientError where one of them is computed in a cell."""
    last = {bound: number for number, statement in enumerate(found) for bound in statement.binds}
    waiting = [(last[root], root, "") for root in ROOTS if root in last]
    chosen: set[int] = set()
    while waiting:
        number, bound, user = waiting.pop()
        statement = found[number]
        if not statement.defines:
            if _is_set_elsewhere(bound, found, chosen) or not user:
                continue
            raise ClientError(_explained(name, statement, bound, user))
        if number not in chosen:
            chosen.add(number)
            user = min(statement.binds, default=bound)
            waiting += [(last[need], need, user) for need in sorted(statement.needs) if need in last]
    known = {*last, *dir(builtins)}
    unknown = any(need not in known for number in chosen for need in found[number].needs)
    chosen |= {number for number, one in enumerate(found) if unknown and one.everything}
    futures = [one for one in found if one.text.startswith("from __future__")]
    return [*futures, *(found[number] for number in sorted(chosen) if found[number] not in futures)]


def joined(parts: Sequence[Statement]) -> str:
    """Their text: single lines together, whatever is longer apart."""
    text, before = "", None
    for part in parts:
        lines = part.text.count("\n")
        gap = "" if before is None else "\n" if not lines and not before else "\n\n\n"
        text, before = f"{text}{gap}{part.text}", lines
    return text + "\n"


def _is_set_elsewhere(bound: str, found: Sequence[Statement], chosen: Iterable[int]) -> bool:
    """Whether a function that is deployed, such as `load`, sets the name itself."""
    last_load = [one for one in found if "load" in one.binds][-1:]
    return any(bound in one.sets for one in [*last_load, *(found[number] for number in chosen)])


def _explained(name: str, statement: Statement, bound: str, user: str) -> str:
    return (
        f"`{user}` uses `{bound}`, which cell {statement.cell} of {name} computes: save it to a file and read that in "
        f'`load()` with slipway.model("FILE"), or give the cells to deploy the tag `slipway`'
    )


def _statement(node: ast.stmt, lines: list[str], cell: int) -> Statement:
    text = _text(node, lines)
    module = symtable.symtable(text, "cell", "exec")
    own = module.get_symbols()
    inner = list(_inner(module))
    return Statement(
        cell=cell,
        text=text,
        binds=frozenset(one.get_name() for one in own if one.is_assigned() or one.is_imported()),
        needs=frozenset(one.get_name() for one in own if one.is_referenced())
        | frozenset(one.get_name() for one in inner if one.is_global()),
        sets=frozenset(one.get_name() for one in inner if one.is_declared_global() and one.is_assigned()),
        everything=isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names),
        defines=_defines(node),
    )


def _inner(table: symtable.SymbolTable) -> Iterator[symtable.Symbol]:
    for child in table.get_children():
        yield from child.get_symbols()
        yield from _inner(child)


def _text(node: ast.stmt, lines: list[str]) -> str:
    """The statement with its decorators and comments; without what else stands on its lines."""
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(one.lineno for one in decorators)])
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    taken = lines[first - 1 : node.end_lineno]
    taken[-1] = taken[-1].encode()[: node.end_col_offset].decode()
    taken[0] = taken[0] if decorators else taken[0].encode()[node.col_offset :].decode()
    return "\n".join(taken)


def _defines(node: ast.stmt) -> bool:
    if isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return True
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        return node.value is None or _is_constant(node.value)
    if isinstance(node, ast.If):
        return all(map(_defines, [*node.body, *node.orelse]))
    if isinstance(node, ast.Try):
        handlers = [statement for handler in node.handlers for statement in handler.body]
        return all(map(_defines, [*node.body, *handlers, *node.orelse, *node.finalbody]))
    return isinstance(node, ast.Pass)


def _is_constant(value: ast.expr) -> bool:
    """Whether evaluating it again costs nothing and gives the same: no call but of the harmless."""
    calls = [node for node in ast.walk(value) if isinstance(node, (ast.Call, ast.Await, ast.Yield, ast.YieldFrom))]
    return all(isinstance(call, ast.Call) and ast.unparse(call.func) in _HARMLESS for call in calls)
