from __future__ import annotations

import ast
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Module:
    """One source file; ``name`` is dotted and ``path`` relative to the package."""

    name: str
    path: str
    text: str

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def package(self) -> str:
        return self.name if self.path.endswith("__init__.py") else self.name.rpartition(".")[0]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def modules() -> list[Module]:
    package = ROOT / "src" / "trimtab"
    found = []
    for file in sorted(package.rglob("*.py")):
        parts = ("trimtab", *file.relative_to(package).with_suffix("").parts)
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append(Module(name, file.relative_to(package).as_posix(), file.read_text("utf-8")))
    assert found, f"no source under {package}"
    return found


@pytest.fixture(scope="session")
def allowances() -> dict[str, list[dict[str, str]]]:
    return tomllib.loads((Path(__file__).parent / "allowances.toml").read_text("utf-8"))
