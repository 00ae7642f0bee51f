"""Pages of README, CONTRIBUTING, CHANGELOG and docs/, cut into their fences.

An HTML comment on the line before a fence says how it is to be treated:

- ``<!-- docs: background -->``: a console fence whose one command is started, and left running until
  the page is done, once its output begins with what the page shows;
- ``<!-- docs: not run: why -->``: a fence that is only read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOP = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
FENCE = re.compile(
    r"(?:^<!-- docs: (?P<mark>[^>]*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Fence:
    """A fenced block: its language, text, first line, and what the comment before it says."""

    language: str
    text: str
    line: int
    mark: str

    @property
    def runs(self) -> bool:
        return not self.mark.startswith("not run")


@dataclass(frozen=True, slots=True)
class Page:
    """A Markdown page."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def prose(self) -> str:
        """The page without its fences."""
        return FENCE.sub("", self.text)

    @property
    def fences(self) -> list[Fence]:
        return [
            Fence(
                language=found["language"],
                text=found["text"],
                line=self.text.count("\n", 0, found.start("language")) + 1,
                mark=found["mark"] or "",
            )
            for found in FENCE.finditer(self.text)
        ]


def pages() -> list[Page]:
    paths = [ROOT / name for name in TOP] + sorted((ROOT / "docs").rglob("*.md"))
    return [Page(path, path.read_text("utf-8")) for path in paths]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "page" in metafunc.fixturenames:
        found = pages()
        metafunc.parametrize("page", found, ids=[page.name for page in found])


@pytest.fixture(scope="session")
def all_pages() -> dict[Path, Page]:
    return {page.path: page for page in pages()}
