"""Tree ensembles in one thread: memory, load, one row, batches, against other runtimes.

Each runtime is measured in a process of its own, which loads a model from a file and answers; the
rounds of all runtimes alternate. Every single-row call has another row: one row again and again
keeps its path in the cache. Resident sizes are what loading added, so imports do not count.
Usage: ``trees.py [MODEL …]``; models are trained once and kept in the folder ``--keep`` names.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FEATURES = 30
MODELS = ("forest", "extra", "extra-large", "histogram", "lightgbm", "xgboost")
PEERS = {
    "forest": ("sklearn", "sklearn-trees", "onnxruntime", "treelite"),
    "extra": ("sklearn",),
    "extra-large": ("sklearn",),
    "histogram": ("sklearn", "treelite"),
    "lightgbm": ("lightgbm", "onnxruntime", "tl2cgen", "lleaves", "daal4py"),
    "xgboost": ("xgboost", "onnxruntime", "tl2cgen", "daal4py"),
}
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TBB_NUM_THREADS"), "1"
)


def data(rows: int, seed: int) -> tuple[Any, Any]:
    """Thirty continuous features and a noisy outcome, so that trees grow deep."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, FEATURES))
    signal = X[:, 0] + X[:, 1] * X[:, 2] + np.sin(3 * X[:, 3]) + 0.5 * X[:, 4:10].sum(axis=1)
    return X, (signal + 1.5 * rng.normal(size=rows) > 0).astype(int)


def peer_python(name: str) -> str:
    """The Python of an environment of peers; daal4py wants an older scikit-learn than the others."""
    started = (str(ROOT / "scripts" / "peer-env.sh"), name)
    return subprocess.run(started, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def train(name: str, folder: Path) -> Path:
    """The model's file; a model that is there already is not trained again."""
    from joblib import dump
    from sklearn import ensemble

    path = folder / f"{name}.model"
    if path.exists():
        return path
    if name == "lightgbm":
        import lightgbm

        settings = {"objective": "binary", "num_leaves": 31, "verbosity": -1}
        lightgbm.train(settings, lightgbm.Dataset(*data(50_000, 1)), 500).save_model(path)
    elif name == "xgboost":
        import xgboost

        settings = {"objective": "binary:logistic", "max_depth": 6}
        xgboost.train(settings, xgboost.DMatrix(*data(50_000, 1)), 500).save_model(
            folder / "xgboost.json"
        )
        (folder / "xgboost.json").rename(path)
    else:
        rows, model = {
            "forest": (50_000, ensemble.RandomForestClassifier(100, n_jobs=2, random_state=0)),
            "extra": (60_000, ensemble.ExtraTreesClassifier(400, n_jobs=2, random_state=0)),
            "extra-large": (
                150_000,
                ensemble.ExtraTreesClassifier(400, max_features=1, n_jobs=2, random_state=0),
            ),
            "histogram": (60_000, ensemble.HistGradientBoostingClassifier(max_iter=300)),
        }[name]
        model.fit(*data(rows, 1))
        if hasattr(model, "n_jobs"):
            model.n_jobs = 1
        dump(model, path)
    return path


def compact(name: str, model: Path) -> Path:
    """The compact file of a model."""
    target = model.with_suffix(".trimtree")
    if not target.exists():
        started = (sys.executable, str(HERE / "convert_one.py"), name, str(model), str(target))
        print(subprocess.run(started, check=True, capture_output=True, text=True).stdout.strip())
    return target


def measured(python: str, runtime: str, path: Path, rows: Path, answers: Path) -> dict[str, Any]:
    """What a process of this runtime measured, or why it could not."""
    done = subprocess.run(
        (python, str(HERE / "runtimes.py"), runtime, str(path), str(rows), str(answers)),
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | ONE_THREAD,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        return {"failed": last[0][:110]}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def prepared(name: str, model: Path, pythons: dict[str, str], others: str) -> None:
    """Let each runtime make what it needs beside the model: compilers take minutes for some."""
    for runtime in PEERS[name]:
        started = (pythons.get(runtime, others), str(HERE / "runtimes.py"), runtime, str(model))
        done = subprocess.run(started, check=False, capture_output=True, text=True)
        if done.returncode:
            print(f"{name}: {runtime} was not prepared: {done.stderr.strip().splitlines()[-1]}")


def table(name: str, figures: dict[str, list[dict[str, Any]]], answers: dict[str, Any]) -> None:
    """One line a runtime: medians over the rounds, and ratios against ours."""
    ours = summary(figures["trimtab"])
    truth = answers.get(next(key for key in figures if key != "trimtab"))
    rounds = len(figures["trimtab"])
    print(f"\n{name}: {rounds} rounds in turns, one thread")
    print(
        f"{'runtime':15}{'RSS MB':>9}{'load ms':>9}{'row us':>9}{'rows/s':>10}"
        f"{'RSS x':>8}{'row x':>8}{'batch x':>8}  max |difference|"
    )
    for runtime, entries in figures.items():
        failed = [entry["failed"] for entry in entries if "failed" in entry]
        if failed:
            print(f"{runtime:15}  not measured: {failed[0]}")
            continue
        own = summary(entries)
        apart = "" if truth is None else f"{np.abs(answers[runtime] - truth).max():.1e}"
        print(
            f"{runtime:15}{own['rss_mb']:9.1f}{own['load_ms']:9.1f}{own['row_us']:9.1f}"
            f"{own['rows_per_second']:10.0f}{own['rss_mb'] / ours['rss_mb']:8.1f}"
            f"{own['row_us'] / ours['row_us']:8.1f}"
            f"{ours['rows_per_second'] / own['rows_per_second']:8.2f}  {apart}"
        )


def summary(rounds: list[dict[str, Any]]) -> dict[str, float]:
    """The median of each figure over the rounds."""
    return {key: statistics.median(entry[key] for entry in rounds) for key in rounds[0]}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prepare", action="store_true", help="train, convert, compile peers only")
    given = parser.parse_args(arguments)
    pythons = {"trimtab": sys.executable, "daal4py": peer_python("optimize-daal4py")}
    others = peer_python("optimize-trees")
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        rows = folder / "rows.npy"
        np.save(rows, data(20_000, 2)[0])
        for name in given.models:
            model = train(name, folder)
            ours = compact(name, model)
            if given.prepare:
                prepared(name, model, pythons, others)
                continue
            figures: dict[str, list[dict[str, Any]]] = {}
            answers = {}
            for _ in range(given.rounds):
                for runtime in ("trimtab", *PEERS[name]):
                    python = pythons.get(runtime, others)
                    path = ours if runtime == "trimtab" else model
                    answer = folder / f"{name}-{runtime}.npy"
                    result = measured(python, runtime, path, rows, answer)
                    figures.setdefault(runtime, []).append(result)
                    if "failed" not in result:
                        answers[runtime] = np.load(answer)
            table(name, figures, answers)
            shared(ours, rows)


def shared(path: Path, rows: Path) -> None:
    """The proportional size of one worker, and of four that map the same file."""
    sizes = {}
    for workers in (1, 4):
        done = subprocess.run(
            (sys.executable, str(HERE / "workers.py"), str(path), str(rows), str(workers)),
            check=True,
            capture_output=True,
            text=True,
        )
        sizes[workers] = [float(word) for word in done.stdout.split()]
    four, one = (mapped + own for mapped, own, _ in (sizes[4], sizes[1]))
    print(
        f"four workers take {four:.2f} MB (PSS) of the model together, {sizes[4][1]:.3f} MB of it their own;"
        f" one takes {one:.2f} MB: {four / one:.2f} x (to answer at all took each {sizes[1][2]:.2f} MB before)"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
