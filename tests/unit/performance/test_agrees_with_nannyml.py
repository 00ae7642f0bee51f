"""ROC AUC estimated without outcomes, against NannyML's published figures on the data it ships."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.performance.recorded import version

from trimtab.config import PerformanceConfig
from trimtab.performance import HeldOut, evaluate
from trimtab.performance.bins import score_place
from trimtab.performance.estimated import Estimator, Predicted, estimate, make_estimator
from trimtab.types import Array, Columns, FloatArray, Task

HERE = Path(__file__).parent / "nannyml"
SIGNATURE = version().signature
CONFIG = PerformanceConfig()


def rows_of(table: Array) -> tuple[FloatArray, FloatArray]:
    """Counts by thousandths of score and outcome as rows."""
    scores = np.repeat(np.arange(1_001) / 1_000.0, table.sum(axis=1))
    outcomes = np.concatenate([np.repeat([0.0, 1.0], row) for row in table])
    return scores, outcomes


def held_out(table: Array) -> HeldOut:
    """The reference, chunk after chunk, as the rows that a version is registered with."""
    scores, outcomes = (np.concatenate(part) for part in zip(*map(rows_of, table), strict=True))
    mixed = np.random.default_rng(1).permutation(len(scores))
    none = Columns(features=(), arrays=())
    return HeldOut(columns=none, scores=scores[mixed], outcomes=outcomes[mixed])


def estimated(table: Array, estimator: Estimator, figures: dict[str, float]) -> Any:
    counts: dict[int, int] = {}
    for thousandth, rows in enumerate(table.sum(axis=1).tolist()):
        if rows:
            score = thousandth / 1_000.0
            place = score_place(score, int(score >= 0.5), 2)
            counts[place] = counts.get(place, 0) + rows
    predicted = Predicted(task=Task.BINARY, predictions=int(table.sum()), tables=(counts,))
    return estimate(predicted, estimator, figures)["roc_auc"]


@pytest.mark.parametrize("name", ["car_loan", "employment_ma"])
def test_cbpe_by_chunk_is_nannymls_and_so_are_its_alerts(name: str) -> None:
    theirs = json.loads((HERE / f"{name}.json").read_text())
    with np.load(HERE / f"{name}.npz") as data:
        reference, analysis = data["reference"].astype(int), data["analysis"].astype(int)
    rows = held_out(reference)
    estimator, _ = make_estimator(rows, SIGNATURE, CONFIG)
    figures = evaluate(rows.scores, rows.outcomes, SIGNATURE)
    found = [estimated(chunk, estimator, figures) for chunk in analysis]
    assert theirs["rows"] == [one.rows for one in found]
    apart = [abs(one.value - value) for one, value in zip(found, theirs["estimated"], strict=True)]
    assert max(apart) < 0.01
    # The same rule as theirs: mean and three standard deviations of what reference chunks measured.
    measured = [evaluate(*rows_of(chunk), SIGNATURE)["roc_auc"] for chunk in reference]
    middle, spread = float(np.mean(measured)), 3.0 * float(np.std(measured))
    low, high = middle - spread, min(middle + spread, 1.0)
    assert theirs["alert"] == [not low <= one.value <= high for one in found]
    realised = [evaluate(*rows_of(chunk), SIGNATURE)["roc_auc"] for chunk in analysis]
    assert realised == pytest.approx(theirs["realised"], abs=5e-4)
