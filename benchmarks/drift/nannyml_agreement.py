"""ROC AUC estimated without outcomes, by chunk, beside NannyML's on the sets that NannyML ships.

Usage: nannyml_agreement.py. NannyML runs in an environment of its own (benchmarks/peers/nannyml.txt); figures and data
pass through files.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import binom

sys.path.insert(0, str(Path(__file__).parent))

from page import show

from trimtab.config import PerformanceConfig
from trimtab.performance import HeldOut, evaluate
from trimtab.performance.bins import score_place
from trimtab.performance.estimated import Predicted, estimate, make_estimator
from trimtab.performance.metrics import Estimate
from trimtab.types import Columns, FeatureKind, FeatureSpec, Signature, Task

ROOT = Path(__file__).parents[2]
SETS = ("car_loan", "employment_ma")
SIGNATURE = Signature(
    features=(FeatureSpec(name="none", kind=FeatureKind.NUMERIC),),
    task=Task.BINARY,
    labels=("0", "1"),
)


def rows_of(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts by thousandths of score and outcome as rows."""
    scores = np.repeat(np.arange(1_001) / 1_000.0, table.sum(axis=1))
    return scores, np.concatenate([np.repeat([0.0, 1.0], row) for row in table])


def predicted(table: np.ndarray) -> Predicted:
    counts: dict[int, int] = {}
    for thousandth, rows in enumerate(table.sum(axis=1).tolist()):
        if rows:
            place = score_place(thousandth / 1_000.0, int(thousandth >= 500), 2)
            counts[place] = counts.get(place, 0) + rows
    return Predicted(task=Task.BINARY, predictions=int(table.sum()), tables=(counts,))


def compare(name: str, folder: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Beside NannyML's figures; and how often our intervals hold what was measured."""
    theirs = json.loads((folder / f"{name}.json").read_text())
    with np.load(folder / f"{name}.npz") as data:
        reference, analysis, small = (
            data[part].astype(int) for part in ("reference", "analysis", "small")
        )
    parts = [rows_of(chunk) for chunk in reference]
    scores, outcomes = (np.concatenate(part) for part in zip(*parts, strict=True))
    # In the order of time, as they came; the counts do not say in which order within a chunk.
    chunk = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
    mixed = np.lexsort((np.random.default_rng(1).random(len(scores)), chunk))
    held = HeldOut(
        columns=Columns(features=(), arrays=()),
        scores=scores[mixed],
        outcomes=outcomes[mixed],
        event_times=chunk.astype(np.float64),
        window_seconds=1.0,
    )
    estimator, _ = make_estimator(held, SIGNATURE, PerformanceConfig())
    figures = evaluate(held.scores, held.outcomes, SIGNATURE)

    def guesses(chunks: np.ndarray) -> tuple[list[Estimate], np.ndarray]:
        ours = [estimate(predicted(one), estimator, figures)["roc_auc"] for one in chunks]
        return ours, np.array([evaluate(*rows_of(one), SIGNATURE)["roc_auc"] for one in chunks])

    def holds(ours: list[Estimate], truth: np.ndarray) -> str:
        inside = sum(one.low <= t <= one.high for one, t in zip(ours, truth, strict=True))
        low, high = binom.interval(0.99, len(truth), 0.95)
        return f"{inside} of {len(truth)}; 99 % band {low:.0f}–{high:.0f}"

    ours, truth = guesses(analysis)
    measured = np.array([evaluate(*rows_of(chunk), SIGNATURE)["roc_auc"] for chunk in reference])
    middle, spread = float(measured.mean()), 3.0 * float(measured.std())
    alerts = [not middle - spread <= one.value <= min(middle + spread, 1.0) for one in ours]
    apart = np.abs(np.array([one.value for one in ours]) - theirs["estimated"])
    off = np.abs(np.array([one.value for one in ours]) - truth).mean()
    theirs_off = np.abs(np.array(theirs["estimated"]) - theirs["realised"]).mean()
    return (
        (name, f"{len(ours)}", f"{apart.max():.5f}", f"{apart.mean():.5f}", f"{sum(theirs['alert'])}",
         "the same" if alerts == theirs["alert"] else "OTHERS", f"{off:.5f}", f"{theirs_off:.5f}"),
        (name, holds(ours, truth), holds(*guesses(small))),
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:  # noqa: ARG001 - it has none
    python = subprocess.run(
        [ROOT / "scripts/peer-env.sh", "nannyml"], check=True, capture_output=True, text=True
    ).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        peer = Path(__file__).parent / "nannyml_peer.py"
        subprocess.run([python, peer, folder], check=True, stdout=subprocess.DEVNULL)
        beside, intervals = zip(*(compare(name, Path(folder)) for name in SETS), strict=True)
    show(
        "nannyml",
        ("set", "chunks", "largest difference", "mean", "NannyML's alerts", "ours by the same rule",
         "off from measured: ours", "NannyML"),
        beside,
    )  # fmt: skip
    print("What was measured inside our 95 % interval:\n")
    show("intervals", ("set", "chunks of 5,000 rows", "of 1,000 rows"), intervals)


if __name__ == "__main__":
    main()
