"""A forest too large for small machines: lossless, and the curve of size against AUC by step.

``python benchmarks/optimize/large.py all FOLDER`` runs the three parts one after the other; each can be
run by itself, and leaves its figures in FOLDER. ``--data FILE --target COLUMN`` takes a Parquet file in
place of made-up rows. The forest is scikit-learn's ExtraTreesClassifier with its default settings.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from pyarrow import parquet
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier

from trimtab.optimize.forms import NativeForm, libraries
from trimtab.optimize.losses import auc_change
from trimtab.optimize.measure import footprints, machine
from trimtab.optimize.packed import PackedForm
from trimtab.optimize.steps.compact import Compact
from trimtab.optimize.steps.distil import Distil
from trimtab.optimize.steps.fewer_trees import FewerTrees
from trimtab.optimize.steps.prune import MergeLeaves, Prune
from trimtab.optimize.steps.quantise import QuantiseLeaves
from trimtab.protocols import OptimisationStep
from trimtab.types import FloatArray, Ground, ModelFile, Rows, Task

HELD = 20_000
STEPS: dict[str, Callable[[], OptimisationStep]] = {
    "fewer_trees": FewerTrees,
    "prune": Prune,
    "merge": MergeLeaves,
    "quantise": QuantiseLeaves,
    "distil": Distil,
}


def rows_of(args: argparse.Namespace) -> tuple[FloatArray, Any]:
    """Rows and outcomes: made up, or from a Parquet file's numeric columns."""
    if args.data is None:
        return make_classification(
            args.rows + 2 * HELD, 20, n_informative=12, n_clusters_per_class=8, flip_y=0.15,
            class_sep=0.7, random_state=0,
        )  # fmt: skip
    table = parquet.read_table(args.data)
    y = table[args.target].to_numpy().astype(np.int64)
    numeric = [
        field.name for field in table.schema
        if field.name != args.target and str(field.type) in {"float", "double", "int8", "int32", "int64"}
    ]  # fmt: skip
    X = np.column_stack([table[name].to_numpy().astype(np.float64) for name in numeric])
    order = np.random.default_rng(0).permutation(len(y))[: args.rows + 2 * HELD]
    return X[order], y[order]


def train(args: argparse.Namespace) -> None:
    X, y = rows_of(args)
    np.savez(args.folder / "rows.npz", X=X[-2 * HELD :], y=y[-2 * HELD :])
    began = time.perf_counter()
    forest = ExtraTreesClassifier(args.trees, random_state=0, n_jobs=os.cpu_count())
    forest.fit(X[: -2 * HELD], y[: -2 * HELD])
    nodes = sum(tree.tree_.node_count for tree in forest.estimators_)
    joblib.dump(forest, args.folder / "forest.joblib")
    keep(args, "train", {"trees": args.trees, "rows": len(X) - 2 * HELD, "nodes": nodes,
                         "seconds": time.perf_counter() - began, "machine": machine()})  # fmt: skip


def lossless(args: argparse.Namespace) -> None:
    ground, native, form = opened(args)
    began = time.perf_counter()
    packed = len(form.packed)
    seconds = time.perf_counter() - began
    few = ground.certify.X[:2_000]
    differ = form.paths_differ(native, few)
    apart = float(np.abs(native.outputs(few) - form.outputs(few)).max())
    small = form.write(args.folder / "compact")
    whole = ModelFile(
        path=str(args.folder / "forest.joblib"),
        opener="trimtab.optimize.forms:open_native",
        imports=libraries(native.model),
    )
    del native, form
    before, after = footprints([whole, small], ground.certify.X, rounds=2, workers=1)
    (_, shared) = footprints([small, small], ground.certify.X, rounds=1, workers=4)
    keep(args, "lossless", {"pack_seconds": seconds, "packed_bytes": packed, "max_abs": apart,
                            "path_differences": differ, "before": facts(before),
                            "after": facts(after), "pss_of_4": shared.pss_bytes})  # fmt: skip


def curve(args: argparse.Namespace, name: str) -> None:
    ground, native, form = opened(args)
    y = ground.certify.outcomes
    assert y is not None
    start = native if name == "distil" else form
    whole = form.outputs(ground.certify.X)[:, 1]
    points = []
    for words, offered in STEPS[name]().offers(start, ground):
        made = next((f for _, f in Compact().offers(offered, ground)), offered)
        answers = made.outputs(ground.certify.X)
        lost = auc_change(whole, answers[:, 1], y > 0)
        size = made.write(args.folder / f"curve-{name}").disk_bytes
        points.append({"step": words, "bytes": size, "auc": lost.after, "loss": lost.loss,
                       "low": lost.low, "high": lost.high})  # fmt: skip
        print(f"{words:36s} {size / 1e6:9.2f} MB  loss {lost.loss:+.4f}", flush=True)
    keep(args, f"curve-{name}", {"auc": lost.before, "points": points})


def opened(args: argparse.Namespace) -> tuple[Ground, NativeForm, PackedForm]:
    kept = np.load(args.folder / "rows.npz")
    X, y = kept["X"], kept["y"]
    half = Rows(X=X[:HELD], outcomes=y[:HELD])
    ground = Ground(
        task=Task.BINARY, fit=half, choose=half, certify=Rows(X=X[HELD:], outcomes=y[HELD:])
    )
    native = NativeForm(joblib.load(args.folder / "forest.joblib"))
    ((_, form),) = Compact().offers(native, ground)
    assert isinstance(form, PackedForm)
    return ground, native, form


def facts(costs: Any) -> dict[str, float]:
    return {name: getattr(costs, name) for name in costs.__struct_fields__}


def keep(args: argparse.Namespace, name: str, found: dict[str, Any]) -> None:
    (args.folder / f"{name}.json").write_text(json.dumps(found, indent=1), encoding="utf-8")


def table(args: argparse.Namespace) -> None:
    made = {path.stem: json.loads(path.read_text("utf-8")) for path in args.folder.glob("*.json")}
    if "lossless" in made and "train" in made:
        found, trained = made["lossless"], made["train"]
        before, after = found["before"], found["after"]
        print(
            f"{trained['trees']} trees, {trained['nodes'] / 1e6:.1f} M nodes, {trained['machine']}"
        )
        for name in ("disk_bytes", "rss_bytes", "load_ms", "p50_us", "p99_us", "rows_per_s"):
            ratio = (
                before[name] / after[name] if name != "rows_per_s" else after[name] / before[name]
            )
            print(f"  {name:12s} {before[name]:16,.0f} {after[name]:14,.1f}   {ratio:8.1f} ×")
        print(f"  largest difference {found['max_abs']:.2g}, rows on another path "
              f"{found['path_differences']}, packed in {found['pack_seconds']:.0f} s")  # fmt: skip
        print(f"  a worker's part of 4: {found['pss_of_4'] / 1e6:.1f} MB")
        scale = 8e9 / before["rss_bytes"]
        print(f"  projected to 8 GB resident: {after['rss_bytes'] * scale / 1e6:.0f} MB lossless")
    for name in STEPS:
        for point in made.get(f"curve-{name}", {}).get("points", ()):
            print(f"  {point['step']:36s} {point['bytes'] / 1e6:9.2f} MB  AUC loss {point['loss']:+.4f} "
                  f"[{point['low']:+.4f}, {point['high']:+.4f}]")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["all", "train", "lossless", "table", *STEPS])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trees", type=int, default=120)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--target", default="y")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    parts = ["train", "lossless", *STEPS, "table"] if args.part == "all" else [args.part]
    for part in parts:
        {"train": train, "lossless": lossless, "table": table}.get(
            part, lambda args, name=part: curve(args, name)
        )(args)


if __name__ == "__main__":
    main()
