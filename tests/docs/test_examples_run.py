"""What a reader would type does what the page says it does."""

from __future__ import annotations

import doctest
import io
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest

PORT = "8400"
SECONDS = 120


class Fence(Protocol):
    language: str
    text: str
    line: int
    mark: str

    @property
    def runs(self) -> bool: ...


class Page(Protocol):
    name: str

    @property
    def fences(self) -> list[Fence]: ...


@dataclass
class Reader:
    """Somebody who types a page's examples, in order, in an empty folder."""

    page: str
    folder: Path
    port: str
    names: dict[str, Any] = field(default_factory=dict)
    background: list[subprocess.Popen[str]] = field(default_factory=list)

    def follow(self, fence: Fence) -> None:
        if fence.language == "python":
            self.python(fence)
        elif fence.language == "console":
            for command, shown in steps(fence.text.replace(f":{PORT}", f":{self.port}")):
                if fence.mark == "background":
                    self.start(command, shown)
                else:
                    self.console(command, shown)

    def python(self, fence: Fence) -> None:
        where = f"{self.page}:{fence.line}"
        text = fence.text.replace(f":{PORT}", f":{self.port}")
        if text.startswith(">>> "):
            test = doctest.DocTestParser().get_doctest(text, self.names, where, where, 0)
            said: list[str] = []
            runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
            failed = runner.run(test, out=said.append, clear_globs=False).failed
            assert failed == 0, "".join(said)
            self.names.update(test.globs)
            return
        # The line numbers of a traceback are then the page's.
        with redirect_stdout(io.StringIO()) as printed:
            exec(compile("\n" * fence.line + text, where, "exec"), self.names)  # noqa: S102
        shown = re.findall(r"^print\(.*\)  # → (.*)$", text, re.MULTILINE)
        assert not shown or shown == printed.getvalue().splitlines()

    def console(self, command: str, shown: str) -> None:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        assert not shown or agrees(shown, done.stdout), f"{command}\n{done.stdout}"

    def start(self, command: str, shown: str) -> None:
        """Start a server and wait until it has said what the page shows."""
        with (self.folder / "background.log").open("w") as log:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.background.append(process)
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if agrees(shown, said):
                return
        raise AssertionError(f"{command}\n{said}{(self.folder / 'background.log').read_text()}")

    def stop(self) -> None:
        for process in self.background:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.communicate(timeout=SECONDS)

    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("TRIMTAB_")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**kept, "PATH": path, "TRIMTAB_SERVE__PORT": self.port, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def reader(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    one = Reader(page.name, tmp_path, port, names={"__name__": "__page__"})
    yield one
    one.stop()


def steps(text: str) -> Iterator[tuple[str, str]]:
    """Commands, which begin with ``$ `` and go on after a backslash, each with what it prints."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        end = 1 + next(i for i, line in enumerate(lines) if not line.endswith("\\"))
        yield "\n".join(lines[:end]), "\n".join(lines[end:]).strip()


def agrees(shown: str, said: str) -> bool:
    """Whether an output is what a page shows, but for the width of gaps.

    ``…`` stands for anything in a line, and alone on a line for any lines.
    """
    pattern = ""
    for line in map(squeezed, shown.splitlines()):
        if line == "…":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*".join(map(re.escape, line.split("…"))) + r"\n"
    output = "".join(f"{squeezed(line)}\n" for line in said.strip().splitlines())
    return re.fullmatch(pattern, output) is not None


def squeezed(line: str) -> str:
    return " ".join(line.split())


def test_the_examples_of_a_page_run(page: Page, reader: Reader) -> None:
    for fence in page.fences:
        if fence.runs:
            reader.follow(fence)


@pytest.mark.parametrize(
    ("shown", "said", "expected"),
    [
        ("a\nb", "a  \nb\n", True),
        ("a\nb", "a\nc\n", False),
        ("a", "a\nb\n", False),
        ("a\n…", "a\nb\nc\n", True),
        ("…\nc", "a\nb\nc\n", True),
        ("took … s", "took 3.5 s\n", True),
        ("took … s", "took 3.5 ms\n", False),
    ],
)
def test_output_is_compared_with_wildcards(shown: str, said: str, expected: bool) -> None:
    assert expected == agrees(shown, said)


def test_commands_are_told_from_output() -> None:
    text = "$ echo a \\\n    b\na b\n$ true\n"
    assert [("echo a \\\n    b", "a b"), ("true", "")] == list(steps(text))
