from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import trimtab

IMPORT_LIMIT_MS = 15.0
HELP_LIMIT_MS = 150.0
HEAVY = ("numpy", "scipy", "pandas", "sqlalchemy", "pyarrow", "sklearn", "prometheus_client")
NOT_FOR_A_VERDICT = {"pandas", "sqlalchemy", "prometheus_client", "scipy.stats", "pyarrow.dataset"}
NOTHING = (sys.executable, "-I", "-c", "pass")

# Watches what importing does: the audit hook sees sockets, processes, patches of the environment
# and files opened for writing (byte code apart, which the interpreter itself caches).
WATCH = """
import json, os, sys, threading
seen = []
def hook(event, arguments):
    if event.startswith(("socket.", "subprocess.", "os.putenv", "os.unsetenv", "os.system", "os.fork")):
        seen.append(event)
    elif event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        seen.append(f"open {arguments[0]}")
before = dict(os.environ), threading.active_count(), list(sys.path), list(sys.meta_path)
sys.dont_write_bytecode = True
sys.addaudithook(hook)
import trimtab
after = dict(os.environ), threading.active_count(), list(sys.path), list(sys.meta_path)
print(json.dumps({"same": before == after, "seen": seen, "modules": sorted(sys.modules)}))
"""

VERDICT = """
import io, json, sys
from pyarrow import csv
import trimtab
lines = [f"{at},{at % 2},{'ab'[at % 2]},{'' if at % 3 else 1.5}" for at in range(300)]
rows = csv.read_csv(io.BytesIO("\\n".join(["x,y,c,gap", *lines]).encode()))
assert not trimtab.DriftDetector(rows).detect_drift(rows)[0]
print(json.dumps(sorted(sys.modules)))
"""


def ran_ms(command: tuple[str, ...]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return (time.perf_counter() - started) * 1000.0


def over_the_interpreter_ms(command: tuple[str, ...], runs: int) -> float:
    """The least of several runs less the least of an empty program's, taken in turns."""
    ran_ms(command)
    pairs = [(ran_ms(NOTHING), ran_ms(command)) for _ in range(runs)]
    return min(own for _, own in pairs) - min(empty for empty, _ in pairs)


def test_import_takes_at_most_15_ms_over_the_interpreter() -> None:
    taken = over_the_interpreter_ms((sys.executable, "-I", "-c", "import trimtab"), runs=15)
    assert taken <= IMPORT_LIMIT_MS


def test_help_takes_at_most_150_ms_over_the_interpreter() -> None:
    command = Path(sys.executable).parent / "trimtab"
    assert over_the_interpreter_ms((str(command), "--help"), runs=7) <= HELP_LIMIT_MS


def test_import_has_no_side_effect_and_loads_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", WATCH], check=True, capture_output=True, text=True
    )
    report = json.loads(done.stdout)
    assert report["seen"] == []
    assert report["same"]
    assert "trimtab" in report["modules"]
    assert sorted(set(HEAVY) & set(report["modules"])) == []


def test_a_first_verdict_loads_no_more_than_it_needs() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", VERDICT], check=True, capture_output=True, text=True
    )
    assert sorted(NOT_FOR_A_VERDICT & set(json.loads(done.stdout))) == []


def test_what_is_tested_is_the_installed_wheel_and_it_is_the_tree(root: Path) -> None:
    installed = Path(trimtab.__file__).parent
    tree = root / "src" / "trimtab"
    assert installed != tree
    assert contents(installed) == contents(tree), "the wheel is older than the tree: make install"
    assert (installed / "py.typed").is_file()


def contents(package: Path) -> dict[str, bytes]:
    return {
        file.relative_to(package).as_posix(): file.read_bytes()
        for file in sorted(package.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".so"
    }
