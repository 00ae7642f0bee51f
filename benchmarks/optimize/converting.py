"""The memory that making a large forest compact takes, against loading it.

``converting.py [TREES [ROWS [FOLDER]]]``: trains a forest, and in processes of their own loads it with joblib
and makes it compact tree by tree. Peaks are the kernel's (VmHWM), above an idle process.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from trees import data

PROCESS = """
import sys, time
from pathlib import Path
import numpy, joblib, sklearn.ensemble
from trimtab.compact import Forest
from trimtab.optimize.convert.streaming import compact_file
def status(key):
    return int(Path("/proc/self/status").read_text().split(key + ":")[1].split()[0]) / 1024
before, started = status("VmRSS"), time.perf_counter()
if sys.argv[1] == "load":
    model = joblib.load(sys.argv[2])
else:
    Path(sys.argv[3]).write_bytes(compact_file(Path(sys.argv[2])))
took = time.perf_counter() - started
print(status("VmRSS") - before, status("VmHWM") - before, took)
"""


def trained(folder: Path, trees: int, rows: int) -> Path:
    from joblib import dump
    from sklearn.ensemble import RandomForestClassifier

    path = folder / "large.model"
    if not path.exists():
        model = RandomForestClassifier(trees, n_jobs=2, random_state=0, max_features=3)
        dump(model.fit(*data(rows, 1)), path)
    return path


def process(what: str, model: Path, target: Path) -> list[float]:
    done = subprocess.run(
        (sys.executable, "-c", PROCESS, what, str(model), str(target)),
        check=True,
        capture_output=True,
        text=True,
    )
    return [float(word) for word in done.stdout.split()]


def main(arguments: list[str]) -> None:
    trees = int(arguments[0]) if arguments else 600
    rows = int(arguments[1]) if len(arguments) > 1 else 120_000
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments[2]) if len(arguments) > 2 else Path(temporary)
        model, target = trained(folder, trees, rows), folder / "large.trimtree"
        loaded, load_peak, load_seconds = process("load", model, target)
        _, peak, seconds = process("convert", model, target)
        size = target.stat().st_size / 2**20
        print(f"forest: {model.stat().st_size / 2**20:.0f} MB file, {loaded:.0f} MB resident")
        print(
            f"joblib.load: peak {load_peak:.0f} MB ({load_peak / loaded:.2f} x), {load_seconds:.1f} s"
        )
        print(f"compact_file: peak {peak:.0f} MB ({peak / loaded:.2f} x), {seconds:.1f} s")
        print(f"compact: {size:.0f} MB, 1/{loaded / size:.1f} of the resident forest")


if __name__ == "__main__":
    main(sys.argv[1:])
