from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

DEPTH_LIMIT = 2
DEPTH_LIMIT_ERRORS = 3
EDGES = {"worker loop", "plugin call", "background task", "CLI"}
BROAD = {"Exception", "BaseException"}


def classes(modules: list[Any]) -> dict[str, tuple[str, list[str]]]:
    """Class name -> its file and the names of its bases, without their modules."""
    found: dict[str, tuple[str, list[str]]] = {}
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                bases = [ast.unparse(base).split("[")[0].rpartition(".")[2] for base in node.bases]
                found[node.name] = (module.path, bases)
    return found


def depth(name: str, known: dict[str, tuple[str, list[str]]]) -> int:
    """1 for a class that builds on none of ours; what comes from elsewhere adds nothing."""
    _, bases = known[name]
    return 1 + max(
        (depth(base, known) for base in bases if base in known and base != name), default=0
    )


def test_classes_inherit_at_most_two_deep_and_errors_three(modules: list[Any]) -> None:
    known = classes(modules)
    deep = {
        f"{path}:{name}": depth(name, known)
        for name, (path, _) in known.items()
        if depth(name, known) > (DEPTH_LIMIT_ERRORS if path == "errors.py" else DEPTH_LIMIT)
    }
    assert deep == {}


def names_everything(expression: ast.expr | None) -> bool:
    if expression is None:
        return True
    members = expression.elts if isinstance(expression, ast.Tuple) else [expression]
    return any(ast.unparse(member).rpartition(".")[2] in BROAD for member in members)


def handlers(
    node: ast.AST, inside: tuple[str, ...] = ()
) -> Iterator[tuple[str, ast.ExceptHandler]]:
    """Every ``except`` with the qualified name of the function that it stands in."""
    for child in ast.iter_child_nodes(node):
        within = inside
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            within = (*inside, child.name)
        if isinstance(child, ast.ExceptHandler):
            yield ".".join(inside), child
        yield from handlers(child, within)


def broad(modules: list[Any]) -> dict[str, list[ast.ExceptHandler]]:
    found: dict[str, list[ast.ExceptHandler]] = {}
    for module in modules:
        for function, handler in handlers(module.tree):
            if names_everything(handler.type):
                found.setdefault(f"{module.path}:{function}", []).append(handler)
    return found


def test_everything_is_caught_at_the_four_edges_only(
    modules: list[Any], allowances: dict[str, list[dict[str, str]]]
) -> None:
    entries = allowances.get("broad_except", [])
    assert {entry["edge"] for entry in entries} <= EDGES
    assert all(entry["reason"].strip() for entry in entries)
    assert sorted(broad(modules)) == sorted(entry["where"] for entry in entries)


def test_an_edge_does_something_with_what_it_catches(modules: list[Any]) -> None:
    silent = [
        f"{where}, line {handler.lineno}"
        for where, found in broad(modules).items()
        for handler in found
        if not any(
            isinstance(node, ast.Call | ast.Raise)
            for statement in handler.body
            for node in ast.walk(statement)
        )
    ]
    assert silent == []


def test_nothing_suppresses_everything(modules: list[Any]) -> None:
    found = [
        f"{module.path}:{node.lineno}"
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] == "suppress"
        and any(names_everything(argument) for argument in node.args)
    ]
    assert found == []
