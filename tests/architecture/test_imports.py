from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from typing import Any


def guards_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {
        "TYPE_CHECKING",
        "typing.TYPE_CHECKING",
    }


def run_time_imports(
    node: ast.AST, *, inside: bool = False
) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Imports that run, each with whether it stands inside a function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, inside
        elif isinstance(child, ast.If) and guards_types_only(child):
            for other in child.orelse:
                yield from run_time_imports(ast.Module([other], []), inside=inside)
        else:
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from run_time_imports(child, inside=inside or function)


def targets(statement: ast.Import | ast.ImportFrom, package: str, known: set[str]) -> set[str]:
    """Modules of ours that the statement imports; a name that is a submodule counts as it."""
    if isinstance(statement, ast.Import):
        return {alias.name for alias in statement.names} & known
    origin = statement.module or ""
    if statement.level:
        parts = package.split(".")
        above = parts[: len(parts) - statement.level + 1]
        origin = ".".join([*above, origin] if origin else above)
    found = set()
    for alias in statement.names:
        submodule = f"{origin}.{alias.name}"
        found.add(submodule if submodule in known else origin)
    return found & known


def graph_of(modules: list[Any]) -> dict[str, set[str]]:
    known = {module.name for module in modules}
    return {
        module.name: {
            target
            for statement, _ in run_time_imports(module.tree)
            for target in targets(statement, module.package, known)
        }
        - {module.name}
        for module in modules
    }


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(graph[name])
    return seen


def test_no_import_cycle_not_even_inside_functions(modules: list[Any]) -> None:
    graph = graph_of(modules)
    assert len(graph) == len(modules)
    in_cycles = sorted(name for name in graph if name in reachable(graph, name))
    assert in_cycles == []


def function_imports(module: Any) -> list[str]:
    return [
        f"{module.path}:{statement.lineno} {ast.unparse(statement)}"
        for statement, inside in run_time_imports(module.tree)
        if inside
    ]


def test_imports_inside_functions_only_where_allowed(
    modules: list[Any], allowances: dict[str, list[dict[str, str]]]
) -> None:
    patterns = [entry["path"] for entry in allowances["function_import"]]
    elsewhere = [
        found
        for module in modules
        if not any(fnmatch(module.path, pattern) for pattern in patterns)
        for found in function_imports(module)
    ]
    assert elsewhere == []


def test_every_allowed_function_import_has_its_reason(
    allowances: dict[str, list[dict[str, str]]],
) -> None:
    assert all(entry["reason"].strip() for entry in allowances["function_import"])
    assert len({entry["path"] for entry in allowances["function_import"]}) == len(
        allowances["function_import"]
    )
