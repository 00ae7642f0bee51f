"""Names that a page mentions exist: files, headings, commands, settings, tests."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import click
import pytest
from msgspec import inspect as kinds

from trimtab import config
from trimtab.cli.main import COMMANDS, cli
from trimtab.errors import InvalidConfig

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = {"python", "console", "toml", "json", "text", "promql", "http", ""}


class Fence(Protocol):
    language: str
    text: str
    line: int

    @property
    def runs(self) -> bool: ...


class Page(Protocol):
    path: Path
    text: str

    @property
    def prose(self) -> str: ...

    @property
    def fences(self) -> list[Fence]: ...


def slug(heading: str) -> str:
    """The anchor of a heading, as the forges make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(text: str) -> set[str]:
    return {slug(found) for found in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


def code(page: Page) -> list[str]:
    """Inline code and fences: what a reader may type."""
    return re.findall(r"`([^`\n]+)`", page.prose) + [
        line
        for fence in page.fences
        if fence.language in {"console", "text", ""}
        for line in fence.text.replace("\\\n", "").splitlines()
    ]


def test_links_lead_somewhere(page: Page, all_pages: dict[Path, Page]) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.prose):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.path.parent / name).resolve() if name else page.path
        there = target.exists() and (not anchor or anchor in anchors(all_pages[target].text))
        if not there:
            broken.append(link)
    assert broken == []


def test_commands_exist(page: Page) -> None:
    unknown = []
    with click.Context(cli, info_name="trimtab") as context:
        for text in code(page):
            for name, below in re.findall(
                r"(?:^|[\s`$(])trimtab ([a-z]+)(?: ([a-z][a-z-]*))?", text
            ):
                command = cli.get_command(context, name) if name in COMMANDS else None
                missing = isinstance(command, click.Group) and below not in {"", *command.commands}
                if command is None or missing:
                    unknown.append(text)
    assert unknown == []


def test_options_exist(page: Page) -> None:
    unknown = []
    with click.Context(cli, info_name="trimtab") as context:
        for text in code(page):
            found = re.search(r"(?:^|\s)trimtab ([a-z]+)(?: ([a-z][a-z-]*))?", text)
            command = cli.get_command(context, found[1]) if found and found[1] in COMMANDS else None
            if found and isinstance(command, click.Group):
                command = command.commands.get(found[2])
            if command is not None:
                known = {name for option in command.params for name in option.opts} | {"--help"}
                used = re.findall(r"(?<=\s)--[a-z-]+", text.partition(" | ")[0])
                unknown += [f"{text}: {name}" for name in used if name not in known]
    assert unknown == []


def exists(path: list[str]) -> bool:
    """Whether a dotted path, placeholders included, names a setting or a table of them."""
    kind: kinds.Type = kinds.type_info(config.Config)
    for part in path:
        if isinstance(kind, kinds.UnionType):
            kind = next(one for one in kind.types if not isinstance(one, kinds.NoneType))
        if isinstance(kind, kinds.VarTupleType):
            kind = kind.item_type
        if isinstance(kind, kinds.DictType):
            kind = kind.value_type
        elif isinstance(kind, kinds.StructType):
            fields = {field.encode_name: field.type for field in kind.fields}
            if part not in fields:
                return False
            kind = fields[part]
        else:
            return False
    return True


def test_settings_exist(page: Page) -> None:
    named = [
        (name, name.removeprefix(config.PREFIX).lower().split("__"))
        for name in re.findall(r"\bTRIMTAB_[A-Z][A-Z_]*[A-Z]", page.text)
    ]
    for text in re.findall(r"`([^`\n]+)`", page.prose):
        found = re.fullmatch(r"\[{1,2}([a-zA-Z_.]+)\]{1,2}(?: ([a-z_]+))?", text)
        if found:
            named.append((text, [*found[1].split("."), *filter(None, [found[2]])]))
    assert [] == [name for name, path in named if not exists(path)]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("serve.port", True),
        ("serve.prot", False),
        ("models.fraud.rollout.steps.share", True),
        ("models.fraud.rollout.steps.size", False),
        ("features.stores.live.options.prefix", True),
    ],
)
def test_a_setting_is_known_by_its_path(path: str, expected: bool) -> None:
    assert expected == exists(path.split("."))


def test_configurations_are_right(page: Page, tmp_path: Path) -> None:
    wrong = []
    for fence in page.fences:
        if fence.language == "toml" and fence.runs:
            path = tmp_path / f"line{fence.line}.toml"
            path.write_text(fence.text, encoding="utf-8")
            try:
                config.load(path, environ={})
            except InvalidConfig as error:
                wrong.append(f"line {fence.line}: {error}")
    assert wrong == []


def test_files_of_the_repository_exist(page: Page) -> None:
    named = re.findall(r"`((?:src|tests|scripts|docs)/[\w./-]+)`", page.prose)
    assert [] == [name for name in named if not (ROOT / name).exists()]


def test_fences_are_of_known_languages(page: Page) -> None:
    assert {fence.language for fence in page.fences} <= LANGUAGES
    assert page.text.count("\n```") == 2 * len(page.fences)


def test_the_written_reference_is_current() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/write_reference.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stdout), done.stderr


def test_the_json_of_a_page_is_json(page: Page) -> None:
    wrong = []
    for fence in page.fences:
        if fence.language == "json":
            try:
                json.loads(fence.text)
            except json.JSONDecodeError as error:
                wrong.append(f"line {fence.line}: {error}")
    assert wrong == []


def test_every_law_has_a_test() -> None:
    table = (ROOT / "docs" / "laws.md").read_text("utf-8")
    laws = re.findall(r"^\| (\d+) \|.*\| (`tests/.*) \|$", table, re.MULTILINE)
    assert [str(number) for number in range(1, 13)] == [number for number, _ in laws]
