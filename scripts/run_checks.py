"""Runs the checks of a suite, two at a time where they do not time anything, and sums them up.

A check passes when its command exits with 0; a group of tests must also have run at least one
test. What failed is printed whole; what passed is one line.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
REPORTS = ROOT / "build" / "checks"
BIN = Path(sys.executable).parent

# Groups that start processes and measure time run alone, after all the others.
TOGETHER = ("property", "unit", "conformance")
ALONE = ("architecture", "docs", "integration", "e2e")
# Two groups share the cores: each library that would take all of them takes one.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@dataclass(frozen=True, slots=True)
class Check:
    """A command; ``report`` is where pytest leaves its counts, for a command that runs tests."""

    name: str
    command: tuple[str, ...]
    report: Path | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many tests passed, failed and were skipped."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped
        )


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a check; ``failure`` is empty when it passed."""

    check: Check
    seconds: float
    output: str
    counts: Counts
    failure: str


def tests(group: str) -> Check:
    report = REPORTS / f"{group}.xml"
    command = (sys.executable, "-m", "pytest", f"tests/{group}", f"--junitxml={report}")
    return Check(f"tests/{group}", command, report)


def static() -> list[Check]:
    return [
        Check("mypy", (str(BIN / "mypy"),)),
        Check("ruff check", (str(BIN / "ruff"), "check", ".")),
        Check("ruff format", (str(BIN / "ruff"), "format", "--check", ".")),
        Check("layers", (str(BIN / "lint-imports"), "--no-cache")),
    ]


def lowest() -> Check:
    (wheel,) = (ROOT / "dist").glob("*.whl")
    report = REPORTS / "lowest.xml"
    command = ("scripts/lowest-direct.sh", str(wheel), f"--junitxml={report}")
    return Check("lowest versions", command, report)


def present(groups: tuple[str, ...]) -> list[Check]:
    return [tests(group) for group in groups if (ROOT / "tests" / group).is_dir()]


def suite(name: str) -> tuple[list[Check], list[Check]]:
    """The checks that run beside one another, longest first, and those that run alone."""
    if name == "all":
        return [lowest(), *present(TOGETHER), *static()], present(ALONE)
    if name == "fast":
        return [*present(("unit",)), *static()], []
    if name == "docs":
        return [], present(("docs",))
    message = f"unknown suite {name!r}: say all, fast or docs"
    raise SystemExit(message)


def counted(report: Path) -> Counts:
    if not report.exists():
        return Counts()
    total = Counts()
    for element in ElementTree.parse(report).getroot().iter("testsuite"):  # noqa: S314 - our own
        number = {
            key: int(element.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")
        }
        failed = number["failures"] + number["errors"]
        skipped = number["skipped"]
        total += Counts(number["tests"] - failed - skipped, failed, skipped)
    return total


def run(check: Check, settings: dict[str, str] | None = None) -> Result:
    started = time.monotonic()
    done = subprocess.run(
        check.command,
        cwd=ROOT,
        env=os.environ | (settings or {}),
        check=False,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    counts = counted(check.report) if check.report else Counts()
    failure = "" if done.returncode == 0 else f"exit status {done.returncode}"
    if check.report and not failure and counts.passed == 0:
        failure = "no test ran"
    return Result(check, time.monotonic() - started, done.stdout, counts, failure)


def tell(result: Result) -> None:
    verdict = f"FAILED ({result.failure})" if result.failure else "ok"
    count = f"{result.counts.passed} passed" if result.check.report else ""
    if result.counts.skipped:
        count += f", {result.counts.skipped} skipped"
    if result.failure:
        print(f"\n---- {result.check.name} ----\n{result.output}", flush=True)
    line = f"{result.check.name:<18} {verdict:<8} {result.seconds:6.1f} s  {count}"
    print(line.rstrip(), flush=True)


def finished(future: Future[Result]) -> None:
    tell(future.result())


def main(name: str) -> int:
    """Runs a suite; returns the exit status."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    for stale in REPORTS.glob("*.xml"):
        stale.unlink()
    together, alone = suite(name)
    with ThreadPoolExecutor(max_workers=2) as pool:
        futures = [pool.submit(run, check, ONE_THREAD) for check in together]
        for future in futures:
            future.add_done_callback(finished)
    results = [future.result() for future in futures]
    for check in alone:
        results.append(run(check))
        tell(results[-1])

    total = sum((result.counts for result in results), Counts())
    failures = [result.check.name for result in results if result.failure]
    if total.passed + total.failed == 0:
        failures.append("no test ran at all")
    print(f"\nchecks: {len(results)} run, failed: {', '.join(failures) or 'none'}")
    print(f"tests: {total.passed} passed, {total.failed} failed, {total.skipped} skipped")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "all"))
