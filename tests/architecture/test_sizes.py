from __future__ import annotations

import ast
import io
import math
import tokenize
from typing import Any

FILE_LIMIT = 600
FILE_LIMIT_P90 = 400
FUNCTION_LIMIT = 80
COMMENT_LIMIT_RATIO = 0.07
ROOMS_WITHOUT_A_NAME = {"utils", "helpers", "common", "core", "base", "manager", "misc"}


def test_no_file_is_longer_than_600_lines(modules: list[Any]) -> None:
    long = {module.path: len(module.lines) for module in modules if len(module.lines) > FILE_LIMIT}
    assert long == {}


def test_nine_files_of_ten_have_at_most_400_lines(modules: list[Any]) -> None:
    lengths = sorted(len(module.lines) for module in modules)
    nearest_rank = lengths[math.ceil(0.9 * len(lengths)) - 1]
    longest = sorted(((len(m.lines), m.path) for m in modules), reverse=True)[
        : len(modules) // 10 + 1
    ]
    assert nearest_rank <= FILE_LIMIT_P90, longest


def test_no_function_is_longer_than_80_lines(modules: list[Any]) -> None:
    long = {
        f"{module.path}:{node.name}": length
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LIMIT
    }
    assert long == {}


def test_every_room_has_a_name_of_its_own(modules: list[Any]) -> None:
    nameless = [
        module.path
        for module in modules
        if ROOMS_WITHOUT_A_NAME & {part.strip("_") for part in module.name.split(".")}
    ]
    assert nameless == []


def comments(text: str) -> int:
    """Lines with a comment for people: not a blank one, not one for a tool."""
    tools = ("noqa", "type:", "fmt:", "pragma:", "!/")
    return sum(
        1
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT
        and (said := token.string.lstrip("#").strip())
        and not said.startswith(tools)
    )


def test_at_most_7_lines_of_100_have_a_comment(modules: list[Any]) -> None:
    lines = sum(1 for module in modules for line in module.lines if line.strip())
    by_file = {module.path: comments(module.text) for module in modules}
    said = sum(by_file.values())
    most = sorted(by_file.items(), key=lambda item: -item[1])[:5]
    assert said <= COMMENT_LIMIT_RATIO * lines, f"{said} comments in {lines} lines; most: {most}"
