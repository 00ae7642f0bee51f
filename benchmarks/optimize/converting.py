"""A large forest made compact tree by tree: the memory that takes, what is left, and what is lost.

``converting.py [TREES [ROWS [FOLDER]]]`` trains extremely randomised trees (30 features, ``max_features=1``) in a
process of its own, which also answers 20,000 held-out rows, and makes them compact in another. A
forest in ``FOLDER/large.model`` is not trained again. 1,240 trees on 60,000 rows are 9.2 GB; the file
is as large, and training takes as much memory and some minutes. Peaks are the kernel's (VmHWM),
above an idle process. ``--load`` also measures ``joblib.load``, which needs the forest twice.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from trimtab.compact import Forest
from trimtab.optimize.losses import auc_change

STATUS = """
import sys, time
from pathlib import Path
def status(key):
    return int(Path("/proc/self/status").read_text().split(key + ":")[1].split()[0]) / 1024
"""

TRAIN = """
import joblib, numpy
from sklearn.ensemble import ExtraTreesClassifier
from trees import data
folder, trees, rows = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
X, y = data(rows, 1)
before = status("VmRSS")
model = ExtraTreesClassifier(trees, n_jobs=2, random_state=0, max_features=1).fit(X, y)
resident = status("VmRSS") - before
joblib.dump(model, folder / "large.model")
model.n_jobs = 1
held, outcomes = data(20_000, 2)
nodes = sum(tree.tree_.node_count for tree in model.estimators_)
answers = model.predict_proba(held)
numpy.savez(folder / "held.npz", X=held, y=outcomes, answers=answers, nodes=nodes, resident=resident)
"""

CONVERT = """
import numpy, joblib, sklearn.ensemble
from trimtab.compact import Forest
from trimtab.optimize.convert.streaming import compact_file
before, started = status("VmRSS"), time.perf_counter()
if sys.argv[1] == "load":
    model = joblib.load(sys.argv[2])
else:
    Path(sys.argv[3]).write_bytes(compact_file(Path(sys.argv[2])))
print(status("VmHWM") - before, time.perf_counter() - started)
"""


def process(code: str, *arguments: object) -> list[float]:
    done = subprocess.run(
        (sys.executable, "-c", STATUS + code, *map(str, arguments)),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent,
    )
    return [float(word) for word in done.stdout.split()]


def main(arguments: list[str]) -> None:
    loading = "--load" in arguments
    numbers = [word for word in arguments if word != "--load"]
    trees = int(numbers[0]) if numbers else 200
    rows = int(numbers[1]) if len(numbers) > 1 else 60_000
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(numbers[2]).resolve() if len(numbers) > 2 else Path(temporary)
        model, target = folder / "large.model", folder / "large.trimtree"
        if not model.exists():
            process(TRAIN, folder, trees, rows)
        held = np.load(folder / "held.npz")
        resident = float(held["resident"])
        print(
            f"{int(held['nodes']) / 1e6:.1f} M nodes: {model.stat().st_size / 2**20:,.0f} MB file,"
            f" {resident:,.0f} MB resident"
        )
        if loading:
            peak, seconds = process(CONVERT, "load", model, target)
            print(f"joblib.load: peak {peak:,.0f} MB ({peak / resident:.2f} x), {seconds:.0f} s")
        peak, seconds = process(CONVERT, "convert", model, target)
        print(f"made compact: peak {peak:,.0f} MB ({peak / resident:.2f} x), {seconds:.0f} s")
        size = target.stat().st_size / 2**20
        print(f"compact: {size:,.0f} MB, 1/{resident / size:.1f} of what was resident")
        told(Forest.open(target).predict(held["X"]), held["answers"], held["y"])


def told(after: np.ndarray, before: np.ndarray, outcomes: np.ndarray) -> None:
    """How far the answers are apart, and both areas under the ROC curve."""
    equal = int((after == before).all(axis=1).sum())
    lost = auc_change(before[:, 1], after[:, 1], outcomes > 0)
    print(
        f"{equal:,} of {len(after):,} held-out rows equal bit for bit, at most"
        f" {np.abs(after - before).max():.2g} apart; AUC {lost.before:.5f} to {lost.after:.5f}"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
