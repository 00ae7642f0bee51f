"""One drift run over many rows: Trimtab, SciPy's naive way, and the peers that install.

All read the same two Parquet files, hold them in memory as each wants them, and are timed from there;
each in a process of its own, on one thread. Trimtab and SciPy take turns. Options: ``rows=1000000``,
``reference=100000``, ``rounds=5``, ``tools=trimtab,scipy,evidently,…``, ``results=FOLDER`` (figures are
kept there, so that tools can be measured one at a time), ``table=only`` prints what is there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from tempfile import gettempdir

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
TOOLS = {
    "trimtab": ("", "trimtab_detector", "Trimtab: DriftDetector.detect_drift"),
    "trimtab-report": (
        "",
        "trimtab_detector report",
        "Trimtab: its report, with faults in the data and repeated rows",
    ),
    "trimtab-window": (
        "",
        "trimtab_frames",
        "Trimtab: a window against a stored profile, the detector's core",
    ),
    "trimtab-profile": (
        "",
        "trimtab_with_profile",
        "Trimtab: the same, building the profile as well",
    ),
    "scipy": ("", "scipy_naive", "SciPy: ks_2samp, Jensen-Shannon of value_counts"),
    "frouros": ("frouros", "frouros_ks_chi2", "Frouros: KSTest, ChiSquareTest"),
    "deepchecks": ("deepchecks", "deepchecks_default", "Deepchecks FeatureDrift, all rows"),
    "alibi": ("alibi-detect", "alibi_tabular", "Alibi Detect TabularDrift, with encoding"),
    "nannyml": ("nannyml", "nannyml_default", "NannyML UnivariateDriftCalculator"),
    "popmon": ("popmon", "popmon_default", "popmon stability report data"),
    "whylogs": ("whylogs", "whylogs_default", "whylogs profiles and drift scores"),
    "evidently": ("evidently", "evidently_default", "Evidently DataDriftPreset"),
}
AIMS = {"trimtab": "extra memory 20", "scipy": "20 ×", "evidently": "300 ×"}
TURNS = ("trimtab", "trimtab-report", "trimtab-window", "scipy")


def make_data(folder: Path, rows: int, reference: int) -> tuple[Path, Path]:
    """Fifty columns of normal numbers and ten of twenty texts, without drift."""
    files = folder / f"reference-{reference}.parquet", folder / f"current-{rows}.parquet"
    rng = np.random.default_rng(7)
    names = np.array([f"category {number}" for number in range(20)], dtype=object)
    for path, count in zip(files, (reference, rows), strict=True):
        if not path.exists():
            table = {f"x{at}": rng.normal(size=count) for at in range(50)}
            table |= {f"s{at}": names[rng.integers(0, 20, count)] for at in range(10)}
            pd.DataFrame(table).to_parquet(path)
    return files


def measured(tool: str, files: tuple[Path, Path]) -> dict[str, float]:
    """One run of a tool in a process of its own."""
    peer, script, _ = TOOLS[tool]
    python = sys.executable
    if peer:
        found = subprocess.run(
            [ROOT / "scripts/peer-env.sh", peer], capture_output=True, text=True, check=True
        )
        python = found.stdout.strip()
    name, *words = script.split()
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    ran = subprocess.run(
        [python, HERE / "tools" / f"{name}.py", *files, *words],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | threads | {"NUMEXPR_NUM_THREADS": "1", "LOKY_MAX_CPU_COUNT": "1"},
    )
    if ran.returncode:
        sys.exit(f"{tool} failed:\n{ran.stderr[-2_000:]}")
    taken: dict[str, float] = json.loads(ran.stdout.strip().splitlines()[-1])
    return taken


def run(options: Mapping[str, str]) -> None:
    """Measure, keep, print."""
    rows, reference = int(options.get("rows", 1_000_000)), int(options.get("reference", 100_000))
    folder = Path(options.get("results", f"{gettempdir()}/trimtab-bench-drift"))
    folder.mkdir(parents=True, exist_ok=True)
    if options.get("table") != "only":
        files = make_data(folder, rows, reference)
        wanted = options.get("tools", ",".join(TOOLS)).split(",")
        turns = [tool for tool in TURNS if tool in wanted]
        jobs = turns * int(options.get("rounds", 5)) + [t for t in wanted if t not in TURNS]
        for tool in turns:
            (folder / f"{tool}-{rows}.jsonl").unlink(missing_ok=True)
        for tool in jobs:
            taken = measured(tool, files)
            print(tool, taken, file=sys.stderr)
            mode = "a" if tool in TURNS else "w"
            with (folder / f"{tool}-{rows}.jsonl").open(mode, encoding="utf-8") as kept:
                kept.write(json.dumps(taken) + "\n")
    show(folder, rows)


def show(folder: Path, rows: int) -> None:
    """The table of all that was measured."""
    found = {}
    for tool in TOOLS:
        path = folder / f"{tool}-{rows}.jsonl"
        if path.exists():
            runs = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            found[tool] = {key: median(r[key] for r in runs) for key in runs[0]}
    ours = found.get("trimtab")
    print(
        "| tool | wall s | processor s | × Trimtab | aim | extra memory MB |\n|---|---|---|---|---|---|"
    )
    for tool, taken in found.items():
        ratio = f"{taken['cpu_s'] / ours['cpu_s']:.1f}" if ours else "–"
        print(
            f"| {TOOLS[tool][2]} | {taken['wall_s']:.2f} | {taken['cpu_s']:.2f} | {ratio} | "
            f"{AIMS.get(tool, '–')} | {taken['extra_mb']:.0f} |"
        )
