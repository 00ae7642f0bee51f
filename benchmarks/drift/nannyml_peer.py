"""NannyML's own figures on the data it ships, and that data as counts. Runs in its environment.

Usage: PYTHON nannyml_peer.py FOLDER. Writes FOLDER/NAME.json, what it says by chunk of 5,000 rows, and
FOLDER/NAME.npz, rows by chunk, score (thousandths) and outcome; ``small`` has chunks of 1,000 rows.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from time import perf_counter

warnings.filterwarnings("ignore")
os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"  # it reports its use to its maker otherwise

import nannyml as nml  # noqa: E402
import numpy as np  # noqa: E402

CHUNK_ROWS, SMALL_ROWS = 5_000, 1_000
SETS = {
    "car_loan": (nml.datasets.load_synthetic_car_loan_dataset, "repaid", "y_pred_proba", "y_pred"),
    "employment_ma": (
        nml.datasets.load_us_census_ma_employment_data,
        "employed",
        "predicted_probability",
        "prediction",
    ),
}


def figures(name: str, folder: Path) -> None:
    load, outcome, score, decision = SETS[name]
    reference, analysis, targets = load()
    analysis = analysis.merge(targets, on="id")
    fields = {"y_true": outcome, "y_pred_proba": score, "y_pred": decision}
    start = perf_counter()
    estimator = nml.CBPE(
        **fields,
        problem_type="classification_binary",
        metrics=["roc_auc"],
        chunk_size=CHUNK_ROWS,
    ).fit(reference)
    estimated = estimator.estimate(analysis).to_df()
    seconds = perf_counter() - start
    calculator = nml.PerformanceCalculator(
        **fields,
        problem_type="classification_binary",
        metrics=["roc_auc"],
        chunk_size=CHUNK_ROWS,
    ).fit(reference)
    realised = calculator.calculate(analysis).to_df()
    rows = estimated[("chunk", "period")] == "analysis"
    chunks = estimated[rows]
    measured = realised[realised[("chunk", "period")] == "analysis"]
    said = {
        "rows": [
            int(n) for n in chunks[("chunk", "end_index")] - chunks[("chunk", "start_index")] + 1
        ],
        "estimated": [round(v, 6) for v in chunks[("roc_auc", "value")]],
        "sampling_error": [round(v, 6) for v in chunks[("roc_auc", "sampling_error")]],
        "alert": [bool(v) for v in chunks[("roc_auc", "alert")]],
        "upper_threshold": round(float(chunks[("roc_auc", "upper_threshold")].iloc[0]), 6),
        "lower_threshold": round(float(chunks[("roc_auc", "lower_threshold")].iloc[0]), 6),
        "realised": [round(v, 6) for v in measured[("roc_auc", "value")]],
        "reference_realised": [round(v, 6) for v in estimated[~rows][("roc_auc", "realized")]],
        "seconds": round(seconds, 3),
        "version": nml.__version__,
    }
    (folder / f"{name}.json").write_text(json.dumps(said, indent=1))
    np.savez_compressed(
        folder / f"{name}.npz",
        reference=counts(reference, score, outcome),
        analysis=counts(analysis, score, outcome),
        small=counts(analysis, score, outcome, SMALL_ROWS),
    )


def counts(frame: object, score: str, outcome: str, rows: int = CHUNK_ROWS) -> np.ndarray:
    """Rows by chunk, thousandths of score, and outcome; the last short chunk is its own."""
    thousandths = np.rint(np.asarray(frame[score], dtype=float) * 1_000).astype(int)
    hit = np.asarray(frame[outcome], dtype=int)
    chunk = np.arange(len(hit)) // rows
    table = np.zeros((chunk[-1] + 1, 1_001, 2), dtype=np.uint16)
    np.add.at(table, (chunk, thousandths, hit), 1)
    return table


if __name__ == "__main__":
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for name in SETS:
        figures(name, out)
